"""The house rules a machine can check: linters, sizes, direction of imports, notebooks, paths."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "kdlib").rglob("*.py"))
PYTHON = [
    *SOURCES,
    *(p for folder in ("tests", "benchmarks", "book") for p in (ROOT / folder).rglob("*.py")),
]
NOTEBOOKS = sorted(
    p for p in (ROOT / "book").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts
)

# What each package may import of kdlib, besides kdlib.errors, kdlib.notes, kdlib.options.
ALONE = ("data", "models", "losses", "analysis")
BELOW_RUNS = (*ALONE, "clips", "tasks", "methods", "training")
MAY_IMPORT = {
    **{package: {package} for package in ALONE},
    "clips": {"clips", "data"},
    "tasks": {"tasks", "clips", "losses", "models", "analysis"},
    "methods": {"methods", "tasks", "clips", "losses", "models"},
    "training": {"training", "methods.base", "tasks", "clips", *ALONE},
    "runs": {"runs", *BELOW_RUNS},
    "study": {"study", "runs", *BELOW_RUNS},
    "press": {"press", "study", "runs", "data"},
    "cli": {"cli", "press", "study", "runs", "data"},
}
MACHINE_PATH = re.compile(r"(?<![\w.~)}\]*-])/(work|root|home|Users)/")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|anaconda\.(org|com)|npmjs\.org|download\.pytorch\.org/whl"
)


def run(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_ruff_check():
    run("ruff", "check", "--no-cache", *map(str, PYTHON))


def test_ruff_format():
    run("ruff", "format", "--no-cache", "--check", *map(str, PYTHON))


@pytest.mark.slow
def test_mypy():
    run("mypy", "kdlib")


# Sizes


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_are_short():
    assert {str(p.relative_to(ROOT)): lines(p) for p in PYTHON if lines(p) > 400} == {}
    assert median(lines(p) for p in SOURCES) < 130


# Direction of imports


def imported(source, module):
    """Full dotted names that the source of `module` ("kdlib.losses.dkd") imports."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [f"{base}.{alias.name}" for alias in node.names]
    return names


def forbidden(source, module):
    """The imports of `source` that its package may not make."""
    package = module.split(".")[1]
    allowed = [f"kdlib.{name}" for name in (*MAY_IMPORT[package], "errors", "notes", "options")]
    return [
        name
        for name in imported(source, module)
        if name.split(".")[0] in ("kdlib", "book")
        and not any(name == one or name.startswith(one + ".") for one in allowed)
    ]


def test_every_package_has_an_import_rule():
    packages = {p.parent.name for p in (ROOT / "kdlib").glob("*/__init__.py")}
    assert packages == MAY_IMPORT.keys()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package):
    found = {}
    for path in sorted((ROOT / "kdlib" / package).rglob("*.py")):
        # The name of a package's __init__ keeps its last part, so that "." means the package.
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if wrong := forbidden(path.read_text(encoding="utf-8"), module):
            found[module] = wrong
    assert found == {}


@pytest.mark.parametrize(
    ("source", "module", "expected"),
    [
        ("from kdlib.models import build", "kdlib.losses.x", ["kdlib.models.build"]),
        ("from kdlib import models", "kdlib.losses.x", ["kdlib.models"]),
        ("from ..models import c3d", "kdlib.losses.x", ["kdlib.models.c3d"]),
        ("from .kd import a\nfrom kdlib.errors import UserError", "kdlib.losses.x", []),
        ("def f():\n    import kdlib.runs.plan", "kdlib.training.x", ["kdlib.runs.plan"]),
        ("from kdlib.methods.masked import M", "kdlib.training.x", ["kdlib.methods.masked.M"]),
        ("from kdlib.methods.base import Method", "kdlib.training.x", []),
        ("from kdlib.data.videos import Videos", "kdlib.methods.x", ["kdlib.data.videos.Videos"]),
        ("from kdlib.clips.pixels import resize", "kdlib.methods.x", []),
        ("import kdlib.study.chapter", "kdlib.runs.x", ["kdlib.study.chapter"]),
        ("from kdlib.press import site", "kdlib.study.x", ["kdlib.press.site"]),
        ("import book.flow.study", "kdlib.study.x", ["book.flow.study"]),
        ("import torch\nfrom torch import nn", "kdlib.data.x", []),
    ],
)
def test_forbidden_imports_are_seen(source, module, expected):
    assert forbidden(source, module) == expected


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circle(sources):
    """Modules that import each other at their top, in order; None if there are none.

    sources: by module; of packages their own file. What a function imports does not count.
    """

    class Top(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return ast.Pass()

    graph = {}
    for module, (source, is_package) in sources.items():
        top = ast.unparse(ast.fix_missing_locations(Top().visit(ast.parse(source))))
        found = imported(top, f"{module}.x" if is_package else module)
        owners = {name if name in sources else name.rpartition(".")[0] for name in found}
        graph[module] = (owners & sources.keys()) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_imports_have_no_circle():
    sources = {
        module_of(p): (p.read_text(encoding="utf-8"), p.name == "__init__.py") for p in SOURCES
    }
    assert circle(sources) is None


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ("from kdlib.b import x", "from kdlib.a import y", True),
        ("from kdlib import b", "import kdlib.a", True),
        ("def f():\n    from kdlib import b", "import kdlib.a", False),
        ("from kdlib.b import x", "import torch", False),
    ],
)
def test_circles_are_seen(a, b, found):
    assert bool(circle({"kdlib.a": (a, False), "kdlib.b": (b, False)})) is found


# Notebooks


def faults(notebook):
    """What a committed notebook must not have, in words; empty if all is well."""
    cells, found = notebook["cells"], []
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if cells[0]["cell_type"] != "markdown" or not "".join(cells[0]["source"]).startswith("# "):
        found.append("the first cell is not the title")
    if len(tagged) != 1 or tagged != code[:1]:
        found.append("the first code cell, and it alone, bears the tag 'parameters'")
    if "papermill" in notebook["metadata"] or "widgets" in notebook["metadata"]:
        found.append("metadata of an execution")
    for cell in code:
        source = "".join(cell["source"]).splitlines()
        if cell["outputs"] or cell["execution_count"] is not None:
            found.append(f"cell {cell['id']}: outputs or an execution count")
        if len(source) > 25:
            found.append(f"cell {cell['id']}: {len(source)} lines, over 25")
        if any(len(line) > 78 for line in source):
            found.append(f"cell {cell['id']}: a line over 78 characters is cut off in the book")
    return found


def cell(cell_type, source, **other):
    base = {"cell_type": cell_type, "id": "x", "metadata": {}, "source": source}
    extra = {"outputs": [], "execution_count": None} if cell_type == "code" else {}
    return {**base, **extra, **other}


TITLE = cell("markdown", "# Title")
PARAMETERS = cell("code", "seed = 0", metadata={"tags": ["parameters"]})


@pytest.mark.parametrize(
    ("cells", "count"),
    [
        ([TITLE, PARAMETERS, cell("code", "x = 1\n" * 25)], 0),
        ([PARAMETERS], 1),
        ([TITLE, cell("code", "x = 1"), PARAMETERS], 1),
        ([TITLE, cell("code", "x = 1")], 1),
        ([TITLE, PARAMETERS, PARAMETERS], 1),
        ([TITLE, PARAMETERS, cell("code", "x", execution_count=3)], 1),
        ([TITLE, PARAMETERS, cell("code", "x", outputs=[{"output_type": "stream"}])], 1),
        ([TITLE, PARAMETERS, cell("code", "x = 1\n" * 26)], 1),
        ([TITLE, PARAMETERS, cell("code", "x" * 79)], 1),
    ],
)
def test_faults_of_notebooks_are_seen(cells, count):
    assert len(faults({"cells": cells, "metadata": {}})) == count


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_notebook(path):
    assert faults(json.loads(path.read_text(encoding="utf-8"))) == []


def test_cell_ids_are_unique_in_the_project():
    ids = Counter(
        cell["id"]
        for path in NOTEBOOKS
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    )
    assert [name for name, count in ids.items() if count > 1] == []


# Text


def committed():
    """Files that git tracks or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_machine_path_and_no_registry_in_text():
    found = []
    for path in committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATH.search(line) or REGISTRY.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_machine_paths_are_told_from_others():
    for text in ("cd {}/x", "'{}/'", "={}/main", "file://{}/a"):
        assert MACHINE_PATH.search(text.format("/" + "work"))
        assert MACHINE_PATH.search(text.format("/" + "root"))
    for text in ("https://host.org/{}/x", "artwork/x", "build/{}/x", "~/{}/x", "a/{}"):
        assert not MACHINE_PATH.search(text.format("work"))
