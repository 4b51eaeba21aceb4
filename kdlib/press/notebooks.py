"""Executed copies of notebooks: papermill, one process a notebook, kept only when they are whole.

A notebook costs more to start than to run: its kernel imports torch and friends for seconds. So
the processes are forked from one server (multiprocessing's `forkserver`) that has them imported;
`warm` says what. The kernel is always this interpreter's own, whatever kernels are installed.
As with all of multiprocessing, a script calls this under `if __name__ == "__main__"`.
"""

import ast
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kdlib.data.disk import no_room
from kdlib.errors import UserError, unknown
from kdlib.press import scratch
from kdlib.runs.signals import withheld
from kdlib.study.seal import checksum

ROOT = Path(__file__).resolve().parents[2]
STARTUP_S = 120  # a kernel that has not answered by then never will
INLINE = "module://matplotlib_inline.backend_inline"
_preload = ["papermill", "ipykernel.kernelapp"]
_running: set[int] = set()  # process groups, one a notebook
_lock = threading.Lock()  # os.environ, and multiprocessing's list of children, are the process's


class NotebookFailed(Exception):
    """A notebook stopped at a cell; its partial copy is at `path`.

    `cell` counts from 0 in the source notebook (None: no cell had started), `message` is the last
    line of the error.
    """

    def __init__(self, path: Path, cell: int | None, message: str) -> None:
        super().__init__(path, cell, message)
        self.path, self.cell, self.message = path, cell, message

    def __str__(self) -> str:
        where = "before its first cell" if self.cell is None else f"in cell {self.cell}"
        return f"{self.path.name.removesuffix('.failed.ipynb')} failed {where}: {self.message}"


def parameters(notebook: Path) -> dict[str, Any]:
    """The names and default values in the cell tagged `parameters` ({} without such a cell).

    A default that is not a literal is given as its source text. UserError for what is no notebook.
    """
    try:
        for cell in _cells(notebook):
            if "parameters" in cell["metadata"].get("tags", []):
                return dict(_assignments("".join(cell["source"])))
    except (
        *(SyntaxError, ValueError, KeyError, TypeError, AttributeError),
        *(RecursionError, MemoryError),
    ) as error:
        raise UserError(
            f"notebook: {notebook}: its parameters: {error or 'cannot be read'}"
        ) from error
    return {}


def check_parameters(notebook: Path, given: Iterable[str]) -> None:
    """Refuse names that the notebook's `parameters` cell does not have (papermill only warns)."""
    allowed = parameters(notebook)
    for name in given:
        if name not in allowed:
            raise unknown(f"parameters of {notebook.name}", name, allowed)


def warm(modules: Iterable[str] = ()) -> None:
    """Start the server all kernels are forked from, with `modules` imported once for all of them.

    Returns at once: the server imports in the background. The first call, or the first `execute`,
    decides; without it each kernel imports for itself. None of the modules may start threads or
    CUDA on import.
    """
    if sys.platform == "linux":  # frameworks of macOS do not survive a fork
        _preload.extend(name for name in modules if name not in _preload)
    multiprocessing.get_context("forkserver").set_forkserver_preload(_preload)
    # Read once, when torch, matplotlib and the interpreter start; the kernels inherit it.
    once = {"OMP_NUM_THREADS": "1", "MPLBACKEND": INLINE, "PYTHONWARNINGS": "ignore::FutureWarning"}
    with _lock, environment(once), _temporary(scratch.own()):
        # First, or it would let through, when it starts, the signals that are withheld here.
        resource_tracker.ensure_running()
        with withheld():
            forkserver.ensure_running()


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    timeout_s: float,
    log: Path | None = None,
    key: str = "",
    root: Path = ROOT,
) -> None:
    """Execute `notebook` with `parameters` and write the executed copy to `output`, or raise.

    The kernel works in `root`, from which it also imports. `key` (any text that identifies the
    content) is stored in the copy for `fresh`; `log` receives what cells print, as they print it.
    Until the last cell has run the copy is called `<name>.failed.ipynb`, and that is where it stays
    when a cell raises, the kernel dies or `timeout_s` seconds pass (`NotebookFailed`).
    Calls from several threads run side by side. Unknown parameters: `UserError`.
    """
    if not notebook.is_file():
        raise UserError(f"notebook: no file {notebook}")
    check_parameters(notebook, parameters)
    partial = output.with_suffix(".failed.ipynb")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    warm()
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory(dir=scratch.own()) as sockets:
        paths = (notebook.resolve(), partial.resolve(), log and log.resolve(), Path(sockets), root)
        receive, send = context.Pipe(duplex=False)
        with _lock:
            arguments = (send, paths, dict(parameters), dict(os.environ))
            process = context.Process(target=_run, args=arguments)
            process.start()
        assert process.pid is not None
        _running.add(process.pid)
        send.close()  # so that the runner's death reads as an end of file
        try:
            late = f"time-out after {timeout_s:g} s"
            error = receive.recv() if receive.poll(timeout_s) else late
        except EOFError:
            error = "its process was killed"
        finally:
            _kill(process.pid)
            process.kill()  # in case it had not yet made its group
            process.join()
    if error:
        raise NotebookFailed(partial, _stopped_at(partial), error)
    _stamp(partial, key)
    os.replace(partial, output)


def fresh(output: Path, key: str) -> bool:
    """Whether `output` is an executed copy made with this content key, whole and unedited."""
    try:
        notebook = json.loads(output.read_bytes())
        stamp = notebook["metadata"]["kdlib"]
        return stamp["key"] == key and stamp.pop("checksum") == checksum(notebook)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def stop() -> None:
    """Kill every running notebook, for a Ctrl-C that arrives while threads wait in `execute`."""
    for group in list(_running):
        _kill(group)


def _run(
    send: Connection,
    paths: tuple[Path, Path, Path | None, Path, Path],
    parameters: dict[str, Any],
    environment: dict[str, str],
) -> None:
    """The runner's process: start a kernel, let papermill drive it, report None or the error."""
    os.setpgid(0, 0)  # a group of its own, to be killed as one
    notebook, partial, log, sockets, root = paths
    os.environ |= environment | {"OMP_NUM_THREADS": "1", "MPLBACKEND": INLINE}
    os.chdir(root)
    with open(log or os.devnull, "a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        try:
            _papermill(notebook, partial, parameters, sockets, output)
            send.send(None)
        except Exception as error:
            send.send(_last_line(error))


def _papermill(
    notebook: Path, partial: Path, parameters: dict[str, Any], sockets: Path, output: Any
) -> None:
    """Execute with papermill on a kernel forked from the server."""
    import papermill
    from jupyter_client.connect import write_connection_file
    from jupyter_client.manager import AsyncKernelManager

    # Sockets in a folder of its own: two kernels never meet, no port is open to other users.
    connection = str(sockets / "connection.json")
    write_connection_file(
        connection,
        ip=str(sockets / "s"),
        transport="ipc",
        key=uuid.uuid4().hex.encode(),
        shell_port=1,
        iopub_port=2,
        stdin_port=3,
        hb_port=4,
        control_port=5,
    )
    process = multiprocessing.get_context("fork").Process(target=_kernel, args=(connection,))
    process.start()

    class Kernel(AsyncKernelManager):
        """A kernel that runs already and that this manager need not start."""

        has_kernel = True

        async def _async_is_alive(self) -> bool:
            return process.is_alive()

        is_alive = _async_is_alive

    manager = Kernel(connection_file=connection)
    manager.load_connection_file()
    papermill.execute_notebook(
        notebook,
        partial,
        parameters,
        kernel_name="python3",
        language="python",
        km=manager,
        progress_bar=False,
        stdout_file=output,
        stderr_file=output,
        start_timeout=STARTUP_S,
        record_timing=False,
    )
    client = manager.client()
    client.start_channels()
    client.shutdown()
    process.join(5)


def _kernel(connection: str) -> None:
    """The kernel's process, a child of the runner; it ends when the runner does."""
    from ipykernel.kernelapp import IPKernelApp

    sys.path.insert(0, os.getcwd())
    options = ["--log-level=40", "--HistoryManager.enabled=False"]
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"
    IPKernelApp.launch_instance(["-f", connection, parent, *options])


def _kill(group: int) -> None:
    _running.discard(group)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _cells(notebook: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(notebook.read_bytes())["cells"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"notebook: {notebook} is not a notebook of format 4") from None


def _assignments(source: str) -> Iterator[tuple[str, Any]]:
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        try:
            yield name, ast.literal_eval(value)
        except ValueError:
            yield name, ast.unparse(value)


def _last_line(error: Exception) -> str:
    if no_room(error):
        return "no room left for its copy; free some or name another RESULTS"
    name = getattr(error, "ename", type(error).__name__)
    text = str(getattr(error, "evalue", error)).strip()
    return f"{name}: {text.splitlines()[-1]}" if text else name


def _stopped_at(partial: Path) -> int | None:
    """The source index of the last cell that papermill had started."""
    try:
        cells = _cells(partial)
    except (OSError, UserError):  # it was never written, or not to its end
        return None
    added = {"injected-parameters", "papermill-error-cell-tag"}
    own = [c["metadata"] for c in cells if added.isdisjoint(c["metadata"].get("tags", []))]
    begun = [i for i, m in enumerate(own) if m.get("papermill", {}).get("start_time")]
    return begun[-1] if begun else None


def _stamp(path: Path, key: str) -> None:
    """Store the key, and drop the paths and times of this run."""
    notebook = json.loads(path.read_bytes())
    report = notebook["metadata"].pop("papermill", {})
    notebook["metadata"]["kdlib"] = {"key": key, "seconds": report.get("duration")}
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
    notebook["metadata"]["kdlib"]["checksum"] = checksum(notebook)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Where multiprocessing keeps its socket, for it asks once: it would leave it when killed."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These environment variables for as long as the context lasts."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name)
        os.environ.update(before)
