"""The settings of Tables 15 and 16 as data, and the two tables made of them.

The values are the appendix's; where the released scripts have others, `SCRIPTS` says which. What
neither says, such as the rate of ViT-H on Something-Something, is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import pandas as pd

from book.masked.printed import published
from kdlib.study.chapter import Records
from kdlib.training.recipe import Recipe

SIZES = ("S", "B", "L", "H")
Value = float | str | tuple[int, float] | None


@dataclass(frozen=True)
class PreTraining:
    """MVD on Kinetics-400: a row of Table 15 a field. base_rate: for a batch of 256."""

    optimizer: str = "AdamW"
    base_rate: float = 1.5e-4
    weight_decay: float = 0.05
    beta2: float = 0.95
    batch: int = 1024
    schedule: str = "cosine decay"
    warmup_epochs: int = 40
    augmentation: str = "MultiScaleCrop"
    drop_path: float = 0.1

    @property
    def recipe(self) -> Recipe:
        """As kdlib's loop is told; the text has the 400 epochs."""
        return Recipe(
            epochs=400,
            learning_rate=self.base_rate * self.batch / 256,
            batch_size=self.batch,
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            warmup_epochs=self.warmup_epochs,
        )


@dataclass(frozen=True)
class FineTuning:
    """A column of Table 16 for one size of network; its fields are the rows.

    randaugment: magnitude in tenths, and its standard deviation.
    """

    base_rate: float | None
    epochs: int | None
    optimizer: str = "AdamW"
    weight_decay: float = 0.05
    beta2: float = 0.999
    batch: int = 512
    schedule: str = "cosine decay"
    warmup_epochs: int = 5
    repeated_augmentation: int = 2
    flip: str = "yes"
    randaugment: tuple[int, float] = (9, 0.5)
    label_smoothing: float = 0.1
    mixup: float = 0.8
    cutmix: float = 1.0
    drop_path: float = 0.1
    dropout: float = 0.0
    layer_decay: float = 0.75

    @property
    def recipe(self) -> Recipe:
        """As kdlib's loop is told, but for drop path and dropout, which are options of the network;
        the spread of RandAugment's magnitude is not known to it. ValueError where rate or epochs
        are unknown."""
        if self.base_rate is None or self.epochs is None:
            raise ValueError("the appendix has no rate or no epochs for this network")
        return Recipe(
            epochs=self.epochs,
            learning_rate=self.base_rate * self.batch / 256,
            batch_size=self.batch,
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            warmup_epochs=self.warmup_epochs,
            rand_augment=self.randaugment[0],
            repeats=self.repeated_augmentation,
            label_smoothing=self.label_smoothing,
            mixup=self.mixup,
            cutmix=self.cutmix,
            layer_decay=self.layer_decay,
        )


PRETRAINING = {
    "S": PreTraining(),
    "B": PreTraining(),
    "L": PreTraining(batch=512, drop_path=0.2),
    "H": PreTraining(batch=512, drop_path=0.2),
}
_LARGE = {"drop_path": 0.3, "dropout": 0.5}
_SOMETHING = FineTuning(5e-4, 30, flip="no")
_KINETICS = FineTuning(1e-3, 75)
_UCF = FineTuning(5e-4, 100, batch=128, drop_path=0.2, dropout=0.5, layer_decay=0.7)
FINE_TUNING = {
    "Sth-Sth V2": {
        "S": replace(_SOMETHING, base_rate=1e-3, epochs=40, layer_decay=0.7),
        "B": _SOMETHING,
        "L": replace(_SOMETHING, **_LARGE),
        "H": replace(_SOMETHING, base_rate=None, epochs=None, **_LARGE),
    },
    "Kinetics-400": {
        "S": replace(_KINETICS, epochs=150),
        "B": _KINETICS,
        "L": replace(_KINETICS, epochs=50, **_LARGE),
        "H": replace(_KINETICS, epochs=None, **_LARGE),
    },
    "UCF101": {"B": _UCF},
    "HMDB51": {"B": replace(_UCF, base_rate=1e-3, epochs=50)},
}
# By table, heading and field, what the released scripts have instead, by size. Those of UCF101 and
# HMDB51 were not released.
SCRIPTS: dict[str, dict[str, dict[str, dict[str, Value]]]] = {
    "table-15": {"Kinetics-400": {"drop_path": {"S": 0.1, "B": 0.1, "L": 0.1, "H": 0.2}}},
    "table-16": {
        "Sth-Sth V2": {
            "batch": {"B": 384, "L": 256, "H": 128},
            "randaugment": {size: "rand-m7-n4-mstd0.5-inc1" for size in SIZES},
        },
        "Kinetics-400": {
            "base_rate": {"S": 5e-4, "B": 5e-4, "L": 1e-3, "H": 1e-3},
            "batch": {"S": 768, "B": 384, "L": 512},
            "randaugment": {size: "rand-m7-n4-mstd0.5-inc1" for size in SIZES},
        },
    },
}
# What the scripts have beside.
UNPRINTED = {
    "table-15": "lowest rate 1e-4 (S,B,L), 1e-5 (H), both for 256 clips; 401 epochs",
    "table-16": "random erasing 0.25; lowest rate 1e-6",
}
_NAMES = {
    "optimizer": "optimizer",
    "base_rate": "base learning rate",
    "weight_decay": "weight decay",
    "beta2": "optimizer momentum",
    "batch": "batch size",
    "schedule": "learning rate schedule",
    "warmup_epochs": "warmup epochs",
    "epochs": "training epochs",
    "augmentation": "augmentation",
    "repeated_augmentation": "repeated augmentation",
    "flip": "flip augmentation",
    "randaugment": "RandAug",
    "label_smoothing": "label smoothing",
    "mixup": "mixup",
    "cutmix": "cutmix",
    "drop_path": "drop path",
    "dropout": "dropout",
    "layer_decay": "layer-wise lr decay",
}


def pretraining_table(records: Records) -> pd.DataFrame:
    """Table 15, from `PRETRAINING`."""
    return _table("table-15", {"Kinetics-400": PRETRAINING})


def fine_tuning_table(records: Records) -> pd.DataFrame:
    """Table 16, from `FINE_TUNING`."""
    return _table("table-16", FINE_TUNING)


def _table(number: str, by_target: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """A row a setting: its value by target; whether all are as printed; what the scripts have."""
    printed = published(number).set_index("config")
    first = next(iter(next(iter(by_target.values())).values()))
    names = [field.name for field in fields(first)]  # type: ignore[arg-type]
    rows = []
    for name in sorted(names, key=list(_NAMES).index):
        config = _NAMES[name]
        made = {
            target: said(name, {size: getattr(one, name) for size, one in sizes.items()})
            for target, sizes in by_target.items()
        }
        same = all(made[target] == printed.loc[config, target] for target in made)
        scripts = [
            f"{target}: {said(name, values[name])}"
            for target, values in SCRIPTS[number].items()
            if name in values
        ]
        rows.append(
            {
                "config": config,
                **made,
                "as printed": "yes" if same else "no",
                "released scripts, where they differ": "; ".join(scripts) or None,
            }
        )
    beside = {"released scripts, where they differ": UNPRINTED[number]}
    return pd.DataFrame([*rows, {"config": "not printed", **beside}], dtype=object)


def said(name: str, by_size: Mapping[str, Value]) -> str:
    """One value, or values with the sizes that have them: "1e-3 (S), 5e-4 (B,L)".

    What is unknown or 0 is not said; sizes are named where not all of them have the same.
    """
    sizes: dict[str, list[str]] = {}
    for size, value in by_size.items():
        if value:
            sizes.setdefault(_text(name, value), []).append(size)
    everywhere = len(by_size) == 1 or [len(found) for found in sizes.values()] == [len(SIZES)]
    if everywhere:
        return next(iter(sizes))
    return ", ".join(f"{text} ({','.join(found)})" for text, found in sizes.items())


def _text(name: str, value: Value) -> str:
    if name == "beta2":
        return f"β1, β2=0.9, {value}"
    if name == "base_rate":
        return f"{value:.1e}".replace("e-0", "e-").replace(".0e", "e")
    return str(value)


def differences(number: str) -> list[str]:
    """What the released scripts have otherwise than a table, such as "batch size, Kinetics-400"."""
    return [
        f"{_NAMES[name]}, {target}" for target, values in SCRIPTS[number].items() for name in values
    ]
