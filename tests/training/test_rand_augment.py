"""RandAugment on clips."""

from dataclasses import replace

import pytest
import torch
from torchvision.transforms import v2

from kdlib.clips.batches import Batch
from kdlib.clips.pixels import to_float
from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.training.loop import fit
from kdlib.training.rand_augment import rand_augmented
from kdlib.training.recipe import Recipe


def recipe(magnitude):
    return Recipe(epochs=1, learning_rate=1e-3, batch_size=8, rand_augment=magnitude)


@pytest.fixture
def batch():
    pixels = torch.randint(0, 256, (6, 1, 20, 30, 3), dtype=torch.uint8)
    clips = to_float(pixels.expand(-1, 4, -1, -1, -1))  # each frame as the first
    return Batch(clips, torch.arange(6), torch.arange(6), fixed=True)


def test_at_no_magnitude_the_batch_is_the_same(batch):
    assert rand_augmented(batch, recipe(0)) is batch


def test_all_frames_of_a_clip_are_changed_alike_and_labels_stay(batch):
    torch.manual_seed(0)
    found = rand_augmented(batch, recipe(9))
    assert found.clips.shape == batch.clips.shape
    assert torch.equal(found.clips, found.clips[:, :, :1].expand_as(found.clips))
    changed = (found.clips - batch.clips).abs().amax((1, 2, 3, 4)) > 0.1
    assert changed.sum() >= 4
    assert torch.equal(found.labels, batch.labels)
    assert not found.fixed


def test_it_is_torchvision_s_on_bytes(batch, monkeypatch):
    monkeypatch.setattr(v2.RandAugment, "forward", lambda self, clip: 255 - clip)
    found = rand_augmented(batch, recipe(9))
    assert not torch.allclose(found.clips, batch.clips)
    torch.testing.assert_close(rand_augmented(found, recipe(9)).clips, batch.clips)


def test_equal_seeds_draw_alike(batch):
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(rand_augmented(batch, recipe(9)).clips)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    "fields",
    [
        {"known": {"boxes": torch.zeros(6, 1, 4)}},
        {"others": (torch.zeros(6, 3, 4, 20, 30),)},
        {"clips": torch.zeros(6, 2, 4, 20, 30)},
    ],
)
def test_what_would_have_to_move_along_is_refused(batch, fields):
    with pytest.raises(UserError, match=r"recipe\.rand_augment: 0 here"):
        rand_augmented(replace(batch, **fields), recipe(9))


def test_boxes_are_refused_before_anything_trains():
    data = DataSpec("generated/actors", train=8, test=8, frames=4, known=("boxes",))
    spec = RunSpec(data, ModelSpec("tsn", {"width": 4}), recipe(9))
    with pytest.raises(UserError, match=r"recipe\.rand_augment: 0 here"):
        rehearse(spec)
    rehearse(replace(spec, recipe=recipe(0)))


def test_the_loop_augments_what_it_trains_on_as_often_as_told(source, tiny):
    def shown(recipe):
        batches = []

        class Watched(Supervised):
            def step(self, batch, epoch):
                batches.append(batch)
                return super().step(batch, epoch)

        fit(Watched(tiny()), source, replace(recipe, repeats=2), seed=0)
        return batches

    plain, changed = shown(recipe(0)), shown(recipe(9))
    assert [len(batch.indices) for batch in changed] == [16] * 3
    assert torch.equal(changed[0].indices, plain[0].indices)
    assert not torch.allclose(changed[0].clips, plain[0].clips)
