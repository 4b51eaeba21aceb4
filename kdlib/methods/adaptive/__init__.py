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
from kdlib.methods.distillation import Distillation, Seen, together

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
        if epoch.number % self.interval == 0:
            self._select(epoch)
        # After it, so that a base that keeps the student of an epoch before still has it there.
        self.base.before_epoch(epoch)
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
        samples, first = self.samples, not self.samples
        rate = interruption_rate(self.rate, epoch.number, epoch.total)
        members = self._members(epoch.videos) if self.variant == "released" else None
        losses, features = self._evaluate(epoch, rate, members)
        which = slice(None) if members is None else members.flatten()
        if first:
            samples["strength"] = torch.zeros(epoch.videos)
            samples["counts"] = torch.zeros(epoch.videos, dtype=torch.int64)
            samples["features"] = torch.zeros(epoch.videos, features.shape[1])
            samples["features"][which] = features
        elif drops(rate, self.threshold):
            # Not of shuffled clips, as in the released code.
            old = samples["features"][which]
            samples["features"][which] = torch.lerp(features, old, _OLD_FEATURES)
        if members is None:
            chosen = self._pick(losses, first)
        else:
            chosen = self._pick_released(losses, members, min(rate, self.threshold), first)
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

    def _evaluate(
        self, epoch: Epoch, rate: float, members: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Distillation losses and teacher features (N, D) of interrupted samples.

        Of all in order, a loss a sample (N,); it is computed of all at once, so that statistics
        over samples (CrossKD's, GKD's) do not depend on batches. Or of mini-batches (n, size), each
        by itself: a loss a mini-batch (n,).
        """
        self.eval()
        if members is None:
            batches = epoch.batches()
        else:
            batches = epoch.batches(members.flatten().numpy(), members.shape[1])
        seen = [self._interrupted(batch, epoch.number, rate) for batch in batches]
        with torch.no_grad():
            if members is None:
                losses = self.base.weighted(together(seen))
            else:
                losses = torch.stack([self.base.weighted(batch).mean() for batch in seen])
        self.train()
        features = torch.cat([batch.teacher for batch in seen])
        return losses.float().cpu(), features.float().cpu()

    @torch.no_grad()
    def _interrupted(self, batch: Batch, epoch: int, rate: float) -> Seen:
        alike = self.variant == "released"
        clips = interrupt(batch.clips, rate, self.threshold, patches=self.patches, alike=alike)
        return self.base.see(replace(batch, clips=clips), epoch)

    def look(self, batch: Batch, epoch: int) -> None:
        """An evaluation of a batch."""
        self.base.weighted(self._interrupted(batch, epoch, rate=0.0))

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

    def _pick(self, losses: Tensor, first: bool) -> Tensor:
        """The paper's strengths and selection, of a loss a sample (N,)."""
        samples = self.samples
        count = floor_share(self.ratio, len(losses))
        if not count:
            raise UserError(f"adaptive.ratio: {self.ratio} of {len(losses)} samples is none")
        difficulty = scaled(losses * selection_probability(samples["counts"]))
        weight = 0.0 if first else self.history
        samples["strength"] = weight * samples["strength"] + (1 - weight) * (1 - difficulty)
        if self.pick == "random":
            return torch.randperm(len(losses))[:count]
        kind = torch.float64 if len(losses) <= _EXACT else torch.float32
        return greedy_map(
            F.normalize(samples["features"].to(kind), dim=1),
            (1 - difficulty if self.pick == "easy" else difficulty).to(kind),
            count,
            diversity=self.gamma,
        )

    def _members(self, samples: int) -> Tensor:
        """The released script's mini-batches (n, size), of samples drawn anew."""
        members = released.mini_batches(samples, self.batch)
        if len(members) < 2 or not floor_share(self.ratio, len(members)):
            raise UserError(
                f"adaptive.batch: {self.ratio} of {len(members)} mini-batches of {self.batch} "
                "is none; take smaller ones or a larger ratio"
            )
        return members

    def _pick_released(self, losses: Tensor, members: Tensor, rate: float, first: bool) -> Tensor:
        """What the released script does with mini-batches (n, size), of a loss each (n,)."""
        samples = self.samples
        probability = selection_probability(samples["counts"])[members].mean(1)
        difficulty = scaled(losses * probability)
        last = members[-1]
        samples["strength"][last] = released.strengthened(
            samples["strength"][last], difficulty, rate, self.history, first
        )
        count = floor_share(self.ratio, len(members))
        features = samples["features"][members].flatten(1)
        return members[released.draw_batches(features, difficulty, count)].flatten()

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
