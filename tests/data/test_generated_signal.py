"""What can, and what cannot, be told from the clips: measured with linear probes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdlib.data import generated
from kdlib.data.generated import GeneratedSpec, Rendered, render

torch.set_num_threads(1)


def accuracy(train, train_labels, test, test_labels, ridge: float = 1.0) -> float:
    """Test accuracy in 0..1 of ridge regression on standardised features (N, D)."""
    train, test = (torch.as_tensor(x).flatten(1).double() for x in (train, test))
    mean, sd = train.mean(0), train.std(0) + 1e-6
    train, test = (train - mean) / sd, (test - mean) / sd
    target = F.one_hot(torch.as_tensor(train_labels)).double()
    gram = train @ train.T + ridge * train.shape[1] / 10 * torch.eye(len(train))
    weights = train.T @ torch.linalg.solve(gram, target - target.mean(0))
    return (test @ weights).argmax(1).eq(torch.as_tensor(test_labels)).float().mean().item()


def both(spec: GeneratedSpec, train: int, test: int, truth: bool = False) -> tuple[Rendered, ...]:
    return (
        render(spec, "train", np.arange(train), truth=truth),
        render(spec, "test", np.arange(test), truth=truth),
    )


def frame(shown: Rendered, t: int, size: int) -> torch.Tensor:
    image = shown.clips[:, t].permute(0, 3, 1, 2).float()
    return F.interpolate(image, size=(size, size), mode="area")


def relabelled(monkeypatch, spec: GeneratedSpec, label: np.ndarray) -> torch.Tensor:
    monkeypatch.setattr(generated, "labels_of", lambda task, index, draws: label)
    return render(spec, "train", np.arange(len(label))).clips


@pytest.mark.parametrize("task", ["motion12", "rate"])
def test_the_middle_frame_is_the_same_whatever_the_label(task, monkeypatch):
    spec = GeneratedSpec(task, 0)
    count = len(generated.TASKS[task])
    clips = [relabelled(monkeypatch, spec, np.full(10, label)) for label in range(count)]
    for one, other in pairwise(clips):
        assert torch.equal(one[:, 4], other[:, 4])
        assert (one[:, 6] != other[:, 6]).any()


def affine_flow(shown: Rendered) -> torch.Tensor:
    """Shift, turn and growth of the labelled object's true flow, (N, T-1, 4)."""
    own = (shown.layers[:, :-1] == 1).float()
    area = own.sum((2, 3)) + 1e-3
    x, y = shown.flow.unbind(2)
    place = torch.arange(own.shape[-1]).float()
    dx = (place - ((own * place).sum((2, 3)) / area)[..., None])[:, :, None]
    dy = (place - ((own * place[:, None]).sum((2, 3)) / area)[..., None])[..., None]
    spread = (own * (dx**2 + dy**2)).sum((2, 3)) + 1
    shift = [(own * v).sum((2, 3)) / area for v in (x, y)]
    turn = (own * (dx * y - dy * x)).sum((2, 3)) / spread
    growth = (own * (dx * x + dy * y)).sum((2, 3)) / spread
    return torch.stack([*shift, turn, growth], -1)


@pytest.mark.slow
def test_motion_is_told_by_flow_and_not_by_a_frame():
    train, test = both(GeneratedSpec("motion12", 0), 600, 360, truth=True)
    moving = accuracy(affine_flow(train), train.labels, affine_flow(test), test.labels)
    still = accuracy(frame(train, 4, 12), train.labels, frame(test, 4, 12), test.labels)
    assert still < 0.16
    assert moving > 0.6


def hues(shown: Rendered) -> torch.Tensor:
    """The labelled object's mean colour without its greyness, of length 1, (N, 3)."""
    own = (shown.layers == 1)[..., None]
    colour = (own * shown.clips).float().sum((1, 2, 3)) / own.sum((1, 2, 3))
    return F.normalize(colour - colour.mean(1, keepdim=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "classes", "by_flow", "by_hue"),
    [
        ("colour12", slice(0, 12), (0, 0.16), (0.5, 1)),
        ("colmot12", slice(0, 6), (0.6, 1), (0, 0.3)),
        ("colmot12", slice(6, 12), (0, 0.3), (0.8, 1)),
    ],
)
def test_colours_are_told_by_the_hue_alone_and_moves_by_the_flow_alone(
    task, classes, by_flow, by_hue
):
    known, asked = both(GeneratedSpec(task, 0), 720, 360, truth=True)
    of_kind = [np.isin(shown.labels, np.arange(12)[classes]) for shown in (known, asked)]
    for read, (least, most) in ((affine_flow, by_flow), (hues, by_hue)):
        one, label, other, wanted = (
            part
            for shown, chosen in zip((known, asked), of_kind, strict=True)
            for part in (read(shown)[chosen], shown.labels[chosen] - classes.start)
        )
        assert least <= accuracy(one, label, other, wanted) <= most


def local_correlations(frames: torch.Tensor, reach: int = 2) -> torch.Tensor:
    """Correlations (N, lags) of the middle of frames (N, H, W) with itself up to `reach` pixels.

    A stationary texture seen through a small window, as by the first layers of a network.
    """
    size = frames.shape[-1]
    quarter, half = size // 4, size // 2
    frames = frames - F.avg_pool2d(frames[:, None], 5, 1, 2, count_include_pad=False)[:, 0]
    middle = frames[:, quarter:-quarter, quarter:-quarter]
    lags = [(y, x) for y in range(reach + 1) for x in range(-reach if y else 0, reach + 1)]
    moved = [
        frames[:, quarter + y : quarter + y + half, quarter + x : quarter + x + half]
        for y, x in lags
    ]
    products = torch.stack([(middle * other).mean((1, 2)) for other in moved], 1)
    return products / products[:, :1]


@pytest.mark.slow
def test_fine_detail_is_lost_at_half_the_resolution():
    train, test = both(GeneratedSpec("detail12", 0, size=48), 600, 360)

    def at(size: int) -> float:
        """Accuracy from the middle frame, brought to `size` as a network's input would be."""
        grey = (shown.clips[:, 4].float().mean(-1)[:, None] for shown in (train, test))
        seen = (F.interpolate(g, (size, size), mode="bilinear", align_corners=False) for g in grey)
        known, asked = (local_correlations(s[:, 0]) for s in seen)
        return accuracy(known, train.labels, asked, test.labels, ridge=0.01)

    fine, coarse = at(48), at(24)
    assert fine > 0.8
    assert fine - 0.2 > coarse > 0.25


def test_the_order_of_events_is_not_in_the_set_of_frames(monkeypatch):
    quiet = {"noise": 0, "jitter": 0, "light": 0}
    spec = GeneratedSpec("order", 0, **quiet)
    orders = [tuple(name.split(" then ")) for name in generated.TASKS["order"]]
    swapped = np.array([orders.index((b, a)) for a, b in orders])
    label = np.arange(12)
    one = relabelled(monkeypatch, spec, label)
    other = relabelled(monkeypatch, spec, swapped)
    assert torch.equal(one[:, :4], other[:, 4:])
    assert torch.equal(one[:, 4:], other[:, :4])
    assert (one[:, :4] != one[:, 4:]).flatten(1).any(1).all()


def test_the_rate_is_told_by_differences_and_not_by_a_frame():
    train, test = both(GeneratedSpec("rate", 0), 400, 240)

    def differences(shown: Rendered) -> torch.Tensor:
        return shown.clips.float().diff(dim=1).abs().mean((2, 3, 4)).log()

    moving = accuracy(differences(train), train.labels, differences(test), test.labels)
    still = accuracy(frame(train, 6, 12), train.labels, frame(test, 6, 12), test.labels)
    assert moving > 0.5
    assert still < 0.34


@pytest.mark.slow
@pytest.mark.parametrize("task", ["motion12", "detail12"])
@pytest.mark.parametrize("domain", ["source", "shifted"])
def test_up_can_be_told(task, domain):
    train, test = both(GeneratedSpec(task, 0, domain=domain), 480, 192)

    def turned(shown: Rendered) -> tuple[torch.Tensor, torch.Tensor]:
        turns = torch.arange(len(shown.labels)) % 4
        image = frame(shown, 4, 8)
        image = torch.stack([i.rot90(int(k), (1, 2)) for i, k in zip(image, turns, strict=True)])
        return image, turns

    got = accuracy(*turned(train), *turned(test))
    assert got > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("task", ["texmot12", "mix12", "image"])
def test_classes_do_not_show_in_a_small_picture(task):
    spec = GeneratedSpec(task, 0)
    train, test = both(spec, 600, 240)
    t = spec.frames // 2
    seen = accuracy(frame(train, t, 12), train.labels, frame(test, t, 12), test.labels)
    assert seen < 0.35


def test_clips_of_mix12_differ_in_difficulty():
    shown = render(GeneratedSpec("mix12", 0), "train", np.arange(240))
    difficulty = shown.factors["difficulty"]
    easy, hard = difficulty < 0.3, difficulty > 0.7
    noise = shown.clips[:, :, :3].float().diff(dim=3).abs().mean((1, 2, 3, 4))
    assert noise[hard].mean() > 1.5 * noise[easy].mean()
    assert shown.factors["contrast"][hard].mean() < 0.8 * shown.factors["contrast"][easy].mean()
    assert shown.factors["speed"][hard].mean() < 0.8 * shown.factors["speed"][easy].mean()


def test_the_shifted_domain_has_other_colours_and_more_noise():
    source, shifted = (GeneratedSpec("motion12", 0, domain=d) for d in ("source", "shifted"))
    day, night = (render(s, "train", np.arange(96)) for s in (source, shifted))
    assert day.clips.float().mean() - night.clips.float().mean() > 40
    assert night.factors["noise"].mean() > 1.2 * day.factors["noise"].mean()
