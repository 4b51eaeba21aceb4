"""SAKD: sample-level adaptive knowledge distillation around any base method (Li et al. 2025).

Every few epochs each training sample is interrupted, and its distillation loss taken as difficulty.
That says how much the teacher counts for the sample, and which samples are trained on: easy ones
that differ from each other. `Settings` says what the paper leaves open, and what was chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kdlib.errors import UserError, unknown
from kdlib.methods.adaptive import released
from kdlib.methods.adaptive.interruption import Rate, drops, interrupt, interruption_rate
from kdlib.methods.adaptive.selection import greedy_map
from kdlib.methods.base import Batch, Distillation, Epoch, Method, StepOutput
from kdlib.models.classifier import VideoClassifier

Base = Literal["kd", "dkd", "ctkd", "crosskd", "dualkd", "gkd"]
Pick = Literal["easy", "hard", "random"]
Supervisor = Literal["both", "teacher", "labels"]

_OLD_FEATURES = 0.1  # their weight in the running mix, from the released code
_EXACT = 20_000  # up to so many samples are selected in float64; float32 has half the cost


@dataclass(frozen=True)
class Settings:
    """SAKD's own settings, whatever the base method; UserError for an impossible one.

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
        teacher in train mode, one strength a batch, and a CrossKD that has no gradient.
    """

    rate: Rate = "polynomial"
    threshold: float = 0.5
    history: float = 0.1
    ratio: float = 0.1
    interval: int = 1
    gamma: float = 0.5
    pick: Pick = "easy"
    supervisor: Supervisor = "both"
    patches: int = 4
    variant: Literal["paper", "released"] = "paper"
    batch: int = 48

    def __post_init__(self) -> None:
        for name, kind in (("rate", Rate), ("pick", Pick), ("supervisor", Supervisor)):
            if getattr(self, name) not in get_args(kind):
                raise unknown(f"adaptive.{name}", str(getattr(self, name)), get_args(kind))
        for name in ("threshold", "history", "gamma"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"adaptive.{name}: from 0 to 1, not {getattr(self, name)}")
        if not 0 < self.ratio <= 1:
            raise UserError(f"adaptive.ratio: above 0, at most 1, not {self.ratio}")
        for name in ("interval", "patches", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"adaptive.{name}: at least 1, not {getattr(self, name)}")


class AdaptiveDistillation(Method):
    """2 * mean over selected samples of (1 - a) * CE + a * distillation, with their strengths a.

    base: gives both terms of every sample, as it weighs them.
    """

    def __init__(self, base: Distillation, settings: Settings) -> None:
        super().__init__(base.student, [base.teacher])
        self.base, self.settings = base, settings
        self.teacher_mode = "train" if settings.variant == "released" else "eval"
        # Of all training samples: strength, counts of selections, features; the selected ones; and
        # for figures `was_selected` and `had_strength`, a row an evaluation.
        self.samples: dict[str, Tensor] = {}
        self.train()

    def before_epoch(self, epoch: Epoch) -> np.ndarray | None:
        """The samples of this epoch, selected anew if it is time to."""
        self.base.before_epoch(epoch)
        if epoch.number % self.settings.interval == 0:
            self._select(epoch)
        return self.samples["selected"].numpy()

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of a batch of selected samples; they are not interrupted."""
        terms = self.base.terms(batch, epoch)
        strength = self.samples["strength"][batch.indices].to(terms.logits.device)
        distillation = terms.distillation
        if self.settings.variant == "released":
            strength = strength.mean().expand_as(strength)
            if self.base.__module__.endswith(".crosskd"):
                distillation = distillation.detach()
        if self.settings.supervisor != "both":
            strength = torch.full_like(strength, float(self.settings.supervisor == "teacher"))
        loss = 2 * ((1 - strength) * terms.cross_entropy + strength * distillation).mean()
        parts = {
            "cross_entropy": terms.cross_entropy.detach().mean(),
            "distillation": distillation.detach().mean(),
            "strength": strength.mean(),
        }
        return StepOutput(loss, parts, terms.logits)

    def _select(self, epoch: Epoch) -> None:
        settings, samples = self.settings, self.samples
        rate = interruption_rate(settings.rate, epoch.number, epoch.total)
        losses, features = self._evaluate(epoch, rate)
        first = not samples
        if first:
            samples["strength"] = torch.zeros(epoch.videos)
            samples["counts"] = torch.zeros(epoch.videos, dtype=torch.int64)
            samples["features"] = features
        elif drops(rate, settings.threshold):
            # Not of shuffled clips, as in the released code.
            samples["features"] = torch.lerp(features, samples["features"], _OLD_FEATURES)
        pick = self._pick_released if settings.variant == "released" else self._pick
        chosen = pick(losses, min(rate, settings.threshold), first)
        # One by one, since the released script takes some twice.
        samples["counts"].index_add_(0, chosen, torch.ones_like(chosen))
        samples["selected"] = chosen.sort().values
        mask = torch.zeros(epoch.videos, dtype=torch.bool)
        mask[chosen] = True
        for name, row in (("was_selected", mask), ("had_strength", samples["strength"].half())):
            rows = [samples[name]] if name in samples else []
            samples[name] = torch.cat([*rows, row[None]])

    @torch.no_grad()
    def _evaluate(self, epoch: Epoch, rate: float) -> tuple[Tensor, Tensor]:
        """Distillation losses (N,) and teacher features (N, D) of all samples, interrupted."""
        settings = self.settings
        self.eval()
        losses, features = [], []
        for batch in epoch.batches():
            clips = interrupt(batch.clips, rate, settings.threshold, patches=settings.patches)
            terms = self.base.terms(Batch(clips, batch.labels, batch.indices), epoch.number)
            losses.append(terms.distillation.float())
            features.append(terms.features.float())
        self.train()
        return torch.cat(losses).cpu(), torch.cat(features).cpu()

    def _pick(self, losses: Tensor, rate: float, first: bool) -> Tensor:
        """The paper's strengths and selection."""
        settings, samples = self.settings, self.samples
        count = round(settings.ratio * len(losses))
        if not count:
            raise UserError(f"adaptive.ratio: {settings.ratio} of {len(losses)} samples is none")
        difficulty = scaled(losses * selection_probability(samples["counts"]))
        self._strengthen(slice(None), 1 - difficulty, first)
        if settings.pick == "random":
            return torch.randperm(len(losses))[:count]
        kind = torch.float64 if len(losses) <= _EXACT else torch.float32
        return greedy_map(
            F.normalize(samples["features"].to(kind), dim=1),
            (1 - difficulty if settings.pick == "easy" else difficulty).to(kind),
            count,
            diversity=settings.gamma,
        )

    def _pick_released(self, losses: Tensor, rate: float, first: bool) -> Tensor:
        """What the released script does with mini-batches."""
        size = self.settings.batch
        members = torch.arange(len(losses) // size * size).unflatten(0, (-1, size))
        count = int(self.settings.ratio * len(members))
        if not count or len(members) < 2:
            raise UserError(
                f"adaptive.batch: {self.settings.ratio} of {len(members)} mini-batches of {size} "
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
        weight = 0.0 if first else self.settings.history
        old[which] = weight * old[which] + (1 - weight) * new

    def own_state(self) -> dict[str, Tensor]:
        """The base method's own state, and what is known of the samples."""
        known = {f"samples.{name}": value for name, value in self.samples.items()}
        return {**super().own_state(), **known}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `own_state()` gave."""
        known = {name for name in state if name.startswith("samples.")}
        self.samples = {name.removeprefix("samples."): state[name].cpu() for name in known}
        super().load_own_state({k: v for k, v in state.items() if k not in known})

    def traces(self) -> dict[str, np.ndarray]:
        """By evaluation and training sample: was_selected, bool; had_strength, float16."""
        return {name: self.samples[name].numpy() for name in ("was_selected", "had_strength")}


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


def passes(options: Mapping[str, Any]) -> tuple[float, float]:
    """The shares of the training clips that an epoch trains on, and that it evaluates."""
    given = Settings(**{name: options[name] for name in ("ratio", "interval") if name in options})
    return given.ratio, 1 / given.interval


def build(
    student: VideoClassifier,
    teachers: Sequence[VideoClassifier],
    *,
    base: Base = "kd",
    temperature: float | None = None,
    rate: Rate = "polynomial",
    threshold: float = 0.5,
    history: float = 0.1,
    ratio: float = 0.1,
    interval: int = 1,
    gamma: float = 0.5,
    pick: Pick = "easy",
    supervisor: Supervisor = "both",
    patches: int = 4,
    variant: Literal["paper", "released"] = "paper",
    batch: int = 48,
) -> AdaptiveDistillation:
    """SAKD around a base method with its own constants; temperature: of the base, if it has one."""
    if base not in get_args(Base):
        raise unknown("adaptive.base", base, get_args(Base))
    module = import_module(f"kdlib.methods.{base}")
    options = {} if temperature is None else {"temperature": temperature}
    settings = Settings(
        rate, threshold, history, ratio, interval, gamma, pick, supervisor, patches, variant, batch
    )
    return AdaptiveDistillation(module.build(student, teachers, **options), settings)
