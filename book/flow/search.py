"""What was tried for the testbed of the flow chapter: `python -m book.flow.search`.

Each candidate is a row of three seeds whose clips no reported run has. Whether labels are drawn,
how much the distillation weighs, how long students train and how long the probe does were decided
by these.
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

    share: of the classes, in per cent, that motion alone tells apart. logits, features: weights of
    D3D and of MARS.
    """

    share: int
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
        return f"{self.share} % by motion, {self.clips} clips, {self.epochs} epochs, {drawn}{crops}"

    def on(self, spec: RunSpec) -> RunSpec:
        """The run, and those it needs, on its clips."""
        teachers = tuple(map(self.on, spec.method.teachers))
        return replace(
            spec,
            data=replace(spec.data, label_noise=self.label_noise, crop=self.crop),
            method=replace(spec.method, teachers=teachers),
            start=replace(spec.start, run=self.on(spec.start.run)) if spec.start else None,
        )


TESTBEDS = (
    Testbed(50, 384, 12, 0.0, (0.003, 0.01, 0.03, 0.1, 1.0), (50.0,)),
    Testbed(50, 384, 24, 0.0, (0.1, 1.0), (50.0,)),
    Testbed(100, 384, 12, 0.0, (0.1, 1.0), (50.0,)),
    Testbed(100, 96, 48, 0.0, (0.1,)),
    Testbed(50, 384, 12, 0.1, (0.3, 1.0)),
    Testbed(50, 384, 12, 0.1, (0.3,), crop="multiscale"),
    Testbed(50, 384, 24, 0.1, (0.3,)),
    Testbed(50, 192, 24, 0.2, (0.1, 0.3, 1.0), (10.0, 50.0)),
    Testbed(100, 192, 24, 0.2, (0.3,)),
)
PROBED = (6, 12, 24)  # epochs of a probe


def candidates(runs: Runs) -> Candidates:
    """All rows: by testbed, the weights; then the probe, of networks of the first testbed."""
    found: Candidates = {}
    for testbed in TESTBEDS:
        for label, make in _makers(runs, testbed).items():
            found[testbed.name, label] = tuple(make(seed) for seed in SEEDS)
    made = _makers(runs, TESTBEDS[0])
    networks: dict[str, Maker | None] = {
        "random weights": None,
        "S3D-G": made[BASELINE],
        "D3D": made["D3D, weight 0.1"],
        "flow teacher": made["flow teacher"],
    }
    for epochs in PROBED:
        for label, of in networks.items():
            probes = (runs.probe(seed, of(seed) if of else None) for seed in SEEDS)
            found[f"probe, {epochs} epochs, error removed", label] = tuple(
                TESTBEDS[0].on(_as_long(probe, epochs)) for probe in probes
            )
    return found


def _makers(runs: Runs, testbed: Testbed) -> dict[str, Maker]:
    """By training, what makes its run of a seed."""
    share = testbed.share

    def student(make: Callable[..., RunSpec], **options: Any) -> Maker:
        def of(seed: int) -> RunSpec:
            spec = make(seed, share=share, clips=testbed.clips, **options)
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
    return found | {"flow teacher": lambda seed: testbed.on(runs.teacher(seed, share=share))}


def _as_long(spec: RunSpec, epochs: int) -> RunSpec:
    return replace(spec, recipe=replace(spec.recipe, epochs=epochs))


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('flow', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
