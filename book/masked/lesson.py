"""What the lesson notebook shows: what tube masking hides, and what there is to predict."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from kdlib.analysis.frames import frame_similarity, mean_between_frames
from kdlib.analysis.plots import COLOURS, panels, picture
from kdlib.clips.pixels import to_float
from kdlib.data.generated import GeneratedSpec, class_names, render
from kdlib.data.generated.spec import CLIPS_PER_SCENE
from kdlib.losses.masked import normalised_patches
from kdlib.methods.masked import nearest_visible, tubes
from kdlib.models.vit import patchify, take
from kdlib.runs.store import RunRecord

FRAMES, SIZE, TUBELET, PATCH = 8, 64, 2, 8
GRID = (FRAMES // TUBELET, SIZE // PATCH, SIZE // PATCH)
Places = tuple[Tensor, Tensor]
"""Visible and masked places of one clip, (1, V) and (1, M)."""


def shown_videos() -> np.ndarray:
    """A clip of each motion, in scenes of their own: uint8 (12, FRAMES, SIZE, SIZE, 3)."""
    spec = GeneratedSpec("motion12", seed=0, frames=FRAMES, size=SIZE, noise=0.0)
    # One more than a scene has clips: the next motion in the next scene.
    index = np.arange(len(class_names("motion12"))) * (CLIPS_PER_SCENE + 1)
    return render(spec, "pool", index).clips.numpy()


# What is hidden


def drawn(ratio: float, seed: int = 0, *, at_each_time: bool = False) -> Places:
    """Tubes; or a plane of its own at each time, as many places."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if not at_each_time:
            return tubes(1, GRID, ratio, torch.device("cpu"))
        parts = [tubes(1, (1, *GRID[1:]), ratio, torch.device("cpu")) for _ in range(GRID[0])]
    plane = GRID[1] * GRID[2]
    visible, masked = (
        torch.cat([part[k] + plane * time for time, part in enumerate(parts)], 1) for k in (0, 1)
    )
    return visible, masked


def _tokens(frames: np.ndarray) -> Tensor:
    """Patches (1, N, P) of frames (T, H, W, 3), 0 to 255."""
    clip = torch.from_numpy(frames.copy()).float().movedim(-1, 0)[None]
    return patchify(clip, TUBELET, PATCH)


def _frames(tokens: Tensor) -> np.ndarray:
    """The reverse: uint8 (T, H, W, 3)."""
    parts = tokens[0].unflatten(1, (TUBELET, PATCH, PATCH, 3)).unflatten(0, GRID)
    frames = parts.permute(0, 3, 1, 4, 2, 5, 6).reshape(FRAMES, SIZE, SIZE, 3)
    return frames.clamp(0, 255).to(torch.uint8).numpy()


def hidden(frames: np.ndarray, places: Places) -> np.ndarray:
    """Frames with all masked places grey."""
    tokens = _tokens(frames)
    tokens[0, places[1][0]] = 128
    return _frames(tokens)


def copied(frames: np.ndarray, places: Places) -> np.ndarray:
    """Frames with each masked place filled from the visible one nearest to it."""
    visible, masked = places
    tokens = _tokens(frames)
    tokens[0, masked[0]] = take(tokens, nearest_visible(GRID, visible, masked))[0]
    return _frames(tokens)


def averaged(frames: np.ndarray, places: Places) -> np.ndarray:
    """Frames with each masked place filled with the mean of all masked patches."""
    tokens = _tokens(frames)
    masked = places[1][0]
    tokens[0, masked] = tokens[0, masked].mean(0)
    return _frames(tokens)


def normalised(frames: np.ndarray) -> np.ndarray:
    """What VideoMAE predicts, shown about grey: each patch less its mean, over its spread."""
    return _frames(normalised_patches(_tokens(frames), by_channel=True) * 50 + 128)


def errors(videos: np.ndarray, ratios: Sequence[float] = (0.25, 0.5, 0.75, 0.9)) -> pd.DataFrame:
    """Squared errors of pixels, as shares of their variance where hidden, by ratio and answer."""
    rows = []
    for ratio in ratios:
        found: dict[str, list[float]] = {}
        for seed, frames in enumerate(videos):
            tokens = _tokens(frames)
            for way in (False, True):
                places = drawn(ratio, seed, at_each_time=way)
                masked = places[1][0]
                true, said = tokens[0, masked], _tokens(copied(frames, places))[0, masked]
                column = "copy of the nearest" + (", a mask at each time" if way else ", tubes")
                share = float((said - true).square().mean() / true.var())
                found.setdefault(column, []).append(share)
        rows.append(
            {"hidden": f"{ratio:.0%}", "tokens seen": drawn(ratio)[0].shape[1]}
            | {name: round(float(np.mean(values)), 2) for name, values in found.items()}
        )
    return pd.DataFrame(rows)


# What the teachers say


def features(record: RunRecord, frames: np.ndarray) -> Tensor:
    """The map (C, T', h, w) of a teacher of one clip, uint8 (T, H, W, 3)."""
    network = record.student()
    clip = to_float(torch.from_numpy(frames.copy())[None])
    clip = clip[:, :, ::TUBELET] if network.backbone.image else clip
    with torch.inference_mode():
        return network.features(clip)[0]


def coloured(maps: Tensor) -> np.ndarray:
    """A map (C, T, h, w) as pictures: its three largest principal components as red, green, blue,
    each from its lowest to its highest value: (T, h, w, 3) in 0..1."""
    places = maps.flatten(1).T
    places = places - places.mean(0)
    _, _, axes = torch.linalg.svd(places, full_matrices=False)
    found = places @ axes[:3].T
    low, high = found.amin(0), found.amax(0)
    scaled = (found - low) / (high - low).clamp_min(1e-9)
    return scaled.unflatten(0, maps.shape[1:]).numpy()


def targets(records: dict[str, RunRecord], frames: np.ndarray) -> Figure:
    """A clip, and below it what each teacher says of each of its tubelets."""
    rows = {name: coloured(features(record, frames)) for name, record in records.items()}
    times = len(next(iter(rows.values())))
    figure, axes = panels(1 + len(rows), times, width=1.6 * times, height=1.7 * (1 + len(rows)))
    for time in range(times):
        picture(axes[0, time], frames[TUBELET * time], f"frame {TUBELET * time + 1}")
    axes[0, 0].set_ylabel("clip")
    for line, (name, shown) in zip(axes[1:], rows.items(), strict=True):
        for plot, values in zip(line, shown, strict=True):
            picture(plot, values, "")
        line[0].set_ylabel(name)
    return figure


# What a cosine between frames means


def common_part(width: int = 256, times: int = 4) -> Figure:
    """Mean cosine between frames of made-up features, by what share of them never changes."""
    draw = torch.Generator().manual_seed(0)
    still = torch.randn(1, width, 1, 4, 4, generator=draw)
    moving = torch.randn(1, width, times, 4, 4, generator=draw)
    shares = np.linspace(0, 1, 21)
    cosines = [
        float(mean_between_frames(frame_similarity(s**0.5 * still + (1 - s) ** 0.5 * moving)))
        for s in shares
    ]
    figure, axes = panels(width=5.0, height=3.0)
    axes[0, 0].plot(shares, cosines, marker="o", ms=4, color=COLOURS[0])
    axes[0, 0].set(xlabel="share of the variance that never changes", ylabel="mean cosine")
    return figure
