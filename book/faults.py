"""Broken on purpose: faults that are planted, one at a time, and what turns red.

A check that no fault turns red checks nothing. Each entry of `faults()` says what is planted, how,
and which check notices it; `table()` runs each check on sound code and on the broken one, in
seconds. The page "How we test" shows the table, and a test holds it.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from kdlib import methods, models
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import Batch, ClipSource, ordered_batches
from kdlib.clips.sampling import Sampling
from kdlib.data.generated import GeneratedSpec, videos
from kdlib.methods.adaptive.selection import greedy_map
from kdlib.methods.base import Epoch, Method
from kdlib.methods.distillation import Distillation
from kdlib.models.base import VideoModel
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe


@dataclass(frozen=True)
class Fault:
    """name; planted: what is wrong, in words; plant: it is wrong as long as this is entered;
    notices: the check in words; check: whether it is passed."""

    name: str
    planted: str
    plant: Callable[[], AbstractContextManager[object]]
    notices: str
    check: Callable[[], bool]


def faults() -> list[Fault]:
    """All planted faults."""
    in_kd = partial(patch, "kdlib.methods.kd.kd_loss")
    return [
        Fault(
            "teacher and student swapped",
            "the divergence is KL(student || teacher)",
            partial(in_kd, _swapped),
            "KD's loss is the teacher's cross-entropy with the student less the teacher's entropy",
            kd_is_cross_entropy_less_entropy,
        ),
        Fault(
            "square of the temperature dropped",
            "KD's loss lacks the factor temperature squared",
            partial(in_kd, _without_square),
            "logits and temperature twice as large make KD's loss four times as large",
            kd_scales_with_the_temperature,
        ),
        Fault(
            "gradient into the teacher",
            "the teacher's parameters are trained, and its logits keep their gradient",
            _teacher_learns,
            "a training leaves every weight of the teacher as it was",
            the_teacher_stays_as_it_is,
        ),
        Fault(
            "selection inverted",
            "SAKD takes difficulty for easiness",
            partial(patch, "kdlib.methods.adaptive.greedy_map", _inverted),
            "without diversity, every selected clip is at least as easy as every other",
            the_easiest_are_selected,
        ),
        Fault(
            "crop not shared",
            "the student sees another crop of the clip than the teacher",
            partial(patch.object, Method, "student_view", _another_crop),
            "a teacher at the student's own weights and resolution has nothing to teach it",
            the_same_network_has_nothing_to_teach,
        ),
        Fault(
            "the student's gradient lost",
            "KD is computed from the student's logits without their gradient",
            partial(in_kd, _detached),
            "trained on the teacher's word alone, the student comes nearer to it",
            the_teacher_alone_teaches,
        ),
    ]


def table() -> pd.DataFrame:
    """A row a fault: whether its check passes on sound code, and with the fault planted."""
    rows = []
    for fault in faults():
        sound = fault.check()
        with fault.plant():
            broken = fault.check()
        words = {True: "passes", False: "fails"}
        rows.append(
            {
                "fault": fault.name,
                "what is planted": fault.planted,
                "what notices it": fault.notices,
                "sound": words[sound],
                "broken": words[broken],
            }
        )
    return pd.DataFrame(rows)


# The faults


def _divergence(p_logits: Tensor, q_logits: Tensor, temperature: float) -> Tensor:
    """KL(p || q) of softened logits (B, K), a row each; the gradient goes everywhere."""
    log_p, log_q = ((x / temperature).log_softmax(1) for x in (p_logits, q_logits))
    return (log_p.exp() * (log_p - log_q)).sum(1)


def _swapped(student: Tensor, teacher: Tensor, *, temperature: float, reduction: str) -> Tensor:
    return temperature**2 * _divergence(student, teacher, temperature)


def _without_square(
    student: Tensor, teacher: Tensor, *, temperature: float, reduction: str
) -> Tensor:
    return _divergence(teacher, student, temperature)


def _with_gradient(
    student: Tensor, teacher: Tensor, *, temperature: float, reduction: str
) -> Tensor:
    return temperature**2 * _divergence(teacher, student, temperature)


def _detached(student: Tensor, teacher: Tensor, *, temperature: float, reduction: str) -> Tensor:
    return _with_gradient(student.detach(), teacher, temperature=temperature, reduction=reduction)


@contextmanager
def _teacher_learns() -> Iterator[None]:
    sound = Distillation.see

    def see(self: Distillation, batch: Batch, epoch: int) -> object:
        self.teachers.requires_grad_(True)
        return sound(self, batch, epoch)._replace(teacher_logits=self.teacher(batch.clips))

    def build(name: str, student: VideoModel, teachers: list[VideoModel], **options: object):
        made = sound_build(name, student, teachers, **options)
        made.teachers.requires_grad_(True)
        return made

    sound_build = methods.build
    with (
        patch.object(Distillation, "see", see),
        patch.object(methods, "build", build),
        patch("kdlib.methods.kd.kd_loss", _with_gradient),
    ):
        yield


def _inverted(features: Tensor, quality: Tensor, k: int, *, diversity: float) -> Tensor:
    return greedy_map(features, 1 - quality, k, diversity=diversity)


def _another_crop(self: Method, clips: Tensor) -> Tensor:
    return clips.roll(3, dims=-1)


# The checks


def _clips(count: int = 32) -> ClipSource:
    """Generated clips, 4 frames of 16 x 16 pixels."""
    made = videos(GeneratedSpec("motion12", 0, size=16, frames=4), "train", count)
    return ClipSource(made, Sampling("segments", 4), Augmentation(crop="none"), 16)


def _batch() -> Batch:
    return next(ordered_batches(_clips(), torch.device("cpu")))


def _network(seed: int) -> VideoModel:
    torch.manual_seed(seed)
    network = models.build("tsn", 12, width=4)
    with torch.no_grad():
        network.head.fc.weight.mul_(20)  # as sure as a trained one
    return network


def _kd(**options: object) -> Distillation:
    return methods.build("kd", _network(0), [_network(1)], label_weight=0.0, weight=1.0, **options)


def kd_is_cross_entropy_less_entropy() -> bool:
    """By its definition, from the two networks' own logits."""
    # In train mode the student is sure of itself: of two that are not, both divergences are equal.
    method, batch = _kd(temperature=2.0), _batch()
    with torch.no_grad():
        student, teacher = (
            network(batch.clips) / 2 for network in (method.student, method.teacher)
        )
        found = float(method.step(batch, 0).loss)
    p = teacher.softmax(1)
    expected = 4 * float(F.cross_entropy(student, p) - F.cross_entropy(teacher, p))
    return bool(np.isclose(found, expected, rtol=1e-3))


def kd_scales_with_the_temperature() -> bool:
    """The probabilities are the same, and so is the gradient's size by construction."""
    batch, losses = _batch(), []
    for factor in (1.0, 2.0):
        method = _kd(temperature=2.0 * factor).eval()
        for network in (method.student, method.teacher):
            with torch.no_grad():
                network.head.fc.weight.mul_(factor)
                network.head.fc.bias.mul_(factor)
        losses.append(float(method.step(batch, 0).loss.detach()))
    return bool(np.isclose(losses[1], 4 * losses[0], rtol=1e-3))


def _trained(method: Method) -> list[float]:
    """The distillation by epoch of a short training."""
    recipe = Recipe(epochs=6, learning_rate=0.01, batch_size=8)
    return [row["distillation"] for row in fit(method, _clips(), recipe, seed=0).epochs]


def the_teacher_stays_as_it_is() -> bool:
    """Bit by bit, its statistics too."""
    method = _kd()
    before = copy.deepcopy(method.teacher.state_dict())
    _trained(method)
    return all(torch.equal(v, before[name]) for name, v in method.teacher.state_dict().items())


def the_teacher_alone_teaches() -> bool:
    """The labels have no weight; the loss falls by a fifth at least."""
    losses = _trained(_kd())
    return losses[-1] < 0.8 * losses[0]


def the_easiest_are_selected() -> bool:
    """At the first evaluation strength is easiness."""
    source = _clips()
    method = methods.build("adaptive", _kd(), ratio=0.25, gamma=0.0)
    batches = partial(ordered_batches, source, torch.device("cpu"))
    chosen = method.before_epoch(Epoch(0, 4, len(source.videos), batches))
    strength = method.samples["strength"].numpy()
    return bool(strength[chosen].min() >= np.delete(strength, chosen).max())


def the_same_network_has_nothing_to_teach() -> bool:
    """Feature KD is 0 where both networks see the same."""
    student = _network(0)
    method = methods.build(
        "resolution",
        student,
        [copy.deepcopy(student)],
        resolution=16,
        teacher_batchnorm="running",
    )
    return float(method.eval().step(_batch(), 0).parts["distillation"]) < 1e-6
