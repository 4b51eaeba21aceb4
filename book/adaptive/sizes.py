"""Table 3: the paper's networks at true size, counted, and timed here."""

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from book.adaptive.tables import published
from kdlib import models
from kdlib.models.cost import cost, frames_per_second
from kdlib.study.chapter import Records

# Each row's network, classes, frames, and what its printed numbers count.
TRUE_SIZE = {
    "TPN-f32s2": ("tpn", {"backbone": "r101_f32s2"}, 400, 32, ""),
    "TPN-f8s8": ("tpn", {"backbone": "r50_f8s8"}, 400, 32, "FLOPs of 32 frames, though it takes 8"),
    "SF16×8": ("slowfast", {"backbone": "r101_16x8"}, 101, 32, ""),
    "SF8×8": ("slowfast", {"backbone": "r50_8x8"}, 400, 32, "400 classes, the others 101"),
    "SF4×16": ("slowfast", {"backbone": "r50_4x16"}, 101, 32, ""),
    "SwinS": (
        "swin3d",
        {"backbone": "swin3d_s"},
        400,
        32,
        "no position tables, no attention",
    ),
    "SwinT": (
        "swin3d",
        {"backbone": "swin3d_t"},
        400,
        32,
        "no position tables, no attention",
    ),
    "WRN40-2": ("wrn", {"depth": 40, "widen": 2}, 100, 1, ""),
    "WRN40-1": ("wrn", {"depth": 40, "widen": 1}, 100, 1, ""),
    "WRN16-2": ("wrn", {"depth": 16, "widen": 2}, 100, 1, ""),
    "RN110": ("resnet_cifar", {"depth": 110}, 100, 1, ""),
    "RN56": ("resnet_cifar", {"depth": 56}, 100, 1, ""),
    "RN32×4": ("resnet_cifar", {"depth": 32, "width": 64, "stem": 32}, 100, 1, ""),
    "RN32": ("resnet_cifar", {"depth": 32}, 100, 1, ""),
    "RN20": ("resnet_cifar", {"depth": 20}, 100, 1, ""),
    "RN8×4": ("resnet_cifar", {"depth": 8, "width": 64, "stem": 32}, 100, 1, ""),
}


def speed_table(records: Records, *, videos: bool) -> pd.DataFrame:
    """Table 3: `size_table`, and frames a second of one thread here; of images alone if not videos.

    The seven video networks take about a minute.
    """
    table = size_table()
    speeds = []
    for model, options, classes, frames, _ in TRUE_SIZE.values():
        shape = (3, frames, *[224 if frames > 1 else 32] * 2)
        timed = videos or frames == 1
        speeds.append(frames_per_second(model, classes, shape, **options) if timed else np.nan)
    table.insert(len(table.columns) - 1, "frames/s", [f"{x:.1f}" if x > 0 else "–" for x in speeds])
    table.insert(len(table.columns) - 1, "paper|FPS", published(3)["FPS"])
    return table


def size_table() -> pd.DataFrame:
    """Table 3 without its speeds: parameters and multiply-accumulates, counted and printed."""
    printed = published(3).set_index("Backbone")
    parameters, rows = parameter_counts(), []
    for name, (model, options, classes, frames, note) in TRUE_SIZE.items():
        side = 224 if frames > 1 else 32
        gmacs = cost(model, classes, (3, frames, side, side), **options)["gmacs"]
        if model == "swin3d":
            gmacs -= _attention_gmacs(classes, frames, **options)
        rows.append(
            {
                "network": name,
                "classes": classes,
                "frames": frames,
                "parameters (M)": round(parameters[name], 2),
                "paper|Params (M)": printed["Params (M)"][name],
                "GMACs": round(gmacs, 2),
                "paper|GFLOPs": printed["GFLOPs"][name],
                "the printed numbers": note,
            }
        )
    return pd.DataFrame(rows)


def parameter_counts() -> pd.Series:
    """Millions of parameters by network as Table 3 counts them: without Swin's position tables."""
    counts = {}
    for name, (model, options, classes, _, _) in TRUE_SIZE.items():
        with torch.device("meta"):
            named = models.build(model, classes, **options).named_parameters()
        counted = (p for n, p in named if "relative_position_bias_table" not in n)
        counts[name] = sum(p.numel() for p in counted) / 1e6
    return pd.Series(counts)


def _attention_gmacs(classes: int, frames: int, **options: str) -> float:
    """Giga multiply-accumulates of the two products of Swin's attention."""
    with torch.device("meta"):
        model = models.build("swin3d", classes, **options).eval()
        clip = torch.empty(1, 3, frames, 224, 224)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(clip)
    products = counter.get_flop_counts()["Global"][torch.ops.aten.bmm]
    return products / 2e9
