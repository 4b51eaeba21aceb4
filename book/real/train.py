"""Train the runs on complete CIFAR-100: `python -m book.real.train FOLDER [PAIR ...]`.

FOLDER holds the data sets. PAIR is "resnet", "wrn" or "resolution"; all by default. It may be
stopped at any moment, and goes on when it is called again. On one core of a CPU "resnet" and
"resolution" together take about an hour an epoch, by their own estimate.
"""

import sys

from book.adaptive.tables import selection_table
from book.real.runs import PAIRS, resolutions, selections
from book.resolution.tables import target_table
from kdlib.errors import UserError, unknown
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.store import run_key
from kdlib.study.setting import Setting

SEEDS = (0,)


def main(folder: str, *wanted: str) -> None:
    """Train what is missing of these, and print a table of each whose runs are all there."""
    resnet, wrn = PAIRS
    groups = {
        "resnet": (selections(resnet, SEEDS), selection_table),
        "wrn": (selections(wrn, SEEDS), selection_table),
        "resolution": (resolutions(SEEDS), target_table),
    }
    for name in wanted:
        if name not in groups:
            raise unknown("PAIR", name, groups)
    setting = Setting("laptop", "image:cifar100", data=folder, jobs=1)
    chosen = {name: groups[name] for name in wanted or groups}
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


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
