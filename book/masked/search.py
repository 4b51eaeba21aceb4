"""What was tried for the testbed of the masked chapter: `python -m book.masked.search`.

Each candidate is a row of three seeds whose clips no reported run has, on one testbed: which task,
which rate, which norm before the classes. A start from masked pixels and one from MVD
against the same network from scratch decide between them.
"""

from dataclasses import dataclass, replace
from functools import partial

from book.masked.runs import Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting


@dataclass(frozen=True)
class Testbed:
    """A target, and what differs from the laptop's setting.

    rate: of the fine-tuning. layer_decay: of a start that was pre-trained. head_norm: of the
    fine-tuned network.
    """

    task: str
    rate: float = 2e-3
    layer_decay: float = 1.0
    head_norm: str = "batch"


TESTBEDS = {
    "motion12": Testbed("motion12"),
    "detail12": Testbed("detail12"),
    "texmot12": Testbed("texmot12"),
    "motion12, LayerNorm in the head": Testbed("motion12", head_norm="layer"),
    "motion12, rate 1e-3": Testbed("motion12", rate=1e-3),
    "motion12, layer decay 0.75": Testbed("motion12", layer_decay=0.75),
}


def candidates(runs: Runs) -> Candidates:
    """All rows, testbed by testbed."""
    makers = {
        BASELINE: runs.scratch,
        "masked pixels": partial(runs.tuned, runs.videomae),
        "MVD": partial(runs.tuned, runs.mvd),
    }
    return {
        (name, label): tuple(_on(make(seed), testbed) for seed in SEEDS)
        for name, testbed in TESTBEDS.items()
        for label, make in makers.items()
    }


def _on(spec: RunSpec, testbed: Testbed) -> RunSpec:
    """A fine-tuning on a testbed; random weights have no layers to keep."""
    data = replace(spec.data, name=f"generated/{testbed.task}")
    decay = testbed.layer_decay if spec.start else 1.0
    recipe = replace(spec.recipe, learning_rate=testbed.rate, layer_decay=decay)
    options = {**spec.model.options, "head_norm": testbed.head_norm}
    return replace(spec, data=data, recipe=recipe, model=replace(spec.model, options=options))


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('masked', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
