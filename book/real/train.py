"""Train the runs on complete CIFAR-100, and print their tables.

A training may be stopped at any moment, and goes on when it is called again. On one core of a CPU
"resnet" and "resolution" together take about an hour an epoch, by their own estimate.
"""

import argparse
import sys

from book.adaptive.tables import selection_table
from book.real.runs import BATCH, EPOCHS, PAIRS, cifar, resolutions, selections
from book.resolution.tables import target_table
from kdlib.errors import UserError, unknown
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.store import run_key
from kdlib.study.setting import Setting

RESNET, WRN = PAIRS
GROUPS = {
    "resnet": (lambda seeds, bed: selections(RESNET, seeds, bed), selection_table),
    "wrn": (lambda seeds, bed: selections(WRN, seeds, bed), selection_table),
    "resolution": (resolutions, target_table),
}


def main(given: list[str]) -> None:
    """Train what is missing of these, and print a table of each whose runs are all there."""
    options = _arguments(given)
    for name in options.groups:
        if name not in GROUPS:
            raise unknown("GROUP", name, GROUPS)
    setting = Setting(
        "laptop", "image:cifar100", options.folder, device=options.device, jobs=options.jobs
    )
    bed = cifar(options.epochs, options.batch, precision=options.precision)
    chosen = {
        name: (GROUPS[name][0](range(options.seeds), bed), GROUPS[name][1])
        for name in options.groups or GROUPS
    }
    for made, _ in chosen.values():
        for label in options.without:
            made.pop(label, None)
    specs = [spec for made, _ in chosen.values() for group in made.values() for spec in group]
    keys, store = setting.datasets.keys(specs), setting.run_store
    todo, found = plan(specs, store, setting.device, keys)
    print(f"{found} runs in the store, {len(todo)} to train")
    run_all(todo, store, setting.datasets, device=setting.device, jobs=setting.jobs)
    for name, (made, table) in chosen.items():
        records = {
            label: [store.find(run_key(spec, setting.device, keys)) for spec in group]
            for label, group in made.items()
        }
        if all(record for group in records.values() for record in group):
            print(f"\n{name}\n{table(records).to_string()}")


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
    return parser.parse_args(given)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
