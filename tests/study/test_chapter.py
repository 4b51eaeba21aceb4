"""What counts as made: written, intact, and made of the records and the code of today."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import book.resolution.checks as checks
import book.resolution.study as study
from kdlib.errors import UserError
from kdlib.study import claims
from kdlib.study.chapter import Chapter, check_roles
from kdlib.study.checks import Check, Finding
from kdlib.study.setting import Setting

ALL = {"reskd/figure-5", "reskd/true-size", "reskd/recipes", "reskd/claims"}


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """A chapter whose one artifact with runs has records that were never trained."""
    studies, kept = study.studies, ALL - {"reskd/claims"}
    monkeypatch.setattr(study, "studies", lambda s: [x for x in studies(s) if x.artifact in kept])
    read = claims.read
    monkeypatch.setattr(
        claims,
        "read",
        lambda path: [replace(e, requires=()) for e in read(path) if e.kind == "claim"],
    )
    where = {"store": str(tmp_path / "store"), "results": str(tmp_path / "results")}
    chapter = Chapter("resolution", Setting(profile="smoke", **where))
    environment = {"device": "cpu", "commit": "c", "packages": {"torch": "2"}}
    environment["finished"] = "2026-01-02T03:04:05+00:00"
    chapter.found = {
        spec: SimpleNamespace(
            path=Path(f"run-{number}"), spec=spec, environment=environment, result={"score": 0.5}
        )
        for number, spec in enumerate(dict.fromkeys(chapter.specs()))
    }
    monkeypatch.setattr(chapter, "_found", lambda specs: chapter.found)
    for name, one in chapter.studies.items():
        chapter.studies[name] = replace(one, make=lambda records: pd.DataFrame({"n": [100]}))
    monkeypatch.setattr(checks, "saving_is_spatial", Check(lambda c: c.study("slow"), ()))
    monkeypatch.setattr(
        chapter,
        "records",
        lambda name: {
            label: [chapter.found[spec] for spec in specs]
            for label, specs in chapter.study(name).runs.items()
        },
    )
    for name in chapter.studies:
        chapter.make(name)
    chapter.claims()
    return chapter


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_all_is_made(chapter):
    assert set(chapter.made()) == ALL
    assert isinstance(json.loads((chapter.folder / "claims.json").read_text()), list)


def test_the_provenance_says_where_when_and_how(chapter):
    runs = list(chapter.found.values())[:2]
    said = chapter.provenance(chapter.study("reskd/recipes"), runs)
    assert said["devices"] == ["cpu"]
    assert said["trained"] == ["2026-01-02"]
    assert said["command"] == "make reproduce CHAPTERS=resolution PROFILE=smoke"


@pytest.mark.parametrize(
    ("lost", "damage"),
    [
        ("reskd/recipes", lambda f: (f / "recipes.csv").unlink()),
        ("reskd/recipes", lambda f: edit(f / "recipes.csv", "100", "101")),
        ("reskd/recipes", lambda f: edit(f / "recipes.tex", "100", "101")),
        ("reskd/recipes", lambda f: edit(f / "recipes.json", "published", "revised")),
        ("reskd/true-size", lambda f: (f / "true-size.json").write_text('{"runs": [')),
        ("reskd/true-size", lambda f: (f / "true-size.json").write_text('{"runs": []}')),
        ("reskd/true-size", lambda f: shutil.copy(f / "recipes.json", f / "true-size.json")),
        ("reskd/claims", lambda f: edit(f / "claims.json", "inconclusive", "supported")),
        ("reskd/claims", lambda f: (f / "claims.json").unlink()),
        ("reskd/claims", lambda f: (f / "claims.sealed.json").write_text("")),
    ],
)
def test_what_is_missing_damaged_or_edited_is_not_made(chapter, lost, damage):
    damage(chapter.folder)
    assert ALL - set(chapter.made()) == {lost}


def test_what_is_made_of_other_code_or_text_is_stale(chapter, monkeypatch):
    monkeypatch.setattr(chapter, "text", "edited")
    assert chapter.made() == {}


def test_results_of_another_setting_are_not_ones_own(chapter, monkeypatch):
    monkeypatch.setattr(chapter, "setting", Setting(profile="laptop", results="x"))
    monkeypatch.setattr(type(chapter.setting), "folder", chapter.folder.parent)
    assert chapter.made() == {}


def test_a_run_trained_again_makes_its_artifacts_and_the_claims_stale(chapter):
    next(iter(chapter.found.values())).result["score"] = 0.6
    assert set(chapter.made()) == {"reskd/true-size", "reskd/recipes"}


def test_a_lost_run_too(chapter):
    chapter.found.pop(next(iter(chapter.found)))
    assert set(chapter.made()) == {"reskd/true-size", "reskd/recipes"}


def chapters(dataset, tmp_path, *names):
    setting = Setting(profile="smoke", dataset=dataset, data=str(tmp_path))
    return [Chapter(name, setting) for name in names]


@pytest.mark.parametrize(
    ("dataset", "names", "message"),
    [
        ("shifted:hmdb51", ["resolution"], "nothing reads hmdb51 as shifted; resolution reads"),
        ("cifar100", ["resolution"], "nothing reads cifar100 as image; resolution reads target"),
        (
            "jhmdb21,shifted:hmdb51",
            ["resolution", "adaptive"],
            "hmdb51 as shifted; resolution reads target; adaptive reads target and image",
        ),
    ],
)
def test_a_real_set_that_nobody_reads_is_refused(tmp_path, dataset, names, message):
    with pytest.raises(UserError, match=message):
        check_roles(chapters(dataset, tmp_path, *names))


def test_a_real_set_that_one_chapter_reads_is_fine(tmp_path):
    check_roles(chapters("target:jhmdb21,cifar100", tmp_path, "resolution", "adaptive"))


def test_a_chapter_cannot_read_a_role_that_there_is_not(monkeypatch):
    monkeypatch.setattr(study, "ROLES", ("traget",))
    with pytest.raises(UserError, match=r"ROLES of book/resolution/study.py.*'target'"):
        Chapter("resolution", Setting(profile="smoke"))


def test_positive_controls_are_an_artifact_of_the_runs_that_they_read(monkeypatch):
    chapter = Chapter("resolution", Setting(profile="smoke"))
    made = chapter.study("reskd/controls")
    targets = chapter.study("reskd/targets").runs
    assert {("reskd/targets", label): runs for label, runs in targets.items()}.items() <= (
        made.runs.items()
    )
    assert {label[0] for label in made.runs} == {"reskd/targets"}
    nothing = Finding.counted(1, "", "supported", "")
    fake = dict.fromkeys(dir(checks), Check(lambda chapter: nothing, ()))
    monkeypatch.setattr(chapter, "_checks", lambda: SimpleNamespace(**fake))
    table = made.make({})
    assert table["control"].tolist() == [
        "teacher-better", "full-resolution-better", "kd-better", "epochs-no-substitute",
    ]  # fmt: skip
    assert "pixel-effective" in table["rests on it"][0]


def test_a_control_says_what_it_reads(monkeypatch):
    monkeypatch.setattr(checks, "kd_beats_direct", checks.saving_is_spatial)
    with pytest.raises(UserError, match="reskd/kd-better: the check of a control says what it"):
        Chapter("resolution", Setting(profile="smoke"))


def test_a_chapter_without_controls_has_no_artifact_of_them(chapter):
    assert "reskd/controls" not in chapter.studies
