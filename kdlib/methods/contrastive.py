"""What contrastive pre-trainings share: vectors, their products, momentum and queue (MoCo)."""

import copy
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.losses.kd import at_least_float32
from kdlib.methods.base import Temperature, pooled
from kdlib.methods.pretext import Pretext

SIZE = 128  # of the vectors that are compared, in the released code of all three methods

Momentum = Annotated[float, Field(ge=0, lt=1)]


def clips_of(batch: Batch, others: int, wanted: str) -> tuple[Tensor, ...]:
    """The first clip of each video and its others; UserError unless there are so many of these.

    wanted: what to ask for, in words.
    """
    if len(batch.others) != others:
        raise UserError(f"data.others: {wanted}; here are {len(batch.others)}")
    return batch.clips, *batch.others


def unit(vectors: Tensor) -> Tensor:
    """Vectors (B, C) of length 1, in float32 at least."""
    return F.normalize(at_least_float32(vectors), dim=1)


def products(rows: Tensor, columns: Tensor) -> Tensor:
    """Of every row (B, C) with every column (N, C): (B, N).

    In float64, which no mixed precision turns into less: they are divided by small temperatures.
    """
    return (rows.double() @ columns.double().T).to(rows.dtype)


def paired(one: Tensor, other: Tensor) -> Tensor:
    """Of vectors (B, C) row by row: (B,)."""
    return (one * other).sum(1)


class MomentumContrast(Pretext):
    """Queries of the student against keys of a copy that follows it, negatives from a queue.

    temperature: of the similarities. momentum: m of the copy, whose weights go to
        m * their own + (1 - m) * the student's after every step. queue: how many of the last keys
        are negatives; of one larger than the data some are other clips of the same video.

    A vector is a linear projection of the pooled features, of length 1; a method has so many
    projections. The copy is of the backbone and the projections. It takes no gradient, and has
    batch statistics of its own. MoCo shuffles its batch over several GPUs, which changes nothing on
    one. The queue starts with random vectors.

    Source: He et al. 2020, "Momentum contrast for unsupervised visual representation learning".
    """

    temperature: Temperature = 0.07
    momentum: Momentum = 0.999
    queue: PositiveInt = 16384

    projections = 1

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        super().__init__(student, teachers, **options)
        self.projection = nn.ModuleList(
            nn.Linear(self.student.channels, SIZE) for _ in range(self.projections)
        )
        self.key_student = copy.deepcopy(self.student).requires_grad_(False)
        self.key_student.head = nn.Identity()
        self.key_projection = copy.deepcopy(self.projection).requires_grad_(False)
        self.register_buffer("queued", unit(torch.randn(self.queue, SIZE)))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))
        # Keys of the batches since the last step.
        self._new: list[Tensor] = []

    def queries(self, clips: Tensor) -> tuple[Tensor, ...]:
        """A vector (B, SIZE) a projection, of the student."""
        return _vectors(self.student, self.projection, clips)

    @torch.no_grad()
    def keys(self, clips: Tensor) -> tuple[Tensor, ...]:
        """A vector (B, SIZE) a projection, of the copy, without gradient."""
        return _vectors(self.key_student, self.key_projection, clips)

    def to_queue(self, queries: Tensor) -> Tensor:
        """Products (B, queue) of queries with what is in the queue."""
        return products(queries, self.get_buffer("queued"))

    def remember(self, keys: Tensor) -> None:
        """These keys (B, SIZE) enter the queue after the step, if it is one of training."""
        if self.training:
            self._new.append(keys.detach())

    @torch.no_grad()
    def after_step(self) -> None:
        """The copy follows the student, and the new keys take the places of the oldest."""
        theirs = [*self.student.backbone.parameters(), *self.projection.parameters()]
        own = [*self.key_student.backbone.parameters(), *self.key_projection.parameters()]
        for parameter, followed in zip(own, theirs, strict=True):
            parameter.lerp_(followed, 1 - self.momentum)
        for keys in self._new:
            enqueue(self.get_buffer("queued"), self.get_buffer("oldest"), keys)
        self._new.clear()


def enqueue(queued: Tensor, oldest: Tensor, keys: Tensor) -> None:
    """Write keys (B, C) over the oldest of `queued` (N, C), in place, from row `oldest` round.

    Of more keys than there are rows the last are kept.
    """
    size, keys = len(queued), keys[-len(queued) :]
    rows = (oldest + torch.arange(len(keys), device=queued.device)) % size
    queued.index_copy_(0, rows, keys.to(queued.dtype))
    oldest.copy_((oldest + len(keys)) % size)


def _vectors(student: Any, projection: Iterable[nn.Module], clips: Tensor) -> tuple[Tensor, ...]:
    features = pooled(student.features(clips))
    return tuple(unit(project(features)) for project in projection)
