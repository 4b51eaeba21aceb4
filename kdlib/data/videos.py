"""The one shape every data set takes: uint8 frames of many videos in one array."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Videos:
    """The videos of one split.

    frames: uint8 (total frames, H, W, 3), an array or a memory map, which other splits may share;
        video i is `frames[starts[i]:starts[i] + lengths[i]]`. A still image is one frame long.
    starts, lengths: int64 (N,).
    labels: int64 (N,) class indices; or float32 (N, K) multi-hot for multi-label sets. Of sets of
        several actors: int64 (N, A), -1 where there is no actor (generated), or uint8 (N, A, K)
        multi-hot, all 0 where there is none (AVA); their boxes are among the factors.
    groups: int64 (N,), videos of one group share a scene; no group stands in two splits.
    classes: the K class names.
    factors: what is known besides of each video, (N, ...) arrays by name.
    flow: float16 (total frames, 2, H, W), x and y in pixels from each frame to the next of its
        video: the true one of generated clips, TV-L1's of real ones; None where it was not asked
        for.
    """

    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)
    flow: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, indices: np.ndarray) -> "Videos":
        """These videos alone; the frames are shared."""
        return replace(
            self,
            starts=self.starts[indices],
            lengths=self.lengths[indices],
            labels=self.labels[indices],
            groups=self.groups[indices],
            factors={name: values[indices] for name, values in self.factors.items()},
        )

    def balanced(self, count: int, seed: int) -> "Videos":
        """`count` videos drawn from a seed, of all classes alike; all for 0, or if it has no more.

        Where a video has several labels, they are drawn without regard to class.
        """
        if not 0 < count < len(self):
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        if self.labels.ndim == 1:
            labels = self.labels[order]
            # Among its class, the how manieth each one is.
            rank = np.empty(len(order), dtype=np.int64)
            for label in np.unique(labels):
                rank[labels == label] = np.arange((labels == label).sum())
            order = order[np.argsort(rank, kind="stable")]
        return self.take(np.sort(order[:count]))

    def clips(self, indices: np.ndarray, frame_index: np.ndarray) -> Tensor:
        """Clips uint8 (B, T, H, W, 3): video indices[b] at frames frame_index[b] (B, T)."""
        rows = self.starts[indices][:, None] + frame_index
        return torch.from_numpy(self.frames[rows])
