"""How a chapter's testbed was chosen: what was tried, on clips that no reported number is from.

`book/<chapter>/search.py` names the candidates; run as a program it trains them and keeps the table
beside itself, as `search.csv`. The chapter shows what was kept: it trains nothing for it.
"""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

import pandas as pd

from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import run_key
from kdlib.study import tables
from kdlib.study.seal import write_text
from kdlib.study.setting import ROOT, Setting

SEEDS = (100, 101, 102)  # of clips that no reported run trains on or is tested with
Candidates = Mapping[tuple[str, str], tuple[RunSpec, ...]]
"""By testbed and training, the runs of `SEEDS`."""


def search(
    candidates: Candidates, setting: Setting, baseline: Callable[[Hashable], Hashable]
) -> pd.DataFrame:
    """A row a candidate: accuracy and, against its baseline, gain, each with the seeds' spread."""
    specs = [spec for group in candidates.values() for spec in group]
    keys = setting.datasets.keys(specs)
    todo, _ = plan(specs, setting.run_store, setting.device, keys)
    run_all(todo, setting.run_store, setting.datasets, device=setting.device, jobs=setting.jobs)
    found = {
        label: [setting.run_store.find(run_key(spec, setting.device, keys)) for spec in group]
        for label, group in candidates.items()
    }
    rows = []
    for label, records in found.items():
        if not all(records):
            continue
        scores = tables.accuracies(records)
        row = {"testbed": label[0], "training": label[1], "top-1 %": scores.mean()}
        row["sd"] = scores.std(ddof=1)
        if (base := baseline(label)) != label and all(found[base]):
            gains = scores - tables.accuracies(found[base])
            row |= {"gain": gains.mean(), "sd of the gain": gains.std(ddof=1)}
        rows.append({**row, "n": len(records)})
    return pd.DataFrame(rows).round(1)


def keep(chapter: str, table: pd.DataFrame) -> Path:
    """Write a chapter's `search.csv`."""
    path = _path(chapter)
    write_text(path, table.to_csv(index=False))
    return path


def kept(records: object, chapter: str) -> pd.DataFrame:
    """A chapter's `search.csv`, as a study makes it of no records."""
    return pd.read_csv(_path(chapter))


def _path(chapter: str) -> Path:
    return ROOT / "book" / chapter / "search.csv"
