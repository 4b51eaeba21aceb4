import pytest

from kdlib.runs.datasets import Datasets
from kdlib.runs.plan import plan
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.runs.store import RunStore
from kdlib.training.recipe import Recipe


@pytest.fixture
def make_spec():
    """A maker of run specs that train in well under a second an epoch."""

    def make(seed=0, epochs=2, teacher=None, width=4, **method):
        return RunSpec(
            DataSpec("generated/detail12", train=32, validation=12, test=24, frames=2, size=16),
            ModelSpec("tsn", {"width": width}),
            Recipe(epochs=epochs, learning_rate=1e-3, batch_size=16),
            MethodSpec("resolution", (teacher,), {"resolution": 8, **method})
            if teacher
            else MethodSpec(),
            seed,
        )

    return make


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "store")


@pytest.fixture
def datasets(tmp_path):
    return Datasets(tmp_path / "cache")


@pytest.fixture
def planned(store, datasets):
    """The plan of specs in the test's own store."""

    def make(*specs):
        return plan(specs, store, "cpu", datasets.keys(specs))

    return make
