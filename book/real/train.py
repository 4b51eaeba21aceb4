"""Train the runs on complete CIFAR-100 and JHMDB-21, and print their tables.

A training may be stopped at any moment, and goes on when it is called again. On one core of a CPU
"resnet" and "resolution" together take about an hour an epoch, by their own estimate.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from book.adaptive.tables import selection_table
from book.real.runs import BATCH, EPOCHS, PAIRS, RATIO, cifar, on_clips, resolutions, selections
from book.resolution.tables import target_table
from kdlib.errors import UserError, unknown
from kdlib.press.reference import FOLDER, write_about, write_runs
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.store import RunRecord, run_key
from kdlib.study import artifacts
from kdlib.study.published import read_table
from kdlib.study.seal import write_text
from kdlib.study.setting import Setting, default_role

RESNET, WRN = PAIRS
# By name: the runs, the table, and the artifact that it is shown beside.
GROUPS = {
    "resnet": (lambda seeds, bed: selections(RESNET, seeds, bed), selection_table, "sakd/images"),
    "wrn": (lambda seeds, bed: selections(WRN, seeds, bed), selection_table, "sakd/table-05"),
    "resolution": (resolutions, target_table, "reskd/targets"),
    "clips": (
        lambda seeds, bed: selections(RESNET, seeds, on_clips(bed)),
        selection_table,
        "sakd/selections",
    ),
}
PUBLISHED = Path(__file__).with_name("published.csv")
REMARK = (
    "The complete set by the networks that the papers print for CIFAR-100: {epochs} epochs at "
    "batch {batch} (on CIFAR-100 the published are 240 at 64), a cosine in place of three steps, "
    "SAKD's share of samples {ratio} (not printed). Of CIFAR-100 5,000 of the 50,000 training "
    "images are set apart for validation; networks on clips start from those trained on it. "
    "Printed values are of other trainings; book/real/published.csv names their sources."
)


def main(given: list[str]) -> None:
    """Train what is missing of these, and show a table of each whose runs are all there."""
    options = _arguments(given)
    for name in options.groups:
        if name not in GROUPS:
            raise unknown("GROUP", name, GROUPS)
    for name, least in (("epochs", 2), ("batch", 1), ("seeds", 1)):
        if getattr(options, name) < least:
            raise UserError(f"--{name}: {least} or more, not {getattr(options, name)}")
    if options.keep and not re.fullmatch(r"[\w-]+", options.keep):
        raise UserError(f"--keep: a name of letters, digits and -, not {options.keep!r}")
    setting = Setting(
        "laptop", "image:cifar100", options.folder, device=options.device, jobs=options.jobs
    )
    bed = cifar(options.epochs, options.batch, precision=options.precision)
    chosen = {name: GROUPS[name][0](range(options.seeds), bed) for name in options.groups or GROUPS}
    for label in options.without:
        rows = {row for made in chosen.values() for row in made}
        if label not in rows:
            raise unknown("--without", label, rows)
        for made in chosen.values():
            made.pop(label, None)
    specs = [spec for made in chosen.values() for group in made.values() for spec in group]
    keys, store = setting.datasets.keys(specs), setting.run_store
    todo, found = plan(specs, store, setting.device, keys)
    print(f"{found} runs in the store, {len(todo)} to train")
    run_all(todo, store, setting.datasets, device=setting.device, jobs=setting.jobs)
    for name, made in chosen.items():
        records = {
            label: [store.find(run_key(spec, setting.device, keys)) for spec in group]
            for label, group in made.items()
        }
        if all(record for group in records.values() for record in group):
            table = with_published(GROUPS[name][1](records), name)
            print(f"\n{name}\n{table.to_string()}")
            if options.keep:
                keep(table, name, records, options.keep)


def with_published(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """The table with a column of what is printed for its rows elsewhere, if anything is."""
    printed = read_table(PUBLISHED).query("group == @group").set_index("training")
    found = [printed["top-1 %"].get(name, "–") for name in table["training"]]
    if set(found) != {"–"}:
        table.insert(list(table.columns).index("gain") + 1, "published", found)
    return table


def keep(
    table: pd.DataFrame, group: str, records: Mapping[str, Sequence[RunRecord]], name: str
) -> None:
    """Put the table and its runs among the reference results, where the book shows them."""
    runs = [record for group in records.values() for record in group]
    data = runs[0].spec.data.name
    role = default_role(data)
    folder = FOLDER / name / f"{role}={data}"
    path = folder / f"{GROUPS[group][2]}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, artifacts.numbers(table).to_csv(index=False))
    write_runs(path.with_suffix(".jsonl"), runs)
    recipe, machine = runs[0].spec.recipe, runs[0].environment
    remark = REMARK.format(epochs=recipe.epochs, batch=recipe.batch_size, ratio=RATIO)
    write_about(folder, name, {role: data}, machine["device_type"], machine["device"], remark)


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m book.real.train", description=__doc__)
    parser.add_argument("folder", help="it holds the data sets")
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--batch", type=int, default=BATCH, help="the rate goes with it")
    parser.add_argument("--precision", default="bf16-mixed", choices=("bf16-mixed", "32-true"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--without", action="append", default=[], help="a row to leave out")
    parser.add_argument("--keep", help="name of the reference results to put the tables into")
    return parser.parse_args(given)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
