"""What each task decides about its labelled objects; all else about them is random."""

from dataclasses import dataclass

import numpy as np

from kdlib.data.generated.draws import Draws
from kdlib.data.generated.looks import SHAPES, TEXTURES
from kdlib.data.generated.motion import SWAY, Path, event_pair, orbit, programme
from kdlib.data.generated.spec import (
    ACTIONS,
    COLOURS,
    MAX_ACTORS,
    MOTIONS,
    MOVES,
    PERIOD_RATIO,
    RATES,
    TASKS,
    TEXTURE_MOTIONS,
    GeneratedSpec,
)

_ACTIONS = np.array([MOTIONS.index(name) for name in ACTIONS])
_MOVES = np.array([MOTIONS.index(name) for name in MOVES])
_TEXTURE_MOTIONS = np.array([MOTIONS.index(name) for name in TEXTURE_MOTIONS])
_OBJECTS = {"actors": MAX_ACTORS, "order": 2}


@dataclass
class Cast:
    """Objects in N clips, arrays (N, A).

    shape and texture: indices into SHAPES and TEXTURES. hue: of the colour, 0..1 from red to red.
    period: of the texture, in pixels. orientation: of the texture's wave, in radians clockwise from
    the right. contrast: 0..1. radius: in sides. place (N, A, 2): at frame T // 2, in sides.
    motion: index into MOTIONS, or SWAY. speed: factor on the motion's extent. present: bool.
    """

    shape: np.ndarray
    texture: np.ndarray
    hue: np.ndarray
    period: np.ndarray
    orientation: np.ndarray
    contrast: np.ndarray
    radius: np.ndarray
    place: np.ndarray
    motion: np.ndarray
    speed: np.ndarray
    present: np.ndarray


def labels_of(task: str, index: np.ndarray, draws: Draws) -> np.ndarray:
    """Labels int64 (N,), cycling with the index; for actors (N, A), -1 where there is none."""
    count = len(TASKS[task])
    label = index % count
    if task != "actors":
        return label
    actions = draws.integers("actions", count, (MAX_ACTORS,))
    actions[:, 0] = label
    actors = 2 + draws.integers("actors", MAX_ACTORS - 1)
    return np.where(np.arange(MAX_ACTORS) < actors[:, None], actions, -1)


def difficulty(draws: Draws) -> np.ndarray:
    """How hard a clip of mix12 is, (N,) in [0, 1): more noise, less contrast, less motion."""
    return draws.uniform("difficulty")


def random_cast(spec: GeneratedSpec, objects: int, draws: Draws) -> Cast:
    """Objects of the usual size with nothing decided."""
    shape = (objects,)
    radius = draws.uniform("radius", 0.17, 0.215, shape)
    return Cast(
        shape=draws.integers("shape", len(SHAPES), shape),
        texture=np.zeros_like(radius, np.int64),
        hue=draws.uniform("hue", shape=shape),
        period=radius * spec.size * draws.uniform("period", 0.55, 0.95, shape),
        orientation=draws.uniform("orientation", 0, np.pi, shape),
        contrast=np.full_like(radius, spec.contrast),
        radius=radius,
        place=draws.uniform("place", 0.36, 0.64, (*shape, 2)),
        motion=np.full_like(radius, SWAY, np.int64),
        speed=draws.uniform("speed", 0.8, 1.2, shape),
        present=np.ones_like(radius, bool),
    )


def labelled_cast(spec: GeneratedSpec, label: np.ndarray, draws: Draws) -> Cast:
    """The labelled objects of clips with these labels, (N,) or (N, A)."""
    cast = random_cast(spec, _OBJECTS.get(spec.task, 1), draws)
    labels = label if label.ndim == 2 else label[:, None]
    fine = spec.texture_period or 0.16 * spec.size
    match spec.task:
        case "motion12":
            cast.motion = labels
        case "texmot12":
            cast.texture, cast.motion = labels // 3, _TEXTURE_MOTIONS[labels % 3]
            _show_texture(cast)
        case "detail12":
            cast.radius *= 1.55
            cast.place = 0.5 + 0.6 * (cast.place - 0.5)
            cast.period = fine * _powers(PERIOD_RATIO)[labels // 4]
            cast.orientation = np.pi / 2 - labels % 4 * np.pi / 4
        case "image":
            cast.shape, cast.texture = labels // len(TEXTURES), labels % len(TEXTURES)
            _show_texture(cast)
            cast.radius *= 1.2
        case "order":
            cast.radius *= 0.72
            first_is_left = draws.integers("left", 2)
            aside = 0.26 + 0.48 * np.stack([1 - first_is_left, first_is_left], 1)
            aside = aside + 0.3 * (cast.place[..., 0] - 0.5)
            cast.place = np.stack([aside, cast.place[..., 1] + 0.07], -1)
        case "actors":
            cast.motion, cast.present = _ACTIONS[labels], labels >= 0
            cast.radius *= 0.62
            cast.period *= 0.62
            cast.speed *= 0.55
            corner = np.argsort(draws.uniform("corner", shape=(MAX_ACTORS,)), 1)
            cell = np.stack([corner % 2, corner // 2], -1)
            cast.place = 0.27 + 0.46 * cell + 0.25 * (cast.place - 0.5)
        case "colour12":
            cast.hue = labels / len(COLOURS)
        case "colmot12":
            _colmot12(cast, labels)
        case "mix12":
            _mix12(cast, labels, fine, draws)
    return cast


def _powers(ratio: float) -> np.ndarray:
    # A table: numpy's power of an array can differ in the last bit with the array's length.
    return np.array([1.0, ratio, ratio * ratio])


def _show_texture(cast: Cast) -> None:
    """Make textures easy to tell: larger objects, strong contrast, nearly upright waves."""
    cast.radius = 1.3 * cast.radius
    cast.period = 1.4 * cast.period
    cast.orientation = 0.25 * (cast.orientation - np.pi / 2)
    cast.contrast = np.minimum(1.25 * cast.contrast, 1.0)


def _colmot12(cast: Cast, labels: np.ndarray) -> None:
    """Disks that move in six ways, and stars of six colours that sway."""
    half = len(MOVES)
    moves, member = labels < half, labels % half
    cast.shape = np.where(moves, SHAPES.index("disk"), SHAPES.index("star"))
    cast.motion = np.where(moves, _MOVES[member], SWAY)
    cast.hue = np.where(moves, cast.hue, member / half)


def _mix12(cast: Cast, labels: np.ndarray, fine: float, draws: Draws) -> None:
    """The shape tells four families apart; another cue tells a family's three classes apart."""
    family, member = labels // 3, labels % 3
    by_motion, by_detail, by_texture, by_spin = (family == f for f in range(4))
    cast.shape = np.array([SHAPES.index(s) for s in ("disk", "triangle", "square", "star")])[family]
    cast.texture = np.where(by_texture, member, 0)
    cast.motion = draws.integers("motion", 4, labels.shape[1:])
    cast.motion = np.where(by_motion, _TEXTURE_MOTIONS[member], cast.motion)
    spins = [MOTIONS.index("spin clockwise"), MOTIONS.index("spin anticlockwise"), SWAY]
    cast.motion = np.where(by_spin, np.array(spins)[member], cast.motion)
    _show_texture(cast)
    cast.period = np.where(by_detail, fine * _powers(1.6)[member], cast.period)
    hard = difficulty(draws)[:, None]
    cast.contrast *= 1.2 - 0.7 * hard
    cast.speed *= 1.2 - 0.6 * hard


def path_of(spec: GeneratedSpec, cast: Cast, label: np.ndarray, draws: Draws) -> Path:
    """The labelled objects' paths."""
    if spec.task == "order":
        return event_pair(label, spec.frames, draws)
    if spec.task == "rate":
        return orbit(np.array(RATES)[label], spec.frames, draws)
    return programme(cast.motion, spec.frames, cast.speed, draws)
