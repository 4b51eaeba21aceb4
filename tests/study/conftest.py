from types import SimpleNamespace

import numpy as np
import pytest


def made_up(seed, right, count=10, task="classification", name="generated/mix12", wrong_first=0):
    """A record that classifies `right` of `count` test videos rightly, after `wrong_first`."""
    predicted = np.ones(count, int)
    predicted[wrong_first : wrong_first + right] = 0
    data = SimpleNamespace(
        asked=task, name=name, seed=seed, test=count, generated=name.startswith("generated/")
    )
    scores = {"score": right / count}
    return SimpleNamespace(
        spec=SimpleNamespace(seed=seed, data=data),
        result={
            "last": scores,
            "chosen": scores,
            "cost": {"gmacs": 0.00473, "training_seconds": 8.5},
        },
        traces={
            "predicted_last": predicted,
            "labels": np.zeros(count, int),
            "groups": np.arange(count),
        },
    )


@pytest.fixture
def record():
    """A maker of records: `made_up`."""
    return made_up


@pytest.fixture
def chapter():
    """A maker of chapters of one artifact, whose records by label are given."""

    def make(records, artifact="p/table", evidence=True):
        scale = SimpleNamespace(evidence=evidence)
        setting = SimpleNamespace(scale=scale, profile="some")
        return SimpleNamespace(setting=setting, records={artifact: records}.__getitem__)

    return make
