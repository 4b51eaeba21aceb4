"""What a view does to flow and boxes, by hand and against clips whose truth is known."""

from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.pixels import IMAGENET_MEAN, IMAGENET_STD, to_float
from kdlib.clips.view import View, centre_view, draw_view
from kdlib.data.generated import GeneratedSpec, render

SIDE = 64  # of the stored clips below


def one_view(crop, side=4, size=4, mirrored=False, resized=False):
    """A view of one clip stored at side x side."""
    return View(torch.tensor([mirrored]), torch.tensor([crop]), side, side, size, resized)


def shown(view, values):
    """Values 0..255 (B, T, H, W) as the pixels of the view show them, float (B, T, size, size)."""
    clips = values.to(torch.uint8)[..., None].expand(*values.shape, 3)
    red = view.pixels(clips)[:, 0]
    return (red * IMAGENET_STD[0] + IMAGENET_MEAN[0]) * 255


# By hand


GRID = torch.arange(16.0).view(4, 4)
FLOW = torch.stack([GRID, 100 + GRID])[None, None]  # x 0..15, y 100..115


def test_a_mirrored_flow_by_hand():
    result = one_view([0, 0, 4, 4], mirrored=True).flow(FLOW)[0, 0]
    x = [[-3, -2, -1, 0], [-7, -6, -5, -4], [-11, -10, -9, -8], [-15, -14, -13, -12]]
    y = [[103, 102, 101, 100], [107, 106, 105, 104], [111, 110, 109, 108], [115, 114, 113, 112]]
    assert result.tolist() == [x, y]


def test_a_shifted_flow_by_hand():
    # One row above the frame, which is row 1 again, and one column beyond it, column 2 again.
    result = one_view([-1, 1, 4, 4]).flow(FLOW)[0, 0]
    x = [[5, 6, 7, -6], [1, 2, 3, -2], [5, 6, 7, -6], [9, 10, 11, -10]]
    y = [[-105, -106, -107, -106], [101, 102, 103, 102], [105, 106, 107, 106], [109, 110, 111, 110]]
    assert result.tolist() == [x, y]


def test_a_border_of_a_mirrored_flow_is_turned_twice():
    result = one_view([0, 1, 4, 4], mirrored=True).flow(FLOW)[0, 0]
    assert result[0, 0].tolist() == [-2, -1, 0, 1]
    assert result[1, 0].tolist() == [102, 101, 100, 101]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_resized_flow_is_scaled_in_both_directions(mirrored):
    flow = torch.tensor([3.0, 5.0]).view(1, 1, 2, 1, 1).expand(1, 2, 2, 8, 8)
    result = one_view([2, 4, 4, 2], 8, 8, mirrored, resized=True).flow(flow)
    assert result.shape == (1, 2, 2, 8, 8)
    torch.testing.assert_close(
        result[:, :, 0], torch.full((1, 2, 8, 8), -12.0 if mirrored else 12.0)
    )
    torch.testing.assert_close(result[:, :, 1], torch.full((1, 2, 8, 8), 10.0))


@pytest.mark.parametrize(
    ("view", "box", "expected"),
    [
        (one_view([0, 0, 8, 8], 8, 8), [1, 2, 4, 7], [1, 2, 4, 7]),
        (one_view([0, 0, 8, 8], 8, 8, mirrored=True), [1, 2, 4, 7], [4, 2, 7, 7]),
        (one_view([0, 0, 8, 8], 8, 8, mirrored=True), [0, 0, 0, 0], [0, 0, 0, 0]),
        (one_view([2, 3, 4, 4], 8, 4), [1, 2, 6.5, 7], [0, 0, 3.5, 4]),
        (one_view([2, 3, 4, 4], 8, 4), [1, 2, 3, 7], [0, 0, 0, 0]),  # ends where the view begins
        (one_view([2, 3, 4, 4], 8, 4), [0, 0, 2, 1], [0, 0, 0, 0]),
        (one_view([-2, 1, 8, 8], 8, 8), [0, 0, 3, 4], [0, 2, 2, 6]),
        (one_view([-2, -1, 8, 8], 8, 8), [0, 0, 0, 0], [0, 0, 0, 0]),
        (one_view([2, 4, 4, 2], 8, 8, resized=True), [4.5, 1, 5, 3], [2, 0, 4, 2]),
        (one_view([2, 4, 4, 2], 8, 8, mirrored=True, resized=True), [1, 3, 3, 9], [4, 2, 8, 8]),
    ],
)
def test_boxes_by_hand(view, box, expected):
    assert view.boxes(torch.tensor([[box]]).float()).tolist() == [[expected]]


def test_every_clip_has_its_own_row():
    mirrored, corner = torch.tensor([True, False, True]), torch.tensor([[0, 1], [2, 0], [1, 2]])
    view = View(mirrored, torch.cat([corner, torch.full((3, 2), 5)], 1), 8, 9, 5)
    draw = torch.Generator().manual_seed(0)
    flow = torch.randn(3, 4, 2, 8, 9, generator=draw)
    boxes = torch.rand(3, 4, 6, 4, generator=draw) * 9
    for i, (top, left) in enumerate(corner.tolist()):
        alone = View(mirrored[i : i + 1], view.crop[i : i + 1], 8, 9, 5)
        assert torch.equal(view.flow(flow)[i], alone.flow(flow[i : i + 1])[0])
        assert torch.equal(view.boxes(boxes)[i], alone.boxes(boxes[i : i + 1])[0])
        frame = flow[i].flip(-1) * torch.tensor([-1, 1]).view(2, 1, 1) if mirrored[i] else flow[i]
        assert torch.equal(view.flow(flow)[i], frame[..., top : top + 5, left : left + 5])


def test_another_batch_or_stored_size_is_refused():
    view = centre_view(4, 20, 24, 16)
    with pytest.raises(ValueError, match=r"\(4, 20, 24\)"):
        view.flow(torch.zeros(4, 3, 2, 24, 20))
    with pytest.raises(ValueError, match=r"3 rows of boxes.*4 clips"):
        view.boxes(torch.zeros(3, 3, 2, 4))


# Identity and composition


def test_the_centre_view_of_the_full_size_is_the_identity():
    clips, view = quiet("actors"), centre_view(8, SIDE, SIDE, SIDE)
    assert torch.equal(view.pixels(clips.clips), to_float(clips.clips))
    assert torch.equal(view.flow(clips.flow), clips.flow)
    assert torch.equal(view.boxes(clips.boxes), clips.boxes)


def test_mirroring_twice_is_the_identity():
    clips, view = quiet("actors"), centre_view(8, SIDE, SIDE, SIDE)
    view = View(~view.mirrored, view.crop, SIDE, SIDE, SIDE)
    assert not torch.equal(view.flow(clips.flow), clips.flow)
    assert torch.equal(view.flow(view.flow(clips.flow)), clips.flow)
    torch.testing.assert_close(view.boxes(view.boxes(clips.boxes)), clips.boxes, atol=1e-5, rtol=0)
    once = shown(view, clips.clips[..., 0]).round()
    assert torch.equal(shown(view, once).round(), clips.clips[..., 0].float())


# Against the truth


@cache
def quiet(task):
    """Eight clips that move much and hide little, and their truth.

    Weak textures: what is measured is the flow, not how well a texture can be interpolated.
    """
    spec = GeneratedSpec(
        *(task, 3), size=SIDE, contrast=0.3, texture_period=0, noise=0, light=0, jitter=0.05
    )
    return render(spec, "train", np.arange(8), truth=True)


def fetch(images, flow, **options):
    """Images (B, C, H, W) at every pixel's place moved by flow (B, 2, H, W)."""
    height, width = images.shape[2:]
    x = torch.arange(width) + 0.5 + flow[:, 0]
    y = (torch.arange(height) + 0.5)[:, None] + flow[:, 1]
    grid = torch.stack([x / width, y / height], -1) * 2 - 1
    return F.grid_sample(images, grid, align_corners=False, **options)


def lands_in(masks, flow):
    """Pixels that flow (B, T, 2, H, W) carries to where masks (B, T, H, W) hold: bool."""
    moved = fetch(masks.flatten(0, 1)[:, None].float(), flow.flatten(0, 1), padding_mode="zeros")
    return moved[:, 0].unflatten(0, flow.shape[:2]) > 0.999


@cache
def settled(task):
    """Pixels (B, T-1, H, W) well within a layer whose next place is so, too."""
    clips = quiet(task)
    found = torch.zeros(clips.layers[:, 1:].shape, dtype=torch.bool)
    for layer in clips.layers.unique():
        inside = F.max_pool2d((clips.layers != layer).float(), 5, 1, 2) == 0
        found |= inside[:, :-1] & lands_in(inside[:, 1:], clips.flow)
    return found


def mismatch(frames, flow, where):
    """How much frame t + 1, carried back by flow, differs from frame t, as a share of how much the
    two differ as they stand: over the pixels `where` (B, T-1, H, W) of frames (B, 3, T, H, W)."""
    now, later = (f.transpose(1, 2).flatten(0, 1) for f in (frames[:, :, :-1], frames[:, :, 1:]))
    back = fetch(later, flow.flatten(0, 1), mode="bicubic", padding_mode="border")
    error, still = ((f - now).abs().mean(1)[where.flatten(0, 1)].mean() for f in (back, later))
    return float(error / still)


def negated(flow, x, y):
    """Flow (B, T, 2, H, W) with x and y negated where the masks (B, H or 1, W or 1) hold."""
    turned = torch.stack(torch.broadcast_tensors(x, y), 1)[:, None]
    return torch.where(turned, -flow, flow)


def reflected(view):
    """Columns (B, 1, size) and rows (B, size, 1) of a view that lie beyond the stored frame."""
    side = torch.arange(view.size)
    rows, columns = view.crop[:, :1] + side, view.crop[:, 1:2] + side
    return ((columns < 0) | (columns >= view.width))[:, None], ((rows < 0) | (rows >= view.height))[
        :, :, None
    ]


def seen(view, task):
    """Frames and flow of the transformed clips of a task, and where the flow can be judged."""
    clips = quiet(task)
    flow = view.flow(clips.flow)
    judged = shown(view, settled(task) * 255) > 254.9
    return view.pixels(clips.clips), flow, judged & lands_in(torch.ones_like(judged), flow)


TASKS = st.sampled_from(["actors", "motion12"])
SEEDS = st.integers(0, 1000)
ALL, NONE = torch.tensor([True]).view(1, 1, 1), torch.tensor([False]).view(1, 1, 1)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    task=TASKS,
    crop=st.sampled_from(["none", "shift", "multiscale"]),
    mirror=st.booleans(),
    size=st.integers(34, SIDE),
    seed=SEEDS,
)
def test_the_flow_of_a_view_is_the_flow_of_its_pixels(task, crop, mirror, size, seed):
    view = draw_view(
        Augmentation(crop, mirror, 4), 8, SIDE, SIDE, size, torch.Generator().manual_seed(seed)
    )
    clips, (frames, flow, judged) = quiet(task), seen(view, task)
    before = mismatch(to_float(clips.clips), clips.flow, settled(task))
    assert judged.float().mean() > 0.2
    assert before < 0.08
    assert mismatch(frames, flow, judged) < 1.6 * before
    # Else x or y not negated where it should be, and the scale left out, would go unnoticed.
    for wrong in (negated(flow, ALL, NONE), negated(flow, NONE, ALL), 0.75 * flow, 1.33 * flow):
        assert mismatch(frames, wrong, judged) > 3 * before


@pytest.mark.parametrize("task", ["actors", "motion12"])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_flow_of_a_reflected_border_is_the_flow_of_its_pixels(task, mirror):
    draw = torch.Generator().manual_seed(1)
    view = draw_view(Augmentation("shift", mirror, 12), 8, SIDE, SIDE, SIDE, draw)
    (columns, rows), (frames, flow, judged) = reflected(view), seen(view, task)
    border = judged & (columns | rows)[:, None]
    assert border.sum() > 1000
    assert mismatch(frames, flow, border) < 0.12
    for wrong in (negated(flow, columns, NONE), negated(flow, NONE, rows)):
        assert mismatch(frames, wrong, border) > 0.2


def box_of(mask):
    """The box x1 y1 x2 y2 of a mask (H, W); pixel i covers [i, i + 1)."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    crop=st.sampled_from(["none", "shift", "multiscale"]),
    mirror=st.booleans(),
    size=st.integers(48, SIDE),
    seed=SEEDS,
)
def test_the_boxes_of_a_view_are_the_boxes_of_what_it_shows(crop, mirror, size, seed):
    view = draw_view(
        Augmentation(crop, mirror, 10), 8, SIDE, SIDE, size, torch.Generator().manual_seed(seed)
    )
    clips = quiet("actors")
    boxes = view.boxes(clips.boxes)
    columns, rows = reflected(view)
    kept = True if view.resized else ~(columns | rows)[:, None]
    # A pixel of an object may lie half outside its outline, and be resized.
    slack = float(0.5 + 0.75 * (view.size / view.crop[:, 2:]).max())
    whole = 0
    for actor in range(clips.boxes.shape[2]):
        own = clips.layers == 1 + actor
        visible = (shown(view, own * 255) > 127.5) & kept
        for clip, frame in np.ndindex(*own.shape[:2]):
            box, mask = boxes[clip, frame, actor], visible[clip, frame]
            if not mask.any():
                continue
            found = box_of(mask)
            assert (found[:2] > box[:2] - slack).all()
            assert (found[2:] < box[2:] + slack).all()
            stored = clips.boxes[clip, frame, actor] - box_of(own[clip, frame])
            if stored.abs().max() < 1 and box.min() > 0 and box.max() < size:
                assert (found - box).abs().max() < slack
                whole += 1
        # What cannot be seen is no actor, and what is no actor stays none.
        gone = (boxes[:, :, actor] == 0).all(-1)
        assert not visible[gone].any()
        assert gone[(clips.boxes[:, :, actor] == 0).all(-1)].all()
    assert whole > 20
