"""The local engine: worker processes that execute planned runs, one progress bar, safe to stop.

Workers live as long as the engine and take one run at a time. A worker that dies fails its own run
only, and another takes its place; what it had trained goes on from its checkpoint at the next call.
"""

import errno
import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

import torch
from filelock import Timeout
from tqdm import tqdm

from kdlib.errors import UserError
from kdlib.study.datasets import Datasets
from kdlib.study.execute import execute
from kdlib.study.plan import Planned
from kdlib.study.store import RunStore

EPOCH, DONE, BUSY, FAILED = "epoch", "done", "busy", "failed"


@dataclass
class Outcome:
    """What became of the runs: keys done, and the reason of each that failed."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def run_all(
    runs: Iterable[Planned], store: RunStore, datasets: Datasets, *, device: str, jobs: int
) -> Outcome:
    """Execute all runs, teachers first, in `jobs` worker processes. Ctrl-C stops all of them."""
    waiting = {run.key: run for run in runs}
    if not waiting:
        return Outcome()
    store.check_writable()
    workers = [_Worker(store, datasets, device) for _ in range(min(jobs, len(waiting)))]
    bar = tqdm(
        total=sum(run.work for run in waiting.values()),
        desc=f"0/{len(waiting)} runs",
        bar_format="{desc} |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}]",
        mininterval=0.5,
    )
    try:
        return _drive(waiting, workers, bar)
    finally:
        for worker in workers:
            worker.process.terminate()
        bar.close()


def _drive(waiting: dict[str, Planned], workers: list["_Worker"], bar: tqdm) -> Outcome:
    outcome, unfinished = Outcome(), dict(waiting)

    def finish(key: str, failure: str | None) -> None:
        run = unfinished.pop(key)
        waiting.pop(key, None)
        if failure is None:
            outcome.done.append(key)
        else:
            outcome.failed[key] = f"{run.spec.title}: {failure}"
            tqdm.write(f"kdlib: failed: {outcome.failed[key]}")
            for orphan in [k for k, other in unfinished.items() if key in other.teachers]:
                finish(orphan, "its teacher failed")
        count = len(outcome.done) + len(outcome.failed)
        bar.set_description_str(f"{count}/{count + len(unfinished)} runs")

    while unfinished:
        for worker in workers:
            ready = (k for k, run in waiting.items() if not unfinished.keys() & set(run.teachers))
            if worker.run is None and (key := next(ready, None)) is not None:
                worker.give(waiting.pop(key))
        active = {worker.connection: worker for worker in workers if worker.run is not None}
        for connection in wait(list(active)):
            worker = active[connection]  # type: ignore[index]
            run, before = worker.current
            kind, detail = worker.receive()
            if kind == EPOCH:
                bar.update(run.work * (int(detail) - before) / run.spec.recipe.epochs)
            elif kind == BUSY:
                waiting[run.key] = run
                time.sleep(0.2)
            else:
                bar.update(run.work * (1 - before / run.spec.recipe.epochs))
                finish(run.key, detail if kind == FAILED else None)
    return outcome


class _Worker:
    """A process and the run it is at."""

    def __init__(self, store: RunStore, datasets: Datasets, device: str) -> None:
        self.arguments = (store, datasets, device)
        self.run: Planned | None = None
        self.epochs = 0
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.process = context.Process(target=_work, args=(far, *self.arguments), daemon=True)
        self.process.start()
        far.close()

    @property
    def current(self) -> tuple[Planned, int]:
        """The run in work and its finished epochs."""
        assert self.run is not None
        return self.run, self.epochs

    def give(self, run: Planned) -> None:
        self.run, self.epochs = run, 0
        try:
            self.connection.send(run)
        except BrokenPipeError:
            self._start()
            self.connection.send(run)

    def receive(self) -> tuple[str, str]:
        """The next message; a dead process is a failed run and is replaced."""
        try:
            kind, detail = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            kind, detail = FAILED, f"its worker died (exit code {self.process.exitcode})"
            self._start()
        if kind == EPOCH:
            self.epochs = int(detail)
        else:
            self.run = None
        return kind, detail


def _work(connection: Connection, store: RunStore, datasets: Datasets, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    while True:
        try:
            run = connection.recv()
            connection.send(_attempt(run, store, datasets, device, connection))
        except (EOFError, BrokenPipeError):
            return


def _attempt(
    run: Planned, store: RunStore, datasets: Datasets, device: str, connection: Connection
) -> tuple[str, str]:
    try:
        with store.lock(run.key).acquire(timeout=0):
            if store.find(run.key) is not None:
                return DONE, ""
            teachers = [store.find(key) for key in run.teachers]
            if None in teachers:
                return FAILED, "its teacher is not in the store"
            execute(
                run.spec,
                run.key,
                store,
                datasets.load(run.spec.data),
                [teacher for teacher in teachers if teacher is not None],
                device=device,
                progress=lambda epoch: connection.send((EPOCH, str(epoch))),
            )
            return DONE, ""
    except Timeout:
        return BUSY, ""
    except UserError as error:
        return FAILED, str(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        if error.errno == errno.ENOSPC:
            return FAILED, f"the disk of {store.root} is full; free space and run again"
        return FAILED, f"{error.strerror}: {error.filename}"
    except Exception:
        return FAILED, traceback.format_exc(limit=-4)
