"""Runs an hour of one and of two one-thread workers on the same plan, and the memory of a worker.

    python -m benchmarks.workers [--runs 8] [--epochs 24]

Each count of workers gets a store of its own; generated clips are made before the clock starts.
Start-up of the workers (imports) is timed apart, by a plan of one tiny run for each worker.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd

from book.resolution.runs import Runs
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import RunStore
from kdlib.study.setting import Setting


def seconds(specs: list[RunSpec], setting: Setting, folder: Path, jobs: int) -> tuple[float, list]:
    """Wall seconds of executing these runs in a fresh store, and their records."""
    store, datasets = RunStore(folder), setting.datasets
    missing, _ = plan(specs, store, "cpu", datasets.keys(specs))
    started = time.perf_counter()
    run_all(missing, store, datasets, device="cpu", jobs=jobs)
    return time.perf_counter() - started, [store.find(run.key) for run in missing]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=24)
    options = parser.parse_args()
    setting = Setting()
    runs = Runs(setting)
    spec = runs.direct(0)
    recipe = replace(spec.recipe, epochs=options.epochs)
    specs = [replace(spec, recipe=recipe, seed=seed) for seed in range(options.runs)]
    setting.datasets.load(spec.data)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for jobs in (1, 2):
            short = replace(recipe, epochs=1, warmup_epochs=0)
            starting = [replace(spec, recipe=short, seed=seed) for seed in range(jobs)]
            start, _ = seconds(starting, setting, Path(folder) / f"start-{jobs}", jobs)
            total, records = seconds(specs, setting, Path(folder) / f"runs-{jobs}", jobs)
            memory = max(record.result["cost"]["peak_memory_bytes"] for record in records)
            rows.append(
                {
                    "workers": jobs,
                    "start-up s": round(start, 1),
                    "runs an hour": round(3600 * options.runs / (total - start)),
                    "peak memory of a worker, MB": round(memory / 1e6),
                }
            )
    table = pd.DataFrame(rows)
    table["ratio"] = (table["runs an hour"] / table["runs an hour"][0]).round(2)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
