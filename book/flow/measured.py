"""The tables of the flow chapter that are made of runs."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from book.flow import classes, streams
from kdlib.analysis.flow import end_point_error
from kdlib.analysis.statistics import Interval, mean_interval
from kdlib.clips.batches import ClipSource, ordered_batches
from kdlib.clips.pixels import to_unit
from kdlib.data.tvl1 import tvl1
from kdlib.runs.build import clip_source
from kdlib.runs.store import RunRecord
from kdlib.study import tables
from kdlib.study.chapter import Records
from kdlib.study.regimes import Cells
from kdlib.study.setting import Setting
from kdlib.training.evaluate import predict

PIXELS, FLOW, D3D, MARS = ("S3D-G",), ("flow teacher",), ("D3D",), ("MARS",)
TWO_STREAMS, BOTH = ("S3D-G and flow teacher, two streams",), ("D3D and S3D-G, together",)
_SEES = {FLOW: "flow", TWO_STREAMS: "both"}


def with_pairs(records: Records, setting: Setting) -> dict:
    """The records of the headline, and those that are judged two together."""
    return {
        **records,
        TWO_STREAMS: streams.pairs(records[PIXELS], records[FLOW], setting),
        BOTH: streams.pairs(records[D3D], records[PIXELS], setting),
    }


def headline_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a training, and what it sees at test time; gains are over S3D-G."""
    rows = []
    for label, group in with_pairs(records, setting).items():
        of_kind = {
            f"by {kind} %": mean_interval(
                [classes.of_kind(record, kind) for record in group]
            ).clipped(0, 100)
            for kind in classes.kinds(group[0])
        }
        rows.append(
            {
                "network": label[0],
                "sees": _SEES.get(label, "pixels"),
                "top-1 %": tables.accuracy(group),
                "gain": None if label == PIXELS else tables.gain(group, records[PIXELS]),
                **of_kind,
                "n": len(group),
                "train s": round(seconds(group), 1) if label in records else None,
            }
        )
    return pd.DataFrame(rows, dtype=object)


def teacher_table(records: Records) -> pd.DataFrame:
    """A row a training; gains are over S3D-G on labels alone."""
    return pd.DataFrame(
        {
            "training": label[0],
            "training clips": group[0].result["videos"]["train"],
            "top-1 %": tables.accuracy(group),
            "gain": None if label == PIXELS else tables.gain(group, records[PIXELS]),
            "n": len(group),
        }
        for label, group in records.items()
    )


def non_local_table(records: Records) -> pd.DataFrame:
    """A row a network with its cost, a column with and without distillation."""
    rows = []
    for prefix in ("", "NL "):
        alone, distilled = records[f"{prefix}S3D-G",], records[f"{prefix}D3D",]
        cost = alone[0].result["cost"]
        rows.append(
            {
                "network": f"{prefix}S3D-G",
                "parameters": f"{cost['parameters']:,}",
                "MMACs": round(1e3 * cost["gmacs"], 2),
                "labels alone|top-1 %": tables.accuracy(alone),
                "distilled|top-1 %": tables.accuracy(distilled),
                "distilled|gain": tables.gain(distilled, alone),
                "n": len(alone),
            }
        )
    return pd.DataFrame(rows)


def seconds(group: Sequence[RunRecord]) -> float:
    """The mean time of a training."""
    return float(np.mean([record.result["cost"]["training_seconds"] for record in group]))


# The probe


def probe_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a network: how far the flow decoded of it is from the known flow, and from TV-L1's.

    Above stand no motion at all, and TV-L1 itself where the true flow is known.
    """
    first = next(iter(records.values()))
    known = [true_flow(record, setting) for record in first]
    generated = first[0].spec.data.generated
    computed = [tvl1_flow(record, setting) for record in first] if generated else []
    rows = [_probe_row("no motion", "–", [torch.zeros_like(one) for one in known], known, computed)]
    if generated:
        rows.append(_probe_row("TV-L1", "–", computed, known, computed))
    for (network, how), group in records.items():
        flows = [decoded(record, setting) for record in group]
        rows.append(_probe_row(network, how, flows, known, computed))
        rows[-1]["error removed %"] = tables.accuracy(group)
    return pd.DataFrame(rows, dtype=object)


def _probe_row(
    network: str,
    how: str,
    flows: Sequence[Tensor],
    known: Sequence[Tensor],
    computed: Sequence[Tensor],
) -> dict:
    row = {"flow of": network, "its layers": how, "error, pixels": _error(flows, known)}
    if computed:
        row["from TV-L1, pixels"] = _error(flows, computed)
    return row | {"error removed %": None, "n": len(flows)}


def _error(flows: Sequence[Tensor], others: Sequence[Tensor]) -> str:
    """Their mean end-point error, to a hundredth of a pixel."""
    errors: Interval = mean_interval(list(map(end_point_error, flows, others)))
    return format(errors, ".2f")


@cache
def decoded(record: RunRecord, setting: Setting) -> Tensor:
    """The flow (N, T - 1, 2, H, W) that a probe makes of the test clips."""
    return _outputs(record, setting)[0]


def true_flow(record: RunRecord, setting: Setting) -> Tensor:
    """The known flow (N, T - 1, 2, H, W) of the test clips."""
    return _outputs(record, setting)[1]


@cache
def tvl1_flow(record: RunRecord, setting: Setting) -> Tensor:
    """TV-L1's flow (N, T - 1, 2, H, W) of the test clips."""
    return tvl1(clip_frames(record, setting))


def clip_frames(record: RunRecord, setting: Setting) -> Tensor:
    """The test clips uint8 (N, T, H, W, 3) as a network sees them."""
    batches = ordered_batches(_source(record, setting), torch.device("cpu"))
    clips = torch.cat([to_unit(batch.clips) for batch in batches])
    return (255 * clips).round().to(torch.uint8).permute(0, 2, 3, 4, 1)


@cache
def _outputs(record: RunRecord, setting: Setting) -> tuple[Tensor, Tensor]:
    outputs = predict(record.method(), _source(record, setting))
    assert outputs is not None
    return outputs.values[:, 0], outputs.truth["flow"][:, 0]


def _source(record: RunRecord, setting: Setting) -> ClipSource:
    data = record.spec.data
    return clip_source(setting.datasets.load(data)["test"], data, "test")


# The map

GAINS = {
    "D3D less S3D-G": ("D3D", "S3D-G"),
    "MARS less S3D-G": ("MARS", "S3D-G"),
    "two streams less S3D-G": ("two streams", "S3D-G"),
}


def with_streams(records: Cells, setting: Setting) -> Cells:
    """The records of the map, with two streams in each of its cells."""
    found = dict(records)
    for row, column in dict.fromkeys((row, column) for row, column, _ in records):
        ones, others = (records[row, column, name] for name in ("S3D-G", "flow teacher"))
        found[row, column, "two streams"] = streams.pairs(ones, others, setting)
    return found
