"""What the lesson notebook shows: flow as colours, motion behind a hole, and what probes read."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torchvision.utils import flow_to_image

from kdlib.analysis.plots import COLOURS, panels
from kdlib.data.generated import GeneratedSpec, class_names, render
from kdlib.data.tvl1 import tvl1

SIZE, FRAMES = 64, 12
PATCH = 9  # pixels, of those that a probe reads
_FREQUENCY = 0.4  # radians a pixel, of the stripes


def moving(*motions: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By motion, a clip of one thing without noise: uint8 (T, H, W, 3), flow (T - 1, 2, H, W)."""
    names = class_names("motion12")
    alone = {"noise": 0.0, "occlusion": 0.0, "distractor": 0.0}
    spec = GeneratedSpec("motion12", seed=3, frames=FRAMES, size=SIZE, **alone)
    found = render(spec, "pool", np.array([names.index(name) for name in motions]), truth=True)
    assert found.flow is not None
    return {
        name: (clip.numpy(), flow.numpy())
        for name, clip, flow in zip(motions, found.clips, found.flow, strict=True)
    }


def coloured(flow: np.ndarray) -> np.ndarray:
    """Flow (N, 2, H, W) as images uint8 (N, H, W, 3), on one scale."""
    return flow_to_image(torch.from_numpy(flow.copy()).float()).permute(0, 2, 3, 1).numpy()


def wheel(size: int = SIZE) -> np.ndarray:
    """The colour of each displacement, (1, H, W, 3): none in the middle, to the right on the
    right."""
    axis = np.linspace(-1, 1, size)
    flow = np.stack(np.meshgrid(axis, axis))
    return coloured(np.where(np.hypot(*flow) <= 1, flow, 0)[None])


def computed(clip: np.ndarray) -> np.ndarray:
    """TV-L1's flow (T - 1, 2, H, W) of a clip uint8 (T, H, W, 3)."""
    return tvl1(torch.from_numpy(clip)).numpy()


# Behind a hole


def behind_hole(move: Sequence[float], angles: Sequence[float]) -> np.ndarray:
    """Stripes at these angles (degrees, their normals clockwise from the right) behind a round
    hole, float (T, H, W) from 0 to 1; they move by so many pixels a frame, x then y."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    frames = []
    for t in range(FRAMES):
        at = np.zeros((SIZE, SIZE))
        for angle in np.deg2rad(angles):
            along = np.cos(angle) * (x - move[0] * t) + np.sin(angle) * (y - move[1] * t)
            at += np.sin(_FREQUENCY * along) / len(angles)
        frames.append(np.where(np.hypot(x, y) < 0.4 * SIZE, 0.5 + 0.5 * at, 0.5))
    return np.stack(frames)


def grey(clip: np.ndarray) -> np.ndarray:
    """A clip (T, H, W) from 0 to 1 as uint8 (T, H, W, 3)."""
    return np.repeat((255 * clip).round().astype(np.uint8)[..., None], 3, axis=-1)


def inside() -> np.ndarray:
    """The pixels well inside the hole, bool (H, W)."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    return np.hypot(x, y) < 0.3 * SIZE


def constraints(
    gradients: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], move: Sequence[float]
) -> Figure:
    """Of some pixels the velocities that their gradients (x, y, time) allow: a line each."""
    figure, axes = panels(1, len(gradients), width=3.4 * len(gradients), height=3.4)
    for axis, (name, (ix, iy, it)) in zip(axes[0], gradients.items(), strict=True):
        strong = np.flatnonzero(inside().ravel() & (np.hypot(ix, iy).ravel() > 0.1))
        for pixel in strong[:: max(len(strong) // 40, 1)]:
            a, b, c = ix.ravel()[pixel], iy.ravel()[pixel], it.ravel()[pixel]
            middle = -c * np.array([a, b]) / (a * a + b * b)
            along = np.array([-b, a]) / np.hypot(a, b)
            ends = middle + np.outer([-9, 9], along)
            axis.plot(*ends.T, color=COLOURS[0], lw=0.6, alpha=0.5)
        axis.plot(*move, "o", color=COLOURS[1], ms=8, label="true velocity")
        axis.set(xlim=(-3, 3), ylim=(3, -3), aspect="equal", title=name, xlabel="pixels right")
    axes[0, 0].set_ylabel("pixels down")
    axes[0, -1].legend(loc="lower left", fontsize=8, framealpha=0.9, frameon=True)
    return figure


# Probes


def patches(count: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of patches (N, 2, PATCH, PATCH) of textures that move, and by how much: (N, 2), up to
    1.5 pixels each way."""
    draw = np.random.default_rng(seed)
    flow = draw.uniform(-1.5, 1.5, (count, 2))
    y, x = np.mgrid[:PATCH, :PATCH] - PATCH // 2
    waves = 3
    frequency = draw.uniform(-0.8, 0.8, (count, waves, 2))
    phase = draw.uniform(0, 2 * np.pi, (count, waves, 1, 1))
    pair = []
    for t in (0, 1):
        at = [
            frequency[..., k, None, None] * (axis - t * flow[:, None, k, None, None])
            for k, axis in enumerate((x, y))
        ]
        pair.append(np.sin(at[0] + at[1] + phase).sum(1))
    return np.stack(pair, 1), flow


def hidden(features: np.ndarray, units: int, seed: int = 1) -> np.ndarray:
    """Random features max(0, W x + b) of features (N, ...), (N, units); themselves for 0 units."""
    flat = features.reshape(len(features), -1)
    if not units:
        return flat
    draw = np.random.default_rng(seed)
    weights = draw.normal(size=(flat.shape[1], units)) / np.sqrt(flat.shape[1])
    return np.maximum(flat @ weights + draw.normal(size=units), 0)


def probe_error(features: np.ndarray, flow: np.ndarray, ridge: float = 300.0) -> float:
    """The mean end-point error of a linear probe of features (N, D) on the second half of them."""
    half = len(features) // 2
    mean, scale = features[:half].mean(0), features[:half].std(0) + 1e-6
    inputs = np.concatenate([(features - mean) / scale, np.ones((len(features), 1))], 1)
    seen = inputs[:half]
    weights = np.linalg.solve(seen.T @ seen + ridge * np.eye(seen.shape[1]), seen.T @ flow[:half])
    return float(np.linalg.norm(inputs[half:] @ weights - flow[half:], axis=1).mean())


def by_probe(units: Sequence[int] = (0, 100, 500)) -> pd.DataFrame:
    """The error in pixels of probes of several widths on three kinds of features."""
    pair, flow = patches()
    noisy = flow + np.random.default_rng(2).normal(0, 0.3, flow.shape)
    seen = {"one frame": pair[:, 0], "two frames": pair, "a network of noisy flow": noisy}
    half = len(flow) // 2
    still = float(np.linalg.norm(flow[half:] - flow[:half].mean(0), axis=1).mean())
    rows = [{"probe": "always the mean", **{name: round(still, 2) for name in seen}}]
    for count in units:
        name = f"{count:,} hidden units" if count else "linear"
        errors = {key: probe_error(hidden(value, count), flow) for key, value in seen.items()}
        rows.append({"probe": name, **{key: round(error, 2) for key, error in errors.items()}})
    return pd.DataFrame(rows)
