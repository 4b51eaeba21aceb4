"""Distillation by an oracle: the posterior that the generator of the clips knows."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.losses.kd import at_least_float32
from kdlib.methods.base import Method, StepOutput, Weight


class Oracle(Method):
    """label_weight * CE + weight * KL(posterior || student), with no teacher and no temperature.

    The posterior is the true probability of each label given the clip, `Batch.known["posterior"]`,
    which only a generated set has (`DataSpec.known` names it): an upper reference for teachers,
    whose softened logits are estimates of it. Menon et al. 2021, "A statistical perspective on
    distillation" (there the Bayes teacher): over draws of the labels the risk on the posterior has
    the mean of that on labels, and never a higher variance. The weights are those of `kd`.
    """

    label_weight: Weight = 0.1
    weight: Weight = 0.9

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        if teachers:
            raise UserError(f"method.teachers: oracle takes none, got {len(teachers)}")
        super().__init__(student, **options)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The mean of both terms, added."""
        if "posterior" not in batch.known:
            raise UserError('data.known: the oracle needs the "posterior" of each clip; add it')
        logits = self.task.answer(self.student, batch)
        cross_entropy = self.label_weight * self.task.loss(logits, batch).mean()
        distillation = self.weight * _divergence(batch.known["posterior"], logits).mean()
        parts = {"cross_entropy": cross_entropy.detach(), "distillation": distillation.detach()}
        return StepOutput(cross_entropy + distillation, parts, logits)


def _divergence(posterior: Tensor, logits: Tensor) -> Tensor:
    """KL(posterior || softmax(logits)), (B,), of (B, K) each; a class of probability 0 adds 0."""
    log_student = F.log_softmax(at_least_float32(logits), dim=-1)
    return F.kl_div(log_student, posterior, reduction="none").sum(-1)
