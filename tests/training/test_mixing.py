"""Mixed clips and labels, pixel by pixel."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kdlib import models
from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.training.loop import fit
from kdlib.training.mixing import mixed
from kdlib.training.recipe import Recipe


@pytest.fixture
def student():
    return models.build("tsn", 4, width=4)


def recipe(**options):
    return Recipe(epochs=1, learning_rate=1e-3, batch_size=8, **options)


def batch(**fields):
    torch.manual_seed(0)
    clips = torch.randn(6, 3, 2, 20, 30)
    return replace(Batch(clips, torch.arange(6) % 4, torch.arange(6)), **fields)


def test_without_any_of_them_the_batch_is_the_same(student):
    shown = batch()
    assert mixed(shown, recipe(), student) is shown


def test_smoothed_labels_by_hand(student):
    found = mixed(batch(), recipe(label_smoothing=0.2), student)
    assert torch.equal(found.clips, batch().clips)
    torch.testing.assert_close(found.labels[1], torch.tensor([0.05, 0.85, 0.05, 0.05]))
    logits = torch.randn(6, 4)
    task = models.build("tsn", 4).task
    assert task == "classification"
    torch.testing.assert_close(
        F.cross_entropy(logits, found.labels),
        F.cross_entropy(logits, batch().labels, label_smoothing=0.2),
    )


def shares(found):
    """The own clip's share of each pixel, which all clips, channels and frames have."""
    clips = batch().clips
    share = (found.clips - clips.flip(0)) / (clips - clips.flip(0))
    middle = share.flatten(0, 2).median(0).values
    torch.testing.assert_close(
        middle * clips + (1 - middle) * clips.flip(0), found.clips, atol=1e-4, rtol=1e-4
    )
    return middle


def labels_of(share):
    hot = torch.eye(4)[batch().labels]
    return share * hot + (1 - share) * hot.flip(0)


def drawn(student, count=200, **options):
    found = []
    for seed in range(count):
        torch.manual_seed(seed + 1)
        shown = Batch(batch().clips, batch().labels, torch.arange(6))
        torch.manual_seed(seed + 1)
        found.append(mixed(shown, recipe(**options), student))
    return found


def test_mixup_adds_partners_in_shares_of_their_labels(student):
    means = []
    for found in drawn(student, mixup=0.8):
        share = shares(found)
        assert float(share.std()) < 1e-3
        torch.testing.assert_close(found.labels, labels_of(share.mean()), atol=1e-3, rtol=1e-3)
        means.append(share.mean())
    means = torch.stack(means)
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1))
    assert float(means.mean()) == pytest.approx(0.5, abs=0.06)
    assert float(means.var()) == pytest.approx(1 / (4 * 2.6), rel=0.2)


def test_cutmix_cuts_a_rectangle_of_all_frames(student):
    cut_off = 0
    for found in drawn(student, cutmix=1.0):
        share = shares(found)
        assert set(share.round(decimals=3).unique().tolist()) <= {0.0, 1.0}
        rows, columns = (share.round() == 0).nonzero(as_tuple=True)
        if len(rows):
            height, width = (int(x.max() - x.min()) + 1 for x in (rows, columns))
            assert height * width == len(rows)
            whole = int(rows.min()) > 0 and int(rows.max()) < 19
            inside = whole and int(columns.min()) > 0 and int(columns.max()) < 29
            cut_off += not inside
            if inside:  # as high and wide in its frame as the frame is
                assert height / 20 == pytest.approx(width / 30, abs=0.12)
        torch.testing.assert_close(found.labels, labels_of(share.round().mean()))
    assert 0 < cut_off < 200


def test_with_both_half_of_the_batches_have_either(student):
    cut = [bool(((s := shares(found)).round() == 0).any() and float(s.std()) > 0.01)
           for found in drawn(student, mixup=0.8, cutmix=1.0)]  # fmt: skip
    assert 70 < sum(cut) < 125


def test_equal_seeds_mix_alike(student):
    one, two = (drawn(student, 1, mixup=0.8, cutmix=1.0)[0] for _ in range(2))
    assert torch.equal(one.clips, two.clips)
    assert torch.equal(one.labels, two.labels)


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": torch.zeros(6, 4)},
        {"others": (torch.zeros(6, 3, 2, 20, 30),)},
        {"known": {"flow": torch.zeros(6, 1, 2, 20, 30)}},
    ],
)
def test_what_cannot_be_mixed_is_refused(fields, student):
    with pytest.raises(UserError, match=r"recipe\.mixup: it mixes clips with one class each"):
        mixed(batch(**fields), recipe(mixup=0.8), student)


def test_a_detector_is_refused_before_anything_trains():
    data = DataSpec("generated/actors", train=8, test=8, frames=4, size=16, known=("boxes",))
    spec = RunSpec(data, ModelSpec("tsn", {"width": 4}), recipe(mixup=0.8))
    with pytest.raises(UserError, match=r"recipe\.mixup: no mixup, .* for detection"):
        rehearse(spec)


def test_layer_decay_is_refused_before_anything_trains():
    data = DataSpec("generated/detail12", train=8, test=8, frames=4, size=16)
    spec = RunSpec(data, ModelSpec("tsn", {"width": 4}), recipe(layer_decay=0.75))
    with pytest.raises(UserError, match=r"recipe\.layer_decay: 1 for this student"):
        rehearse(spec)
    rehearse(replace(spec, model=ModelSpec("vit", {"width": 16, "blocks": 1, "patch": 8})))


def test_the_loop_mixes_what_it_trains_on_and_not_what_it_judges(source, tiny):
    seen = []

    class Watched(Supervised):
        def step(self, batch, epoch):
            seen.append(batch.labels)
            return super().step(batch, epoch)

    history = fit(
        Watched(tiny()), source, recipe(mixup=0.8, label_smoothing=0.1), seed=0, validation=source
    )
    assert all(labels.shape == (8, 3) and labels.min() > 0 for labels in seen)
    assert 0 <= history.epochs[0]["validation_score"] <= 1
