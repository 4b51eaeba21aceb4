"""The resolution chapter: transcriptions, specs and tables."""

from dataclasses import replace

import pytest

from book.resolution import recipes
from book.resolution.runs import WEIGHTS, Runs
from book.resolution.search import candidates
from book.resolution.study import studies
from book.resolution.tables import recipe_table, true_size_table
from kdlib.study.setting import Setting
from kdlib.study.tables import published


@pytest.mark.slow
def test_recipes_of_the_appendix_are_those_of_the_paper_profile():
    table = recipe_table({})
    assert len(table) == 23
    assert set(table.agree) == {"yes"}


def test_a_changed_recipe_would_show(monkeypatch):
    monkeypatch.setattr(recipes, "SWIN", recipes.Recipe(epochs=61, learning_rate=1e-3))
    table = recipe_table({})
    assert table[table.agree == "no"].to_dict("records")[0]["paper profile"] == "61"


def test_known_cells_of_the_published_results():
    table = published("resolution", "readme-results")
    cells = dict(zip(table["data set"] + table["student"], table["published"], strict=True))
    assert cells["ActivityNetTSN R50"] == "80.0"
    assert cells["Something-Something V2TSM R50"] == "60.6"
    assert len(table) == 5


@pytest.mark.slow
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
            "resolution-sweep", "backbones", "regimes", "regime-numbers", "search", "true-size",
        )
    ]  # fmt: skip
    specs = [spec for study in made for spec in study.specs()]
    assert len(set(specs)) < 0.75 * len(specs)


def test_no_reported_run_has_the_seeds_of_the_search():
    searched = {spec.data.seed for group in candidates(Runs(Setting())).values() for spec in group}
    reported = {spec.data.seed for study in studies(Setting()) for spec in study.specs()}
    assert searched == {100, 101, 102}
    assert not searched & reported


def test_a_cell_of_the_map_changes_resolution_and_clips_alone():
    runs = Runs(Setting())
    made = {study.artifact: study for study in studies(Setting())}["reskd/regimes"].runs
    assert made[16, 320, "feature"][0] == runs.distilled(0)
    for (pixels, clips, name), specs in made.items():
        assert len(specs) == 3
        spec = specs[0]
        assert spec.data.train == clips
        assert spec.method.options["resolution"] == pixels
        assert spec.recipe.epochs * clips == 24 * 320
        assert spec.method.teachers == (() if name == "direct" else (runs.teacher(0),))


def test_a_teacher_has_seen_its_student_s_clips_and_more():
    runs = Runs(Setting())
    student, teacher = runs.distilled(3), runs.teacher(3)
    assert student.method.teachers == (teacher,)
    assert replace(teacher.data, train=320) == student.data == runs.direct(3).data
    assert teacher.data.train == 1280
    assert student.method.options["weight"] == WEIGHTS["feature"]
