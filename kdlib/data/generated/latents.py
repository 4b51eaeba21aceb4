"""From clip indices to everything that determines their pixels."""

from dataclasses import dataclass

import numpy as np

from kdlib.data.generated.cast import Cast, difficulty, random_cast
from kdlib.data.generated.draws import Draws, keys
from kdlib.data.generated.looks import (
    PALETTES,
    SHAPE_POLYNOMIALS,
    TEXTURE_OFFSETS,
    TEXTURE_WEIGHTS,
    TEXTURES,
    hsv_to_rgb,
)
from kdlib.data.generated.motion import Path, clip_time, programme
from kdlib.data.generated.spec import CLIPS_PER_SCENE, MOTIONS, RATES, SPLITS, GeneratedSpec


@dataclass
class Scene:
    """Backdrops and conditions of N clips; lengths in pixels, T frames.

    pan (N, T, 2) of the world, palette (N, 6, 3), horizon (N,), hills (N, 2 rows, 2 waves,
    amplitude-frequency-phase), pattern (N, 2 waves, kx-ky-px-py), sun (N, x-y-radius),
    post (N, x-width) with width 0 for none, light (N, T) factor, noise (N,).
    """

    pan: np.ndarray
    palette: np.ndarray
    horizon: np.ndarray
    hills: np.ndarray
    pattern: np.ndarray
    sun: np.ndarray
    post: np.ndarray
    light: np.ndarray
    noise: np.ndarray


@dataclass
class Objects:
    """A objects in each of N clips, the labelled ones first; lengths in pixels, T frames.

    centre (N, A, T, 2) on the screen, radius (N, A, T), angle (N, A, T) clockwise from upright,
    outline (N, A, 9) polynomial, colour and accent (N, A, 3), weave (N, A, 4) and offset (N, A)
    of the texture, wave (N, A, angle-radians per radius-two phases), present (N, A).
    """

    centre: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    outline: np.ndarray
    colour: np.ndarray
    accent: np.ndarray
    weave: np.ndarray
    offset: np.ndarray
    wave: np.ndarray
    present: np.ndarray


def clip_draws(spec: GeneratedSpec, split: str, index: np.ndarray) -> tuple[Draws, Draws]:
    """The draws of the clips and those of the scenes they are in."""
    data = keys(spec.seed, SPLITS.index(split))
    return Draws(keys(data, 1, index)), Draws(keys(data, 2, index // CLIPS_PER_SCENE))


def scene_of(spec: GeneratedSpec, label: np.ndarray, draws: Draws, place: Draws) -> Scene:
    """The backdrop by the scene's draws (`place`); camera, light and post by the clip's."""
    size, count = spec.size, len(draws.key)
    table = PALETTES[spec.domain]
    palette = table[place.integers("palette", len(table))]
    blend = place.uniform("blend", 0, 0.35, (1, 1))
    palette = palette + blend * (table[place.integers("palette 2", len(table))] - palette)
    hills = [
        place.uniform("hill amplitude", 0.01, 0.055, (2, 2)) * size,
        place.uniform("hill frequency", 3.0, 9.0, (2, 2)) / size,
        place.uniform("hill phase", 0, 2 * np.pi, (2, 2)),
    ]
    pattern = [
        place.uniform("pattern frequency", 6.0, 16.0, (2, 2)) / size,
        place.uniform("pattern phase", 0, 2 * np.pi, (2, 2)),
    ]
    nearest, furthest = np.array([0.12, 0.08, 0.05]), np.array([0.88, 0.30, 0.10])
    sun = nearest + (furthest - nearest) * place.uniform("sun", shape=(3,))

    time = np.tile(clip_time(spec.frames), (count, 1))
    if spec.task == "rate":
        time *= np.array(RATES)[label][:, None] / 2
    brightness = draws.uniform("exposure", -0.5, 0.5, (1,))
    brightness = brightness + draws.uniform("light", -1, 1, (1,)) * time
    width = draws.uniform("post width", 0.07, 0.12) * (draws.uniform("post") < spec.occlusion)
    noise = np.full(count, spec.noise * (1.4 if spec.domain == "shifted" else 1.0))
    if spec.task == "mix12":
        noise *= 0.3 + 2.7 * difficulty(draws)
    return Scene(
        pan=_camera(time[..., None], draws) * spec.jitter * size,
        palette=palette,
        horizon=place.uniform("horizon", 0.42, 0.62) * size,
        hills=np.stack(hills, -1),
        pattern=np.concatenate(pattern, -1),
        sun=sun * size,
        post=np.stack([draws.uniform("post place", 0.1, 0.9), width], -1) * size,
        light=1 + spec.light * brightness,
        noise=noise,
    )


def _camera(time: np.ndarray, draws: Draws) -> np.ndarray:
    """A hand-held camera: a drift and two wobbles (N, T, 2), 0 at time 0."""
    drift = draws.uniform("drift", -2.4, 2.4, (1, 2)) * time
    phase = draws.uniform("wobble", 0, 2 * np.pi, (2, 1, 2))
    slow = np.sin(7 * time + phase[:, 0]) - np.sin(phase[:, 0])
    fast = np.sin(13 * time + phase[:, 1]) - np.sin(phase[:, 1])
    return drift + slow + 0.6 * fast


def objects_of(spec: GeneratedSpec, cast: Cast, path: Path, scene: Scene, draws: Draws) -> Objects:
    """The labelled objects, and behind them one unlabelled object where there is one."""
    labelled = _objects(spec, cast, path, scene, draws)
    if spec.distractor == 0:
        return labelled
    draws = Draws(keys(draws.key, 3))
    other = random_cast(spec, 1, draws)
    other.radius *= 0.45
    other.period *= 0.6
    other.texture = draws.integers("texture", len(TEXTURES), (1,))
    other.place = 0.5 + 2.4 * (other.place - 0.5)
    other.present = draws.uniform("present", shape=(1,)) < spec.distractor
    motion = draws.integers("motion", len(MOTIONS), (1,))
    path = programme(motion, spec.frames, 0.75 * other.speed, draws)
    behind = _objects(spec, other, path, scene, draws)
    both = {
        name: np.concatenate([value, getattr(behind, name)], 1)
        for name, value in vars(labelled).items()
    }
    return Objects(**both)


def _objects(spec: GeneratedSpec, cast: Cast, path: Path, scene: Scene, draws: Draws) -> Objects:
    shape = cast.radius.shape[1:]
    rest = cast.radius * spec.size
    tilt = draws.uniform("tilt", -0.3, 0.3, shape)
    pale = draws.uniform("pale", 0.30, 0.60, shape)
    light = hsv_to_rgb(cast.hue, pale, draws.uniform("bright", 0.92, 1.0, shape))
    hue = cast.hue + draws.uniform("second hue", -0.12, 0.12, shape)
    depth = draws.uniform("depth", 0.35, 0.50, shape) * (0.9 if spec.domain == "shifted" else 1.0)
    dark = hsv_to_rgb(hue, draws.uniform("rich", 0.75, 0.95, shape), depth)
    wave = [
        cast.orientation - tilt,
        2 * np.pi * rest / cast.period,
        *np.moveaxis(draws.uniform("wave phase", 0, 2 * np.pi, (*shape, 2)), -1, 0),
    ]
    return Objects(
        centre=(cast.place[:, :, None] + path.offset) * spec.size + scene.pan[:, None],
        radius=rest[..., None] * np.exp(path.log_scale),
        angle=tilt[..., None] + path.turn,
        outline=SHAPE_POLYNOMIALS[cast.shape],
        colour=(light + dark) / 2,
        accent=(light - dark) / 2 * cast.contrast[..., None],
        weave=TEXTURE_WEIGHTS[cast.texture],
        offset=TEXTURE_OFFSETS[cast.texture],
        wave=np.stack(wave, -1),
        present=cast.present,
    )
