"""What `reproduce` does when something fails; the good case is in test_resolution."""

import importlib
import json
import re
import sys
from dataclasses import replace

import nbformat
import pandas as pd
import pytest

from kdlib import cli
from kdlib.errors import UserError
from kdlib.press import lessons
from kdlib.press import reproduce as module
from kdlib.press.reproduce import reproduce
from kdlib.press.status import explain, status
from kdlib.press.summary import Summary, clock
from kdlib.runs.engine import Outcome
from kdlib.runs.store import RunStore
from kdlib.study import chapter as chapters
from kdlib.study import claims
from kdlib.study.chapter import BOOK, Chapter, placed
from kdlib.study.opening import PARAMETERS
from kdlib.study.setting import ROOT, Setting


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    text = "\n".join(f"{name} = None" for name in PARAMETERS)
    cells.insert(0, nbformat.v4.new_code_cell(text, metadata={"tags": ["parameters"]}))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """A chapter without runs, pages that are not rendered, and notebooks of the test's own."""
    import book.resolution.study as study

    kept = {"reskd/true-size", "reskd/recipes"}
    studies = study.studies
    monkeypatch.setattr(
        study, "studies", lambda setting: [s for s in studies(setting) if s.artifact in kept]
    )
    read = claims.read  # without controls: their runs are among those that are left out
    monkeypatch.setattr(
        claims,
        "read",
        lambda p: [e for e in read(p) if e.kind != "control" or "resolution" not in p.parts],
    )
    monkeypatch.setattr(module.site, "build", lambda *a, **k: tmp_path / "index.html")
    monkeypatch.setattr(lessons, "sources", lambda chapter: sorted(tmp_path.glob("*.ipynb")))
    return Setting(
        profile="smoke", store=str(tmp_path / "store"), results=str(tmp_path / "results")
    )


OPEN = """\
from kdlib.study.opening import open_chapter
chapter = open_chapter("resolution", profile, dataset, data, seeds, device)"""


@pytest.mark.slow
def test_a_failing_notebook_is_named_and_kept_and_the_others_stand(setting, tmp_path):
    notebook(tmp_path / "01-good.ipynb", OPEN, "_ = chapter.make('reskd/true-size')")
    notebook(tmp_path / "02-bad.ipynb", "before = 1", "raise ValueError('broken on purpose')")
    summary = reproduce(["resolution"], setting)
    folder = setting.folder / "notebooks" / "resolution"
    assert (folder / "01-good.ipynb").exists()
    assert (folder / "02-bad.failed.ipynb").exists()
    assert not (folder / "02-bad.ipynb").exists()
    assert summary.artifacts == ["reskd/true-size"]
    text = summary.text()
    assert "02-bad failed in cell 2: ValueError: broken on purpose" in text
    assert "reskd/recipes was not made" in text
    assert "the claims of resolution were not checked" in text
    assert "artifacts  1 of 2" in text


@pytest.mark.slow
def test_what_is_lost_or_edited_is_made_again_and_a_lie_is_not_counted(setting, tmp_path):
    makes = (
        "for name in ('true-size', 'recipes'): chapter.make(f'reskd/{name}')\n_ = chapter.claims()"
    )
    notebook(tmp_path / "01-all.ipynb", OPEN, makes)
    first = reproduce(["resolution"], setting)
    assert first.failures == []
    folder = setting.folder / "reskd"
    copy = setting.folder / "notebooks/resolution/01-all.ipynb"
    files = [copy, *folder.iterdir()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    (folder / "true-size.csv").unlink()
    edit(folder / "claims.json", '"inconclusive"', '"supported"')
    (folder / "recipes.json").write_text('{"runs": [')
    assert [line.split()[1] for line in status(["resolution"], setting).splitlines()[1:]] == [
        "no",
        "no",
    ]
    assert "reproduce makes it" in explain("reskd/recipes", setting)
    again = reproduce(["resolution"], setting)
    assert again.failures == []
    assert again.verdicts == first.verdicts
    assert {path: path.read_bytes() for path in folder.iterdir()} == {
        path: content for path, (content, _) in before.items() if path != copy
    }
    assert "written to" in explain("reskd/recipes", setting)

    # Nothing to do: nothing is touched. An edited copy is noticed by itself.
    times = {path: path.stat().st_mtime_ns for path in files}
    reproduce(["resolution"], setting)
    assert {path: path.stat().st_mtime_ns for path in files} == times
    edit(copy, "recipes", "receipts")
    reproduce(["resolution"], setting)
    assert "receipts" not in copy.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("patience", "books"), [(0, [False, True]), (3600, [True])])
def test_a_book_after_each_long_chapter_and_the_library_in_the_last(
    setting, tmp_path, monkeypatch, patience, books
):
    built = []
    monkeypatch.setattr(module, "PATIENCE_S", patience)
    monkeypatch.setattr(module.site, "build", lambda *a, **k: built.append(k["with_library"]))
    monkeypatch.setattr(module, "todo", lambda chapters, setting: ([], 0))
    monkeypatch.setattr(module.notebooks, "warm", lambda modules: None)
    new = lessons.Executed([], 1)
    monkeypatch.setattr(lessons, "execute", lambda chapter, made, failed: new)
    reproduce(["resolution", "adaptive"], setting)
    assert built == books


def test_what_killed_processes_left_is_swept_and_only_what_was_trained_is_counted(
    setting, monkeypatch
):
    swept = []
    monkeypatch.setattr(module.scratch, "sweep", lambda: swept.append("temporary"))
    monkeypatch.setattr(module.scratch, "sweep_results", lambda folder: swept.append(folder))
    monkeypatch.setattr(module.notebooks, "warm", lambda modules: None)
    monkeypatch.setattr(lessons, "execute", lambda chapter, made, failed: lessons.Executed([]))
    found = Outcome(done=["here", "elsewhere"], trained=["here"])
    monkeypatch.setattr(module, "run_all", lambda *a, **k: found)
    summary = reproduce(["resolution"], setting)
    assert swept == ["temporary", setting.folder]
    assert "trained    1 runs" in summary.text()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_not_true_is_not_counted(setting):
    (chapter,), _ = module.open_chapters(["resolution"], setting)
    chapter.folder.mkdir(parents=True)
    (chapter.folder / "recipes.json").write_text(json.dumps({"runs": []}))
    (chapter.folder / "claims.json").write_text('[{"verdict": "supported"}]')
    summary = Summary()
    summary.count(chapter, chapter.made())
    assert summary.artifacts == []
    assert not summary.verdicts
    assert len(summary.failures) == 3


def test_controls_and_sentences_are_counted_apart(setting, monkeypatch):
    (chapter,), _ = module.open_chapters(["resolution"], setting)
    said = [
        ("control", "supported"), ("control", "inconclusive"), ("claim", "not testable here"),
        ("claim", "supported"), ("comparison", "contradicted"),
    ]  # fmt: skip
    chapter.folder.mkdir(parents=True)
    (chapter.folder / "claims.json").write_text(
        json.dumps([{"kind": kind, "verdict": verdict} for kind, verdict in said])
    )
    summary = Summary()
    summary.count(chapter, [*chapter.studies, chapter.claims_name])
    assert "claims     1 not testable here, 1 supported\n" in summary.text()
    assert "controls   1 of 2 hold\n" in summary.text()
    assert "controls" not in Summary().text()


@pytest.mark.parametrize("chapters", [[], ["resolution"]])
def test_a_real_set_that_no_chapter_reads_is_refused_before_anything(tmp_path, chapters):
    setting = Setting(profile="smoke", dataset="shifted:hmdb51", data=str(tmp_path))
    with pytest.raises(UserError, match="DATASET: nothing reads hmdb51 as shifted; resolution"):
        reproduce(chapters, setting)


def test_a_missing_run_is_shown_where_its_artifact_would_stand(tmp_path, monkeypatch):
    from kdlib.press.present import show

    monkeypatch.setenv("KDLIB_TRAIN", "never")
    where = {"store": str(tmp_path / "store"), "results": str(tmp_path / "results")}
    chapter = Chapter("resolution", Setting(profile="smoke", **where))
    shown = show(chapter, "reskd/targets").data
    assert "kd-failure" in shown
    assert "failed or are missing" in shown
    assert not (chapter.folder / "targets.csv").exists()


def test_content_key_follows_text_failures_parameters_and_records(setting, monkeypatch):
    def key(seeds=0, failed=()):
        chapter = Chapter("resolution", replace(setting, seeds=seeds))
        return lessons.content_key(chapter, failed)

    keys = [key(), key(seeds=5), key(failed=["key"])]
    monkeypatch.setattr(Chapter, "digest", lambda self: "other records or code")
    keys.append(key())
    assert len(set(keys)) == 4


def test_plan_text_counts_what_is_missing(setting):
    assert isinstance(setting.run_store, RunStore)
    text = module.plan_text(module.open_chapters(["resolution"], setting)[0], setting)
    assert "2 artifacts of resolution; 0 runs in the store, 0 to train." in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(48.4, "48 s"), (425, "7 min 05 s"), (12000, "3 h 20 min")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


FINE = "PAPER = 'x'\n\n\ndef studies(setting):\n    return []\n"
CONTROL = "[[control]]\nid = 'a'\ntext = 'b'\ncheck = 'c'\n"


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A maker of a chapter in a book that has the resolution chapter too."""
    folder = tmp_path / "root/book/broken"
    folder.mkdir(parents=True)
    (folder.parent / "resolution").symlink_to(ROOT / "book/resolution")
    monkeypatch.syspath_prepend(tmp_path / "root")
    for name, value in (("ROOT", tmp_path / "root"), ("BOOK", folder.parent)):
        monkeypatch.setattr(chapters, name, value)
    monkeypatch.setattr(module, "BOOK", folder.parent)

    def make(files):
        for name, text in {"study.py": FINE, "claims.toml": "", **files}.items():
            (folder / name).write_text(text)

    yield make
    for name in [name for name in sys.modules if name.startswith("book.broken")]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"study.py": "PAPER = 'x'\n1 / 0\n"}, "broken/study.py, line 2: ZeroDivisionError: div"),
        ({"study.py": "def f(:\n"}, "broken/study.py, line 1: SyntaxError: invalid syntax"),
        ({"study.py": "import helpers_of_nobody"}, "broken/study.py, line 1: ModuleNotFoundError"),
        ({"study.py": ""}, "broken/study.py: AttributeError: .*'PAPER'"),
        ({"study.py": "PAPER = 'x'\nimport sys\nsys.exit(3)"}, "study.py, line 3: SystemExit: 3"),
        ({"study.py": FINE.replace("[]", "[setting.nothing]")}, "study.py, line 5: AttributeError"),
        ({"claims.toml": "[[claim]\n"}, "claims.toml of broken: .*line 1"),
        ({"claims.toml": "x = " + "[" * 3000}, "claims.toml of broken: too much or too deeply"),
        ({"claims.toml": CONTROL, "checks.py": "nothing\n"}, "broken/checks.py, line 1: NameError"),
    ],
)
def test_a_broken_chapter_is_one_line_and_stops_no_other(beside, setting, capsys, files, message):
    beside(files)
    opened, left_out = module.open_chapters([], setting, to_train=True)
    assert [chapter.name for chapter in opened] == ["resolution"]
    assert re.search(f"^chapter broken is left out: .*{message}", left_out[0])
    assert capsys.readouterr().err == f"kdlib: {left_out[0]}\n"
    with pytest.raises(UserError, match=message):
        module.open_chapters(["broken"], setting)


def test_a_chapter_with_a_run_that_cannot_be_trained_stops_no_other(beside, setting):
    beside({"study.py": IMPOSSIBLE})
    assert len(module.open_chapters([], setting)[0]) == 2
    opened, left_out = module.open_chapters([], setting, to_train=True)
    assert [chapter.name for chapter in opened] == ["resolution"]
    assert "broken is left out: supervised, tsn 16 px, seed 0: option of model tsn" in left_out[0]
    where = [f"STORE={setting.store}", f"RESULTS={setting.results}", "PROFILE=smoke"]
    assert cli.main(["plan", *where]) == 1


IMPOSSIBLE = """\
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.study.chapter import Study
from kdlib.training.recipe import Recipe

PAPER = "x"


def studies(setting):
    data = DataSpec("generated/mix12", train=8, test=8, frames=2, size=16)
    spec = RunSpec(data, ModelSpec("tsn", {"widht": 4}), Recipe(epochs=1, learning_rate=1.0))
    return [Study("x/table", "A table", len, {"row": (spec,)})]
"""


def test_a_book_that_cannot_be_built_is_a_failure_of_one_line(setting, monkeypatch):
    def fail(*arguments, **options):
        raise module.SiteFailed("the book was not built: Sphinx was killed")

    monkeypatch.setattr(module.site, "build", fail)
    monkeypatch.setattr(module.notebooks, "warm", lambda modules: None)
    monkeypatch.setattr(lessons, "execute", lambda chapter, made, failed: lessons.Executed([], 1))
    summary = reproduce(["resolution"], setting)
    assert "FAILED     the book was not built: Sphinx was killed" in summary.text()
    assert summary.page is None


def test_a_file_that_is_no_notebook_stops_no_other(setting, tmp_path):
    (chapter,), _ = module.open_chapters(["resolution"], setting)
    for name in ("01-none.ipynb", "02-none.ipynb"):
        (tmp_path / name).write_text("{")
    done = lessons.execute(chapter, {}, [])
    assert [re.sub(".*/", "", failure) for failure in done.failures] == [
        "01-none.ipynb is not a notebook of format 4",
        "02-none.ipynb is not a notebook of format 4",
    ]


def test_faults_are_planted_once_with_the_same_code_and_what_was_kept_is_not_believed(
    tmp_path, monkeypatch
):
    planted = []

    def table():
        planted.append(1)
        return pd.DataFrame({"planted": ["a fault"]})

    with placed(BOOK):
        monkeypatch.setattr(importlib.import_module("book.faults"), "table", table)
    page = module.how_we_test(tmp_path)
    assert "a fault" in page
    assert module.how_we_test(tmp_path) == page
    assert len(planted) == 1
    (kept,) = tmp_path.rglob("*.html")
    kept.write_text(kept.read_text().replace("a fault", "no fault"))
    assert module.how_we_test(tmp_path) == page
    monkeypatch.setattr(module.library, "code", lambda: "other")
    module.how_we_test(tmp_path)
    assert len(planted) == 3
