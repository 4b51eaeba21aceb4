"""What was tried for the testbed of the masked chapter: `python -m book.masked.search`.

Each candidate is a row of three seeds whose clips no reported run has, on one testbed: which task,
how much of a clip is hidden, how long the fine-tuning. A start from masked pixels and one from MVD
against the same network from scratch decide between them.
"""

from dataclasses import dataclass, replace

from book.masked.runs import Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting


@dataclass(frozen=True)
class Testbed:
    """A target, and what differs from the laptop's setting.

    hidden: mask ratio of videos. rate: of the fine-tuning. layer_decay: of a start that was
    pre-trained.
    """

    task: str
    hidden: float = 0.75
    epochs: int = 24
    rate: float = 2e-3
    layer_decay: float = 1.0


TESTBEDS = {
    "motion12": Testbed("motion12"),
    "detail12": Testbed("detail12"),
    "texmot12": Testbed("texmot12"),
    "motion12, 0.9 hidden": Testbed("motion12", hidden=0.9),
    "detail12, 0.9 hidden": Testbed("detail12", hidden=0.9),
    "motion12, 48 epochs": Testbed("motion12", epochs=48),
    "motion12, rate 1e-3": Testbed("motion12", rate=1e-3),
    "motion12, layer decay 0.75": Testbed("motion12", layer_decay=0.75),
}


def candidates(runs: Runs) -> Candidates:
    """All rows, testbed by testbed."""
    found: Candidates = {}
    for name, testbed in TESTBEDS.items():
        scale = replace(runs.scale, mask_ratio=(testbed.hidden, runs.scale.mask_ratio[1]))
        made = Runs(runs.setting, scale)
        makers = {
            BASELINE: made.scratch,
            "masked pixels": lambda s, made=made: made.tuned(made.videomae, s),
            "MVD": lambda s, made=made: made.tuned(made.mvd, s),
        }
        for label, make in makers.items():
            found[name, label] = tuple(_on(make(seed), testbed) for seed in SEEDS)
    return found


def _on(spec: RunSpec, testbed: Testbed) -> RunSpec:
    """A fine-tuning on a testbed; random weights have no layers to keep."""
    data = replace(spec.data, name=f"generated/{testbed.task}")
    decay = testbed.layer_decay if spec.start else 1.0
    recipe = replace(
        spec.recipe, epochs=testbed.epochs, learning_rate=testbed.rate, layer_decay=decay
    )
    return replace(spec, data=data, recipe=recipe)


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('masked', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
