"""A worker process of the engine: it executes one run after another and reports on each."""

import sys
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from filelock import Timeout

from kdlib.data.disk import no_room
from kdlib.errors import UserError, plain
from kdlib.runs.datasets import Datasets
from kdlib.runs.execute import execute
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import RunStore

# What a worker says of its run. FOUND: another process has done it. NOTE: a warning came.
EPOCH, DONE, FOUND, BUSY, FAILED, NOTE = "epoch", "done", "found", "busy", "failed", "note"


@dataclass(frozen=True)
class Planned:
    """A run to do: its key, the keys of `spec.needs`, and about how many seconds it takes."""

    spec: RunSpec
    key: str
    needs: tuple[str, ...]
    seconds: float


def serve(connection: Connection) -> None:
    """Take one run after another until the engine hangs up."""
    torch.set_num_threads(1)
    warnings.showwarning = lambda message, *_: connection.send((NOTE, str(message)))
    while True:
        try:
            run, store, datasets, device = connection.recv()
            connection.send(_attempt(run, store, datasets, device, connection))
        except (EOFError, BrokenPipeError):
            return


def _attempt(
    run: Planned, store: RunStore, datasets: Datasets, device: str, connection: Connection
) -> tuple[str, str]:
    try:
        with store.lock(run.key).acquire(timeout=0):
            if store.find(run.key) is not None:
                return FOUND, ""
            needed = [store.find(key) for key in run.needs]
            if None in needed:
                return FAILED, "a run that it needs is not in the store"
            execute(
                run.spec,
                run.key,
                store,
                datasets.load(run.spec.data),
                [record for record in needed if record is not None],
                device=device,
                progress=lambda epoch: connection.send((EPOCH, str(epoch))),
            )
            return DONE, ""
    except Timeout:
        return BUSY, ""
    except UserError as error:
        return FAILED, str(error)
    except (MemoryError, torch.OutOfMemoryError):
        return FAILED, "not enough memory; make it smaller, or use fewer JOBS"
    except Exception as error:
        if isinstance(error, BrokenPipeError):
            raise
        if no_room(error):
            return FAILED, f"the disk of {store.root} is full; free space and run again"
        if isinstance(error, OSError):
            return FAILED, plain(error)
        return FAILED, traceback.format_exc(limit=-4)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
