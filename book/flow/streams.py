"""Two networks judged as one: the mean of their probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from kdlib.runs.build import clip_source, method_of
from kdlib.runs.spec import MethodSpec, RunSpec
from kdlib.runs.store import RunRecord
from kdlib.study.setting import Setting
from kdlib.training.evaluate import predict_together


@dataclass(frozen=True)
class Together:
    """What tables read of a record, of two networks on the test clips of the first one's run."""

    spec: RunSpec
    result: dict[str, Any]
    traces: dict[str, np.ndarray]


@cache
def together(one: RunRecord, other: RunRecord, setting: Setting) -> Together:
    """Two classifiers of the same clips, whatever each of them sees of these."""
    data = one.spec.data
    source = clip_source(setting.datasets.load(data)["test"], data, "test")
    methods = [method_of(MethodSpec(), record.student(), []).eval() for record in (one, other)]
    task, found = methods[0].task, predict_together(methods, source)
    traces = {f"{name}_last": values for name, values in task.keep(found.values).items()}
    return Together(
        one.spec,
        {**one.result, "last": task.judge(found.values, found.truth)},
        {"labels": one.traces["labels"], "groups": one.traces["groups"], **traces},
    )


def pairs(
    ones: Sequence[RunRecord], others: Sequence[RunRecord], setting: Setting
) -> list[Together]:
    """Two trainings together, seed by seed."""
    return [together(one, other, setting) for one, other in zip(ones, others, strict=True)]
