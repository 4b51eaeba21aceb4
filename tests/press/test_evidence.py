from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from kdlib.press import evidence
from kdlib.study.chapter import Chapter, Study
from kdlib.study.readings import Reading
from kdlib.study.setting import Setting

NAME = "reskd/targets"


@pytest.fixture
def chapter(tmp_path):
    setting = Setting(profile="smoke", store=str(tmp_path / "s"), results=str(tmp_path / "r"))
    return Chapter("resolution", setting)


def study(read=None):
    return Study(NAME, "A title", lambda records: None, read=read)


def run(number, result):
    return SimpleNamespace(
        path=Path(f"runs/key{number}"),
        spec=SimpleNamespace(title=f"kd, tsn 48 px, seed {number}", seed=number),
        result={**result, "cost": {"seconds": 18.46}},
        environment={"device": "A <CPU>", "commit": "c0ffee", "finished": "2026-01-02T03:04:05"},
    )


def test_only_whole_and_current_artifacts_go_into_the_site(chapter, monkeypatch):
    folder = chapter.folder
    folder.mkdir(parents=True)
    for name in ("targets.csv", "targets.json", "targets.md", "recipes.csv", "claims.json"):
        (folder / name).write_text(name)
    monkeypatch.setattr(chapter, "made", lambda: {NAME: {}, chapter.claims_name: {}})
    assert evidence.files([chapter]) == {
        "artifacts/reskd/targets.csv": b"targets.csv",
        "artifacts/reskd/targets.json": b"targets.json",
        "artifacts/reskd/claims.json": b"claims.json",
    }


def test_the_box_has_its_parts_escaped_and_leaves_out_the_empty_ones(chapter):
    shown = evidence.below(chapter, study(), pd.DataFrame(), Reading("<found>"), {})
    assert "<strong>What was found.</strong> &lt;found&gt;" in shown
    assert "Why" not in shown
    assert "kd-reading" not in evidence.below(chapter, study(), pd.DataFrame(), None, {})


def test_runs_are_listed_by_row_and_counted_once(chapter):
    one, two = run(0, {"last": {"score": 0.7234}}), run(1, {})
    records = {("a", 24): [one], "b": [one, two]}
    shown = evidence.below(chapter, study(), pd.DataFrame(), None, records)
    assert "The 2 runs it is made of" in shown
    assert shown.count('scope="row"') == 3
    for text in ("a 24", "kd, tsn 48 px<", "72.3", "18.5", "key0", "A &lt;CPU&gt;", "2026-01-02"):
        assert text in shown
    assert "–" in shown  # the run without a score


def test_tables_from_elsewhere_are_folded_away(chapter):
    other = {"From <elsewhere>": pd.DataFrame({"a": [1]})}
    shown = evidence.below(chapter, study(), pd.DataFrame(), None, {}, other)
    assert "<summary>From &lt;elsewhere&gt;</summary>" in shown
