"""SAKD: sample-level adaptive knowledge distillation around any base method (Li et al. 2025).

Every few epochs each training sample is interrupted, and its distillation loss taken as difficulty.
That says how much the teacher counts for the sample, and which samples are trained on: easy ones
that differ from each other. The class says what the
paper leaves open, and what was chosen.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.adaptive import released
from kdlib.methods.adaptive.interruption import (
    Rate,
    drops,
    floor_share,
    interrupt,
    interruption_rate,
)
from kdlib.methods.adaptive.selection import greedy_map
from kdlib.methods.base import Epoch, Method, StepOutput, Variant
from kdlib.methods.distillation import Distillation, Terms

Share = Annotated[float, Field(ge=0, le=1)]

_OLD_FEATURES = 0.1  # their weight in the running mix, from the released code
_EXACT = 20_000  # up to so many samples are selected in float64; float32 has half the cost


class AdaptiveDistillation(Method):
    """2 * mean over selected samples of (1 - a) * CE + a * distillation, with their strengths a.

    base: gives both terms of every sample, as it weighs them.
    rate, threshold: beta(n) and eta of the interruption (`interruption`).
    history: lambda, the weight of a sample's old strength.
    ratio, interval: which share of the samples is trained on, chosen anew every so many epochs: 1
        is the paper's "Ours", 5 its "Ours*".
    gamma: the weight of diversity in the selection, against easiness; 0.5 in the paper. Which side
        gamma weighs, and that the selection is greedy, is inferred (`selection`).
    pick: "easy" is the paper's; "hard" takes difficulty for quality; "random" takes any samples,
        which leaves of SAKD the strength alone. Controls that the paper lacks.
    supervisor: "teacher" and "labels" leave the other term out (Tables 12 and 13).
    patches: an image is interrupted by squares, so many a side; the paper does not say how.
    variant: "paper": strength tends to 1 - difficulty, as the abstract says. "released": what the
        released script does instead (`released`), with mini-batches of `batch` samples; also the
        teacher in train mode and one strength a batch.
    """

    rate: Rate = "polynomial"
    threshold: Share = 0.5
    history: Share = 0.1
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.1
    interval: PositiveInt = 1
    gamma: Share = 0.5
    pick: Literal["easy", "hard", "random"] = "easy"
    supervisor: Literal["both", "teacher", "labels"] = "both"
    patches: PositiveInt = 4
    variant: Variant = "paper"
    batch: PositiveInt = 48

    def __init__(self, base: Distillation, **options: Any) -> None:
        if not isinstance(base, Distillation):
            raise UserError(
                f"method.base: adaptive goes around a base distillation such as kd, "
                f"not a {type(base).__name__}"
            )
        super().__init__(base.student, [base.teacher], **options)
        self.base, self.cycle = base, self.interval
        self.teacher_mode = "train" if self.variant == "released" else "eval"
        # Of all training samples: strength, counts of selections, features; the selected ones; and
        # for figures, a row an evaluation: `evaluated` (its epoch), `was_selected`, `had_strength`.
        self.samples: dict[str, Tensor] = {}
        self.train()

    def before_epoch(self, epoch: Epoch) -> np.ndarray | None:
        """The samples of this epoch, selected anew if it is time to."""
        self.base.before_epoch(epoch)
        if epoch.number % self.interval == 0:
            self._select(epoch)
        return self.samples["selected"].numpy()

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of a batch of selected samples; they are not interrupted."""
        terms = self.base.terms(batch, epoch)
        strength = self._strength(batch).to(terms.logits.device)
        if self.variant == "released":
            strength = strength.mean().expand_as(strength)
        if self.supervisor != "both":
            strength = torch.full_like(strength, float(self.supervisor == "teacher"))
        loss = 2 * ((1 - strength) * terms.cross_entropy + strength * terms.distillation).mean()
        parts = {
            "cross_entropy": terms.cross_entropy.detach().mean(),
            "distillation": terms.distillation.detach().mean(),
            "strength": strength.mean(),
        }
        return StepOutput(loss, parts, terms.logits)

    def _select(self, epoch: Epoch) -> None:
        samples = self.samples
        rate = interruption_rate(self.rate, epoch.number, epoch.total)
        losses, features = self._evaluate(epoch, rate)
        first = not samples
        if first:
            samples["strength"] = torch.zeros(epoch.videos)
            samples["counts"] = torch.zeros(epoch.videos, dtype=torch.int64)
            samples["features"] = features
        elif drops(rate, self.threshold):
            # Not of shuffled clips, as in the released code.
            samples["features"] = torch.lerp(features, samples["features"], _OLD_FEATURES)
        pick = self._pick_released if self.variant == "released" else self._pick
        chosen = pick(losses, min(rate, self.threshold), first)
        # One by one, since the released script takes some twice.
        samples["counts"].index_add_(0, chosen, torch.ones_like(chosen))
        samples["selected"] = chosen.sort().values
        mask = torch.zeros(epoch.videos, dtype=torch.bool)
        mask[chosen] = True
        for name, row in (
            ("evaluated", torch.tensor(epoch.number)),
            ("was_selected", mask),
            ("had_strength", samples["strength"].half()),
        ):
            rows = [samples[name]] if name in samples else []
            samples[name] = torch.cat([*rows, row[None]])

    def _evaluate(self, epoch: Epoch, rate: float) -> tuple[Tensor, Tensor]:
        """Distillation losses (N,) and teacher features (N, D) of all samples, interrupted."""
        self.eval()
        losses, features = [], []
        for batch in epoch.batches():
            terms = self._interrupted(batch, epoch.number, rate)
            losses.append(terms.distillation.float())
            features.append(terms.features.float())
        self.train()
        return torch.cat(losses).cpu(), torch.cat(features).cpu()

    @torch.no_grad()
    def _interrupted(self, batch: Batch, epoch: int, rate: float) -> Terms:
        clips = interrupt(batch.clips, rate, self.threshold, patches=self.patches)
        return self.base.terms(replace(batch, clips=clips), epoch)

    def look(self, batch: Batch, epoch: int) -> None:
        """An evaluation of a batch."""
        self._interrupted(batch, epoch, rate=0.0)

    def after_step(self) -> None:
        """Whatever the base method does then."""
        self.base.after_step()

    def shares(self) -> tuple[float, float]:
        """All clips are looked at every `interval` epochs; `ratio` of them are trained on."""
        return self.ratio, 1 / self.interval

    def _strength(self, batch: Batch) -> Tensor:
        """The strengths of a batch's samples; 0 before any selection."""
        known = self.samples.get("strength")
        return torch.zeros(len(batch.indices)) if known is None else known[batch.indices]

    def _pick(self, losses: Tensor, rate: float, first: bool) -> Tensor:
        """The paper's strengths and selection."""
        samples = self.samples
        count = floor_share(self.ratio, len(losses))
        if not count:
            raise UserError(f"adaptive.ratio: {self.ratio} of {len(losses)} samples is none")
        difficulty = scaled(losses * selection_probability(samples["counts"]))
        self._strengthen(slice(None), 1 - difficulty, first)
        if self.pick == "random":
            return torch.randperm(len(losses))[:count]
        kind = torch.float64 if len(losses) <= _EXACT else torch.float32
        return greedy_map(
            F.normalize(samples["features"].to(kind), dim=1),
            (1 - difficulty if self.pick == "easy" else difficulty).to(kind),
            count,
            diversity=self.gamma,
        )

    def _pick_released(self, losses: Tensor, rate: float, first: bool) -> Tensor:
        """What the released script does with mini-batches."""
        size = self.batch
        members = torch.arange(len(losses) // size * size).unflatten(0, (-1, size))
        count = floor_share(self.ratio, len(members))
        if not count or len(members) < 2:
            raise UserError(
                f"adaptive.batch: {self.ratio} of {len(members)} mini-batches of {size} "
                "is none; take smaller ones or a larger ratio"
            )
        counts = self.samples["counts"][members[:, 0]]
        difficulty = scaled(released.batch_means(losses, size) * selection_probability(counts))
        new = difficulty[-1] if first else rate * difficulty[-1]
        self._strengthen(members[-1], new.expand(size), first)
        features = self.samples["features"][members].flatten(1)
        return members[released.draw_batches(features, difficulty, count)].flatten()

    def _strengthen(self, which: Tensor | slice, new: Tensor, first: bool) -> None:
        """Mix new strengths into the history of these samples."""
        old = self.samples["strength"]
        weight = 0.0 if first else self.history
        old[which] = weight * old[which] + (1 - weight) * new

    def more_state(self) -> dict[str, Tensor]:
        """What is known of the samples."""
        return dict(self.samples)

    def load_more_state(self, state: dict[str, Tensor]) -> None:
        """Take back what is known of the samples."""
        self.samples = {name: values.cpu() for name, values in state.items()}

    def traces(self) -> dict[str, np.ndarray]:
        """By evaluation: `evaluated`, the epoch, int64; by evaluation and training sample:
        was_selected, bool; had_strength, float16."""
        names = ("evaluated", "was_selected", "had_strength")
        return {name: self.samples[name].numpy() for name in names if self.samples}


def selection_probability(counts: Tensor) -> Tensor:
    """1 / (c + 1), scaled to sum 1: samples that were seldom selected, c times, count more."""
    weights = 1 / (counts.float() + 1)
    return weights / weights.sum()


def scaled(values: Tensor) -> Tensor:
    """To 0..1 by the smallest and the largest; all 0 where all are equal."""
    low, high = values.min(), values.max()
    if not torch.isfinite(high - low):
        raise UserError("selection: the difficulty holds NaN or infinite values")
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)
