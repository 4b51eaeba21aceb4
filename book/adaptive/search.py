"""What was tried for the testbed of the adaptive chapter: `python -m book.adaptive.search`.

Each candidate is a row of three seeds whose clips and images no reported run has. In the first
round KD's gain over labels alone decided between testbeds, and its own gain between the constants
of each base method, with as many candidates for one as for another, on clips and on images alike.
The second round looked for a larger gain of KD: more of the clips' labels drawn, right labels in
their pre-training, longer trainings on images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from book.adaptive.runs import IMAGENET, Runs, lasting
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting


@dataclass(frozen=True)
class Testbed:
    """Data of a candidate, and epochs on images.

    more: how many times its student's samples a teacher has seen. label_noise, overlap: of the
    training samples, `start_noise` of the clips of the pre-training. epochs: on images, of a
    student and of a teacher that has seen 4 times its samples.
    """

    more: int = 4
    label_noise: float = 0.0
    overlap: float = 0.0
    start_noise: float = 0.1
    epochs: tuple[int, int] = (25, 10)


FIRST = {
    "crisp labels, the same samples": Testbed(more=1),
    "crisp labels, a teacher of 4 times": Testbed(),
    "10 % of labels drawn, the same samples": Testbed(more=1, label_noise=0.1),
    "10 % of labels drawn, a teacher of 4 times": Testbed(label_noise=0.1),
    "overlapping classes, a teacher of 4 times": Testbed(overlap=1.0),
}
TRIED = "10 % of labels drawn, a teacher of 4 times"  # with the constants below
SECOND = {
    "second round, 10 % drawn, pre-trained on right labels": (
        ("SlowFast",),
        Testbed(label_noise=0.1, start_noise=0.0),
    ),
    "second round, 20 % drawn, pre-trained on right labels": (
        ("SlowFast",),
        Testbed(label_noise=0.2, start_noise=0.0),
    ),
    "second round, 10 % drawn, 32 epochs": (
        ("ResNet", IMAGENET),
        Testbed(label_noise=0.1, epochs=(32, 12)),
    ),
    "second round, 10 % drawn, 40 epochs": (
        ("ResNet", IMAGENET),
        Testbed(label_noise=0.1, epochs=(40, 16)),
    ),
}
# Of each base method as many candidates: its temperature, its own constants, or its weights.
TEMPERATURES = {f"T = {t:g}": {"temperature": t} for t in (1.0, 2.0, 4.0)}
WEIGHTS = {
    f"{label:g} / {weight:g}": {"label_weight": label, "weight": weight}
    for label, weight in ((0.1, 0.9), (0.5, 0.5), (1.0, 1.0))
}
CONSTANTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
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


def candidates(runs: Runs) -> Candidates:
    """All rows: the constants of each base method, all testbeds under KD, and the second round."""
    found: Candidates = {}
    for pair in ("SlowFast", "ResNet"):
        for base, several in CONSTANTS.items():
            for name, options in several.items():
                make = partial(_under, runs, pair, base, options)
                row = (f"{pair}: {TRIED}", f"{base}, {name}")
                found |= {row: _seeds(make, FIRST[TRIED])}
        for name, testbed in FIRST.items():
            found |= _kd(runs, pair, f"{pair}: {name}", testbed)
    for name, (pairs, testbed) in SECOND.items():
        for pair in pairs:
            found |= _kd(runs, pair, f"{pair}: {name}", testbed)
    return found


def _kd(runs: Runs, pair: str, name: str, testbed: Testbed) -> Candidates:
    """Teacher, student on labels alone and under KD."""
    kd = _seeds(partial(_under, runs, pair, "kd", {"temperature": 1.0}), testbed)
    return {
        (name, "kd, T = 1"): kd,
        (name, "teacher"): tuple(spec.method.teachers[0] for spec in kd),
        (name, BASELINE): _seeds(partial(runs.direct, pair), testbed),
    }


def _under(runs: Runs, pair: str, base: str, options: Mapping[str, float], seed: int) -> RunSpec:
    spec = runs.vanilla(pair, base, seed)
    return replace(spec, method=replace(spec.method, options=dict(options)))


def _seeds(make: Callable[[int], RunSpec], testbed: Testbed) -> tuple[RunSpec, ...]:
    return tuple(_altered(make(seed), testbed) for seed in SEEDS)


def _altered(spec: RunSpec, testbed: Testbed) -> RunSpec:
    """A run on a testbed; its teacher sees `more` times its samples, in as many steps as ever."""
    samples = testbed.more * spec.data.train
    teachers = []
    for teacher in spec.method.teachers:
        on = _on(teacher, testbed, testbed.epochs[1])
        recipe = lasting(on.recipe, on.recipe.epochs * teacher.data.train // samples)
        teachers.append(replace(on, data=replace(on.data, train=samples), recipe=recipe))
    method = replace(spec.method, teachers=tuple(teachers))
    return replace(_on(spec, testbed, testbed.epochs[0]), method=method)


def _on(spec: RunSpec, testbed: Testbed, epochs: int) -> RunSpec:
    """A run on the testbed's data; epochs: on images."""
    noise = {"label_noise": testbed.label_noise, "overlap": testbed.overlap}
    data = replace(spec.data, validation=24, test=1200, **noise)
    if spec.start is None:
        return replace(spec, data=data, recipe=lasting(spec.recipe, epochs))
    before = replace(spec.start.run.data, label_noise=testbed.start_noise)
    start = replace(spec.start, run=replace(spec.start.run, data=before))
    return replace(spec, data=data, start=start)


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('adaptive', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
