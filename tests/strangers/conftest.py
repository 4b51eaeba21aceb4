import pytest

from kdlib.runs.datasets import Datasets
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.store import RunStore, run_key


@pytest.fixture
def trained(tmp_path):
    """A function that plans and trains specs, and gives their records."""

    def train(*specs):
        store, datasets = RunStore(tmp_path / "store"), Datasets(tmp_path / "cache")
        keys = datasets.keys(specs)
        missing, _ = plan(specs, store, "cpu", keys)
        outcome = run_all(missing, store, datasets, device="cpu", jobs=1)
        assert outcome.failed == {}
        return [store.find(run_key(spec, "cpu", keys)) for spec in specs]

    return train
