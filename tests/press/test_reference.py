import json

import pandas as pd
import pytest

from kdlib.analysis.statistics import Interval, mean_interval
from kdlib.errors import UserError
from kdlib.press import reference
from kdlib.study import artifacts
from kdlib.study.chapter import Chapter
from kdlib.study.setting import Setting


def results(rows):
    return pd.DataFrame(rows, columns=["pair", "training", "top-1 %", "gain", "n"])


OURS = results([["a", "KD", "80 [78, 82]", "+1", 5], ["a", "direct", "79 [77, 81]", "–", 5]])
THEIRS = results([["a", "direct", "21 [18, 24]", "–", 5], ["b", "KD", "9 [8, 9]", "+0", 1]])


@pytest.fixture
def kept(tmp_path):
    """Reference results of one table and two claims, on JHMDB-21."""
    folder = tmp_path / "laptop" / "jhmdb21"
    (folder / "reskd").mkdir(parents=True)
    about = {"profile": "laptop", "data": {"target": "jhmdb21"}, "machine": "2 cores of an X"}
    (folder / "about.json").write_text(json.dumps({**about, "date": "2026-01-02"}))
    THEIRS.to_csv(folder / "reskd/targets.csv", index=False)
    claims = [{"id": "reskd/a", "kind": "claim", "verdict": "inconclusive"}]
    (folder / "reskd/claims.json").write_text(json.dumps(claims))
    return tmp_path


def test_rows_are_matched_by_all_the_columns_that_name_them(kept):
    found = reference.references(Setting(), kept)
    value, notes = reference.with_columns(OURS, "reskd/targets", found)
    assert value["JHMDB-21|top-1 %"].isna().tolist() == [True, False]
    assert value["JHMDB-21|top-1 %"][1] == "21 [18, 24]"
    pd.testing.assert_frame_equal(value[OURS.columns], OURS)
    (note,) = notes
    assert "real data" in note
    assert "2 cores of an X, 2026-01-02" in note


def test_rows_may_be_named_by_one_column(kept):
    path = kept / "laptop/jhmdb21/reskd/targets.csv"
    THEIRS.drop(columns="pair").to_csv(path, index=False)
    found = reference.references(Setting(), kept)
    value, _ = reference.with_columns(OURS.drop(columns="pair"), "reskd/targets", found)
    assert value["JHMDB-21|top-1 %"].tolist() == ["9 [8, 9]", "21 [18, 24]"]


def test_tables_without_a_counterpart_stay_as_they_are(kept):
    found = reference.references(Setting(), kept)
    for value, artifact in (
        (OURS, "reskd/other"),
        (OURS[["pair", "n"]], "reskd/targets"),
        (OURS.assign(pair="c"), "reskd/targets"),
    ):
        same, notes = reference.with_columns(value, artifact, found)
        pd.testing.assert_frame_equal(same, value)
        assert notes == []


def test_tables_of_other_shapes_stand_whole(kept):
    found = reference.references(Setting(), kept)
    wide = OURS.rename(columns={"gain": "train s"})
    ((note, theirs),) = reference.whole_tables(wide, "reskd/targets", found).items()
    assert note == (
        "JHMDB-21: reference results on real data, profile laptop, 2 cores of an X, 2026-01-02."
    )
    assert theirs.astype(str).equals(THEIRS.astype(str))
    assert reference.whole_tables(OURS, "reskd/targets", found) == {}
    assert reference.whole_tables(wide, "reskd/other", found) == {}


def test_results_with_intervals_as_numbers_are_shown_as_ever(kept):
    cells = [Interval(21.04, 18, 24.26, 5, "t"), mean_interval([9.0])]
    gains = [Interval(2.0, -1, 5, 5, "paired t"), None]
    theirs = THEIRS.assign(**{"top-1 %": cells, "gain": gains})
    path = kept / "laptop/jhmdb21/reskd/targets"
    artifacts.write(theirs, path, {})
    found = reference.references(Setting(), kept)
    value, _ = reference.with_columns(OURS, "reskd/targets", found)
    assert value["JHMDB-21|top-1 %"][1] == "21.0 [18.0, 24.3]"
    assert value["JHMDB-21|gain"][1] == "+2.0 [-1.0, 5.0]"
    ((_, whole),) = reference.whole_tables(
        OURS.rename(columns={"gain": "train s"}), "reskd/targets", found
    ).items()
    assert list(whole) == list(THEIRS)
    assert whole["top-1 %"].tolist() == ["21.0 [18.0, 24.3]", "9.0"]


def test_verdicts_of_earlier_rules_are_not_shown(kept):
    chapter = Chapter("resolution", Setting(profile="smoke"))
    assert reference.verdicts(chapter, kept) == {"JHMDB-21": {"reskd/a": "inconclusive"}}
    path = kept / "laptop/jhmdb21/reskd/claims.json"
    path.write_text('[{"id": "reskd/a", "verdict": "supported"}]')
    assert reference.verdicts(chapter, kept) == {}


def test_ones_own_data_are_not_shown_twice(kept, tmp_path):
    own = Setting(dataset="jhmdb21", data=str(tmp_path))
    assert reference.references(own, kept) == []
    assert [r.short for r in reference.references(Setting(), kept)] == ["JHMDB-21"]


def test_generated_results_are_no_reference():
    with pytest.raises(UserError, match="DATASET: reference results are those of real data"):
        reference.keep([], Setting())


@pytest.mark.parametrize("name", ["about.json", "reskd/targets.csv", "reskd/claims.json"])
def test_a_damaged_reference_is_named_in_one_line(kept, name):
    path = kept / "laptop/jhmdb21" / name
    path.write_bytes(path.read_bytes()[:20] if path.suffix == ".json" else b"")

    def read():
        chapter = Chapter("resolution", Setting(profile="smoke"))
        reference.verdicts(chapter, kept)
        reference.with_columns(OURS, "reskd/targets", reference.references(Setting(), kept))

    with pytest.raises(UserError, match=f"{name}: .*restore it, or remove") as caught:
        read()
    assert "\n" not in str(caught.value)


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """A chapter on real clips, two tables of which are written, one of them of generated clips."""
    given = {"dataset": "jhmdb21", "data": str(tmp_path), "results": str(tmp_path / "results")}
    chapter = Chapter("resolution", Setting(profile="smoke", store=str(tmp_path / "s"), **given))
    made = {
        "reskd/targets": {"data": ["jhmdb21"]},
        "reskd/weights": {"data": ["generated/detail12"]},
        "reskd/claims": {},
    }
    chapter.folder.mkdir(parents=True)
    for name in ("targets.csv", "weights.csv", "backbones.csv", "claims.json"):
        (chapter.folder / name).write_text("[]")
    monkeypatch.setattr(chapter, "made", lambda: made)
    monkeypatch.setattr(chapter, "specs", list)
    return chapter


def test_only_true_results_on_real_data_are_kept(chapter, tmp_path):
    reference.keep([chapter], chapter.setting, tmp_path / "kept")
    files = {path.name for path in (tmp_path / "kept/smoke/jhmdb21/reskd").iterdir()}
    assert files == {"targets.csv", "claims.json", "runs.jsonl"}


@pytest.mark.parametrize("lost", ["reskd/claims", "reskd/targets"])
def test_edited_results_are_not_kept(chapter, tmp_path, lost):
    del chapter.made()[lost]
    with pytest.raises(UserError, match="resolution: nothing is made with these settings"):
        reference.keep([chapter], chapter.setting, tmp_path / "kept")


def test_shipped_references_are_small_readable_and_without_weights():
    files = [path for path in reference.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6
    assert {path.suffix for path in files} <= {".csv", ".json", ".jsonl"}
    for path in reference.FOLDER.glob("*/*/about.json"):
        about = json.loads(path.read_text())
        assert {"profile", "data", "machine", "date"} <= about.keys()
