"""What was tried for the testbed of the adaptive chapter: `python -m book.adaptive.search`.

Each candidate is a row of three seeds whose clips and images no reported run has. KD's gain over
labels alone decides between testbeds; between a base method's constants its own gain does, with as
many candidates for each, on clips and on images alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from book.adaptive.runs import Runs, lasting
from kdlib.runs.spec import RunSpec
from kdlib.study.search import SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting

TESTBEDS: Mapping[str, Mapping[str, float]] = {
    "crisp labels, the same samples": {"more": 1},
    "crisp labels, a teacher of 4 times": {"more": 4},
    "10 % of labels drawn, the same samples": {"more": 1, "label_noise": 0.1},
    "10 % of labels drawn, a teacher of 4 times": {"more": 4, "label_noise": 0.1},
    "overlapping classes, a teacher of 4 times": {"more": 4, "overlap": 1.0},
}
CHOSEN = "10 % of labels drawn, a teacher of 4 times"
# Of each base method as many candidates: its temperature, its own constants, or its weights.
TEMPERATURES = {f"T = {t:g}": {"temperature": t} for t in (1.0, 2.0, 4.0)}
WEIGHTS = {
    f"{label:g} / {weight:g}": {"label_weight": label, "weight": weight}
    for label, weight in ((0.1, 0.9), (0.5, 0.5), (1.0, 1.0))
}
CANDIDATES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "kd": TEMPERATURES,
    "dkd": {
        "α = .1, β = 1, CE .1, T = 1": {"temperature": 1.0},
        "α = 1, β = 1, CE 1, T = 1": {"temperature": 1.0, "alpha": 1.0, "label_weight": 1.0},
        "α = 1, β = 1, CE 1, T = 4": {"alpha": 1.0, "label_weight": 1.0},
    },
    "ctkd": WEIGHTS,
    "gkd": WEIGHTS,
    "crosskd": TEMPERATURES,
    "dualkd": TEMPERATURES,
}
PAIRS = ("SlowFast", "ResNet")


def candidates(runs: Runs) -> Candidates:
    """The constants of each base method on the chosen testbed, then all testbeds under KD."""
    found = {}
    for pair in PAIRS:
        for base, several in CANDIDATES.items():
            for name, options in several.items():
                make = partial(_under, runs, pair, base, options)
                found |= _row(f"{pair}: {CHOSEN}", f"{base}, {name}", make)
        for testbed in TESTBEDS:
            name, kd = f"{pair}: {testbed}", partial(_under, runs, pair, "kd", {"temperature": 1.0})
            found |= _row(name, "kd, T = 1", kd)
            specs = found[name, "kd, T = 1"]
            found[name, "teacher"] = tuple(spec.method.teachers[0] for spec in specs)
            found |= _row(name, "labels alone", partial(runs.direct, pair))
    return found


def _under(runs: Runs, pair: str, base: str, options: Mapping[str, float], seed: int) -> RunSpec:
    spec = runs.vanilla(pair, base, seed)
    return replace(spec, method=replace(spec.method, options=dict(options)))


def _row(testbed: str, training: str, make: Callable[[int], RunSpec]) -> Candidates:
    data = TESTBEDS[testbed.partition(": ")[2]]
    return {(testbed, training): tuple(_altered(make(seed), **data) for seed in SEEDS)}


def _altered(spec: RunSpec, more: int, **data: float) -> RunSpec:
    """A run on other data; its teacher sees `more` times its samples, in as many steps as ever."""
    new = {"label_noise": 0.0, "overlap": 0.0, "validation": 24, "test": 1200, **data}
    teachers = tuple(
        replace(
            teacher,
            data=replace(teacher.data, **{**new, "train": more * spec.data.train}),
            recipe=lasting(
                teacher.recipe,
                teacher.recipe.epochs * teacher.data.train // (more * spec.data.train),
            ),
        )
        for teacher in spec.method.teachers
    )
    method = replace(spec.method, teachers=teachers)
    return replace(spec, data=replace(spec.data, **new), method=method)


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting(jobs=1)
    table = search(candidates(Runs(setting)), setting, lambda label: (label[0], "labels alone"))
    print(f"kept in {keep('adaptive', table)}")


if __name__ == "__main__":
    main()
