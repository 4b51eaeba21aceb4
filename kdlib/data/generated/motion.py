"""How objects move: twelve motion programmes, transient events, orbits. Offsets are in sides."""

from typing import NamedTuple

import numpy as np

from kdlib.data.generated.draws import Draws
from kdlib.data.generated.spec import EVENT_ORDERS, MOTIONS

SWAY = len(MOTIONS)  # a slow drift with a little nodding: the motion of things that do nothing
_STRAIGHT = np.zeros((SWAY + 1, 2))
_STRAIGHT[:4] = [(1, 0), (-1, 0), (0, -1), (0, 1)]
_CIRCLE = np.zeros(SWAY + 1)
_CIRCLE[4:6] = (1, -1)
_SPIN = np.zeros(SWAY + 1)
_SPIN[6:8] = (1, -1)
_GROW = np.zeros(SWAY + 1)
_GROW[8:10] = (1, -1)


class Path(NamedTuple):
    """Offsets (N, A, T, 2) in sides, turns (N, A, T) in radians, log scales (N, A, T)."""

    offset: np.ndarray
    turn: np.ndarray
    log_scale: np.ndarray


def clip_time(frames: int) -> np.ndarray:
    """Time (T,) in clip lengths, exactly 0 at frame T // 2."""
    return (np.arange(frames) - frames // 2) / max(frames - 1, 1)


def programme(kind: np.ndarray, frames: int, speed: np.ndarray, draws: Draws) -> Path:
    """The paths of motions `kind` (N, A), indices into MOTIONS or SWAY.

    At frame T // 2 every programme passes through its rest pose, so that frame knows nothing of
    the motion. All programmes speed up a little: that gives time a direction.
    speed: (N, A) factor on the extent.
    """
    shape = kind.shape[1:]
    time = clip_time(frames)
    progress = (time + 0.4 * time * abs(time) + 0.25 * time**2) * speed[..., None]  # (N, A, T)
    offset = 0.42 * _STRAIGHT[kind][:, :, None] * progress[..., None]

    circle = _CIRCLE[kind][..., None]
    start = draws.uniform("circle start", 0, 2 * np.pi, shape)[..., None]
    swept = start + circle * 5.0 * progress
    round_trip = np.stack([np.cos(swept) - np.cos(start), np.sin(swept) - np.sin(start)], -1)
    offset += 0.17 * abs(circle)[..., None] * round_trip

    corner = 0.42 * draws.sign("corner", (*shape, 2))[:, :, None]
    before_after = np.stack([np.minimum(progress, 0), np.maximum(progress, 0)], -1)
    offset += (kind == 10)[..., None, None] * corner * before_after
    offset += (kind == 11)[..., None, None] * corner * before_after[..., ::-1]

    sway = (kind == SWAY)[..., None]
    heading = draws.uniform("drift heading", 0, 2 * np.pi, shape)[..., None]
    drift = np.stack([np.cos(heading), np.sin(heading)], -1) * progress[..., None]
    offset += 0.10 * sway[..., None] * drift
    nod = 0.12 * draws.sign("nod", shape)[..., None] * np.sin(2 * np.pi * time)

    turn = _SPIN[kind][..., None] * 2.6 * progress + sway * nod
    return Path(offset, turn, _GROW[kind][..., None] * 0.9 * progress)


def event_pair(label: np.ndarray, frames: int, draws: Draws) -> Path:
    """Two objects (A = 2), each with one transient event: one in each half of the clip.

    Both orders of two events show the same set of frames: what tells them apart is their order
    alone. Object 0 always has the event that comes first in the table of events.
    """
    orders = np.array(EVENT_ORDERS)[label]  # (N, 2): first, second
    events = np.sort(orders, 1)
    half = frames // 2
    pulse = np.sin(np.pi * (np.arange(half) + 0.5) / half) ** 2
    in_half = np.zeros((2, frames))
    in_half[0, :half] = pulse
    in_half[1, frames - half :] = pulse
    pulses = in_half[(events != orders[:, :1]).astype(np.int64)]  # (N, 2, T)
    is_event = [(events == event)[..., None] * pulses for event in range(4)]
    side = draws.sign("event side", (2,))[..., None]
    hops, slides, turns, swells = is_event
    offset = np.stack([0.16 * side * slides, -0.18 * hops], -1)
    return Path(offset, 1.5 * side * turns, 0.55 * swells)


def orbit(rate: np.ndarray, frames: int, draws: Draws) -> Path:
    """One object on an elliptic round, turning as it goes, at `rate` (N,) times its usual pace."""
    pace = draws.uniform("pace", 0.085, 0.115)
    angle = (np.arange(frames) - frames // 2) * (pace * rate)[:, None]
    start = draws.uniform("orbit start", 0, 2 * np.pi)[:, None]
    extent = draws.uniform("orbit extent", 0.12, 0.22, (2,))
    sign = draws.sign("orbit sign")[:, None]
    offset = np.stack([np.cos(start + sign * angle), np.sin(start + sign * angle)], -1)
    offset = (extent[:, None] * offset)[:, None]
    turn = (draws.sign("orbit turn")[:, None] * angle)[:, None]
    return Path(offset, turn, np.zeros_like(turn))
