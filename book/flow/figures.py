"""The figures of the flow chapter: pictures of flow, accuracy by class, and the decoder."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from torch import Tensor
from torchvision.utils import flow_to_image

from book.flow import classes
from book.flow.measured import clip_frames, decoded, true_flow, tvl1_flow
from kdlib import models
from kdlib.analysis.plots import COLOURS, error_bars, panels, picture
from kdlib.analysis.statistics import mean_interval
from kdlib.methods.flow_probe import reduced
from kdlib.models.flow_decoder import FlowDecoder
from kdlib.runs.store import RunRecord
from kdlib.study.chapter import Records
from kdlib.study.setting import Setting
from kdlib.tasks.flow import enlarged

MOST = 25  # classes at either end, as in the paper
COLUMNS = 6  # clips
DECODED = {
    "S3D-G": ("S3D-G", "frozen"),
    "D3D": ("D3D", "frozen"),
    "D3D,\nfine-tuned": ("D3D", "fine-tuned"),
}


def flow_pictures(records: Records, setting: Setting) -> Figure:
    """Figure 1: a column a test clip of the first seed, at its middle pair of frames.

    Flow is a colour, its direction the hue and its length the strength, on one scale a clip: full
    strength is the longest known flow, or longer.
    """
    probes = {name: records[label][0] for name, label in DECODED.items()}
    first = probes["S3D-G"]
    chosen = shown_clips(first, setting)
    frames, known = clip_frames(first, setting)[chosen], true_flow(first, setting)[chosen]
    computed = known
    rows = {}
    if first.spec.data.generated:
        computed = tvl1_flow(first, setting)[chosen]
        rows["true flow"] = known
    rows |= {"TV-L1": computed, "TV-L1,\nas decoded": coarse(computed, first)}
    rows |= {name: decoded(probe, setting)[chosen] for name, probe in probes.items()}
    pair = known.shape[1] // 2
    shown = colours({name: flow[:, pair] for name, flow in rows.items()})
    shown = {"frame": frames[:, pair].numpy(), **shown}
    figure, axes = panels(
        len(shown), len(chosen), width=1.05 * len(chosen) + 0.9, height=1.05 * len(shown) + 0.4
    )
    labels = first.traces["labels"][chosen]
    names = [first.result["classes"][label].replace(" ", "\n") for label in labels]
    for row, (line, (name, images)) in enumerate(zip(axes, shown.items(), strict=True)):
        for axis, image, title in zip(line, images, names, strict=True):
            picture(axis, image, "" if row else title)
        line[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    return figure


def shown_clips(record: RunRecord, setting: Setting) -> np.ndarray:
    """The first test clip of each of some classes, of those told apart by motion if any are."""
    labels = record.traces["labels"]
    kinds = classes.kinds(record)
    wanted = kinds.get("motion") or np.unique(labels).tolist()
    return np.array([np.flatnonzero(labels == label)[0] for label in wanted[:COLUMNS]])


def coarse(flow: Tensor, probe: RunRecord) -> Tensor:
    """Flow (N, T - 1, 2, H, W) as a probe could give it at best: by the places of its map."""
    frames = torch.cat([flow, flow[:, -1:]], 1)
    with torch.no_grad():
        clip = torch.zeros(1, probe.result["input"][0], *frames.shape[1:2], *frames.shape[3:])
        maps = probe.student().stages(clip, ["MaxPool_3a"])["MaxPool_3a"].transpose(1, 2)
    return enlarged(reduced(flow, maps, magnitude=False), frames)[:, :-1]


def colours(flows: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Flows (N, 2, H, W) by name as images uint8 (N, H, W, 3), each clip on one scale.

    Full strength is the first one's longest flow; what is longer in another looks as long.
    """
    together = torch.stack(list(flows.values()), 1).float()
    lengths = together.norm(dim=2, keepdim=True)
    longest = lengths[:, :1].amax((2, 3, 4), keepdim=True).clamp(min=1e-6)
    together = together * (longest / lengths.clamp(min=1e-6)).clamp(max=1)
    images = np.stack([flow_to_image(clip).permute(0, 2, 3, 1).numpy() for clip in together], 1)
    return dict(zip(flows, images, strict=True))


# Accuracy by class


def class_bars(records: Records) -> Figure:
    """Figure 2: the accuracy of D3D on each class, the best above; 95 % intervals over seeds."""
    (group,) = records.values()
    values = pd.concat([classes.by_class(record) for record in group], axis=1)
    figure = _bars(values, group[0], "top-1 on test clips, %")
    figure.axes[0].set_xlim(0, 100)
    return figure


def change_bars(records: Records) -> Figure:
    """Figure 3: what each class gains by distillation, the most above, and how many do."""
    ours, theirs = records["D3D",], records["S3D-G",]
    values = pd.concat(
        [classes.by_class(a) - classes.by_class(b) for a, b in zip(ours, theirs, strict=True)],
        axis=1,
    )
    figure = _bars(values, ours[0], "D3D less S3D-G, points")
    improved, degraded, same = classes.counts(values.mean(axis=1))
    figure.axes[0].axvline(0, color="0.4", linewidth=0.8)
    left, right = figure.axes[0].get_xlim()
    figure.axes[0].set_xlim(max(left, -100), min(right, 100))
    figure.axes[0].set_title(
        f"{improved} of {len(values)} classes improve, {degraded} degrade, {same} stay", fontsize=10
    )
    return figure


def _bars(values: pd.DataFrame, record: RunRecord, unit: str) -> Figure:
    """A bar a class (row) with its interval over seeds (columns), by size; the ends of many."""
    order = values.mean(axis=1).sort_values(ascending=False).index
    if len(order) > 2 * MOST:
        order = order[:MOST].append(order[-MOST:])
    names = [record.result["classes"][label] for label in order]
    intervals = [mean_interval(values.loc[label].to_numpy()) for label in order]
    kinds = classes.kinds(record)
    colour = {label: COLOURS[n] for n, kind in enumerate(kinds) for label in kinds[kind]}
    figure, axes = panels(width=7.0, height=0.24 * len(order) + 1.1)
    plot = axes[0, 0]
    plot.barh(
        range(len(order)),
        [interval.estimate for interval in intervals],
        xerr=error_bars(intervals),
        color=[colour.get(label, "0.6") for label in order],
        error_kw={"elinewidth": 0.9, "ecolor": "0.25"},
    )
    plot.set_yticks(range(len(order)), names, fontsize=8.5)
    plot.invert_yaxis()
    plot.grid(visible=False, axis="y")
    plot.set_xlabel(unit)
    if kinds:
        keys = [Patch(color=COLOURS[n], label=f"by {kind}") for n, kind in enumerate(kinds)]
        plot.legend(
            handles=keys, title="told apart", loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8
        )
    return figure


# The decoder


def decoder_drawing(records: Records) -> Figure:
    """Figure 4: the decoder of the published network, drawn from the module itself."""
    return drawn(FlowDecoder(_width_at_3a(), 3))


def _width_at_3a() -> int:
    with torch.device("meta"):
        network = models.build("s3dg", 1).eval()
        maps = network.stages(torch.empty(1, 3, 8, 64, 64), ["MaxPool_3a"])
    return maps["MaxPool_3a"].shape[1]


def drawn(decoder: FlowDecoder) -> Figure:
    """Its layers from left to right, with the channels in and out, and whose maps each one sees."""
    layers = [*decoder.convs, decoder.predict]
    figure, axes = panels(width=1.25 * (len(layers) + 2), height=3.0)
    plot = axes[0, 0]
    plot.set_axis_off()
    plot.set(xlim=(-0.6, len(layers) + 1.6), ylim=(-0.55, 2.15))
    first = layers[0].in_channels
    _box(plot, 0, f"map at 3A\n{first} channels", "0.92")
    for place, layer in enumerate(layers, 1):
        height, width = layer.kernel_size
        after = "no activation" if layer is decoder.predict else "LeakyReLU 0.1"
        text = f"conv {height} × {width}\n{layer.in_channels} → {layer.out_channels}\n{after}"
        _box(plot, place, text, "#dbe9f6" if layer is not decoder.predict else "#fde5cc")
        for source in _sources(layers, place):
            bend = -0.3 - 0.02 * (place - source)
            _arrow(plot, source, place, bend if place - source > 1 else 0.0)
    out = layers[-1].out_channels
    _box(plot, len(layers) + 1, f"flow\n{out} channels", "0.92")
    _arrow(plot, len(layers), len(layers) + 1, 0.0)
    total = sum(parameter.numel() for parameter in decoder.parameters())
    plot.set_title(
        f"{total / 1e6:.2f} million parameters; an arrow is a map that is seen", fontsize=10
    )
    return figure


def _sources(layers: Sequence[torch.nn.Module], place: int) -> list[int]:
    """Which of the map (0) and the layers (from 1) a layer sees: as many channels as it has in."""
    widths = [layers[0].in_channels, *(layer.out_channels for layer in layers)]
    found, left = [], layers[place - 1].in_channels
    for source in reversed(range(place)):
        if left:
            found.append(source)
            left -= widths[source]
    if left:
        raise ValueError(f"layer {place} sees {left} channels more than there are before it")
    return found


def _box(plot: Axes, place: int, text: str, colour: str) -> None:
    plot.add_patch(
        FancyBboxPatch(
            (place - 0.38, -0.45), 0.76, 0.9, "round,pad=0.02", facecolor=colour, edgecolor="0.5"
        )
    )
    plot.text(place, 0, text, ha="center", va="center", fontsize=7.5)


def _arrow(plot: Axes, source: int, target: int, bend: float) -> None:
    """From box to box where it does not bend, from top to top where it does."""
    ends = (
        ((source + 0.15, 0.48), (target - 0.15, 0.48))
        if bend
        else ((source + 0.4, 0.0), (target - 0.4, 0.0))
    )
    plot.add_patch(
        FancyArrowPatch(
            *ends,
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=8,
            color="0.45",
            linewidth=0.9,
        )
    )
