"""A disk that is full while something is written, as a limit on the size of files makes it."""

import contextlib
import resource

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import save_file

from kdlib.data.disk import disk_errors, no_room
from kdlib.errors import UserError
from kdlib.study import artifacts
from kdlib.training import checkpoint

BIG = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)


@contextlib.contextmanager
def full(size=4096):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITERS = {
    "np.save": lambda path: np.save(path, BIG),
    "np.savez": lambda path: np.savez(path, a=BIG),
    "np.savez_compressed": lambda path: np.savez_compressed(path, a=BIG),
    "safetensors": lambda path: save_file({"a": torch.from_numpy(BIG)}, path),
    "text": lambda path: path.write_text("a" * len(BIG)),
    "tofile": lambda path: BIG.tofile(path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_writes_it_is_known_that_the_disk_is_full(tmp_path, writer):
    with (
        pytest.raises(UserError, match=f"^STORE: no room left in {tmp_path} .*free some"),
        disk_errors(tmp_path),
        full(),
    ):
        WRITERS[writer](tmp_path / "a.npz")


def test_a_record_that_does_not_fit_leaves_nothing(store):
    texts = dict.fromkeys(("spec.json", "env.json", "metrics.jsonl", "result.json"), "{}")
    with pytest.raises(Exception) as caught, full():  # noqa: PT011
        store.write("abc", texts=texts, traces={"a": BIG}, student={}, own={})
    assert no_room(caught.value)
    assert list((store.root / "temporary").iterdir()) == []
    assert store.find("abc") is None


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path):
    path = tmp_path / "key.pt"
    checkpoint.save(path, {"epoch": 1}, "key")
    with pytest.raises(OSError, match="File too large"), full():
        checkpoint.save(path, {"epoch": 2, "a": torch.from_numpy(BIG)}, "key")
    assert checkpoint.load(path, "key", torch.device("cpu")) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["key.pt"]


@pytest.mark.parametrize(
    "value", [pd.DataFrame({"a": ["x" * 10_000]}), Figure(figsize=(9, 9))], ids=["table", "figure"]
)
def test_an_artifact_that_does_not_fit_says_where_and_leaves_nothing(tmp_path, value):
    if isinstance(value, Figure):
        value.subplots().plot(BIG[:5000])
    with pytest.raises(UserError, match=f"RESULTS: no room left in {tmp_path}/p "), full():
        artifacts.write(value, tmp_path / "p/a", {})
    assert list((tmp_path / "p").iterdir()) == []


def test_what_is_no_matter_of_room_stays_as_it_is(tmp_path):
    assert not no_room(FileNotFoundError(2, "No such file"))
    assert not no_room(ValueError("3 requested"))
    with pytest.raises(ZeroDivisionError), disk_errors(tmp_path):
        raise ZeroDivisionError
