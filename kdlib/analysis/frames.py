"""How alike the features of a clip are from frame to frame."""

import torch
from torch import Tensor


def frame_similarity(maps: Tensor) -> Tensor:
    """Cosines (B, T, T) of the maps (B, C, T, h, w) of each clip at every two times.

    The map of a time is one vector of all channels and places, so features that stay where they are
    are alike and features that move are not. Half precision is computed in float32. ValueError for
    another shape.

    Source: MVD (Wang et al. 2023), appendix C.1, which gives the mean over clips. Whether it pools
    the places first is not said there.
    """
    if maps.ndim != 5:
        raise ValueError(f"maps must have the shape (B, C, T, h, w), got {tuple(maps.shape)}")
    vectors = maps.transpose(1, 2).flatten(2)
    vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    vectors = torch.nn.functional.normalize(vectors, dim=2)
    return vectors @ vectors.mT


def mean_between_frames(cosines: Tensor) -> Tensor:
    """The mean cosine (B,) of two different times, of cosines (B, T, T) with T of 2 or more."""
    times = cosines.shape[-1]
    own = cosines.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (cosines.sum((-2, -1)) - own) / (times * (times - 1))
