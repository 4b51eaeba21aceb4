"""What `reproduce` does when something fails; the good case is in test_resolution."""

import json
from dataclasses import replace

import nbformat
import pytest

from kdlib.errors import UserError
from kdlib.press import lessons
from kdlib.press import reproduce as module
from kdlib.press.reproduce import reproduce
from kdlib.press.status import explain, status
from kdlib.press.summary import Summary, clock
from kdlib.runs.store import RunStore
from kdlib.study import claims
from kdlib.study.chapter import Chapter
from kdlib.study.opening import PARAMETERS
from kdlib.study.setting import Setting


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
    monkeypatch.setattr(claims, "read", lambda p: [e for e in read(p) if e.kind != "control"])
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


def test_only_the_last_book_of_a_reproduction_has_the_library(setting, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(module.site, "build", lambda *a, **k: built.append(k["with_library"]))
    monkeypatch.setattr(module, "todo", lambda chapters, setting: ([], 0))
    monkeypatch.setattr(module.notebooks, "warm", lambda modules: None)
    new = lessons.Executed([], 1)
    monkeypatch.setattr(lessons, "execute", lambda chapter, made, failed: new)
    reproduce(["resolution", "adaptive"], setting)
    assert built == [False, True]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_not_true_is_not_counted(setting):
    (chapter,) = module.open_chapters(["resolution"], setting)
    chapter.folder.mkdir(parents=True)
    (chapter.folder / "recipes.json").write_text(json.dumps({"runs": []}))
    (chapter.folder / "claims.json").write_text('[{"verdict": "supported"}]')
    summary = Summary()
    summary.count(chapter, chapter.made())
    assert summary.artifacts == []
    assert not summary.verdicts
    assert len(summary.failures) == 3


def test_controls_and_sentences_are_counted_apart(setting, monkeypatch):
    (chapter,) = module.open_chapters(["resolution"], setting)
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
    text = module.plan_text(module.open_chapters(["resolution"], setting), setting)
    assert "2 artifacts of resolution; 0 runs in the store, 0 to train." in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(48.4, "48 s"), (425, "7 min 05 s"), (12000, "3 h 20 min")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
