"""What the lesson notebook shows: interrupted clips, and what difficulty and diversity pick."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from kdlib.analysis.plots import COLOURS, panels
from kdlib.data.videos import Videos
from kdlib.methods.adaptive import scaled
from kdlib.methods.adaptive.interruption import interrupt
from kdlib.methods.adaptive.selection import greedy_map
from kdlib.study.chapter import Chapter
from kdlib.study.videos import videos_of, whole_clip


def shown_videos(chapter: Chapter) -> Videos:
    """The training clips of the chapter's first pair of networks."""
    return videos_of(chapter, "sakd/figure-2", "KD", "train")


def interrupted(videos: Videos, index: int, rate: float, threshold: float = 0.5) -> np.ndarray:
    """Video `index` as a difficulty pass sees it at this beta, uint8 (T, H, W, 3)."""
    # About the mean colour, as normalised clips are.
    clip = whole_clip(videos, index) - 128
    found = interrupt(clip, rate, threshold, torch.Generator().manual_seed(index))
    return (found[0].permute(1, 2, 3, 0) + 128).to(torch.uint8).numpy()


def cloud(count: int = 300, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points in the plane (N, 2), two clusters and a fringe; difficulty (N,) grows outwards."""
    draw = np.random.default_rng(seed)
    centres = np.array([[2.0, 0.5], [0.5, 2.0], [1.5, 1.5]])
    kind = draw.choice(3, count, p=[0.6, 0.3, 0.1])
    points = centres[kind] + draw.normal(size=(count, 2)) * np.array([0.15, 0.15, 0.6])[kind, None]
    away = np.linalg.norm(points - centres[kind], axis=1) + 0.2 * draw.random(count)
    return torch.from_numpy(points), scaled(torch.from_numpy(away))


def picks(gamma: float, count: int = 12) -> Figure:
    """Which points are selected at this gamma, over difficulty as shade."""
    points, difficulty = cloud()
    features = F.normalize(points, dim=1)
    chosen = greedy_map(features, 1 - difficulty, count, diversity=gamma)
    figure, axes = panels(width=4.6, height=3.6)
    shade = axes[0, 0].scatter(
        *points.T, c=difficulty, cmap="Greys", s=14, vmin=0, edgecolors="0.6", lw=0.4
    )
    axes[0, 0].scatter(*points[chosen].T, s=70, facecolors="none", edgecolors=COLOURS[1], lw=2)
    axes[0, 0].set(xlabel="feature 1", ylabel="feature 2", title=f"γ = {gamma:g}")
    figure.colorbar(shade, label="difficulty")
    return figure


def spread(gammas: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 1.0), count: int = 12) -> pd.DataFrame:
    """Mean difficulty of the selected points, and the mean angle between them, by gamma."""
    points, difficulty = cloud()
    features = F.normalize(points, dim=1)
    rows = []
    for gamma in gammas:
        chosen = greedy_map(features, 1 - difficulty, count, diversity=gamma)
        cosines = (features[chosen] @ features[chosen].T).clamp(-1, 1)
        angles = torch.rad2deg(torch.arccos(cosines))
        rows.append(
            {
                "gamma": gamma,
                "mean difficulty": round(float(difficulty[chosen].mean()), 2),
                "mean angle, degrees": round(float(angles.sum() / (count * (count - 1))), 1),
            }
        )
    return pd.DataFrame(rows)
