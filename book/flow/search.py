"""What was tried for the testbed of the flow chapter: `python -m book.flow.search`.

Each candidate is a row of three seeds whose clips no reported run has. How much the distillation
weighs, how long students train and how long the probe does were decided by these.
"""

from dataclasses import replace
from functools import partial

from book.flow.runs import Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting

# Share of classes that motion alone tells apart, and epochs of a student.
TESTBEDS = ((50, 12), (50, 24), (100, 12))
WEIGHED = (("logits", "D3D", (0.1, 1.0)), ("features", "MARS", (50.0,)))
PROBED = (6, 12, 24)  # epochs of a probe


def candidates(runs: Runs) -> Candidates:
    """All rows: by share of classes and length of the students, the weights; then the probe."""
    found: Candidates = {}
    for share, epochs in TESTBEDS:
        testbed = f"{share} % by motion, {epochs} epochs"
        students = {BASELINE: partial(runs.network, share=share)}
        for target, name, weights in WEIGHED:
            for weight in weights:
                make = partial(runs.distilled, target=target, share=share, weight=weight)
                students[f"{name}, weight {weight:g}"] = make
        for label, make in students.items():
            found[testbed, label] = tuple(_as_long(make(seed), epochs) for seed in SEEDS)
        found[testbed, "flow teacher"] = tuple(runs.teacher(seed, share=share) for seed in SEEDS)
    networks = {
        "random weights": lambda s: None,
        "S3D-G": runs.network,
        "D3D": runs.distilled,
        "flow teacher": runs.teacher,
    }
    for epochs in PROBED:
        testbed = f"probe, {epochs} epochs, error removed"
        for label, of in networks.items():
            made = (_as_long(runs.probe(seed, of(seed)), epochs) for seed in SEEDS)
            found[testbed, label] = tuple(made)
    return found


def _as_long(spec: RunSpec, epochs: int) -> RunSpec:
    return replace(spec, recipe=replace(spec.recipe, epochs=epochs))


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('flow', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
