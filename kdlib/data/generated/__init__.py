"""The embedded data: short clips made of known factors, with no download.

A clip is determined by (specification, split, index) alone. The work is split by stage: `spec`
(what can be asked), `draws` (random numbers by hashing), `looks` (tables of shapes and colours),
`motion` and `latents` (what happens), `overlap` (classes that blend, labels that are drawn),
`paint` (pixels) and `truth` (flow and boxes).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdlib.data.generated import latents, overlap, paint
from kdlib.data.generated import truth as exact
from kdlib.data.generated.cast import Cast, difficulty, labelled_cast, labels_of, path_of
from kdlib.data.generated.draws import Draws
from kdlib.data.generated.spec import (
    CLIPS_PER_SCENE,
    SPLITS,
    TASKS,
    GeneratedSpec,
    class_names,
)
from kdlib.data.videos import Videos
from kdlib.errors import UserError, unknown

__all__ = [
    "GENERATOR_VERSION",
    "SPLITS",
    "TASKS",
    "GeneratedSpec",
    "Rendered",
    "class_names",
    "render",
    "videos",
]

GENERATOR_VERSION = 2  # raise it whenever a byte of any clip changes
_MAX_INDEX = 1 << 24
_PIXELS_AT_ONCE = 1 << 17  # planes of half a megabyte stay in the cache


@dataclass(frozen=True)
class Rendered:
    """N clips and all that is known of them; A labelled objects a clip.

    clips: uint8 (N, T, H, W, 3). labels: int64 (N,), for actors (N, A) with -1 for no actor.
    groups: int64 (N,), the scene. factors: arrays (N, ...) by name; see `render`.
    With truth asked for, else None: flow float32 (N, T-1, 2, H, W), pixels a frame (x, y), of
    whatever is on top at each pixel; boxes float32 (N, T, A, 4) x1 y1 x2 y2 in pixels;
    layers uint8 (N, T, H, W): 0 backdrop, 1 + a object a (an unlabelled one comes last), 255 the
    post.
    """

    clips: Tensor
    labels: Tensor
    groups: Tensor
    factors: dict[str, np.ndarray]
    flow: Tensor | None = None
    boxes: Tensor | None = None
    layers: Tensor | None = None


def render(
    spec: GeneratedSpec,
    split: str,
    indices: Tensor | np.ndarray,
    *,
    truth: bool = False,
) -> Rendered:
    """Render the clips `indices` (N,) of a split; the same index gives the same bytes always.

    Factors, of A labelled objects over T frames: shape, texture (indices into the tables of
    `looks`), motion (index into MOTIONS, or SWAY), period (pixels), orientation (radians),
    contrast, speed, place (N, A, 2), present, each (N, A); centre (N, A, T, 2), radius and angle
    (N, A, T), boxes (N, T, A, 4), pan (N, T, 2) in pixels; light (N, T); noise, post, distractor
    and for mix12 difficulty (N,). Of tasks with one label a clip also class (N,), which cycles with
    the index, and posterior float32 (N, K): the probability of each label of a training clip, given
    the clip. Where classes overlap, texture, period and motion are those of the class, while
    centre, radius, angle and boxes are those that the clip shows.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    index = np.asarray(indices, np.int64).reshape(-1)
    if len(index) and not (index.min() >= 0 and index.max() < _MAX_INDEX):
        raise UserError(f"indices: clip indices lie in 0..{_MAX_INDEX - 1}.")
    at_once = max(1, _PIXELS_AT_ONCE // (spec.frames * spec.size**2))
    parts = [
        _render(spec, split, index[start : start + at_once], truth)
        for start in range(0, max(len(index), 1), at_once)
    ]
    if len(parts) == 1:
        return parts[0]
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("clips", "labels", "groups", *(("flow", "boxes", "layers") if truth else ()))
    }
    factors = {
        name: np.concatenate([part.factors[name] for part in parts]) for name in parts[0].factors
    }
    return Rendered(factors=factors, **joined)


def _render(spec: GeneratedSpec, split: str, index: np.ndarray, truth: bool) -> Rendered:
    draws, place = latents.clip_draws(spec, split, index)
    label = labels_of(spec.task, index, draws)
    scene = latents.scene_of(spec, label, draws, place)
    cast, objects = _shown(spec, label, scene, draws)
    labels = {}
    if label.ndim == 1:
        mixture = overlap.mixture_of(spec, label, draws)
        labels = {"class": label, "posterior": overlap.posterior_of(spec, mixture)}
        if spec.overlap:
            _, other = _shown(spec, mixture.neighbour, scene, draws)
            objects = overlap.blended(objects, other, mixture.blend)
        if split in ("train", "pool"):
            label = overlap.drawn_labels(spec, mixture, draws)
    canvas = paint.compose(spec, scene, objects, truth)
    clips = paint.develop(canvas, scene, draws)

    labelled = cast.radius.shape[1]
    boxes = exact.boxes(objects, labelled, spec.size)
    factors = vars(cast) | {
        "centre": objects.centre[:, :labelled],
        "angle": objects.angle[:, :labelled],
        "radius": objects.radius[:, :labelled],
        "boxes": boxes,
        "pan": scene.pan,
        "light": scene.light,
        "noise": scene.noise,
        "post": scene.post[:, 1] > 0,
        "distractor": objects.present[:, labelled:].any(1),
    }
    factors |= labels
    if spec.task == "mix12":
        factors["difficulty"] = difficulty(draws)
    known = {}
    if canvas.layers is not None:
        flow = exact.flow(objects, scene, canvas.layers)
        known = {"flow": flow, "boxes": torch.from_numpy(boxes), "layers": canvas.layers}
    data = spec.seed * len(SPLITS) + SPLITS.index(split)
    group = data * _MAX_INDEX + index // CLIPS_PER_SCENE
    return Rendered(clips, torch.from_numpy(label), torch.from_numpy(group), factors, **known)


def _shown(
    spec: GeneratedSpec, label: np.ndarray, scene: latents.Scene, draws: Draws
) -> tuple[Cast, latents.Objects]:
    """The labelled objects of clips with these labels, and all objects."""
    cast = labelled_cast(spec, label, draws)
    path = path_of(spec, cast, label, draws)
    return cast, latents.objects_of(spec, cast, path, scene, draws)


def videos(spec: GeneratedSpec, split: str, count: int, *, flow: bool = False) -> Videos:
    """The first `count` clips of a split, in memory; with their true flow if it is asked for."""
    if count < 1:
        raise UserError(f"count: {count} is out of range; ask for at least 1 clip.")
    rendered = render(spec, split, np.arange(count), truth=flow)
    frames = rendered.clips.numpy().reshape(-1, spec.size, spec.size, 3)
    return Videos(
        frames=frames,
        starts=np.arange(count, dtype=np.int64) * spec.frames,
        lengths=np.full(count, spec.frames, dtype=np.int64),
        labels=rendered.labels.numpy(),
        groups=rendered.groups.numpy(),
        classes=class_names(spec.task),
        factors=rendered.factors,
        flow=_by_frame(rendered.flow) if rendered.flow is not None else None,
    )


def _by_frame(flow: Tensor) -> np.ndarray:
    """Flow (N, T-1, 2, H, W) as float16 (N * T, 2, H, W); 0 from the last frame of a clip on."""
    padded = torch.cat([flow, torch.zeros_like(flow[:, :1])], dim=1)
    return padded.flatten(0, 1).to(torch.float16).numpy()
