"""The engine with real worker processes, killed for real."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch

from kdlib.methods.supervised import Supervised
from kdlib.runs import engine
from kdlib.runs.build import clip_source
from kdlib.runs.engine import run_all
from kdlib.runs.spec import MethodSpec, Start
from kdlib.runs.store import run_key
from kdlib.training.evaluate import predict

pytestmark = pytest.mark.slow  # each waits for workers to import torch


@pytest.fixture
def go(store, datasets, planned):
    def run(*specs, jobs=2):
        return run_all(planned(*specs)[0], store, datasets, device="cpu", jobs=jobs)

    return run


def test_teachers_first_then_students_and_nothing_twice(go, planned, make_spec, store, datasets):
    teacher = make_spec()
    students = [make_spec(teacher=teacher, weight=w) for w in (1.0, 2.0)]
    missing, found = planned(*students)
    assert ([run.spec for run in missing], found) == ([teacher, *students], 0)
    assert len(go(*students).done) == 3
    assert planned(*students) == ([], 2)
    record = store.find(missing[1].key)
    assert record.spec == students[0]
    assert set(record.result["last"]) == {"score", "video_top5", "clip_top1", "per_class"}
    assert record.result["cost"]["parameters"] == sum(
        p.numel() for p in record.student().parameters()
    )
    assert len(record.history) == 2
    assert record.result["chosen_epoch"] == 0, "else the next lines could not tell last from chosen"
    source = clip_source(datasets.load(record.spec.data)["test"], record.spec.data, "test")
    again = predict(Supervised(record.student(), resolution=8), source)
    kept = record.traces["predicted_last"]
    assert kept.tolist() == again.values.mean(1).argmax(1).tolist()
    assert (kept == record.traces["labels"]).mean() == record.result["last"]["score"]
    small = [f for f in record.path.iterdir() if f.name != "student.safetensors"]
    assert sum(file.stat().st_size for file in small) < 2e6


def test_a_student_starts_from_the_weights_of_another_run(go, planned, make_spec, store, datasets):
    """All of them, or those of the backbone."""
    first = make_spec(seed=5)

    def student_of(spec):
        key = run_key(spec, "cpu", datasets.keys([spec]))
        return dict(store.find(key).student().named_parameters())

    def still(start):
        recipe = dataclasses.replace(first.recipe, learning_rate=1e-12)
        return dataclasses.replace(make_spec(), recipe=recipe, start=start)

    assert [run.spec for run in planned(still(Start(first)))[0]] == [first, still(Start(first))]
    head = {"head.fc.weight", "head.fc.bias"}
    for start, fresh in ((Start(first), set()), (Start(first, "backbone"), head)):
        go(still(start))
        before, after = student_of(first), student_of(still(start))
        differing = {name for name in before if not torch.allclose(before[name], after[name])}
        assert differing == fresh


@pytest.fixture
def started(monkeypatch):
    """The processes of workers that are started from now on; no earlier one waits."""
    engine._end(engine._idle)
    engine._idle.clear()
    found, start_one = [], engine._Worker._start

    def counted(worker):
        start_one(worker)
        found.append(worker.process)

    monkeypatch.setattr(engine._Worker, "_start", counted)
    return found


def test_the_cells_of_a_lesson_start_workers_once(go, make_spec, started, monkeypatch):
    """Unless these would find another environment, and not for ever."""
    for seed in (0, 2):
        assert len(go(make_spec(seed, epochs=1), make_spec(seed + 1, epochs=1)).trained) == 2
    assert len(started) == 2
    monkeypatch.setenv("A_SETTING_OF_ONES_OWN", "1")
    monkeypatch.setattr(engine, "_PATIENCE_S", 0.2)
    go(make_spec(4, epochs=1), jobs=1)
    assert len(started) == 3
    wait_for(lambda: started[2].poll() is not None)
    assert started[0].poll() is None
    assert len(engine._idle) == 2


def test_no_worker_waits_after_a_stop(go, make_spec, started, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "_drive", stopped)
    with pytest.raises(KeyboardInterrupt):
        go(make_spec(), make_spec(1))
    wait_for(lambda: all(process.poll() is not None for process in started))
    assert (len(started), engine._idle) == (2, [])


def test_a_worker_that_died_while_it_waited_is_replaced(go, make_spec, started):
    go(make_spec(epochs=1), jobs=1)
    started[0].kill()
    started[0].wait()
    assert len(go(make_spec(1, epochs=1), jobs=1).trained) == 1
    assert len(started) == 2


def test_what_killed_processes_left_in_the_store_is_swept_first(go, make_spec, store, monkeypatch):
    swept = []
    monkeypatch.setattr(type(store), "sweep", lambda self: swept.append(self.root))
    go(make_spec(epochs=1), jobs=1)
    assert swept == [store.root]


def test_students_of_one_seed_start_alike_whatever_the_method(go, planned, make_spec, store):
    def still(spec):
        recipe = dataclasses.replace(spec.recipe, learning_rate=1e-12)
        return dataclasses.replace(spec, recipe=recipe)

    specs = [still(make_spec()), still(make_spec(teacher=make_spec(seed=7)))]
    keys = [run.key for run in planned(*specs)[0] if run.spec in specs]
    go(*specs)
    direct, distilled = (dict(store.find(key).student().named_parameters()) for key in keys)
    for name, value in direct.items():
        assert torch.allclose(value, distilled[name], atol=1e-6), name


def test_a_failed_run_fails_its_students_alone(go, make_spec, planned, capfd):
    # A tenth of 32 clips cannot be divided so finely, which shows at the first selection.
    teacher = make_spec()
    method = MethodSpec("adaptive", (teacher,), {"ratio": 0.001}, base=MethodSpec("kd"))
    failing = dataclasses.replace(make_spec(), method=method)
    orphan = make_spec(teacher=failing)
    outcome = go(orphan, make_spec(seed=1))
    assert len(outcome.done) == 2
    reasons = [outcome.failed[run.key] for run in planned(orphan)[0]]
    assert "adaptive.ratio: 0.001 of 32 samples is none" in reasons[0]
    assert reasons[1].endswith("its teacher failed")
    assert "kdlib: failed" in capfd.readouterr().out


WARNING = """
import warnings
from kdlib.methods.supervised import Supervised

class Warning_(Supervised):
    def step(self, batch, epoch):
        with warnings.catch_warnings():  # makes Python forget what it has shown
            pass
        warnings.warn("two files\\n  are left out")
        return super().step(batch, epoch)
"""


def test_what_workers_warn_of_is_said_once_and_without_code(
    go, make_spec, tmp_path, monkeypatch, capfd
):
    (tmp_path / "warner.py").write_text(WARNING)
    monkeypatch.syspath_prepend(str(tmp_path))
    method = MethodSpec("warner:Warning_")
    outcome = go(*(dataclasses.replace(make_spec(seed), method=method) for seed in (0, 1, 2)))
    assert len(outcome.done) == 3
    # Rehearsals, which are here, show it as any warning.
    assert capfd.readouterr().err.count("kdlib: note: two files\n  are left out\n") == 1


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from kdlib.runs.datasets import Datasets
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.spec import *
from kdlib.runs.store import RunStore
from kdlib.training.recipe import Recipe
store, datasets = RunStore(Path({store!r})), Datasets(Path({cache!r}))
specs = [RunSpec(
    DataSpec("generated/detail12", train=32, validation=12, test=24, frames=2, size=16),
    ModelSpec("tsn", {{"width": 4}}), Recipe(epochs={epochs}, learning_rate=1e-3, batch_size=16),
    MethodSpec(), seed) for seed in range(3)]
missing, _ = plan(specs, store, "cpu", datasets.keys(specs))
outcome = run_all(missing, store, datasets, device="cpu", jobs=2)
print(len(outcome.done), len(outcome.failed), len(outcome.trained))
"""


def start(tmp_path, store="store", epochs=40):
    code = SCRIPT.format(
        tests=".", store=str(tmp_path / store), cache=str(tmp_path / "cache"), epochs=epochs
    )
    # A shell's background jobs ignore it, and so would all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children(pid):
    out = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return [int(line) for line in out.stdout.split()]


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def contents(folder):
    return {
        path.name: (path / "student.safetensors").read_bytes()
        for path in sorted((folder / "runs").iterdir())
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The students of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    assert start(folder).communicate(timeout=120)[0].split() == ["3", "0", "3"]
    return contents(folder / "store")


@pytest.mark.parametrize("who", ["worker", "engine", "interrupt"])
def test_killed_for_real_then_continued_equals_undisturbed(tmp_path, undisturbed, who):
    process = start(tmp_path)
    wait_for(lambda: len(list((tmp_path / "store" / "runs").glob("*"))) >= 1)
    if who == "worker":
        os.kill(children(process.pid)[0], signal.SIGKILL)
        out, _ = process.communicate(timeout=120)
        done, failed, _ = map(int, out.split()[-3:])
        assert done + failed == 3
        assert failed <= 1
    else:
        os.killpg(process.pid, signal.SIGKILL if who == "engine" else signal.SIGINT)
        process.communicate(timeout=60)
    again = start(tmp_path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert contents(tmp_path / "store") == undisturbed
    assert list((tmp_path / "store" / "checkpoints").glob("*")) == []


def test_two_engines_on_one_store_train_nothing_twice(tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    results = [process.communicate(timeout=180) for process in both]
    assert [out.split()[:2] for out, _ in results] == [["3", "0"], ["3", "0"]]
    assert sum(int(out.split()[2]) for out, _ in results) == 3, "each run was trained by one"
    assert len(contents(tmp_path / "store")) == 3
    assert not (tmp_path / "store" / "set-aside").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="looks for processes in /proc")
def test_a_worker_that_still_imports_is_stopped_without_a_word(tmp_path, number):
    """The engine is told to stop too, as by Ctrl-C in a terminal, and answers for both."""
    process = start(tmp_path)
    wait_for(lambda: list((tmp_path / "store").glob("temporary")))  # workers are next
    time.sleep(0.3)
    workers = children(process.pid)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert "kdlib/runs/worker" not in err
    assert err.count("Traceback") == (number == signal.SIGINT), "that of the script, which says so"
    assert workers
    wait_for(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers))


@pytest.mark.parametrize(("device", "hidden"), [("cpu", True), ("cuda", False)])
def test_a_worker_for_the_cpu_sees_no_gpu(device, hidden, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert engine.worker_environment(device)["CUDA_VISIBLE_DEVICES"] == ("" if hidden else "3")


def test_a_worker_keeps_what_it_frees_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    assert int(engine.worker_environment("cpu")["MALLOC_TRIM_THRESHOLD_"]) == 2**30
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "4096")
    assert engine.worker_environment("cpu")["MALLOC_TRIM_THRESHOLD_"] == "4096"


def test_threads_may_call_it(go, make_spec):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(go(make_spec(), jobs=1)))
    thread.start()
    thread.join(60)
    assert len(outcomes[0].done) == 1
