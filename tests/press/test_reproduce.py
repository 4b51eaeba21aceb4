"""What `reproduce` does when something fails; the good case is in test_resolution."""

import json

import nbformat
import pytest

from kdlib.press import reproduce as module
from kdlib.press.reproduce import clock, reproduce
from kdlib.runs.engine import Outcome
from kdlib.runs.store import RunStore
from kdlib.study.setting import Setting


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    names = ("profile", "dataset", "data", "seeds", "device", "store", "results")
    text = "\n".join(f"{name} = None" for name in names)
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
    monkeypatch.setattr(module.site, "build", lambda *a, **k: tmp_path / "index.html")
    monkeypatch.setattr(module, "sources", lambda chapter: sorted(tmp_path.glob("*.ipynb")))
    return Setting(
        profile="smoke", store=str(tmp_path / "store"), results=str(tmp_path / "results")
    )


OPEN = """\
from kdlib.study.chapter import open_chapter
chapter = open_chapter("resolution", profile=profile, store=store, results=results)"""


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
    assert "artifacts  1 of 2" in text


def test_artifacts_of_other_runs_do_not_count_as_made(setting):
    path = setting.folder / "reskd" / "recipes.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"runs": ["of-another-time"]}))
    summary = module.Summary()
    (chapter,) = module.open_chapters(["resolution"], setting)
    module._count(chapter, summary)
    assert summary.artifacts == []
    assert len(summary.failures) == 2


def test_a_missing_run_is_shown_where_its_artifact_would_stand(tmp_path, monkeypatch):
    from kdlib.press.present import show
    from kdlib.study.chapter import Chapter

    monkeypatch.setenv("KDLIB_TRAIN", "never")
    where = {"store": str(tmp_path / "store"), "results": str(tmp_path / "results")}
    chapter = Chapter("resolution", Setting(profile="smoke", **where))
    shown = show(chapter, "reskd/targets").data
    assert "kd-failure" in shown
    assert "failed or are missing" in shown
    assert not (chapter.folder / "targets.csv").exists()


def test_content_key_follows_failures_and_parameters(setting):
    (chapter,) = module.open_chapters(["resolution"], setting)
    keys = {
        module._content_key(chapter, {"seeds": 0}, Outcome()),
        module._content_key(chapter, {"seeds": 5}, Outcome()),
        module._content_key(chapter, {"seeds": 0}, Outcome(failed={"key": "why"})),
    }
    assert len(keys) == 3


def test_plan_text_counts_what_is_missing(setting):
    assert isinstance(setting.run_store, RunStore)
    text = module.plan_text(module.open_chapters(["resolution"], setting), setting)
    assert "2 artifacts of resolution; 0 runs in the store, 0 to train." in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(48.4, "48 s"), (425, "7 min 05 s"), (12000, "3 h 20 min")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
