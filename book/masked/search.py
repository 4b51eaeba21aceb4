"""What was tried for the testbed of the masked chapter: `python -m book.masked.search`.

Each candidate is a row of three seeds whose clips no reported run has, on one testbed: which task,
which norm before the classes. A start from masked pixels and one from MVD stand against the same
network from scratch.
"""

from dataclasses import replace
from functools import partial

from book.masked.runs import Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.search import BASELINE, SEEDS, Candidates, keep, search
from kdlib.study.setting import Setting

# By name the task, and the norm in the head of the fine-tuned network; all else is the laptop's.
TESTBEDS = {
    "motion12": ("motion12", "batch"),
    "texmot12": ("texmot12", "batch"),
    "detail12": ("detail12", "batch"),
    "motion12, LayerNorm in the head": ("motion12", "layer"),
}


def candidates(runs: Runs) -> Candidates:
    """All rows, testbed by testbed."""
    makers = {
        BASELINE: runs.scratch,
        "masked pixels": partial(runs.tuned, runs.videomae),
        "MVD": partial(runs.tuned, runs.mvd),
    }
    return {
        (name, label): tuple(_on(make(seed), *testbed) for seed in SEEDS)
        for name, testbed in TESTBEDS.items()
        for label, make in makers.items()
    }


def _on(spec: RunSpec, task: str, norm: str) -> RunSpec:
    """A fine-tuning on a testbed."""
    model = replace(spec.model, options={**spec.model.options, "head_norm": norm})
    return replace(spec, data=replace(spec.data, name=f"generated/{task}"), model=model)


def main() -> None:
    """Train what is missing and keep the table."""
    setting = Setting()
    print(f"kept in {keep('masked', search(candidates(Runs(setting)), setting))}")


if __name__ == "__main__":
    main()
