"""The figures of the resolution chapter."""

from dataclasses import replace

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from book.resolution.tables import pixels
from kdlib.analysis.plots import COLOURS, error_bars, panels, picture
from kdlib.clips.batches import ordered_batches
from kdlib.clips.pixels import resize
from kdlib.losses.feature_kd import upsample_to
from kdlib.models.base import VideoModel
from kdlib.runs.build import clip_source
from kdlib.study import tables
from kdlib.study.chapter import Records
from kdlib.study.setting import Setting


def signals(network: VideoModel, clip: Tensor) -> dict[str, Tensor]:
    """What each target reads off a network for one normalised clip (1, 3, T, H, W)."""
    with torch.inference_mode():
        features = network.features(clip)
        return {
            "feature": features,
            "logit": network.head(features),
            "pixel": network.head.by_place(features),
        }


def first_clip(setting: Setting, records: Records) -> tuple[Tensor, str]:
    """The first test clip the teacher gets right, (1, 3, T, H, W), and its class name."""
    teacher = records["teacher"][0]
    test = setting.datasets.load(teacher.spec.data)["test"]
    index = int(np.argmax(tables.hits(teacher)))
    source = clip_source(test, teacher.spec.data, "test")
    one = replace(source, videos=test.take(np.array([index])))
    clips = next(ordered_batches(one, torch.device("cpu"))).clips
    return clips[:1], test.classes[int(test.labels[index])]


def supervision_signals(setting: Setting, records: Records) -> Figure:
    """Figure 5: one clip, teacher above, student below; the three signals with their shapes."""
    clip, name = first_clip(setting, records)
    student = records["student"][0]
    low = resize(clip, pixels(student))
    teacher_signals = signals(records["teacher"][0].student(), clip)
    student_signals = signals(student.student(), low)
    wanted = int(teacher_signals["logit"].argmax())
    figure, axes = panels(2, 4, width=9, height=5)
    rows = (
        ("teacher", clip, teacher_signals),
        ("student", low, student_signals),
    )
    for row, (who, seen, found) in zip(axes, rows, strict=True):
        picture(row[0], _image(seen), f"{who} sees\n{seen.shape[3]}×{seen.shape[4]} pixels")
        features = found["feature"]
        maps = features if who == "teacher" else upsample_to(features, teacher_signals["feature"])
        up = "" if who == "teacher" else f" (up from {features.shape[3]}×{features.shape[4]})"
        picture(
            row[1],
            maps[0].mean((0, 1)).numpy(),
            f"feature: C×H×W\n{_shape(maps)}{up}",
            cmap="viridis",
        )
        _bars(row[2], found["logit"][0], wanted, f"logit: K\n{found['logit'].shape[1]}")
        scores = found["pixel"].softmax(1)[0, wanted].mean(0)
        shape = _shape(found["pixel"])
        picture(
            row[3], scores.numpy(), f"pixel-level logit: K×H×W\n{shape}", cmap="magma",
            vmin=0, vmax=1,
        )  # fmt: skip
    figure.suptitle(f"One clip of “{name}”: maps are means over channels or the class's score")
    return figure


def _image(clip: Tensor) -> np.ndarray:
    frame = clip[0, :, clip.shape[2] // 2].movedim(0, -1).numpy()
    return (frame - frame.min()) / (frame.max() - frame.min())


def _shape(maps: Tensor) -> str:
    return "×".join(str(size) for size in (maps.shape[1], *maps.shape[3:]))


def _bars(axes: Axes, logits: Tensor, wanted: int, title: str) -> None:
    colours = [COLOURS[1] if k == wanted else COLOURS[0] for k in range(len(logits))]
    axes.bar(range(len(logits)), logits.numpy(), color=colours)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("class")


def resolution_sweep(records: Records) -> Figure:
    """Top-1 of student and KD student against multiply-accumulates, a point a resolution."""
    figure, axes = panels(width=6.5, height=4)
    plot = axes[0, 0]
    for kind, colour, marker in (
        ("direct", COLOURS[0], "o"),
        ("KD", COLOURS[1], "s"),
    ):
        by_pixels = {size: group for (name, size), group in records.items() if name == kind}
        groups = list(by_pixels.values())
        cost = [1e3 * group[0].result["cost"]["gmacs"] for group in groups]
        means = [tables.accuracy(group) for group in groups]
        ends = error_bars(means)
        plot.errorbar(
            cost,
            [mean.estimate for mean in means],
            ends,
            color=colour,
            marker=marker,
            capsize=3,
            label={"direct": "labels alone", "KD": "feature KD from full resolution"}[kind],
        )
        if kind == "direct":
            for size, x, mean in zip(by_pixels, cost, means, strict=True):
                plot.annotate(
                    f"{size} px", (x, mean.estimate), (6, -12), textcoords="offset points"
                )
    plot.set_xscale("log", base=2)
    plot.set_xticks(cost, [f"{each:.3g}" for each in cost])
    plot.margins(x=0.12)
    plot.set_xlabel("million multiply-accumulates a clip, on a scale of doublings")
    plot.set_ylabel("top-1 on test clips, %")
    plot.set_title(f"Accuracy against cost ({_basis(records)})")
    plot.legend(loc="lower right")
    return figure


def _basis(records: Records) -> str:
    count = len(next(iter(records.values())))
    return f"{count} seeds, 95% t" if count > 1 else "one seed, no spread"
