"""Which frames of a video make a clip: TSN segments and dense clips."""

from dataclasses import dataclass

import numpy as np

from kdlib.errors import UserError, unknown


@dataclass(frozen=True)
class Sampling:
    """How `frames` frames are chosen from a video.

    kind: "segments" splits the video into `frames` equal segments and takes one frame of each, a
        random one in training and the central one in testing (TSN, Wang et al. 2016); "dense"
        takes a run of `frames` frames, `stride` apart, from a random start in training.
    stride: source frames between neighbours of a dense clip; 1 for segments.
    views: clips per video in testing, evenly spread: over the possible starts of a dense clip,
        over each segment otherwise. One view is the centre.

    A dense clip longer than its video goes round it (frame L is frame 0 again: loop-padding).
    A video with fewer frames than segments repeats frames.
    """

    kind: str = "segments"
    frames: int = 8
    stride: int = 1
    views: int = 1

    def __post_init__(self) -> None:
        if self.kind not in ("segments", "dense"):
            raise unknown("sampling.kind", self.kind, ("segments", "dense"))
        for name in ("frames", "stride", "views"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"sampling.{name}: a whole number of at least 1, not {value!r}")
        if self.kind == "segments" and self.stride != 1:
            raise UserError(f"sampling.stride: segments take none; 1, not {self.stride}")

    @property
    def span(self) -> int:
        """Source frames from the first to the last frame of a dense clip."""
        return (self.frames - 1) * self.stride + 1


def training_frames(
    lengths: np.ndarray, sampling: Sampling, generator: np.random.Generator
) -> np.ndarray:
    """Random frame indices int64 (B, T) for videos of `lengths` (B,) frames."""
    shape = (len(lengths), sampling.frames if sampling.kind == "segments" else 1)
    return frames_at(lengths, sampling, generator.random(shape))


def test_frames(lengths: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Fixed frame indices int64 (B, views, T) for videos of `lengths` (B,) frames."""
    views = [
        frames_at(lengths, sampling, np.full((len(lengths), 1), place), of)
        for place, of in view_places(sampling.views)
    ]
    return np.stack(views, axis=1)


test_frames.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


def view_places(views: int) -> list[tuple[int, int]]:
    """The middles of so many equal parts, each as two integers: 1 of 4 and 3 of 4 for two views."""
    return [(2 * view + 1, 2 * views) for view in range(views)]


def frames_at(
    lengths: np.ndarray, sampling: Sampling, position: np.ndarray, of: int = 1
) -> np.ndarray:
    """Frame indices (B, T) at a relative position of each segment, or of the possible starts.

    position: in [0, of). The relative position is position / of, of integers exact.
    """
    length = np.asarray(lengths, dtype=np.int64)[:, None]
    if length.size and length.min() < 1:
        raise ValueError("lengths: every video must have at least one frame")
    if sampling.kind == "segments":
        index = (np.arange(sampling.frames) * of + position) * length // (sampling.frames * of)
        # In floating point the product may round up to the length itself.
        return np.minimum(index.astype(np.int64), length - 1)
    start = start_at(length, sampling.span, position, of)
    return (start + np.arange(sampling.frames) * sampling.stride) % length


def start_at(length: np.ndarray, span: int, position: np.ndarray, of: int = 1) -> np.ndarray:
    """The first of `span` frames int64 (B, 1), at position / of, in [0, 1), of all starts."""
    starts = np.maximum(length - span + 1, 1)
    return np.minimum((position * starts // of).astype(np.int64), starts - 1)
