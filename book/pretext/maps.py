"""Figure 1: which layers of teachers and student see clips alike (CKA), and how blocky that is."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from kdlib.analysis.blocks import block_structure
from kdlib.analysis.cka import CKAMap, cka_map
from kdlib.analysis.plots import layer_maps
from kdlib.clips.batches import Batch, ordered_batches
from kdlib.runs.build import clip_source
from kdlib.runs.store import RunRecord
from kdlib.study.chapter import Records
from kdlib.study.setting import Setting

NETWORKS = ("R21D teacher", "ShuffleNet teacher", "ShuffleNet student")
CLIPS, BATCH = 256, 32  # of the test split


def test_batches(record: RunRecord, setting: Setting) -> Iterator[Batch]:
    """The first test clips of a run's target."""
    data = record.spec.data
    source = clip_source(setting.datasets.load(data)["test"], data, "test")
    indices = np.arange(min(CLIPS, len(source.videos)))
    return ordered_batches(source, torch.device("cpu"), BATCH, indices)


test_batches.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it by its name


def layer_map(one: RunRecord, other: RunRecord, setting: Setting) -> CKAMap:
    """CKA of all modules of two networks on test clips of the first one's target."""
    first, second = one.student().eval(), other.student().eval()
    batches = test_batches(one, setting)
    return cka_map(first, first if one is other else second, batches)


def figure(records: Records, setting: Setting) -> Figure:
    """Each network with itself, then every two of them; of the first seed."""
    first = {name: records[name,][0] for name in NETWORKS}
    pairs = [(name, name) for name in NETWORKS] + list(combinations(NETWORKS, 2))
    maps = {}
    for one, other in pairs:
        frame = layer_map(first[one], first[other], setting).to_frame()
        title = one if one == other else f"{one} ×\n{other}"
        maps[title] = frame.rename_axis(index=one, columns=other)
    return layer_maps(maps)


def block_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a network: the blocks of its own map by seed, and a bootstrap interval of the first."""
    rows = []
    for name in NETWORKS:
        maps = [layer_map(record, record, setting) for record in records[name,]]
        low, high = maps[0].interval(block_structure)
        scores = [block_structure(each.values) for each in maps]
        rows.append(
            {
                "network": name,
                "layers": len(maps[0].names[0]),
                "score of blocks, by seed": ", ".join(f"{score:.3f}" for score in scores),
                "seed 0, other clips": f"{float(low):.3f} to {float(high):.3f}",
            }
        )
    return pd.DataFrame(rows)


def blocks(record: RunRecord, setting: Setting) -> float:
    """The score of blocks of a network's own map."""
    return block_structure(layer_map(record, record, setting).values)
