"""What was tried for the testbed of the flow chapter: `python -m book.flow.search`.

Each candidate is a row of three seeds whose clips no reported run has. Which clips are shown,
whether labels are drawn, how much the distillation weighs, how long students train and how long the
probe does were decided by these.

Left after a look at one seed, which is no measurement: stars 1.4 times as large, half as many
clips, half the rate of learning (colmot12, 24 epochs).

Why not mix12 and detail12: see the rows of 1,536 crisp clips. There a network of pixels learns 28 %
of the triangles and 12 % of the squares of mix12, and of detail12 what guessing gives.

The last testbeds ask what may be saved: longer steps, fewer of them, shorter probes. They were
trained on another machine than those above. There the same three seeds of 16 epochs had 50.2 % by
labels alone, 53.9 by D3D, 51.7 by MARS at weight 50, 56.5 for the flow teacher. So D3D gained 3.7,
not 13.6, and nothing but roundings is known to differ: three seeds tell no more than that.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from book.flow.runs import RATE, Runs
from kdlib.models.base import Sees
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting

Maker = Callable[[int], RunSpec]  # of a seed


@dataclass(frozen=True)
class Steps:
    """By which steps a network learns. beta2: of AdamW."""

    batch: int
    rate: float = RATE
    beta2: float = 0.999

    def __str__(self) -> str:
        slow = "" if self.beta2 == 0.999 else f", beta2 {self.beta2:g}"
        return f"batches of {self.batch} at {self.rate:g}{slow}"

    def of(self, spec: RunSpec, epochs: int) -> RunSpec:
        """The run, trained so, for so long."""
        recipe = replace(
            spec.recipe,
            epochs=epochs,
            batch_size=self.batch,
            learning_rate=self.rate,
            beta2=self.beta2,
        )
        return replace(spec, recipe=recipe)


STUDENT, TEACHER = Steps(16), Steps(32)  # of the first testbeds


@dataclass(frozen=True)
class Testbed:
    """Clips and training of students, and what was tried on them.

    task: the generator's. logits, features: weights of D3D and of MARS; there is no teacher where
    there is neither. steps, teacher: of students and of their teachers.
    """

    task: str
    clips: int
    epochs: int
    label_noise: float
    logits: tuple[float, ...] = ()
    features: tuple[float, ...] = ()
    crop: Literal["shift", "multiscale"] = "shift"
    steps: Steps = STUDENT
    teacher: Steps = TEACHER
    teacher_epochs: int = 6

    @property
    def name(self) -> str:
        """As the table has it."""
        drawn = f"{100 * self.label_noise:.0f} % of labels drawn" if self.label_noise else "crisp"
        crops = ", crops of several sizes" if self.crop == "multiscale" else ""
        steps = "" if self.steps == STUDENT else f", {self.steps}"
        usual = self.teacher == TEACHER
        teacher = "" if usual else f", teacher of {self.teacher_epochs} epochs, {self.teacher}"
        students = f"{self.task}, {self.clips} clips, {self.epochs} epochs, {drawn}{crops}{steps}"
        return f"{students}{teacher}"

    def on(self, spec: RunSpec) -> RunSpec:
        """The run, and those it needs, on its clips; its teachers by the testbed's steps."""
        teachers = tuple(map(self.taught, spec.method.teachers))
        return replace(
            spec,
            data=replace(
                spec.data,
                name=f"generated/{self.task}",
                label_noise=self.label_noise,
                crop=self.crop,
            ),
            method=replace(spec.method, teachers=teachers),
        )

    def taught(self, teacher: RunSpec) -> RunSpec:
        """A teacher on its clips, by its steps."""
        return self.on(self.teacher.of(teacher, self.teacher_epochs))


FIRST = Testbed("mix12", 384, 12, 0.0, (0.003, 0.01, 0.03, 0.1, 1.0), (50.0,))
COLMOT = Testbed("colmot12", 192, 16, 0.2, (0.3, 1.0), (10.0, 50.0))
FASTER = Steps(64, 6e-3)  # of teachers
CHOSEN = Testbed("colmot12", 192, 14, 0.2, (1.0,), (50.0,), teacher=FASTER)
TESTBEDS = (
    FIRST,
    Testbed("mix12", 384, 24, 0.0, (0.1, 1.0), (50.0,)),
    Testbed("motion12", 384, 12, 0.0, (0.1, 1.0), (50.0,)),
    Testbed("motion12", 96, 48, 0.0, (0.1,)),
    Testbed("mix12", 384, 12, 0.1, (0.3, 1.0)),
    Testbed("mix12", 384, 12, 0.1, (0.3,), crop="multiscale"),
    Testbed("mix12", 384, 24, 0.1, (0.3,)),
    Testbed("mix12", 192, 24, 0.2, (0.1, 0.3, 1.0), (10.0, 50.0)),
    Testbed("motion12", 192, 24, 0.2, (0.3,)),
    Testbed("colmot12", 192, 24, 0.2, (0.3, 1.0), (50.0,)),
    COLMOT,
    Testbed("colour12", 192, 16, 0.2, (1.0,)),
    Testbed("motion12", 192, 16, 0.2, (1.0,)),
    # What may be saved.
    replace(COLMOT, logits=(1.0,), features=(), teacher=FASTER),
    *(
        replace(COLMOT, logits=(), features=(), steps=steps)
        for steps in (
            Steps(32, 6e-3),
            Steps(48, 8e-3),
            Steps(32, 12e-3),
            Steps(32, 12e-3, beta2=0.95),
        )
    ),
    replace(COLMOT, logits=(1.0,), features=(), steps=Steps(32, 6e-3, beta2=0.95), teacher=FASTER),
    replace(COLMOT, logits=(), features=(), epochs=12),
    *(
        replace(COLMOT, logits=(), features=(), epochs=12, steps=steps)
        for steps in (Steps(16, 8e-3), Steps(16, beta2=0.95))
    ),
    replace(CHOSEN, features=(), steps=Steps(16, beta2=0.95)),
    replace(CHOSEN, features=(), teacher_epochs=5),
    CHOSEN,
)
# Networks alone, of as many clips as teachers have: task, share of labels drawn, what they see,
# epochs and steps. Crisp labels of pixels say what a network of this size can learn.
ALONE: tuple[tuple[str, float, Sees, int, Steps], ...] = (
    ("mix12", 0.0, "pixels", 6, TEACHER),
    ("detail12", 0.0, "pixels", 6, TEACHER),
    ("colmot12", 0.2, "flow", 6, TEACHER),
    ("colmot12", 0.2, "flow", 4, TEACHER),
    ("colmot12", 0.2, "flow", 6, FASTER),
    ("colmot12", 0.2, "flow", 5, FASTER),
    ("colmot12", 0.2, "flow", 6, Steps(64, 8e-3)),
    ("colmot12", 0.2, "flow", 4, Steps(64, 8e-3)),
)
# Of which networks, the weight of their D3D, and clips and epochs of the probe.
PROBES = (
    (FIRST, 0.1, 384, 6),
    (FIRST, 0.1, 384, 12),
    (FIRST, 0.1, 384, 24),
    (COLMOT, 1.0, 192, 12),
    (COLMOT, 1.0, 384, 12),
    (CHOSEN, 1.0, 384, 6),
)


def candidates(runs: Runs) -> Candidates:
    """All rows: by testbed, the weights; then networks alone; then the probes."""
    found: Candidates = {}
    for testbed in TESTBEDS:
        for label, make in _makers(runs, testbed).items():
            found[testbed.name, label] = tuple(make(seed) for seed in SEEDS)
    for task, drawn, sees, epochs, steps in ALONE:
        testbed = Testbed(task, runs.scale.teacher, epochs, drawn)
        teachers = (testbed.on(steps.of(runs.teacher(seed, sees), epochs)) for seed in SEEDS)
        found[testbed.name, f"network of {sees}, {steps}"] = tuple(teachers)
    for testbed, weight, clips, epochs in PROBES:
        made = _makers(runs, testbed)
        networks: dict[str, Maker | None] = {
            "random weights": None,
            "S3D-G": made[BASELINE],
            "D3D": made[f"D3D, weight {weight:g}"],
            "flow teacher": made["flow teacher"],
        }
        name = f"{testbed.task}: probe, {clips} clips, {epochs} epochs, error removed"
        for label, of in networks.items():
            probes = (runs.probe(seed, of(seed) if of else None) for seed in SEEDS)
            found[name, label] = tuple(
                _of_clips(testbed.on(STUDENT.of(probe, epochs)), clips) for probe in probes
            )
    return found


def _makers(runs: Runs, testbed: Testbed) -> dict[str, Maker]:
    """By training, what makes its run of a seed."""

    def student(make: Callable[..., RunSpec], **options: Any) -> Maker:
        def of(seed: int) -> RunSpec:
            spec = make(seed, clips=testbed.clips, **options)
            return testbed.on(testbed.steps.of(spec, testbed.epochs))

        return of

    found = {BASELINE: student(runs.network)}
    for target, name, weights in (
        ("logits", "D3D", testbed.logits),
        ("features", "MARS", testbed.features),
    ):
        for weight in weights:
            make = student(runs.distilled, target=target, weight=weight)
            found[f"{name}, weight {weight:g}"] = make
    if len(found) > 1:
        found["flow teacher"] = lambda seed: testbed.taught(runs.teacher(seed))
    return found


def _of_clips(spec: RunSpec, clips: int) -> RunSpec:
    return replace(spec, data=replace(spec.data, train=clips))


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('flow', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
