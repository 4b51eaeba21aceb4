"""What is known of a clip beside its pixels, seen through the clip's own view."""

import numpy as np
import torch
from torch import Tensor

from kdlib.clips.view import View
from kdlib.data.videos import Videos
from kdlib.errors import UserError


def known_of(
    name: str, videos: Videos, index: np.ndarray, frames: np.ndarray, view: View
) -> Tensor:
    """What `Batch.known` holds under a name, for videos index (B,) at frames (B, T).

    UserError where the set does not know it, or where frames are skipped: flow is known between
    neighbours only.
    """
    return {"flow": _flow, "boxes": _boxes, "posterior": _posterior}[name](
        videos, index, frames, view
    )


def _flow(videos: Videos, index: np.ndarray, frames: np.ndarray, view: View) -> Tensor:
    if videos.flow is None:
        raise UserError("data.known: the flow of these clips is not known")
    if frames.shape[1] < 2 or (np.diff(frames, axis=1) != 1).any():
        raise UserError(
            "data.known: flow is known between neighbouring frames; sample all of them, two or "
            "more, of videos that have as many"
        )
    rows = videos.starts[index][:, None] + frames[:, :-1]
    return view.flow(torch.from_numpy(videos.flow[rows].astype(np.float32)))


def _boxes(videos: Videos, index: np.ndarray, frames: np.ndarray, view: View) -> Tensor:
    boxes = videos.factors.get("boxes")
    if boxes is None or boxes.ndim != 4:
        raise UserError("data.known: the boxes of these clips are not known in every frame")
    middle = frames[:, frames.shape[1] // 2]
    return view.boxes(torch.from_numpy(boxes[index, middle].astype(np.float32)))


def _posterior(videos: Videos, index: np.ndarray, frames: np.ndarray, view: View) -> Tensor:
    """Float32 (B, K), as the generator says: no view changes it."""
    if "posterior" not in videos.factors:
        raise UserError("data.known: the posterior of these clips is not known; leave it out")
    return torch.from_numpy(videos.factors["posterior"][index])
