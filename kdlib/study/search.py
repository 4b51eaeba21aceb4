"""How a chapter's testbed was chosen: what was tried, on clips that no reported number is from.

`book/<chapter>/search.py` names the candidates; run as a program it trains them and keeps the table
beside itself, as `search.csv`. The chapter shows what was kept: it trains nothing for it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import run_key
from kdlib.study import tables
from kdlib.study.published import read_table
from kdlib.study.readings import Reading
from kdlib.study.seal import write_text
from kdlib.study.setting import ROOT, Setting

SEEDS = (100, 101, 102)  # of clips that no reported run trains on or is tested with
BASELINE = "labels alone"
WORDS = ("testbed", "training")  # the columns that are no numbers
Candidates = Mapping[tuple[str, str], tuple[RunSpec, ...]]
"""By testbed and training, the runs of `SEEDS`."""


def search(candidates: Candidates, setting: Setting) -> pd.DataFrame:
    """A row a candidate: accuracy and gain over the testbed's `BASELINE`, with the seeds' spread.

    Trains what is missing; candidates of which a run failed are left out.
    """
    specs = [spec for group in candidates.values() for spec in group]
    keys = setting.datasets.keys(specs)
    todo, _ = plan(specs, setting.run_store, setting.device, keys)
    run_all(todo, setting.run_store, setting.datasets, device=setting.device, jobs=setting.jobs)
    scores = {}
    for label, group in candidates.items():
        found = [setting.run_store.find(run_key(spec, setting.device, keys)) for spec in group]
        records = [record for record in found if record]
        if len(records) == len(group):
            scores[label] = tables.accuracies(records)
    rows = []
    for (testbed, training), values in scores.items():
        row = {"testbed": testbed, "training": training, "top-1 %": values.mean()}
        row["sd"] = values.std(ddof=1)
        if training != BASELINE and (testbed, BASELINE) in scores:
            gains = values - scores[testbed, BASELINE]
            row |= {"gain": gains.mean(), "sd of the gain": gains.std(ddof=1)}
        rows.append({**row, "n": len(values)})
    return pd.DataFrame(rows).round(1)


def keep(chapter: str, table: pd.DataFrame) -> Path:
    """Write a chapter's `search.csv`."""
    path = _path(chapter)
    write_text(path, table.to_csv(index=False))
    return path


def kept(records: object, chapter: str) -> pd.DataFrame:
    """A chapter's `search.csv`, as a study makes it of no records."""
    table = read_table(_path(chapter))
    numbers = [name for name in table.columns if name not in WORDS]
    return table.astype({name: int if name == "n" else float for name in numbers})


def search_reading(value: pd.DataFrame, records: Any, training: str, why: str) -> Reading:
    """Between which testbeds the gain of one training ranges."""
    rows = value[value["training"] == training].set_index("testbed")["gain"].dropna()
    return Reading(
        f"The gain of “{training}” goes from {rows.min():+.1f} points ({rows.idxmin()}) to "
        f"{rows.max():+.1f} ({rows.idxmax()}).",
        why,
        "More seeds a candidate; at three, neighbours are told apart by a few points at best.",
    )


def _path(chapter: str) -> Path:
    return ROOT / "book" / chapter / "search.csv"
