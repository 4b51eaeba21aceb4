import errno
from types import SimpleNamespace

import pytest

from kdlib.errors import UserError
from kdlib.runs import worker


@pytest.fixture
def attempt(monkeypatch, store, datasets, planned, make_spec):
    """Attempt one run whose execution raises the given error."""

    def go(error):
        def fail(*arguments, **options):
            raise error

        monkeypatch.setattr(worker, "execute", fail)
        (run,), _ = planned(make_spec())
        return worker._attempt(run, store, datasets, "cpu", SimpleNamespace())

    return go


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full; free space and run again"),
        (PermissionError(errno.EACCES, "Permission denied", "x.npy"), "x.npy: Permission denied"),
        (OSError("65536 requested and 12 written"), "is full; free space and run again"),
        (RuntimeError("I/O error: File too large (os error 27)"), "is full; free space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full; free space"),
        (OSError("broken"), "broken"),
        (MemoryError(), "not enough memory; make it smaller"),
        (UserError("data: nothing there"), "data: nothing there"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_every_failure_comes_back_as_words(attempt, store, error, message):
    kind, words = attempt(error)
    assert kind == worker.FAILED
    assert message in words
    assert not (store.root / "runs").exists()


def test_an_engine_that_hung_up_ends_the_worker(attempt):
    with pytest.raises(BrokenPipeError):
        attempt(BrokenPipeError())


def test_a_run_that_another_process_trains_is_busy(store, datasets, planned, make_spec):
    (run,), _ = planned(make_spec())
    with store.lock(run.key):
        outcome = worker._attempt(run, store, datasets, "cpu", SimpleNamespace())
    assert outcome == (worker.BUSY, "")
