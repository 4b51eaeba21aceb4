"""What was tried for the testbed of the resolution chapter: `python -m book.resolution.search`.

Each candidate is a row of three seeds whose clips no reported run has. The gains over labels alone
decide between tasks, and between the weights of each target; what a resolution costs the teacher
decides which one is the low one.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from book.resolution.runs import LABEL_NOISE, WEIGHTS, Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting

# By name: the task, how many times its student's clips a teacher has seen, and the share of labels
# that are drawn at random.
TESTBEDS = {
    "stripes, crisp labels, the same clips": ("detail12", 1, 0.0),
    "mixed cues, crisp labels, a teacher of 4 times": ("mix12", 4, 0.0),
    "mixed cues, 10 % of labels drawn, the same clips": ("mix12", 1, LABEL_NOISE),
    "mixed cues, 10 % of labels drawn, a teacher of 4 times": ("mix12", 4, LABEL_NOISE),
    "textures and motions, 10 % drawn, a teacher of 4 times": ("texmot12", 4, LABEL_NOISE),
}
CHOSEN = "mixed cues, 10 % of labels drawn, a teacher of 4 times"
RATES = (2e-3, 4e-3, 8e-3)
GRID = {"feature": (1.0, 10.0, 100.0), "logit": (1.0, 6.0), "pixel": (12.0, 200.0)}


def candidates(runs: Runs) -> Candidates:
    """The targets at the chosen weights on each testbed, and other weights on the chosen one."""
    found = {}
    for testbed in TESTBEDS:
        grid = GRID if testbed == CHOSEN else {t: (weight,) for t, weight in WEIGHTS.items()}
        for target, weights in grid.items():
            for weight in weights:
                make = partial(runs.distilled, target=target, weight=weight)
                found |= _row(testbed, f"{target} KD, weight {weight:g}", make)
        students = next(iter(found[testbed, name] for t, name in found if t == testbed))
        found[testbed, "teacher"] = tuple(spec.method.teachers[0] for spec in students)
        found |= _row(testbed, BASELINE, runs.direct)
    for pixels in runs.scale.sweep[:-1]:
        make = partial(runs.low_teacher, pixels=pixels)
        found[CHOSEN, f"teacher, at {pixels} px"] = tuple(
            replace(made, data=replace(made.data, validation=24, test=1200))
            for made in map(make, SEEDS)
        )
    for rate in RATES:
        for times in (1, 2):
            make = partial(_at_rate, runs, rate, times)
            found |= _row(CHOSEN, f"{BASELINE}, rate {rate:g}, {times} × the epochs", make)
    return found


def _at_rate(runs: Runs, rate: float, times: int, seed: int) -> RunSpec:
    spec = runs.direct(seed, times=times)
    return replace(spec, recipe=replace(spec.recipe, learning_rate=rate))


def _row(testbed: str, training: str, make: Callable[[int], RunSpec]) -> Candidates:
    return {(testbed, training): tuple(_altered(make(s), *TESTBEDS[testbed]) for s in SEEDS)}


def _altered(spec: RunSpec, task: str, more: int, label_noise: float) -> RunSpec:
    """A run on other data; its teacher sees `more` times its clips, in as many steps as ever."""
    data = replace(
        spec.data,
        name=f"generated/{task}",
        label_noise=label_noise,
        validation=24,
        test=1200,
    )
    clips = more * data.train
    teachers = []
    for teacher in spec.method.teachers:
        epochs = teacher.recipe.epochs * teacher.data.train // clips
        recipe = replace(teacher.recipe, epochs=epochs)
        teachers.append(replace(teacher, data=replace(data, train=clips), recipe=recipe))
    return replace(spec, data=data, method=replace(spec.method, teachers=tuple(teachers)))


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('resolution', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
