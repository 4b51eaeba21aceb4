import json
from dataclasses import replace

import pandas as pd
import pytest

from kdlib.analysis.statistics import Interval, mean_interval
from kdlib.errors import UserError
from kdlib.press import reference
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.study import artifacts
from kdlib.study.chapter import Chapter
from kdlib.study.setting import Setting
from kdlib.training.recipe import Recipe


def results(rows):
    return pd.DataFrame(rows, columns=["pair", "training", "top-1 %", "gain", "n"])


RECIPE = Recipe(epochs=1, learning_rate=1e-3)
SPEC = RunSpec(DataSpec("generated/detail12", train=1), ModelSpec("tsn"), RECIPE)
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


def beside(kept, value=OURS, artifact="reskd/targets", setting=None, specs=(SPEC,)):
    return reference.beside(value, artifact, setting or Setting(), specs, kept)


def test_rows_are_matched_by_all_the_columns_that_name_them(kept):
    value, notes, folded = beside(kept)
    assert list(value) == [
        *("pair", "training", "generated clips|top-1 %", "generated clips|gain"),
        *("JHMDB-21|top-1 %", "JHMDB-21|gain", "n"),
    ]
    assert value["JHMDB-21|top-1 %"].isna().tolist() == [True, False]
    assert value["JHMDB-21|top-1 %"][1] == "21 [18, 24]"
    own = value.drop(columns=["JHMDB-21|top-1 %", "JHMDB-21|gain"])
    assert own.to_numpy().tolist() == OURS.to_numpy().tolist()
    (note,) = notes
    assert "real data" in note
    assert "2 cores of an X, 2026-01-02" in note
    assert folded == {}


def test_rows_may_be_named_by_one_column(kept):
    path = kept / "laptop/jhmdb21/reskd/targets.csv"
    THEIRS.drop(columns="pair").to_csv(path, index=False)
    value, _, _ = beside(kept, OURS.drop(columns="pair"))
    assert value["JHMDB-21|top-1 %"].tolist() == ["9 [8, 9]", "21 [18, 24]"]


def test_a_table_without_a_counterpart_stays_as_it_is(kept):
    value, notes, folded = beside(kept, artifact="reskd/other")
    pd.testing.assert_frame_equal(value, OURS)
    assert (notes, folded) == ([], {})


@pytest.mark.parametrize(
    ("ours", "setting"),
    [
        (OURS.rename(columns={"gain": "train s"}), Setting()),
        (OURS[["pair", "n"]], Setting()),
        (OURS.assign(pair="c"), Setting()),
        (OURS, Setting(profile="smoke")),  # rows of other sizes
    ],
)
def test_what_does_not_fit_beside_stands_whole(kept, ours, setting):
    value, notes, folded = beside(kept, ours, setting=setting)
    pd.testing.assert_frame_equal(value, ours)
    assert notes == []
    ((note, theirs),) = folded.items()
    assert note == (
        "JHMDB-21: reference results on real data, profile laptop, 2 cores of an X, 2026-01-02. "
        "JHMDB-21 has 21 classes: guessing is right in 4.8 %."
    )
    assert theirs.astype(str).equals(THEIRS.astype(str))


def test_what_bears_a_remark_stands_apart_with_it(kept):
    path = kept / "laptop/jhmdb21/about.json"
    about = {**json.loads(path.read_text()), "remark": "Of other settings."}
    path.write_text(json.dumps(about))
    value, notes, folded = beside(kept)
    pd.testing.assert_frame_equal(value, OURS)
    assert notes == []
    assert "2026-01-02. Of other settings. JHMDB-21 has" in next(iter(folded))


def test_results_with_intervals_as_numbers_are_shown_as_ever(kept):
    cells = [Interval(21.04, 18, 24.26, 5, "t"), mean_interval([9.0])]
    gains = [Interval(2.0, -1, 5, 5, "paired t"), None]
    theirs = THEIRS.assign(**{"top-1 %": cells, "gain": gains})
    artifacts.write(theirs, kept / "laptop/jhmdb21/reskd/targets", {})
    value, _, _ = beside(kept)
    assert value["JHMDB-21|top-1 %"][1] == "21.0 [18.0, 24.3]"
    assert value["JHMDB-21|gain"][1] == "+2.0 [-1.0, 5.0]"
    _, _, folded = beside(kept, OURS.rename(columns={"gain": "train s"}))
    (whole,) = folded.values()
    assert list(whole) == list(THEIRS)
    assert whole["top-1 %"].tolist() == ["21.0 [18.0, 24.3]", "9.0"]


def test_columns_are_headed_by_the_sets_of_their_kind(kept):
    about = kept / "laptop/jhmdb21/about.json"
    content = json.loads(about.read_text())
    content["data"] = {"target": "jhmdb21", "image": "cifar100"}
    about.write_text(json.dumps(content))
    images = replace(SPEC, data=DataSpec("generated/image", train=1, frames=1))
    for specs, title, chance in (
        ([SPEC], "JHMDB-21", "4.8 %"),
        ([images], "CIFAR-100", "1.0 %"),
        ([SPEC, images], "JHMDB-21, CIFAR-100", "1.0 %"),
    ):
        value, (note,), _ = beside(kept, specs=specs)
        assert f"{title}|gain" in value
        assert note.startswith(f"{title}: ")
        assert chance in note


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        ("40.0 [35.0, 45.0]", "22.0 [18.0, 26.0]", "it knows something"),
        ("23.8 [22.1, 25.5]", "22.0 [18.0, 26.0]", "not clearly more"),
        ("19.9 [17.4, 22.4]", "22.7 [20.3, 25.1]", "nothing here that could be distilled"),
        ("23.0", "22.0", "it knows something"),
    ],
)
def test_the_story_says_whether_there_is_something_to_distil(teacher, student, said):
    for name in ("direct", "student, labels alone"):
        rows = [["teacher", teacher], [name, student], ["KD", "1.0"]]
        found = reference.story(pd.DataFrame(rows, columns=["training", "top-1 %"]))
        assert found.startswith(f"The teacher is right in {teacher} %, its student on labels")
        assert said in found
    assert reference.story(pd.DataFrame({"training": ["teacher"], "top-1 %": ["1"]})) == ""
    assert reference.story(pd.DataFrame({"weight": [1.0]})) == ""


@pytest.mark.parametrize("teacher", ["many", float("nan"), None, 3.0])
def test_a_cell_that_is_no_number_is_named(teacher):
    cells = {"training": ["teacher", "direct"], "top-1 %": [teacher, "1.0 [0.5, 1.5]"]}
    if teacher == "many":
        with pytest.raises(UserError, match="'many' under top-1 % is no number"):
            reference.story(pd.DataFrame(cells))
    else:
        said = reference.story(pd.DataFrame(cells))
        assert bool(said) is (teacher == 3.0)


def test_verdicts_of_earlier_rules_are_not_shown(kept):
    chapter = Chapter("resolution", Setting(profile="smoke"))
    assert reference.verdicts(chapter, kept) == {"JHMDB-21": {"reskd/a": "inconclusive"}}
    path = kept / "laptop/jhmdb21/reskd/claims.json"
    path.write_text('[{"id": "reskd/a", "verdict": "supported"}]')
    assert reference.verdicts(chapter, kept) == {}


def test_ones_own_data_are_not_shown_twice(kept, tmp_path):
    own = Setting(dataset="jhmdb21", data=str(tmp_path))
    assert reference.references(own, kept) == []
    assert [r.short() for r in reference.references(Setting(), kept)] == ["JHMDB-21"]


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
        beside(kept)

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
