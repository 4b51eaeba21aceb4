"""The resolution chapter: transcriptions, specs, tables, and a smoke reproduction."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from book.resolution import recipes
from book.resolution.runs import WEIGHTS, Runs
from book.resolution.study import PUBLISHED, recipe_table, studies, true_size_table
from kdlib.study.chapter import Chapter, chapter_names
from kdlib.study.claims import read
from kdlib.study.setting import ROOT, Setting


def test_recipes_of_the_appendix_are_those_of_the_paper_profile():
    table = recipe_table({})
    assert len(table) == 23
    assert set(table.agree) == {"yes"}


def test_a_changed_recipe_would_show(monkeypatch):
    monkeypatch.setattr(recipes, "SWIN", recipes.Recipe(epochs=61, learning_rate=1e-3))
    table = recipe_table({})
    assert table[table.agree == "no"].to_dict("records")[0]["paper profile"] == "61"


def test_known_cells_of_the_published_results():
    table = pd.read_csv(PUBLISHED / "readme-results.csv", dtype=str)
    cells = dict(zip(table["data set"] + table["student"], table["published"], strict=True))
    assert cells["ActivityNetTSN R50"] == "80.0"
    assert cells["Something-Something V2TSM R50"] == "60.6"
    assert len(table) == 5


def test_true_size_networks_are_nearly_four_times_cheaper_at_half_the_side():
    table = true_size_table({})
    assert len(table) == 6
    assert table["times cheaper"].between(3.7, 4.0).all()


@pytest.mark.parametrize("profile", ["smoke", "laptop", "gpu"])
def test_every_profile_has_the_same_artifacts_and_shares_runs(profile):
    made = studies(Setting(profile=profile))
    assert [study.artifact for study in made] == [
        f"reskd/{name}"
        for name in (
            "figure-5", "recipes", "targets", "common-start", "batchnorm", "resolutions",
            "resolution-sweep", "backbones", "weights", "true-size",
        )
    ]  # fmt: skip
    specs = [spec for study in made for spec in study.specs()]
    assert len(set(specs)) < 0.75 * len(specs)


def test_the_tuning_seed_is_used_nowhere_else():
    for study in studies(Setting()):
        tuned = {spec.seed for spec in study.specs()} & {100}
        assert bool(tuned) == (study.artifact == "reskd/weights")


def test_teacher_and_student_share_their_clips():
    runs = Runs(Setting())
    student = runs.distilled(3)
    assert student.data == student.method.teachers[0].data == runs.direct(3).data
    assert student.method.options["weight"] == WEIGHTS["feature"]


def test_every_claim_names_a_check_and_ids_are_unique():
    claims = read(ROOT / "book" / "resolution" / "claims.toml")
    assert len({claim.id for claim in claims}) == len(claims) == 7
    assert "resolution" in chapter_names()


@pytest.mark.slow
def test_smoke_reproduction_from_end_to_end(tmp_path):
    command = [
        sys.executable, "-m", "kdlib", "reproduce", "PROFILE=smoke", "CHAPTERS=resolution",
        f"STORE={tmp_path / 'store'}", f"RESULTS={tmp_path / 'results'}", "JOBS=2",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "artifacts  10 of 10" in done.stdout
    assert "7 inconclusive" in done.stdout
    folder = tmp_path / "results" / "smoke" / "generated"
    assert len(json.loads((folder / "reskd" / "claims.json").read_text())) == 7
    for ending in ("csv", "md", "tex", "json"):
        assert (folder / "reskd" / f"targets.{ending}").stat().st_size > 0
    page = (folder / "book" / "resolution" / "02-what-to-distil.html").read_text()
    assert "no evidence" in page
    assert "kd-failure" not in page

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "trained    0 runs" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before

    # A lost run is missed by name, and only its own artifacts fail.
    setting = Setting(
        profile="smoke", store=str(tmp_path / "store"), results=str(tmp_path / "results")
    )
    chapter = Chapter("resolution", setting)
    assert all(setting.run_store.find(chapter.key(spec)) for spec in chapter.specs())
