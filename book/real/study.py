"""Real data, complete: what the other chapters' methods do on CIFAR-100 and on JHMDB-21.

Its runs take CPU hours, so only the profile `night` has them; elsewhere the chapter shows the
reference results that were kept.
"""

from functools import partial

from book.adaptive.tables import selection_table
from book.real.runs import CIFAR, JHMDB, PAIRS, Bed, resolutions, selections
from book.resolution.tables import target_table
from kdlib.study.chapter import Study
from kdlib.study.setting import Setting

PAPER = "real"
ROLES = ("image", "target")
BEDS = {"image": ("cifar100", CIFAR), "target": ("jhmdb21", JHMDB)}


def studies(setting: Setting) -> list[Study]:
    """All tables of the sets that are given."""
    if setting.profile != "night":
        return []
    found = []
    for role, (name, bed) in BEDS.items():
        if setting.roles.get(role) == name:
            found += _of(name, bed, setting.headline)
    return found


def _of(name: str, bed: Bed, seeds: tuple[int, ...]) -> list[Study]:
    pairs = dict(zip(("resnet", "wrn"), PAIRS, strict=True))
    tables = [
        Study(
            f"real/{name}-{short}",
            f"{pair} on {name}: KD, DKD and SAKD with its controls",
            selection_table,
            selections(pair, seeds, bed),
        )
        for short, pair in pairs.items()
    ]
    low = Study(
        f"real/{name}-resolution",
        f"ResKD on {name}: ResNet20 at 32 pixels teaches one at 16",
        partial(target_table),
        resolutions(seeds, bed),
    )
    return [tables[0], low, tables[1]]
