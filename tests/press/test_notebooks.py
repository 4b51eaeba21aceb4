import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kdlib.errors import UserError
from kdlib.press import notebooks
from kdlib.press.notebooks import NotebookFailed, check_parameters, execute, fresh, parameters

PARAMETERS = "profile: str = 'laptop'  # how big\nseeds = 3\nsizes = (\n    8, 16)\nn: int"


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# A title"), tagged, *map(new_code_cell, cells)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def printed(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", []))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_parameters_are_read_with_their_defaults(tmp_path):
    notebook = write(tmp_path / "a.ipynb", parameters=PARAMETERS + "\nroot = Path('x')")
    expected = {"profile": "laptop", "seeds": 3, "sizes": (8, 16), "root": "Path('x')"}
    assert parameters(notebook) == expected


def test_a_notebook_without_a_parameters_cell_has_none(tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), tmp_path / "a.ipynb")
    assert parameters(tmp_path / "a.ipynb") == {}


def test_an_unknown_parameter_is_refused_with_the_nearest_name(tmp_path):
    notebook = write(tmp_path / "a.ipynb")
    check_parameters(notebook, {"seeds": 5})
    with pytest.raises(UserError, match=r"'seed'.*allowed: profile, .*Did you mean 'seeds'"):
        check_parameters(notebook, {"seed": 5})


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "a.ipynb").write_text("{}")
    with pytest.raises(UserError, match="not a notebook"):
        parameters(tmp_path / "a.ipynb")
    with pytest.raises(UserError, match="no file"):
        execute(tmp_path / "b.ipynb", tmp_path / "out.ipynb", {}, timeout_s=9)


@pytest.mark.slow
def test_an_executed_copy_has_the_outputs_the_parameters_and_the_key(tmp_path):
    notebook = write(
        tmp_path / "a.ipynb",
        "import os, sys, kdlib\nprint(sys.executable, os.getcwd(), os.environ['OMP_NUM_THREADS'])",
        "print(profile, seeds)",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    )
    output, log = tmp_path / "deep" / "a.ipynb", tmp_path / "log.txt"
    stale = tmp_path / "deep" / "a.failed.ipynb"
    stale.parent.mkdir()
    stale.write_text("from an earlier run")
    execute(notebook, output, {"seeds": 5}, timeout_s=60, log=log, key="abc")
    assert f"{sys.executable} {notebooks.ROOT} 1\n" in printed(output)
    assert "laptop 5\n" in printed(output)
    assert "laptop 5\n" in log.read_text()
    assert '"image/png"' in output.read_text()
    assert fresh(output, "abc")
    assert not fresh(output, "abd")
    assert not stale.exists()
    # Reformatted it is the same copy; with a digit edited it is not.
    whole = output.read_text()
    output.write_text(json.dumps(json.loads(whole)))
    assert fresh(output, "abc")
    output.write_text(whole.replace("laptop 5", "laptop 6"))
    assert not fresh(output, "abc")
    output.write_text(whole)
    assert str(tmp_path) not in output.read_text()
    nbformat.validate(nbformat.read(output, as_version=4))


def test_two_notebooks_run_at_once(tmp_path):
    # Each waits for the other's file, so that neither can end before both have begun.
    cell = (
        "from pathlib import Path\nimport time\nPath('{0}').touch()\n"
        "while not Path('{1}').exists(): time.sleep(0.02)\nprint('{0}')"
    )
    sources = {n: write(tmp_path / f"{n}.ipynb", cell.format(*n)) for n in ("xy", "yx")}

    def run(name: str) -> str:
        output = tmp_path / "out" / f"{name}.ipynb"
        execute(sources[name], output, {}, timeout_s=60, root=tmp_path)
        return printed(output)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, sources)) == ["x\n", "y\n"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "timeout_s", "message"),
    [
        ("raise ValueError('first\\nthe last line')", 60, "ValueError: the last line"),
        ("import os\nos._exit(1)", 60, "DeadKernelError: Kernel died"),
        ("import time\ntime.sleep(60)", 2, "time-out after 2 s"),
    ],
)
def test_a_failing_cell_leaves_a_partial_copy_and_no_output(tmp_path, cell, timeout_s, message):
    pid = "import os\nprint('pid', os.getpid())"
    notebook = write(tmp_path / "a.ipynb", pid, cell, "print('never')")
    output = tmp_path / "out.ipynb"
    output.write_text("an older copy")
    with pytest.raises(NotebookFailed) as caught:
        execute(notebook, output, {"seeds": 4}, timeout_s=timeout_s)
    error = caught.value
    assert (error.path, error.cell, error.message) == (tmp_path / "out.failed.ipynb", 3, message)
    assert str(error) == f"out failed in cell 3: {message}"
    assert "never" not in printed(error.path)
    assert output.read_text() == "an older copy"
    assert gone(int(printed(error.path).split()[1]))


def test_starting_the_server_from_many_threads_leaves_the_environment_as_it_was():
    before = dict(os.environ)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: notebooks.warm(), range(400)))
    assert dict(os.environ) == before


def test_freshness_needs_a_whole_copy(tmp_path):
    assert not fresh(tmp_path / "none.ipynb", "")
    for text in ("{", "[]", '{"metadata": {"kdlib": {"key": ""}}}'):
        (tmp_path / "a.ipynb").write_text(text)
        assert not fresh(tmp_path / "a.ipynb", "")


@pytest.mark.slow
def test_an_interrupt_kills_the_kernel(tmp_path):
    write(tmp_path / "a.ipynb", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    call = (
        "from pathlib import Path\nfrom kdlib.press.notebooks import execute\n"
        # Ignored by whatever was started in the background, tests among them.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        "    execute(Path('a.ipynb'), Path('b.ipynb'), {}, timeout_s=60, log=Path('log.txt'))\n"
    )
    (tmp_path / "call.py").write_text(call)
    environment = os.environ | {"PYTHONPATH": str(notebooks.ROOT)}
    process = subprocess.Popen(
        [sys.executable, "call.py"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    log, deadline = tmp_path / "log.txt", time.monotonic() + 30
    while not (log.exists() and log.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    kernel = int(log.read_text().split()[0])
    assert alive(kernel)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
    assert gone(kernel)
    assert not (tmp_path / "b.ipynb").exists()


@pytest.mark.parametrize(
    "cells", ['[{"metadata": {"tags": ["parameters"]}, "source": "a = }"}]', "[1]", "3", "[" * 9999]
)
def test_a_notebook_whose_parameters_cannot_be_read_is_refused(tmp_path, cells):
    path = tmp_path / "a.ipynb"
    path.write_text(f'{{"cells": {cells}}}')
    with pytest.raises(UserError, match=r"notebook: .*a\.ipynb") as caught:
        parameters(path)
    assert "\n" not in str(caught.value)
