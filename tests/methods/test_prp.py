"""What PRP shows, what it asks for and how that is weighed, against loops over frames."""

import numpy as np
import pytest
import torch

from kdlib import models
from kdlib.clips.batches import Batch
from kdlib.clips.pixels import IMAGENET_MEAN, IMAGENET_STD
from kdlib.errors import UserError
from kdlib.losses.motion_mse import motion_weights
from kdlib.methods import build
from kdlib.methods.prp import Runs, played, run_weights, slowed


def batch_of(footage):
    return Batch(footage, None, torch.arange(len(footage)))


def counting(videos, frames):
    """Footage whose every frame is its number."""
    return torch.arange(float(frames)).view(1, 1, -1, 1, 1).expand(videos, 3, frames, 2, 2)


@pytest.mark.parametrize(
    ("start", "rate", "shown", "rebuilt"),
    [
        (3, 1, [3, 4, 5, 6], [3, 3.5, 4, 4.5, 5, 5.5, 6, 6]),
        (1, 2, [1, 3, 5, 7], [1, 2, 3, 4, 5, 6, 7, 8]),
        (5, 4, [5, 9, 13, 17], [5, 7, 9, 11, 13, 15, 17, 19]),
        (0, 8, [0, 8, 16, 24], [0, 4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_frames_by_hand(start, rate, shown, rebuilt):
    """The second of two clips, beside one of another rate."""
    run = Runs(torch.tensor([2, start]), torch.tensor([2, rate]), 4, 8)
    footage = counting(2, 32)
    assert played(footage, run)[1, 0, :, 0, 0].tolist() == shown
    found = slowed(footage, run)
    assert found.shape == (2, 3, 8, 2, 2)
    assert found[1, 2, :, 1, 1].tolist() == rebuilt
    assert found[0, 0, :, 0, 0].tolist() == list(range(2, 10))


def test_pixels_and_channels_stay_where_they_are():
    footage = torch.randn(3, 3, 16, 4, 6)
    run = Runs(torch.tensor([4, 0, 1]), torch.tensor([1, 4, 2]), 4, 4)
    found = played(footage, run)
    for clip, (start, rate) in enumerate([(4, 1), (0, 4), (1, 2)]):
        stop = start + 4 * rate
        assert torch.equal(found[clip], footage[clip, :, start:stop:rate])


def weights_by_loop(clip, start, rate, frames):
    """The weights (2 frames, H, W) of one clip (3, T, H, W): part after part of its run."""
    weights = []
    for part in range(rate):
        first = start + part * frames
        looked_at = [first + round(k * (frames - 1) / 3) for k in range(4)]
        of_part = motion_weights(clip[None, :, looked_at])[0]
        weights += [of_part] * (2 * frames // rate)
    return torch.stack(weights)


@pytest.mark.parametrize("frames", [4, 16])
def test_weights_are_those_of_each_part_of_the_run(frames):
    torch.manual_seed(0)
    footage = torch.randn(4, 3, 8 * frames, 16, 16)
    starts, rates = [5, 2, 1, 0], [1, 2, 4, 8]
    run = Runs(torch.tensor(starts), torch.tensor(rates), frames, 8)
    for found, *one in zip(run_weights(footage, run), footage, starts, rates, strict=True):
        torch.testing.assert_close(found, weights_by_loop(*one, frames))


@pytest.mark.parametrize("rates", [2, 3, 4])
def test_every_rate_and_every_place_is_drawn(tiny, rates):
    method, highest = build("prp", tiny(), [], rates=rates), 2 ** (rates - 1)
    run, label = method._draw(batch_of(torch.zeros(4000, 3, 2 * highest, 1, 1)))
    assert (run.frames, run.highest) == (2, highest)
    assert torch.equal(run.rate, 2**label)
    for rate in (2**k for k in range(rates)):
        starts = run.start[run.rate == rate]
        assert len(starts) == pytest.approx(4000 / rates, rel=0.15)
        assert set(starts.tolist()) == set(range(2 * highest - 2 * rate + 1))


def test_the_loss_by_a_second_way(tiny):
    torch.manual_seed(0)
    method, footage = build("prp", tiny(), [], rates=3).eval(), torch.randn(9, 3, 16, 16, 16)
    torch.manual_seed(2)
    found = method.step(batch_of(footage), 0)
    torch.manual_seed(2)
    run, label = method._draw(batch_of(footage))
    assert set(label.tolist()) == {0, 1, 2}
    errors, surprises = [], []
    for clip, start, rate in zip(footage, run.start.tolist(), run.rate.tolist(), strict=True):
        shown = clip[:, start : start + 4 * rate : rate]
        if rate == 1:
            between = torch.cat([(shown[:, :-1] + shown[:, 1:]) / 2, shown[:, -1:]], 1)
            truth = torch.stack([shown, between], 2).flatten(1, 2)
        else:
            truth = clip[:, start : start + 4 * rate : rate // 2]
        pixels = truth.movedim(0, -1).numpy() * IMAGENET_STD + np.array(IMAGENET_MEAN)
        maps = method.student.features(shown[None])
        made = method.generative(maps)[0].movedim(0, -1).detach().numpy()
        weights = weights_by_loop(clip, start, rate, 4).numpy()
        errors.append(np.mean(weights[..., None] * (made - pixels) ** 2))
        logits = method.classifier(method.discriminative(maps).mean((2, 3, 4)))[0].softmax(0)
        surprises.append(-np.log(float(logits[int(np.log2(rate))])))
    assert float(found.parts["reconstruction"]) == pytest.approx(np.mean(errors), rel=1e-4)
    assert float(found.parts["rate"]) == pytest.approx(np.mean(surprises), rel=1e-4)
    total = np.mean(errors) + 0.1 * np.mean(surprises)
    assert float(found.loss.detach()) == pytest.approx(total, rel=1e-4)


def test_the_decoder_of_the_published_network_has_its_channels_and_makes_its_size():
    with torch.device("meta"):
        method = build("prp", models.build("r2plus1d", 512), [])
        assert method.generative(torch.zeros(2, 512, 2, 7, 7)).shape == (2, 3, 32, 112, 112)
    layers = [m for m in method.generative.modules() if isinstance(m, torch.nn.ConvTranspose3d)]
    assert [layer.in_channels for layer in layers] == [512, 256, 128, 64]


def test_wide_maps_are_narrowed_first():
    """ShuffleNet's 1,920 channels, and its stride of 32 pixels."""
    with torch.device("meta"):
        method = build("prp", models.build("shufflenet3d", 512), [])
        assert method.generative(torch.zeros(2, 1920, 1, 2, 2)).shape == (2, 3, 32, 64, 64)
    assert method.classifier.in_features == 512
    assert method.own_parameters() < 80e6


@pytest.mark.parametrize("name", ["c3d", "r2plus1d", "tsn"])
@pytest.mark.parametrize("size", [16, 20])
def test_the_decoder_fits_maps_of_other_strides_and_sizes(name, size):
    torch.manual_seed(0)
    method = build("prp", models.build(name, 3, width=4), [], rates=2)
    method.step(batch_of(torch.randn(2, 3, 8, size, size)), 0).loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in method.generative.parameters())


def test_looking_at_the_student_s_map_leaves_it_as_it_was(tiny):
    student = tiny()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    method = build("prp", student, [])
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert all(module.training for module in method.modules() if module is not method.teachers)


@pytest.mark.parametrize(
    ("frames", "others", "message"),
    [
        (12, 0, "data.frames: rates up to 8 need a multiple of 8 frames, 16 or more, not 12"),
        (8, 0, "16 or more, not 8"),
        (16, 3, "data.others: prp takes every rate from one clip; leave them out"),
    ],
)
def test_footage_that_does_not_fit_is_refused(tiny, frames, others, message):
    clips = torch.zeros(2, 3, frames, 16, 16)
    batch = Batch(clips, None, torch.arange(2), (clips,) * others)
    with pytest.raises(UserError, match=message):
        build("prp", tiny(), []).step(batch, 0)


def test_five_rates_are_too_many(tiny):
    with pytest.raises(UserError, match=r"method prp\.rates: unknown value 5; allowed: 2, 3, 4"):
        build("prp", tiny(), [], rates=5)
