"""What is known of a clip goes through the view that its pixels go through."""

import dataclasses

import numpy as np
import pytest
import torch

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource, ordered_batches, training_batches
from kdlib.clips.sampling import Sampling
from kdlib.data.generated import GeneratedSpec
from kdlib.data.generated import videos as generate
from kdlib.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def actors():
    return generate(GeneratedSpec("actors", 0, frames=4, size=24), "train", 12, flow=True)


def source(videos, crop="shift", size=16, frames=4):
    return ClipSource(
        videos, Sampling("segments", frames), Augmentation(crop, mirror=crop != "none"), size,
        known=("flow", "boxes"),
    )  # fmt: skip


def test_without_a_view_it_is_the_truth(actors):
    batch = next(ordered_batches(source(actors, size=24), CPU))
    middle = torch.from_numpy(actors.factors["boxes"][:, 2])
    torch.testing.assert_close(batch.known["boxes"], middle)
    true = torch.from_numpy(actors.flow.astype(np.float32)).unflatten(0, (12, 4))
    torch.testing.assert_close(batch.known["flow"], true[:, :3])


def test_boxes_hold_what_the_pixels_of_a_mirrored_and_shifted_clip_show(actors):
    """Painted white inside its first box, each clip is white there after its view too."""
    frames = np.zeros_like(actors.frames)
    for video in range(12):
        x1, y1, x2, y2 = actors.factors["boxes"][video, 2, 0].round().astype(int)
        frames[video * 4 + 2, y1:y2, x1:x2] = 255
    rounded = {**actors.factors, "boxes": actors.factors["boxes"].round()}
    painted = dataclasses.replace(actors, frames=frames, factors=rounded)
    seen = 0
    for batch in training_batches(source(painted), 4, seed=0, epoch=0, device=CPU):
        for clip, boxes in zip(batch.clips, batch.known["boxes"], strict=True):
            white = clip[0, 2] > clip.min() + 1
            x1, y1, x2, y2 = boxes[0].int().tolist()
            inside = torch.zeros_like(white)
            inside[y1:y2, x1:x2] = True
            # A border that is filled by reflection may show some of it again.
            assert (white | ~inside).all()
            seen += int(inside.sum())
    assert seen > 100


def test_no_view_changes_the_posterior_which_follows_its_clip():
    spec = GeneratedSpec("mix12", 0, frames=4, size=24, overlap=1.0, label_noise=0.1)
    videos = generate(spec, "train", 24)
    one = dataclasses.replace(source(videos), known=("posterior",))
    for batch in training_batches(one, 8, seed=0, epoch=0, device=CPU):
        posterior = batch.known["posterior"]
        assert posterior.dtype == torch.float32
        expected = torch.from_numpy(videos.factors["posterior"])[batch.indices]
        assert torch.equal(posterior, expected)
    views = dataclasses.replace(one, sampling=Sampling("dense", 2, views=2), size=24)
    batch = next(ordered_batches(views, CPU))
    assert batch.known["posterior"].shape == (48, 12)
    assert torch.equal(batch.known["posterior"][::2], batch.known["posterior"][1::2])


def test_skipped_frames_have_no_known_flow(actors):
    with pytest.raises(UserError, match="flow is known between neighbouring frames"):
        next(ordered_batches(source(actors, size=24, frames=2), CPU))


def test_what_a_set_does_not_know_is_named(videos):
    for name in ("flow", "boxes", "posterior"):
        message = f"the {name} of these clips"
        one = dataclasses.replace(source(videos), known=(name,))
        with pytest.raises(UserError, match=f"data.known: {message}"):
            next(ordered_batches(one, CPU))
