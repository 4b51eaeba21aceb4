"""The local engine: worker processes that execute planned runs, one progress bar, safe to stop.

Workers take one run at a time, and wait a minute for the next call before they are ended: it takes
seconds to start one, which the cells of a lesson would pay one by one. A worker that dies fails its
own run only, and another takes its place; what it had trained goes on from its checkpoint at the
next call.
"""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait

from tqdm import tqdm

from kdlib.notes import note_once
from kdlib.runs.datasets import Datasets
from kdlib.runs.signals import withheld
from kdlib.runs.store import RunStore
from kdlib.runs.worker import BUSY, DONE, EPOCH, FAILED, NOTE, Planned

_PATIENCE_S = 60.0
_idle: list["_Worker"] = []
_idle_lock = threading.Lock()


@dataclass
class Outcome:
    """What became of the runs: keys done, those of them that were trained here and not by another
    process in the meantime, and the reason of each that failed."""

    done: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def run_all(
    runs: Iterable[Planned], store: RunStore, datasets: Datasets, *, device: str, jobs: int
) -> Outcome:
    """Execute all runs, teachers first, in `jobs` worker processes. Ctrl-C stops all of them."""
    waiting = {run.key: run for run in runs}
    if not waiting:
        return Outcome()
    store.check_writable()
    store.sweep()
    workers = _hired(min(jobs, len(waiting)), device)
    bar = tqdm(
        total=sum(run.seconds for run in waiting.values()),
        desc=f"0/{len(waiting)} runs",
        bar_format="{desc} |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}]",
        mininterval=0.5,
        # Notebooks show what comes by stderr as if it were an error.
        file=sys.stdout if "ipykernel" in sys.modules else None,
    )
    try:
        outcome = _drive(waiting, workers, (store, datasets, device), bar)
    except BaseException:
        _end(workers)
        raise
    finally:
        bar.close()
    # On a GPU they would hold memory of which there is little.
    (_rest if device == "cpu" else _end)(workers)
    return outcome


def _hired(count: int, device: str) -> list["_Worker"]:
    """So many workers for this device, idle ones first that were started as new ones would be."""
    environment = worker_environment(device)
    with _idle_lock:
        found = [worker for worker in _idle if worker.environment == environment][:count]
        _idle[:] = [worker for worker in _idle if worker not in found]
    return found + [_Worker(environment) for _ in range(count - len(found))]


def _rest(workers: Sequence["_Worker"]) -> None:
    """Let workers wait for the next call, but not for ever: they hold memory."""

    def dismiss() -> None:
        with _idle_lock:
            gone = [worker for worker in workers if worker in _idle]
            _idle[:] = [worker for worker in _idle if worker not in gone]
        _end(gone)

    with _idle_lock:
        _idle.extend(workers)
    timer = threading.Timer(_PATIENCE_S, dismiss)
    timer.daemon = True
    timer.start()


def _end(workers: Iterable["_Worker"]) -> None:
    for worker in workers:
        worker.process.kill()


def _drive(
    waiting: dict[str, Planned],
    workers: Sequence["_Worker"],
    place: tuple[RunStore, Datasets, str],
    bar: tqdm,
) -> Outcome:
    outcome, unfinished = Outcome(), dict(waiting)

    def finish(key: str, failure: str | None) -> None:
        run = unfinished.pop(key)
        waiting.pop(key, None)
        if failure is None:
            outcome.done.append(key)
        else:
            outcome.failed[key] = f"{run.spec.title}: {failure}"
            tqdm.write(f"kdlib: failed: {outcome.failed[key]}")
            for orphan in [k for k, other in unfinished.items() if key in other.needs]:
                finish(orphan, "its teacher failed")
        count = len(outcome.done) + len(outcome.failed)
        bar.set_description_str(f"{count}/{count + len(unfinished)} runs")

    def advance(run: Planned, epochs: int) -> None:
        # Sums of shares round, and a bar beyond its end has less than no time left.
        bar.update(min(run.seconds * epochs / run.spec.recipe.epochs, bar.total - bar.n))

    while unfinished:
        for worker in workers:
            ready = (k for k, run in waiting.items() if not unfinished.keys() & set(run.needs))
            if worker.run is None and (key := next(ready, None)) is not None:
                worker.give(waiting.pop(key), place)
        active = {worker.connection: worker for worker in workers if worker.run is not None}
        for connection in wait(list(active)):
            worker = active[connection]  # type: ignore[index]
            run, before = worker.current
            kind, detail = worker.receive()
            if kind == EPOCH:
                advance(run, int(detail) - before)
            elif kind == NOTE:
                note_once(detail)
            elif kind == BUSY:
                waiting[run.key] = run
                time.sleep(0.2)
            else:
                advance(run, run.spec.recipe.epochs - before)
                finish(run.key, detail if kind == FAILED else None)
                if kind == DONE:
                    outcome.trained.append(run.key)
    return outcome


def worker_environment(device: str) -> dict[str, str]:
    """The environment of a worker that trains on this device."""
    # The folders where this process finds modules: workers find a method of one's own too.
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    # Where GPUs may be seen, every step of an optimiser looks for them: 3 % of a step on a CPU.
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    # What a step frees is kept for the next one. glibc would give it back to the system, and fetch
    # it page by page again: 4 to 8 % of a step on a CPU.
    kept = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
    # pytest names each test there, and no worker would be like another.
    given = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return {**kept, **given, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **hidden}


class _Worker:
    """A process and the run it is at."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.run: Planned | None = None
        self.epochs = 0
        self._start()

    def _start(self) -> None:
        # A plain process, not multiprocessing's: that would import the caller's main module again.
        self.connection, far = multiprocessing.Pipe()
        with withheld():  # the engine decides what Ctrl-C means
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kdlib.runs.worker", str(far.fileno())],
                pass_fds=[far.fileno()],
                env=self.environment,
            )
        far.close()

    @property
    def current(self) -> tuple[Planned, int]:
        """The run in work and its finished epochs."""
        assert self.run is not None
        return self.run, self.epochs

    def give(self, run: Planned, place: tuple[RunStore, Datasets, str]) -> None:
        self.run, self.epochs = run, 0
        try:
            self.connection.send((run, *place))
        except BrokenPipeError:
            self._start()
            self.connection.send((run, *place))

    def receive(self) -> tuple[str, str]:
        """The next message; a dead process is a failed run and is replaced."""
        try:
            kind, detail = self.connection.recv()
        except (EOFError, ConnectionResetError):
            kind, detail = FAILED, f"its worker died (exit code {self.process.wait()})"
            self._start()
        if kind == EPOCH:
            self.epochs = int(detail)
        elif kind != NOTE:
            self.run = None
        return kind, detail
