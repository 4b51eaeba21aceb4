"""What the lesson notebook shows: the questions that clips ask, and maps of made-up networks."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kdlib.analysis.plots import COLOURS, panels, picture
from kdlib.clips.pixels import resize
from kdlib.data.generated import GeneratedSpec, class_names, render
from kdlib.data.generated.spec import CLIPS_PER_SCENE

FRAMES = 64  # of a video: eight frames at the highest rate
Cka = Callable[[np.ndarray, np.ndarray], float]


def shown_videos() -> np.ndarray:
    """A video without noise of each motion, in scenes of their own: uint8 (12, FRAMES, H, W, 3)."""
    spec = GeneratedSpec("motion12", seed=0, frames=FRAMES, size=48, noise=0.0)
    # One more than a scene has clips: the next motion in the next scene.
    index = np.arange(len(class_names("motion12"))) * (CLIPS_PER_SCENE + 1)
    return render(spec, "pool", index).clips.numpy()


# The pretext tasks


def turned(frames: np.ndarray, quarters: int) -> np.ndarray:
    """All frames (T, H, W, 3) turned anticlockwise by so many right angles."""
    return np.rot90(frames, quarters, axes=(1, 2))


def to_rebuild(frames: np.ndarray) -> Figure:
    """Above, every eighth of 32 frames as it is shown; below, those to rebuild, every fourth."""
    figure, axes = panels(2, 8, width=8.0, height=2.4)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, (name, rate) in enumerate((("seen", 8), ("to rebuild", 4))):
        for frame in range(0, 32, rate):
            axis = axes[row, frame // 4]
            axis.set_axis_on()
            picture(axis, frames[frame], f"frame {frame}")
        axes[row, 0].set_ylabel(name)
    return figure


def another_look(frames: np.ndarray, seed: int) -> np.ndarray:
    """Frames (T, H, W, 3) in a crop, a mirroring and colours drawn for all of them alike."""
    draw = np.random.default_rng(seed)
    side = frames.shape[1]
    crop = int(side * draw.uniform(0.6, 1))
    top, left = draw.integers(side - crop + 1, size=2)
    seen = frames[:, top : top + crop, left : left + crop]
    if draw.random() < 0.5:
        seen = seen[:, :, ::-1]
    clip = torch.from_numpy(seen.copy()).float().movedim(-1, 0)[None]
    grown = resize(clip, side)[0].movedim(0, -1).numpy()
    return recoloured(grown, draw)


def recoloured(frames: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Frames with another brightness and contrast of each colour: uint8."""
    gain, offset = draw.uniform(0.5, 1.5, 3), draw.uniform(-60, 60, 3)
    return np.clip((frames - 128.0) * gain + 128 + offset, 0, 255).astype(np.uint8)


def pixels_alike(found: np.ndarray) -> Figure:
    """Cosines of two clips of each video by their coarse pixels, as they are and recoloured.

    found: (N, T, H, W, 3). On the diagonal both clips are of one video; the title says how often
    that is the greatest cosine of its row.
    """
    figure, axes = panels(1, 2, width=8.0, height=3.6)
    draw, halves = np.random.default_rng(0), np.split(found, 2, axis=1)
    for axis, name in zip(axes[0], ("as they are", "recoloured"), strict=True):
        if name == "recoloured":
            halves = [np.stack([recoloured(clip, draw) for clip in half]) for half in halves]
        one, other = (np.stack([_thumbnail(clip) for clip in half]) for half in halves)
        cosines = one @ other.T
        right = int((cosines.argmax(1) == np.arange(len(found))).sum())
        image = axis.imshow(cosines, cmap="viridis", vmin=-1, vmax=1)
        axis.set(xlabel="second half of video", ylabel="first half of video")
        axis.set_title(f"{name}: {right} of {len(found)} found")
        axis.grid(visible=False)
    figure.colorbar(image, ax=axes[0], label="cosine")
    return figure


def _thumbnail(clip: np.ndarray) -> np.ndarray:
    """A clip (T, H, W, 3) as the mean colours of 4 x 4 places, about grey: (48,), of length 1."""
    side = clip.shape[1] // 4
    places = clip.mean(0).reshape(4, side, 4, side, 3).mean((1, 3)).ravel() - 128
    return places / np.linalg.norm(places)


# What a CKA map means


def by_width(cka: Cka, clips: int = 16, draws: int = 50) -> pd.DataFrame:
    """Two layers of pure noise, which have nothing in common: CKA by the number of features.

    cka: the unbiased one. Beside it that of whole, centred Gram matrices.
    """
    draw, rows = np.random.default_rng(0), []
    for width in (4, 16, 64, 256, 1024):
        pairs = [draw.normal(size=(2, clips, width)) for _ in range(draws)]
        rows.append(
            {
                "features": width,
                "whole matrices, centred": _mean(_biased, pairs),
                "unbiased": _mean(cka, pairs),
            }
        )
    return pd.DataFrame(rows)


def _mean(cka: Cka, pairs: Sequence[np.ndarray]) -> float:
    return round(float(np.mean([cka(*pair) for pair in pairs])), 2) + 0.0  # no -0.0


def _biased(one: np.ndarray, other: np.ndarray) -> float:
    grams = [(x - x.mean(0)) @ (x - x.mean(0)).T for x in (one, other)]
    return float((grams[0] * grams[1]).sum() / np.prod([np.linalg.norm(g) for g in grams]))


def rotation(size: int, seed: int = 0) -> np.ndarray:
    """A random rotation of so many features: (size, size)."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def network(kind: str, layers: int = 18, clips: int = 64, width: int = 96) -> list[np.ndarray]:
    """Made-up features (clips, width) of each layer of a network of a kind.

    "drift": each layer changes the last one a little. "blocks": three times nothing changes for six
    layers. "two kinds": layers are in turn of a trunk, and of branches that see something else.
    "noise": layers have nothing in common. Every layer is rotated in its own way.
    """
    draw = np.random.default_rng(1)

    def new() -> np.ndarray:
        return draw.normal(size=(clips, width))

    states = [new()]
    for _ in range(1, layers):
        states.append(0.85 * states[-1] + 0.53 * new())
    if kind == "blocks":
        states = [states[layer // 6 * 6] + 0.3 * new() for layer in range(layers)]
    if kind == "two kinds":
        branch = new()
        states = [
            state if layer % 2 == 0 else 0.4 * state + branch for layer, state in enumerate(states)
        ]
    if kind == "noise":
        states = [new() for _ in range(layers)]
    return [state @ rotation(width, seed) for seed, state in enumerate(states)]


def similarities(cka: Cka, rows: Sequence[np.ndarray], columns: Sequence[np.ndarray]) -> np.ndarray:
    """CKA of each layer of one network with each of another: (rows, columns)."""
    return np.array([[cka(one, other) for other in columns] for one in rows])


def maps(shown: dict[str, np.ndarray], rows: str = "layer", columns: str = "layer") -> Figure:
    """Maps of CKA side by side on one scale, the first layers below and on the left."""
    figure, axes = panels(1, len(shown), width=2.4 * len(shown) + 1.2, height=3.0)
    for axis, (name, values) in zip(axes[0], shown.items(), strict=True):
        image = axis.imshow(values, cmap="magma", vmin=0, vmax=1, origin="lower")
        axis.set(title=name, xlabel=columns)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(visible=False)
    axes[0, 0].set_ylabel(rows)
    figure.colorbar(image, ax=axes[0], label="CKA", shrink=0.8)
    return figure


def noise_curve(cka: Cka, clips: int = 64, width: int = 96) -> Figure:
    """CKA of features with themselves and noise, by the share of the variance that is noise."""
    draw = np.random.default_rng(0)
    layer, noise = draw.normal(size=(2, clips, width))
    shares = np.linspace(0, 1, 21)
    values = [cka(layer, np.sqrt(1 - s) * layer + np.sqrt(s) * noise) for s in shares]
    figure, axes = panels(width=5.0, height=3.0)
    axes[0, 0].plot(shares, values, marker="o", ms=4, color=COLOURS[0])
    axes[0, 0].axhline(0, color="0.6", lw=1)
    axes[0, 0].set(
        xlabel="share of noise in the variance", ylabel="CKA", title="Features, and the same noisy"
    )
    return figure
