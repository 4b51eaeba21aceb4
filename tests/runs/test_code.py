"""The hash of the code that a run uses: prose does not count, all that a worker loads does."""

import importlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from kdlib import methods
from kdlib.runs import code
from kdlib.runs.store import modules

CACHED = (code.code_hash, code._file, code._parse, code._tree, code._imports, code._is_lazy)


@pytest.fixture(autouse=True)
def _fresh():
    yield
    for function in CACHED:
        function.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules, and a function that rewrites one and hashes another."""
    folder = tmp_path / "stranger"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "__init__.py").write_text("from .deep import g\n")
    (folder / "inner" / "deep.py").write_text("def g():\n    return 1\n")
    (folder / "main.py").write_text("from stranger.helper import f\nx = f(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "stranger"]:
        monkeypatch.delitem(sys.modules, name)

    def hashed(text: str, name: str = "helper.py") -> str:
        if not (folder / "helper.py").exists():
            (folder / "helper.py").write_text("from .inner import g\n")
        (folder / name).write_text(text)
        importlib.invalidate_caches()
        for function in CACHED:
            function.cache_clear()
        return code.code_hash(frozenset({"stranger.main"}))

    return hashed


def test_prose_does_not_change_the_hash(package):
    plain = package("def f(x):\n    return x\n")
    assert package('"""Doc."""\n# why\ndef f(x):\n    """Doc."""\n\n    return x  # so\n') == plain


def test_code_of_an_imported_module_does(package):
    assert package("def f(x):\n    return x\n") != package("def f(x):\n    return x + 1\n")


def test_code_of_relative_imports_and_of_the_packages_on_the_way_does(package):
    plain = package("def g():\n    return 1\n", "inner/deep.py")
    assert package("def g():\n    return 2\n", "inner/deep.py") != plain
    plain = package("from .deep import g\n", "inner/__init__.py")
    assert package("from .deep import g\nx = 1\n", "inner/__init__.py") != plain


def test_a_loss_that_a_package_finds_by_name_is_followed_to_its_file(package):
    package("from kdlib.losses import dkd_loss\n")
    reached = code.reached(["stranger.main"])
    assert {"kdlib.losses.dkd", "kdlib.losses.kd"} <= reached
    assert "kdlib.losses.sinkhorn" not in reached


# Trains a teacher, then every method, in processes of their own: what each has loaded at its end.
SCRIPT = """
import json, os, sys
import lightning_fabric, scipy.sparse.linalg, torchvision, torch._dynamo  # of others: once for all
from dataclasses import replace
from pathlib import Path
from kdlib.clips.others import Others
from kdlib.runs.datasets import Datasets
from kdlib.runs.worker import Planned, _attempt
from kdlib.runs.store import RunStore, run_key
from kdlib.runs.spec import *
from kdlib.training.recipe import Recipe

folder = Path(sys.argv[1])
store, datasets = RunStore(folder / "store"), Datasets(folder / "cache")
data = DataSpec("generated/detail12", train=32, validation=12, test=12, frames=2, size=16)
teacher = RunSpec(data, ModelSpec("tsn", {"width": 4}), Recipe(epochs=1, learning_rate=1e-3))

def run(spec):
    keys = [run_key(s, "cpu", {"generated/detail12": "x"}) for s in (spec, *spec.needs)]
    class Quiet:
        def send(self, message): pass
    return _attempt(Planned(spec, keys[0], tuple(keys[1:]), 1.0), store, datasets, "cpu", Quiet())

def apart(spec, report):
    child = os.fork()
    if not child:
        kind, words = run(spec)
        loaded = sorted(name for name in sys.modules if name.split(".")[0] == "kdlib")
        report.write_text(json.dumps({"kind": kind, "words": words, "loaded": loaded,
                                      "spec": json.loads(spec.to_json())}))
        os._exit(0)
    os.waitpid(child, 0)

# What those that take no teachers ask of the data.
alone = {
    "supervised": {},
    "oracle": {"known": ("posterior",)},
    "flow_probe": {"known": ("flow",), "task": "flow"},
    "rotnet": {},
    "vcop": {"sampling": "dense", "others": Others((1, 1), gap=1)},
    "prp": {"sampling": "dense", "frames": 16},
    "rspnet": {"sampling": "dense", "others": Others((1, 2, 2))},
    "cvrl": {"sampling": "dense", "others": Others((1,))},
    "tdl": {"sampling": "dense", "others": Others((1,), gap=0, again=True)},
}
apart(teacher, folder / "teacher.json")
video = replace(teacher, model=ModelSpec("vit", {"width": 16, "blocks": 1, "patch": 4}))
apart(video, folder / "video.json")
masked = {"mask_ratio": 0.5}
own = {
    "resolution": {"resolution": 8},
    "flow_probe": {"stage": "0"},
    "mae": masked,
    "mvd": masked,
}
for name in sys.argv[2:]:
    of = video if name in ("mae", "mvd") else teacher
    base = MethodSpec("kd") if name == "adaptive" else None
    teachers = () if name in (*alone, "mae") else (of,)
    method = MethodSpec(name, teachers, own.get(name, {}), base)
    asked = replace(data, **alone.get(name, {}))
    apart(RunSpec(asked, of.model, teacher.recipe, method, seed=1), folder / f"{name}.json")
"""


@pytest.mark.slow
def test_all_that_a_worker_has_loaded_when_a_run_ends_is_in_its_hash(tmp_path):
    """But for the few modules that only move runs about; and each of them changes the key."""
    from kdlib.runs.spec import RunSpec, parse

    names = methods.names()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in names:
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["kind"] == "done", found["words"]
        roots = modules(parse(RunSpec, found["spec"]))
        loaded = set(found["loaded"]) - code.ORCHESTRATORS
        assert f"kdlib.methods.{name}" in loaded
        assert loaded - code.reached(roots) == set(), name


def test_every_module_that_is_reached_changes_the_hash(make_spec, monkeypatch):
    roots = frozenset(modules(make_spec(teacher=make_spec())))
    plain, tree = code.code_hash(roots), code._tree
    reached = code.reached(roots)
    assert {"kdlib.runs.build", "kdlib.clips.view", "kdlib.losses.feature_kd"} <= reached
    for changed in sorted(reached):
        monkeypatch.setattr(code, "_tree", lambda n, c=changed: tree(n) + "pass" * (n == c))
        assert code.code_hash.__wrapped__(roots) != plain, changed
    for orchestrator in code.ORCHESTRATORS:
        assert orchestrator not in reached


def test_flow_of_real_videos_is_code_of_the_runs_that_ask_for_it(make_spec):
    from kdlib.runs.spec import DataSpec

    spec = make_spec()
    for data, wanted in (
        (DataSpec("jhmdb21", known=("flow",)), True),
        (DataSpec("jhmdb21"), False),
        (DataSpec("generated/motion12", train=1, known=("flow",)), False),
    ):
        found = code.reached(modules(replace(spec, data=data)))
        assert ("kdlib.data.tvl1" in found) == wanted


def test_sakd_depends_on_the_code_of_its_base(make_spec):
    from kdlib.runs.spec import MethodSpec

    method = MethodSpec("adaptive", base=MethodSpec("kd"))
    spec = make_spec()
    object.__setattr__(spec, "method", method)
    assert "kdlib.methods.kd" in code.reached(modules(spec))
    assert "kdlib.methods.dkd" not in code.reached(modules(spec))
