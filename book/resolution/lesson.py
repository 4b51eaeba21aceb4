"""What the lesson notebook shows: one clip at several resolutions, and networks looking at it."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from kdlib.analysis.plots import COLOURS, panels
from kdlib.clips.pixels import resize
from kdlib.data.videos import Videos
from kdlib.methods.supervised import Supervised
from kdlib.runs.build import clip_source
from kdlib.study.chapter import Chapter
from kdlib.study.videos import videos_of, whole_clip
from kdlib.training.evaluate import judged


def shown_videos(chapter: Chapter) -> Videos:
    """The test videos of the chapter's first seed."""
    return videos_of(chapter, "reskd/targets", "teacher", "test")


def first_of(videos: Videos, classes: tuple[int, ...]) -> list[int]:
    """The first video of each of these classes."""
    return [int(np.argmax(videos.labels == label)) for label in classes]


def frames_at(videos: Videos, index: int, pixels: int) -> np.ndarray:
    """Video `index` reduced to `pixels` as the student sees it, uint8 (T, h, w, 3)."""
    clip = whole_clip(videos, index)
    low = resize(clip, pixels) if pixels < clip.shape[-1] else clip
    return low[0].movedim(0, -1).round().clamp(0, 255).to(torch.uint8).numpy()


def spectra(videos: Videos, sizes: tuple[int, ...], count: int = 100) -> Figure:
    """Mean power of test frames by spatial frequency, a line a resolution, on a common axis."""
    figure, axes = panels(width=6.5, height=3.6)
    count = min(count, len(videos))
    full = videos.frames.shape[1]
    for colour, pixels in zip(COLOURS, sorted(sizes, reverse=True), strict=False):
        first = [frames_at(videos, index, pixels)[0].mean(-1) for index in range(count)]
        grey = np.stack(first) - np.mean(first, axis=(1, 2), keepdims=True)
        power = np.abs(np.fft.fft2(grey, norm="forward")) ** 2
        frequency = np.fft.fftfreq(pixels) * pixels
        radius = np.hypot(frequency[:, None], frequency[None]).round().astype(int)
        means = [power[:, radius == r].mean() for r in range(1, pixels // 2)]
        axes[0, 0].plot(range(1, pixels // 2), means, color=colour, label=f"{pixels} px")
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_xlim(0, full // 2)
    axes[0, 0].set_xlabel("periods across the frame")
    axes[0, 0].set_ylabel("mean power")
    axes[0, 0].set_title(f"What each resolution keeps ({count} test frames)")
    axes[0, 0].legend()
    return figure


def without_retraining(chapter: Chapter) -> pd.DataFrame:
    """The full-resolution teacher fed smaller clips, beside students trained at that size."""
    records = chapter.records("reskd/resolutions")
    teacher = chapter.records("reskd/targets")["teacher"][0]
    videos = shown_videos(chapter)
    source = clip_source(videos, teacher.spec.data, "test")
    network, rows = teacher.student(), []
    for (kind, pixels), group in records.items():
        if kind == "direct":
            as_is = 100 * judged(Supervised(network, resolution=pixels), source)["score"]
            trained = 100 * group[0].result["last"]["score"]
            rows.append(
                {
                    "pixels": pixels,
                    "teacher as it is, %": round(as_is, 1),
                    "student trained at this size, %": round(trained, 1),
                }
            )
    return pd.DataFrame(rows)
