"""What the README says is done here to the letter, in a copy of the house."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import nbformat
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)[1]


def blocks(title):
    """The fenced blocks of a section: (language, text)."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", section(title), re.DOTALL | re.MULTILINE)


@pytest.fixture
def house(tmp_path):
    """A copy of what a clone has, so that files can be added to it."""
    copied = shutil.ignore_patterns("__pycache__", "*.ipynb")
    for folder in ("kdlib", "data_manifests", "book/_site", "book/resolution"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=copied)
    for name in ("index.md", "how-we-test.md", "references.md", "references.bib", "faults.py"):
        shutil.copy(ROOT / "book" / name, tmp_path / "book")
    return tmp_path


def python(where, *words, house=None):
    """What a command of Python prints in a folder, by the code there or of another house."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KDLIB_")}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=where,
        env=kept | {"PYTHONPATH": str(house or where), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def film(path, seed):
    """A short video of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(draw.integers(0, 256, (48, 64, 3), np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.slow
def test_from_files_to_an_answer_in_one_block(tmp_path):
    (_, text), *_ = blocks("Your own code")
    assert text.count("\n") <= 25
    for part, days in (("train", (1, 2, 3)), ("validation", (4,)), ("test", (1,))):
        for label in ("wave", "jump"):
            for day in days:
                film(tmp_path / f"clips/{part}/{label}/{day}.mp4", day)
    (tmp_path / "example.py").write_text(text)
    answer = ast.literal_eval(python(tmp_path, "example.py", house=ROOT))
    assert set(answer) == {"jump", "wave"}
    assert sum(answer.values()) == pytest.approx(1)
    command = re.search(r"`kdlib (classify [^`]*)`", section("Your own code"))[1]
    words = command.replace("clip.mp4", "clips/test/wave/1.mp4").split()
    table = python(tmp_path, "-m", "kdlib", *words, house=ROOT)
    assert table.splitlines()[2].split()[0] == next(iter(answer))


@pytest.mark.slow
def test_losses_models_and_methods_stand_alone():
    _, (_, text), *_ = blocks("Your own code")
    made, parts = {}, text.split("options = ")
    exec(parts[0], made)
    before = {name: value.clone() for name, value in made["teacher"].state_dict().items()}
    exec("options = " + parts[1], made)
    assert made["loss"].requires_grad
    assert type(made["method"]).__name__ == "AdaptiveDistillation"
    # A method leaves the teacher that it was given as it was.
    after = made["teacher"].state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.slow
def test_own_method_on_own_clips_in_under_forty_lines(house):
    _, _, (_, method), (_, manifest), (_, train) = blocks("Your own code")
    assert sum(text.count("\n") for text in (method, manifest, train)) < 40
    (house / "cosine.py").write_text(method)
    (house / "data_manifests/mine.yaml").write_text(manifest)
    (house / "train.py").write_text(train)
    for part, days in (("train", (1, 2, 3)), ("test", (4,))):
        for label in ("wave", "jump"):
            for day in days:
                film(house / f"data/clips/{part}/{label}/day{day}_take1.mp4", day)
    printed = python(house, "train.py").splitlines()[-1]
    records = sorted((house / ".kdlib/runs").iterdir())
    assert len(records) == 2
    path, score = printed.split()
    assert house / path in records
    assert 0 <= float(score) <= 1
    times = [path.stat().st_mtime_ns for path in records]
    assert python(house, "train.py").splitlines() == [printed]
    assert sorted((house / ".kdlib/runs").iterdir()) == records
    assert [path.stat().st_mtime_ns for path in records] == times


@pytest.mark.slow
def test_a_new_chapter_is_planned_trained_shown_and_judged(house):
    (_, study), (_, claims), (_, checks), (_, lesson) = blocks("A new chapter")
    folder = house / "book/hinton"
    folder.mkdir()
    files = {"study.py": study, "claims.toml": claims, "checks.py": checks, "index.md": "# KD\n"}
    for name, text in files.items():
        assert name in section("A new chapter")
        (folder / name).write_text(text)
    notebook = nbformat.read(ROOT / "book/resolution/01-seeing-less.ipynb", as_version=4)
    kept = [c for c in notebook.cells if "parameters" in c["metadata"].get("tags", [])]
    notebook.cells = [nbformat.v4.new_markdown_cell("# A lesson"), *kept]
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in lesson.split("\n\n")]
    nbformat.write(notebook, folder / "01-name.ipynb")

    (command,) = re.findall(r"`make (reproduce [^`]*)`", section("A new chapter"))
    planned = python(house, "-m", "kdlib", *command.replace("reproduce", "plan").split())
    assert "1 artifacts of hinton; 0 runs in the store, 4 to train" in planned
    printed = python(house, "-m", "kdlib", *command.split())
    assert "artifacts  1 of 1" in printed
    assert "claims     1 inconclusive" in printed
    results = house / "results/smoke/generated"
    assert (results / "hinton/table-1.csv").read_text().startswith("training,top-1 %")
    page = (results / "book/hinton/01-name.html").read_text()
    assert "hinton/table-1" in page
    assert "A student learns more from a teacher than from labels alone" in page


def test_it_begins_with_what_was_found_and_shows_it():
    start = "\n".join(README.splitlines()[:40])
    assert {"ResKD", "SAKD", "MVD", "D3D"} <= set(re.findall(r"\w+", start))
    assert re.search(r"[+-]?\d+\.\d \[-?\d+\.\d, -?\d+\.\d\]", start), "a number with its interval"
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", start)
    assert (ROOT / picture).is_file()


def test_it_says_its_licence_and_how_to_cite_it():
    said = section("Licence and citation")
    assert "MIT" in said
    named = re.findall(r"`([\w./]+)`", said)
    assert {"LICENSE", "CITATION.cff", "book/references.bib"} <= set(named)
    assert all((ROOT / name).is_file() for name in named)


def test_the_map_names_every_folder():
    tracked = subprocess.run(
        ["git", "ls-files", "*/*"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not tracked:
        pytest.skip("no git")
    folders = {path.split("/")[0] for path in tracked if not path.startswith((".", "kdlib"))}
    folders |= {f"kdlib/{path.parent.name}" for path in ROOT.glob("kdlib/*/__init__.py")}
    named = set(re.findall(r"`([\w/]+)`", section("The house").split("\n\n")[0]))
    assert {name.removesuffix("/reference") for name in named} == folders


def test_make_targets_that_it_names_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= {"reproduce", "plan", "run", "status", "data"}
    named = re.findall(r"(?:^|`|[A-Z]=\d )make ([a-z-]+)", README, re.MULTILINE)
    assert {"reproduce", "test", "test-fast", "plan", "help", "lab", "data"} <= set(named)
    assert set(named) - targets == set()
