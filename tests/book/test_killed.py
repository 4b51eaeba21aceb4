"""A smoke reproduction that is killed at random moments, again and again, ends as if nobody had.

KDLIB_KILLS says how often (10 took 9 minutes beside other work), KDLIB_SEED when. Without it one
kill meets the trainings alone, without notebooks and pages.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = int(os.environ.get("KDLIB_KILLS", "1"))
SEED = int(os.environ.get("KDLIB_SEED", "5"))
# What is killed; how much longer it takes than the trainings; what it says of nothing to train.
WHAT, TIMES, NOTHING = (
    ("reproduce", 3, "trained    0 runs") if KILLS > 1 else ("run", 1, " 0 trained, 0 failed")
)
# To the process alone, or to its whole group, as a terminal and a batch system do.
WAYS = [
    (os.kill, signal.SIGKILL),
    (os.killpg, signal.SIGKILL),
    (os.kill, signal.SIGTERM),
    (os.killpg, signal.SIGTERM),
    (os.killpg, signal.SIGINT),
]
CLOCK = {"cost", "seconds", "seconds_before", "samples_per_second"}


def start(folder: Path, what: str = WHAT) -> subprocess.Popen:
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    # A shell's background jobs ignore it, and so would all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [
        sys.executable, "-m", "kdlib", what, "PROFILE=smoke", "CHAPTERS=resolution",
        "JOBS=2", f"STORE={folder / 'store'}", f"RESULTS={folder / 'results'}",
    ]  # fmt: skip
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
    )  # fmt: skip


def timeless(content):
    if isinstance(content, dict):
        return {k: timeless(v) for k, v in content.items() if k not in CLOCK}
    return content


def records(folder: Path) -> dict[str, dict[str, object]]:
    """What is in each record: weights byte by byte, all else without what a clock says."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted((folder / "store/runs").iterdir()):
        names = ("spec.json", "student.safetensors", "own.safetensors")
        content: dict[str, object] = {name: (path / name).read_bytes() for name in names}
        content["result"] = timeless(json.loads((path / "result.json").read_text()))
        lines = (path / "metrics.jsonl").read_text().splitlines()
        content["metrics"] = [timeless(json.loads(line)) for line in lines]
        with np.load(path / "traces.npz") as traces:
            kept = {n: traces[n].tobytes() for n in traces.files if "seconds" not in n}
        content["traces"] = kept
        found[path.name] = content
    return found


def left_behind(folder: Path) -> list[str]:
    patterns = (
        "tmp/*kd-*",
        "tmp/pymp-*",
        "tmp/sphinx*",
        "store/temporary/*",
        "store/checkpoints/*",
        "store/set-aside/*",
    )
    hidden = ("results/**/.book-*", "results/**/.*.[0-9]*.*", "store/cache/generated/new-*")
    return [p.name for pattern in (*patterns, *hidden) for p in folder.glob(pattern)]


@pytest.fixture
def place():
    """A folder whose name is short enough for what lies in its `tmp`: sockets."""
    with tempfile.TemporaryDirectory(prefix="killed-") as folder:
        yield Path(folder)


def ended(place: Path) -> None:
    """The killed reproduction goes on to its end, and is the undisturbed one."""
    last = start(place / "killed")
    out, _ = last.communicate(timeout=1800)
    assert last.returncode == 0, out
    assert records(place / "killed") == records(place / "calm")


@pytest.mark.slow
def test_killed_at_random_it_ends_as_if_nobody_had(place):
    began = time.monotonic()
    calm = start(place / "calm", "run")
    out, _ = calm.communicate(timeout=1800)
    assert calm.returncode == 0, out
    whole = TIMES * (time.monotonic() - began)

    draw, said = random.Random(SEED), []
    for number in range(KILLS):
        kill, how = WAYS[number % len(WAYS)]
        if number and number % len(WAYS) == 0:
            ended(place)
            shutil.rmtree(place / "killed")
        process = start(place / "killed")
        try:
            # Every second one sooner rather than later: trainings come first, and are done once.
            share = draw.random()
            out, _ = process.communicate(timeout=whole**share if number % 2 else whole * share)
        except subprocess.TimeoutExpired:
            kill(process.pid, how)
        else:
            said.append(f"{number}: done before it was killed")
            assert process.returncode == 0, out
            continue
        out, _ = process.communicate(timeout=120)
        trained = len(list((place / "killed").glob("store/runs/*")))
        said.append(f"{number}: {kill.__name__} {how.name}, {trained} records")
        assert process.returncode in (-how, 128 + how, 0), out
        if how != signal.SIGKILL:
            assert "Traceback" not in out, out
    print("\n".join(said))

    ended(place)
    # What is too young to be called dead would be swept by the next call.
    for path in (place / "killed/results").rglob(".*.[0-9]*.*"):
        os.utime(path, (0, 0))
    again = start(place / "killed")
    out, _ = again.communicate(timeout=1800)
    assert NOTHING in out
    assert left_behind(place / "killed") == []
