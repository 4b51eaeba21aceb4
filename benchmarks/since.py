"""Training then and now: `python -m benchmarks.since`.

Runs of an earlier commit, trained in turns by its code and by this one's, on one thread each. The
ratio of processor seconds leaves out planning and pages; the mean scores should agree, since both
trained the same.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kdlib.runs.engine import worker_environment

ROOT = Path(__file__).parents[1]
CHAPTERS = ("resolution", "adaptive")  # those that the commit had

# Run in either tree. Modules have moved since, from `study` to `runs`.
HELLO = """
import json, sys, time
from importlib import import_module
from pathlib import Path
import torch
torch.set_num_threads(1)
package = "kdlib.runs" if Path("kdlib/runs").is_dir() else "kdlib.study"
spec, datasets, store, execute = (
    import_module(f"{package}.{name}") for name in ("spec", "datasets", "store", "execute")
)
"""
LIST = """
from kdlib.study.chapter import Chapter
from kdlib.study.setting import Setting
for name in sys.argv[1].split(","):
    for run in Chapter(name, Setting()).specs():
        print(run.to_json())
"""
TRAIN = """
root, data = Path(sys.argv[1]), datasets.Datasets(Path(sys.argv[1]) / "cache")
kept = store.RunStore(root)
for line in sys.stdin:
    run = spec.parse(spec.RunSpec, json.loads(line))
    keys = data.keys([run])
    key = store.run_key(run, "cpu", keys)
    needed = [kept.find(store.run_key(other, "cpu", keys)) for other in run.needs]
    videos = data.load(run.data)
    started = time.process_time()
    record = execute.execute(run, key, kept, videos, needed)
    seconds, last = time.process_time() - started, record.result["last"]
    print(json.dumps([seconds, last.get("score", last.get("video_top1"))]), flush=True)
"""


def main() -> None:
    """Time the runs and print a line each, then all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", default="11ec1f9")
    parser.add_argument("--every", type=int, default=16, help="one in so many of its runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "then").mkdir()
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", given.commit], capture_output=True, check=True
        )
        subprocess.run(["tar", "x", "-C", str(folder / "then")], input=archive.stdout, check=True)
        listed = _python(folder / "then", LIST, ",".join(CHAPTERS))
        assert listed.stdout
        runs = _with_needs([json.loads(line) for line in listed.stdout][:: given.every])
        then, now = (
            _python(tree, TRAIN, str(folder / f"store-{place}"))
            for place, tree in enumerate((folder / "then", ROOT))
        )
        found = []
        for run in runs:
            found.append([_trained(then, run), _trained(now, _today(run))])
            (before, _), (after, _) = found[-1]
            title = f"{run['method']['name']} {run['model']['name']}"
            print(f"{after / before:.2f}  {before:6.2f} s  {after:6.2f} s  {title}", flush=True)
    sums = [sum(seconds for seconds, _ in column) for column in zip(*found, strict=True)]
    means = [sum(score for _, score in column) / len(runs) for column in zip(*found, strict=True)]
    print(f"{sums[1] / sums[0]:.2f} of {sums[0]:.0f} s in {len(runs)} runs; mean scores {means}")


def _python(tree: Path, code: str, argument: str) -> "subprocess.Popen[str]":
    # Each as its own engine starts workers.
    today = worker_environment("cpu")
    environment = today if tree == ROOT else {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(tree)
    return subprocess.Popen(
        [sys.executable, "-c", HELLO + code, argument],
        cwd=tree, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def _trained(process: "subprocess.Popen[str]", run: dict[str, Any]) -> tuple[float, float]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(run) + "\n")
    process.stdin.flush()
    seconds, score = json.loads(process.stdout.readline())
    return seconds, score


def _with_needs(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Teachers and starts before their students, each once."""
    ordered: dict[str, dict[str, Any]] = {}

    def add(run: dict[str, Any]) -> None:
        for other in [*run["method"]["teachers"], *([run["start"]] if run["start"] else [])]:
            add(other)
        ordered.setdefault(json.dumps(run, sort_keys=True), run)

    for run in runs:
        add(run)
    return list(ordered.values())


def _today(run: dict[str, Any]) -> dict[str, Any]:
    """A run of 11ec1f9 in today's words."""
    data = {name: value for name, value in run["data"].items() if name != "flip"}
    options = dict(run["method"]["options"])
    base = {"base": {"name": options.pop("base")}} if "base" in options else {}
    teachers = [_today(teacher) for teacher in run["method"]["teachers"]]
    method = {"name": run["method"]["name"], "options": options, "teachers": teachers, **base}
    start = run["start"] and {
        "run": _today(run["start"]),
        "part": "all" if run["start"]["data"] == run["data"] else "backbone",
    }
    return {**run, "data": data, "method": method, "start": start}


if __name__ == "__main__":
    main()
