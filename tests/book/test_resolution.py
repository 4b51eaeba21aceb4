"""The resolution chapter: transcriptions, specs and tables."""

import pytest

from book.resolution import recipes
from book.resolution.runs import WEIGHTS, Runs
from book.resolution.study import studies
from book.resolution.tables import recipe_table, true_size_table
from kdlib.study.setting import Setting
from kdlib.study.tables import published


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
