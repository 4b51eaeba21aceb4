"""What was tried for the testbed of the adaptive chapter: `python -m book.adaptive.search`.

Each candidate is a row of three seeds whose clips and images no reported run has. In the first
round KD's gain over labels alone decided between testbeds, and its own gain between the constants
of each base method, with as many candidates for one as for another, on clips and on images alike.
The second round looked for a larger gain of KD: more of the clips' labels drawn, right labels in
their pre-training, longer trainings on images. The third looked for trainings that are short enough
for a laptop and keep that gain, the fourth for images that cost less. The teacher of ResNet had 20
layers in the search; now it has the 14 of the other pair.
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
    """Data of a candidate, and how long it is trained.

    more: how many times its student's samples a teacher has seen. label_noise, overlap: of the
    training samples, `start_noise` of the clips of the pre-training. epochs: of a student and of a
    teacher that has seen 4 times its samples, None for those of the first round. clips, images: of
    a student. batch, rate, width, size: on images.
    """

    more: int = 4
    label_noise: float = 0.0
    overlap: float = 0.0
    start_noise: float = 0.1
    epochs: tuple[int, int] | None = None
    clips: int = 400
    images: int = 320
    batch: int = 16
    rate: float = 8e-3
    width: int = 12
    size: int = 16


EPOCHS = {"clips": (20, 6), "images": (25, 10)}  # of the first round
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
_DRAWN, _SHORT = {"label_noise": 0.2, "start_noise": 0.0}, {"label_noise": 0.1, "batch": 32}
THIRD = {
    "third round, 12 epochs": (("SlowFast",), Testbed(**_DRAWN, epochs=(12, 4))),
    "third round, 10 epochs": (("SlowFast",), Testbed(**_DRAWN, epochs=(10, 3))),
    "third round, 20 epochs of 240 clips": (("SlowFast",), Testbed(**_DRAWN, clips=240)),
    "third round, 20 epochs of 240 clips, a teacher of 8 times": (
        ("SlowFast",),
        Testbed(**_DRAWN, clips=240, more=8),
    ),
    "third round, 16 epochs of 240 clips, a teacher of 8 times": (
        ("SlowFast",),
        Testbed(**_DRAWN, clips=240, more=8, epochs=(16, 5)),
    ),
    "third round, 24 epochs": (("ResNet", IMAGENET), Testbed(**_SHORT, epochs=(24, 12))),
    "third round, 24 epochs at half the rate": (
        (IMAGENET,),
        Testbed(**_SHORT, epochs=(24, 12), rate=4e-3),
    ),
    "third round, 32 epochs": ((IMAGENET,), Testbed(**_SHORT, epochs=(32, 16))),
    "third round, 24 epochs of 480 images": (
        (IMAGENET,),
        Testbed(**_SHORT | {"batch": 24}, epochs=(24, 12), images=480),
    ),
    "third round, 20 epochs of 480 images": (
        (IMAGENET,),
        Testbed(**_SHORT | {"batch": 24}, epochs=(20, 10), images=480),
    ),
}
_WIDER = {"label_noise": 0.1, "epochs": (24, 12), "images": 480, "batch": 24}
FOURTH = {
    "fourth round, width 8": ((IMAGENET,), Testbed(**_WIDER | {"width": 8})),
    "fourth round, 12 pixels": ((IMAGENET,), Testbed(**_WIDER | {"size": 12})),
    "fourth round, width 8, batches of 48 at twice the rate": (
        (IMAGENET,),
        Testbed(**_WIDER | {"width": 8, "batch": 48, "rate": 16e-3}),
    ),
    "fourth round, width 8, 20 epochs": (
        (IMAGENET,),
        Testbed(**_WIDER | {"width": 8, "epochs": (20, 10)}),
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
    """All rows: the constants of each base method, all testbeds under KD, the further rounds."""
    found: Candidates = {}
    for pair in ("SlowFast", "ResNet"):
        for base, several in CONSTANTS.items():
            for name, options in several.items():
                make = partial(_under, runs, pair, base, options)
                row = (f"{pair}: {TRIED}", f"{base}, {name}")
                found |= {row: _seeds(make, FIRST[TRIED])}
        for name, testbed in FIRST.items():
            found |= _kd(runs, pair, f"{pair}: {name}", testbed)
    for name, (pairs, testbed) in (SECOND | THIRD | FOURTH).items():
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
    (teacher,) = spec.method.teachers
    if pair == "ResNet":
        deeper = replace(teacher.model, options={**teacher.model.options, "depth": 20})
        teacher = replace(teacher, model=deeper)
    return replace(spec, method=replace(spec.method, teachers=(teacher,), options=dict(options)))


def _seeds(make: Callable[[int], RunSpec], testbed: Testbed) -> tuple[RunSpec, ...]:
    return tuple(_altered(make(seed), testbed) for seed in SEEDS)


def _altered(spec: RunSpec, testbed: Testbed) -> RunSpec:
    """A run on a testbed; its teacher sees `more` times its samples, in as many steps as ever."""
    spec = _on(spec, testbed, 0)
    samples = testbed.more * spec.data.train
    teachers = []
    for teacher in spec.method.teachers:
        on = _on(teacher, testbed, 1)
        recipe = lasting(on.recipe, on.recipe.epochs * 4 // testbed.more)
        teachers.append(replace(on, data=replace(on.data, train=samples), recipe=recipe))
    method = replace(spec.method, teachers=tuple(teachers))
    return replace(spec, method=method)


def _on(spec: RunSpec, testbed: Testbed, role: int) -> RunSpec:
    """A run on the testbed's data; role: 0 for a student, 1 for a teacher."""
    noise = {"label_noise": testbed.label_noise, "overlap": testbed.overlap}
    data = replace(spec.data, test=1200, **noise)
    images = spec.start is None
    epochs = testbed.epochs or EPOCHS["images" if images else "clips"]
    recipe = lasting(spec.recipe, epochs[role])
    if images:
        recipe = replace(recipe, batch_size=testbed.batch, learning_rate=testbed.rate)
        data = replace(data, train=testbed.images, size=testbed.size)
        model = replace(spec.model, options={**spec.model.options, "width": testbed.width})
        return replace(spec, data=data, model=model, recipe=recipe)
    before = replace(spec.start.run.data, label_noise=testbed.start_noise)
    start = replace(spec.start, run=replace(spec.start.run, data=before))
    return replace(spec, data=replace(data, train=testbed.clips), recipe=recipe, start=start)


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('adaptive', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
