"""Classes that overlap and labels that are drawn: which labels a clip may get, and how likely.

A clip of class c shows the cue that tells c from a neighbour n of the same family part of the way
to n: w of it, w < 1/2. Its training label is n with probability w and may be noise besides; so
the posterior of a clip's label is soft, and known. It is that of the label given (c, n, w), which
the clean picture shows: cues are interpolated between neighbours only, so no two (c, n, w) look
alike.
"""

from typing import NamedTuple

import numpy as np

from kdlib.data.generated.draws import Draws
from kdlib.data.generated.latents import Objects
from kdlib.data.generated.looks import TEXTURES
from kdlib.data.generated.spec import TASKS, TEXTURE_MOTIONS, GeneratedSpec

# What is taken from the neighbour's object in part; the rest is the same in both.
_LINEAR = ("centre", "radius", "angle", "weave", "offset")


class Mixture(NamedTuple):
    """What the label of each of N clips is a draw of.

    label: int64 (N,), the class c, the most probable label. neighbour: int64 (N,), the class n.
    blend: float64 (N,), the share w of n, in [0, overlap / 2).
    """

    label: np.ndarray
    neighbour: np.ndarray
    blend: np.ndarray


def mixture_of(spec: GeneratedSpec, label: np.ndarray, draws: Draws) -> Mixture:
    """Neighbours and blends of clips of these classes (N,); w is 0 where nothing overlaps."""
    if spec.overlap == 0:
        return Mixture(label, label, np.zeros(len(label)))
    blend = draws.uniform("overlap", 0, spec.overlap / 2)
    return Mixture(label, _neighbour(spec.task, label, draws), blend)


def posterior_of(spec: GeneratedSpec, mixture: Mixture) -> np.ndarray:
    """Float32 (N, K): the probability of each label of a training clip, given the clip.

    (1 - label_noise) * (1 - w at c, w at n) + label_noise / K.
    """
    clips, classes = np.arange(len(mixture.label)), len(TASKS[spec.task])
    posterior = np.full((len(clips), classes), spec.label_noise / classes)
    posterior[clips, mixture.label] += (1 - spec.label_noise) * (1 - mixture.blend)
    posterior[clips, mixture.neighbour] += (1 - spec.label_noise) * mixture.blend
    return posterior.astype(np.float32)


def drawn_labels(spec: GeneratedSpec, mixture: Mixture, draws: Draws) -> np.ndarray:
    """Int64 (N,): one draw of each clip's posterior, by the clip's own hash."""
    swapped = draws.uniform("overlap label") < mixture.blend
    label = np.where(swapped, mixture.neighbour, mixture.label)
    noisy = draws.uniform("label noise") < spec.label_noise
    return np.where(noisy, draws.integers("noisy label", len(TASKS[spec.task])), label)


def blended(own: Objects, other: Objects, blend: np.ndarray) -> Objects:
    """Objects of a class on their way to those of another: `blend` (N,) of it, 0 for none.

    Linear in places, radii, angles and textures; geometric in the texture's period.
    """
    fields = vars(own) | {
        name: _towards(getattr(own, name), getattr(other, name), blend) for name in _LINEAR
    }
    frequency = _towards(np.log(own.wave[..., 1]), np.log(other.wave[..., 1]), blend)
    fields["wave"] = own.wave.copy()
    fields["wave"][..., 1] = np.exp(frequency)
    return Objects(**fields)


def _towards(own: np.ndarray, other: np.ndarray, blend: np.ndarray) -> np.ndarray:
    # Exactly `own` where both are the same.
    return own + blend.reshape(-1, *[1] * (own.ndim - 1)) * (other - own)


def _neighbour(task: str, label: np.ndarray, draws: Draws) -> np.ndarray:
    if task == "image":  # same shape, another texture
        count = len(TEXTURES)
        return label - label % count + _another(label % count, count, draws, "neighbour")
    family, member = label // 3, label % 3
    of_family = 3 * family + _another(member, 3, draws, "neighbour")
    if task == "mix12":
        # Stripes (family 1): medium lies between fine and coarse, which are no neighbours.
        one_step = np.where(member == 1, 2 * draws.integers("neighbour", 2), 1)
        return np.where(family == 1, 3 * family + one_step, of_family)
    # texmot12: same texture, another motion; or same motion, another texture.
    motions = len(TEXTURE_MOTIONS)
    texture = _another(label // motions, len(TEXTURES), draws, "neighbour texture")
    by_texture = draws.integers("neighbour cue", 2) == 1
    return np.where(by_texture, motions * texture + label % motions, of_family)


def _another(value: np.ndarray, count: int, draws: Draws, name: str) -> np.ndarray:
    """Any of 0..count-1 but the value itself, all alike."""
    return (value + 1 + draws.integers(name, count - 1)) % count
