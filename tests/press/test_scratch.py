import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from kdlib.press import scratch

MAKES = "from kdlib.press import scratch; print(scratch.own(), flush=True); input()"


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process with a folder of its own, in a temporary folder of the test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", MAKES],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    process.folder = process.stdout.readline().strip()
    yield process
    process.kill()
    process.communicate()


def test_folders_of_the_living_stay_and_those_of_the_dead_go(other):
    for name in ("kd-", "kd-empty"):  # of someone who keeps no lock
        os.mkdir(os.path.join(tempfile.tempdir, name))
    scratch.sweep()
    assert os.path.isdir(other.folder)
    other.send_signal(signal.SIGKILL)
    other.wait()
    scratch.sweep()
    assert sorted(os.listdir(tempfile.tempdir)) == ["kd-", "kd-empty"]


def test_who_ends_takes_the_folder_along(other):
    other.communicate("\n")
    assert os.listdir(tempfile.tempdir) == []


def test_what_was_never_finished_is_swept_from_results(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = {
        f".a.{gone.pid}.svg": False,
        f"paper/.figure-5.png.{gone.pid}.png": False,
        f"paper/.a.{os.getpid()}.csv": True,
        f"paper/.new.{gone.pid}.csv": True,  # too young to be sure of
        "paper/.hidden": True,
        "paper/a.1.csv": True,
        ".lock": True,
    }
    (tmp_path / "paper").mkdir()
    (tmp_path / ".book-abc/html").mkdir(parents=True)
    for name in names:
        (tmp_path / name).touch()
        past = time.time() - (0 if "new" in name else 100)
        os.utime(tmp_path / name, (past, past))
    scratch.sweep_results(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names
    assert not (tmp_path / ".book-abc").exists()
