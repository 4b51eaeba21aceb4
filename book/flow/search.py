"""What was tried for the testbed of the flow chapter: `python -m book.flow.search`.

Each candidate is a row of three seeds whose clips no reported run has. Which clips are shown,
whether labels are drawn, how much the distillation weighs, how long students train and how long the
probe does were decided by these.

Looked at for one seed, 102, and left, all on colmot12 with 20 % of labels drawn and as many steps
as the testbed of 24 epochs (there labels alone have 65.0 %, D3D 62.5): stars 1.4 times as large
(63.0, D3D 56.5), half as many clips (50.0, D3D 60.2), half the rate of learning (65.8, D3D 66.7).
Why not mix12 and detail12: of 1,536 clips with crisp labels, seed 100, a network of pixels learns
36.0 % of the triangles and 6.0 % of the squares of mix12, and 8.7 % of detail12, where guessing
gives 8.3.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from book.flow.runs import Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting

Maker = Callable[[int], RunSpec]  # of a seed


@dataclass(frozen=True)
class Testbed:
    """Clips and training of students, and what was tried on them.

    task: the generator's. logits, features: weights of D3D and of MARS.
    """

    task: str
    clips: int
    epochs: int
    label_noise: float
    logits: tuple[float, ...]
    features: tuple[float, ...] = ()
    crop: Literal["shift", "multiscale"] = "shift"

    @property
    def name(self) -> str:
        """As the table has it."""
        drawn = f"{100 * self.label_noise:.0f} % of labels drawn" if self.label_noise else "crisp"
        crops = ", crops of several sizes" if self.crop == "multiscale" else ""
        return f"{self.task}, {self.clips} clips, {self.epochs} epochs, {drawn}{crops}"

    def on(self, spec: RunSpec) -> RunSpec:
        """The run, and those it needs, on its clips."""
        teachers = tuple(map(self.on, spec.method.teachers))
        return replace(
            spec,
            data=replace(
                spec.data,
                name=f"generated/{self.task}",
                label_noise=self.label_noise,
                crop=self.crop,
            ),
            method=replace(spec.method, teachers=teachers),
            start=replace(spec.start, run=self.on(spec.start.run)) if spec.start else None,
        )


FIRST = Testbed("mix12", 384, 12, 0.0, (0.003, 0.01, 0.03, 0.1, 1.0), (50.0,))
CHOSEN = Testbed("colmot12", 192, 16, 0.2, (0.3, 1.0), (10.0, 50.0))
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
    CHOSEN,
    Testbed("colour12", 192, 16, 0.2, (1.0,)),
    Testbed("motion12", 192, 16, 0.2, (1.0,)),
)
# Of which networks, the weight of their D3D, and clips and epochs of the probe.
PROBES = (
    (FIRST, 0.1, 384, 6),
    (FIRST, 0.1, 384, 12),
    (FIRST, 0.1, 384, 24),
    (CHOSEN, 1.0, 192, 12),
    (CHOSEN, 1.0, 384, 12),
)


def candidates(runs: Runs) -> Candidates:
    """All rows: by testbed, the weights; then the probes."""
    found: Candidates = {}
    for testbed in TESTBEDS:
        for label, make in _makers(runs, testbed).items():
            found[testbed.name, label] = tuple(make(seed) for seed in SEEDS)
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
                _of_clips(testbed.on(_as_long(probe, epochs)), clips) for probe in probes
            )
    return found


def _makers(runs: Runs, testbed: Testbed) -> dict[str, Maker]:
    """By training, what makes its run of a seed."""

    def student(make: Callable[..., RunSpec], **options: Any) -> Maker:
        def of(seed: int) -> RunSpec:
            spec = make(seed, clips=testbed.clips, **options)
            return testbed.on(_as_long(spec, testbed.epochs))

        return of

    found = {BASELINE: student(runs.network)}
    for target, name, weights in (
        ("logits", "D3D", testbed.logits),
        ("features", "MARS", testbed.features),
    ):
        for weight in weights:
            make = student(runs.distilled, target=target, weight=weight)
            found[f"{name}, weight {weight:g}"] = make
    return found | {"flow teacher": lambda seed: testbed.on(runs.teacher(seed))}


def _of_clips(spec: RunSpec, clips: int) -> RunSpec:
    return replace(spec, data=replace(spec.data, train=clips))


def _as_long(spec: RunSpec, epochs: int) -> RunSpec:
    return replace(spec, recipe=replace(spec.recipe, epochs=epochs))


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('flow', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
