"""The masked chapter: transcriptions, recipes, audit, rows that differ in what they say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from book.masked import audit, checks, printed, recipes, runs, search, tables
from book.masked.regimes import cells
from book.masked.runs import AS_PIXELS, FROM_BOTH, PIXELS, ROLES_OF, SCRATCH, Runs
from book.masked.study import studies
from kdlib.analysis.statistics import Interval
from kdlib.study.claims import checks_of, read
from kdlib.study.published import read_table
from kdlib.study.search import SEEDS as SEARCHED
from kdlib.study.setting import ROOT, Setting

FOLDER = ROOT / "book" / "masked"
SEEDS = (0, 1)
SCENES = 8


@pytest.fixture(scope="module")
def made():
    return Runs(Setting("laptop"))


# What is printed


@pytest.mark.parametrize(
    ("name", "row", "column", "cell"),
    [
        ("table-10", 3, "mAP", "37.5"),
        ("table-10", 12, "extra data", "IN-1K+K400"),
        ("table-10", 19, "mAP", "41.1"),
        ("table-11", 1, "top-1 accuracy|SSv2", "70.5"),
        ("table-12", 2, "top-1 accuracy|K400", "82.4"),
        ("table-13", 1, "top-1 accuracy|SSv2", "70.7"),
        ("table-14", 1, "top-1 accuracy|SSv2", "72.5 ↑2.8"),
        ("table-15", 8, "Kinetics-400", "0.1 (S,B), 0.2 (L,H)"),
        ("table-16", 16, "Sth-Sth V2", "0.7 (S), 0.75 (B,L,H)"),
    ],
)
def test_known_cells_of_the_published_tables(name, row, column, cell):
    assert printed.published(name)[column][row] == cell


def test_every_published_table_is_there_and_whole():
    shapes = {p.stem: printed.published(p.stem).shape for p in FOLDER.glob("published/*.csv")}
    assert shapes == {
        "table-10": (20, 7),
        "table-11": (3, 4),
        "table-12": (3, 3),
        "table-13": (2, 3),
        "table-14": (2, 5),
        "table-15": (9, 2),
        "table-16": (17, 5),
    }


def test_differences_by_hand():
    assert printed.over_videomae()["B", "×"] == pytest.approx(29.3 - 26.7)
    assert printed.over_scratch()["video", "SSv2"] == pytest.approx(-0.4)
    assert printed.one_student()["SSv2"] == {"Table 12": 72.1, "Table 14": 72.5}
    assert printed.arrows() == {"IN-1K": 0.4, "K400": 1.2, "SSv2": 2.8}
    assert printed.accuracies("table-11")["per-token distillation ×", "K400"] == 80.4


def test_parameters_and_cost_of_the_true_sizes_are_those_printed_within_two_per_cent():
    rows = [r for r in tables.detection_table({}).to_dict("records") if r["GFLOPs|counted"]]
    assert len(rows) == 16
    for row in rows:
        for name in ("GFLOPs", "Param"):
            assert row[f"{name}|counted"] == pytest.approx(float(row[f"{name}|paper"]), rel=0.02)


@pytest.mark.parametrize(
    ("said", "agrees"),
    [
        ("3.4 above VideoMAE", "yes"),
        ("within 2 %", "yes"),
        ("masked reconstruction is better", "yes"),
        ("on SSv2 they are even worse", "yes"),
        ("the arrows are the differences", "yes"),
        ("400 epochs, K400: one setting", "yes"),
        ("400 epochs, SSv2: one setting", "no"),
        ("Table 13, two frames", "no"),
        ("Table 15: the released scripts", "in 8 of 9"),
        ("Table 16: the released scripts", "in 29 of 34"),
    ],
)
def test_the_audit_finds_what_is_known(said, agrees):
    rows = audit.table({})
    (found,) = rows[rows["what is said"].str.contains(said, regex=False)]["agrees"]
    assert found == agrees


# Recipes


@pytest.mark.parametrize("make", [recipes.pretraining_table, recipes.fine_tuning_table])
def test_tables_15_and_16_are_made_of_the_recipes(make):
    assert set(make({})["as printed"].dropna()) == {"yes"}


def test_another_recipe_is_seen(monkeypatch):
    other = {**recipes.PRETRAINING, "L": replace(recipes.PRETRAINING["L"], drop_path=0.1)}
    monkeypatch.setattr(recipes, "PRETRAINING", other)
    rows = recipes.pretraining_table({}).set_index("config")
    assert rows.loc["drop path", "Kinetics-400"] == "0.1 (S,B,L), 0.2 (H)"
    assert rows["as printed"].value_counts().to_dict() == {"yes": 8, "no": 1}


def test_recipes_are_those_of_kdlib_at_the_rate_of_their_batch():
    assert recipes.PRETRAINING["B"].recipe.learning_rate == pytest.approx(6e-4)
    tuned = recipes.FINE_TUNING["Kinetics-400"]["B"].recipe
    assert (tuned.learning_rate, tuned.epochs, tuned.layer_decay) == (pytest.approx(2e-3), 75, 0.75)
    assert (tuned.rand_augment, tuned.repeats, tuned.mixup) == (9, 2, 0.8)
    with pytest.raises(ValueError, match="no rate or no epochs"):
        _ = recipes.FINE_TUNING["Sth-Sth V2"]["H"].recipe


# Rows


@pytest.mark.parametrize("profile", ["smoke", "laptop", "gpu"])
def test_every_profile_has_all_studies(profile):
    found = studies(Setting(profile))
    names = {study.artifact for study in found}
    assert len(names) == len(found)
    assert {f"mvd/table-{n}" for n in range(10, 17)} <= names
    assert {f"mvd/figure-{n}" for n in (4, 5, 6)} <= names
    assert {"mvd/regimes", "mvd/regime-numbers", "mvd/search", "mvd/audit"} <= names
    assert all(study.read for study in found)


def test_a_real_target_has_the_clips_that_it_has():
    given = {"roles": {"target": "jhmdb21"}, "headline": (0,), "claimed": (0,), "others": (0,)}
    setting = SimpleNamespace(**vars(Setting("smoke")), **given)
    found = {study.artifact: study for study in studies(setting)}
    assert "mvd/regimes" not in found
    assert "mvd/texture-regimes" in found
    data = {spec.data for spec in found["mvd/table-12"].specs()}
    assert {(one.name, one.train) for one in data} >= {("jhmdb21", 0)}
    assert {one.name for one in data} == {"jhmdb21", ROLES_OF["target2"]}


def test_fine_tunings_of_one_task_and_seed_have_one_recipe_and_the_same_clips(made):
    for found in (
        runs.starts(made, SEEDS),
        runs.token_by_token(made, SEEDS),
        runs.initialisations(made, SEEDS),
        runs.patch_sizes(made, SEEDS),
    ):
        by_row = {}
        for (role, _), specs in found.items():
            for spec in specs:
                by_row.setdefault((role, spec.seed), set()).add((spec.recipe, str(spec.data)))
        assert {len(alike) for alike in by_row.values()} == {1}


def test_pre_trainings_have_no_labels_and_clips_of_their_own(made):
    before = [spec for specs in runs.pretrained(made).values() for spec in specs]
    assert {spec.data.labels for spec in before} == {False}
    assert {spec.data.seed for spec in before} == {runs.PRETRAINING}
    after = [spec for specs in runs.starts(made, SEEDS).values() for spec in specs]
    assert runs.PRETRAINING not in {spec.data.seed for spec in after}


def started(found, *label):
    return found[label][0].start.run


def test_rows_of_table_11_differ_in_where_features_are_taught(made):
    found = runs.token_by_token(made, SEEDS)
    by_row = {name: started(found, "target", name) for role, name in found if role == "target"}
    places = [spec.method.options.get("places", "masked") for spec in by_row.values()]
    assert places == ["all", "visible", "masked"]
    bare = {
        replace(s, method=replace(s.method, options={**s.method.options, "places": "masked"}))
        for s in by_row.values()
    }
    assert len(bare) == 1
    (teacher,) = bare.pop().method.teachers
    assert teacher == made.pretraining(made.video_teacher)


def test_rows_of_table_12_differ_in_the_start(made):
    found = runs.initialisations(made, SEEDS)
    by_row = [started(found, "target", name) for role, name in found if role == "target"]
    assert len({replace(spec, start=None) for spec in by_row}) == 1
    assert [spec.start and spec.start.run for spec in by_row] == [
        None,
        made.pretraining(made.image_teacher),
        made.pretraining(made.video_teacher),
    ]


def test_rows_of_table_13_differ_in_the_teachers_tubelet(made):
    found = runs.patch_sizes(made, SEEDS)
    by_row = [started(found, "target", name) for role, name in found if role == "target"]
    teachers = [spec.method.teachers[0] for spec in by_row]
    assert [teacher.model.options["tubelet"] for teacher in teachers] == [2, 4]
    assert len({replace(teacher, model=teachers[0].model) for teacher in teachers}) == 1
    assert by_row[0].model == by_row[1].model


def test_pixels_are_trained_four_times_as_long_as_features(made):
    found = runs.targets(made, SEEDS)
    for role in ("image", *ROLES_OF):
        pixels, features = (started(found, role, name) for name in ("pixels", "features"))
        assert (pixels.method.name, features.method.name) == ("mae", "mvd")
        assert pixels.recipe.epochs == 4 * features.recipe.epochs
    assert len(started(found, "image", "features").method.teachers) == 1


def test_what_pixels_are_held_against_differs_in_its_start_alone(made):
    found = runs.starts(made, SEEDS)
    for role in ROLES_OF:
        bare = tuple(replace(spec, start=None) for spec in found[role, PIXELS])
        assert found[role, AS_PIXELS] == bare
        assert found[role, SCRATCH] != bare


def test_detectors_differ_in_their_start_alone(made):
    found = runs.detections(made, SEEDS)
    bare = {
        replace(specs[0], start=None, model=found[SCRATCH, "×"][0].model)
        for specs in found.values()
    }
    assert len(bare) == 1
    assert found["MVD", "✓"][0].start.run.start == found["MVD", "×"][0].start
    assert found["MVD", "✓"][0].start.run.data.name == ROLES_OF["target2"]


def test_the_headline_setting_is_a_cell_of_the_map(made):
    found = cells(made, "target", SEEDS)
    shown = runs.starts(made, SEEDS)
    clips, epochs = made.scale.labelled, made.scale.features[1]
    assert found[clips, epochs, "MVD"] == shown["target", FROM_BOTH]
    assert found[clips, epochs, SCRATCH] == shown["target", SCRATCH]


def test_figure_4_has_the_time_of_what_was_fine_tuned(made):
    found = runs.lengths(made, SEEDS)
    for (role, *label), specs in found.items():
        if role in ROLES_OF:
            assert specs[0].start.run == found["pre-trained", *label][0]
    longest = str(max(made.scale.pixels))
    assert found["target", PIXELS, longest] == runs.starts(made, SEEDS)["target", PIXELS]


# Search


def test_the_kept_search_has_all_candidates_on_clips_that_no_other_row_has(made):
    asked = search.candidates(made)
    rows = read_table(FOLDER / "search.csv")
    assert list(zip(rows["testbed"], rows["training"], strict=True)) == list(asked)
    assert [int(n) for n in rows["n"]] == [len(specs) for specs in asked.values()]
    seeds = {spec.data.seed for specs in asked.values() for spec in specs}
    assert seeds == set(SEARCHED)
    assert not seeds & set(range(Setting("gpu").scale.headline_seeds))


def test_starts_of_a_testbed_differ_in_nothing_else_but_positions(made):
    bare = {}
    for (testbed, _), specs in search.candidates(made).items():
        for spec in specs:
            options = {"tubelet": 2, **spec.model.options, "positions": ""}
            alike = replace(spec, start=None, model=replace(spec.model, options=options))
            bare.setdefault((testbed, spec.seed), set()).add(alike.to_json())
    assert {len(alike) for alike in bare.values()} == {1}


def test_the_best_testbed_is_the_chapters_but_for_its_epochs(made):
    chosen = search.candidates(made)["motion12, max of places, rate 0.008", "masked pixels"][0]
    tuned = made.tuned(made.videomae, chosen.seed)
    recipe = replace(tuned.recipe, epochs=chosen.recipe.epochs)
    assert chosen == replace(tuned, recipe=recipe)


# Claims


def test_every_control_bears_something_and_there_are_claims_enough():
    entries = read(FOLDER / "claims.toml")
    required = {name for entry in entries for name in entry.requires}
    assert required == {entry.id for entry in entries if entry.kind == "control"}
    assert sum(entry.kind == "claim" for entry in entries) >= 8


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ("margins_of_detection_are_as_stated", "supported"),
        ("arrows_are_differences", "supported"),
        ("default_student_has_one_accuracy", "contradicted"),
    ],
)
def test_what_the_tables_decide(check, verdict):
    assert checks_of(checks)[check](None).verdict == verdict


def judged(found):
    """Of each run a record that was right on a share of 1,000 clips, in the order of the rows."""
    records = {}
    for place, (label, specs) in enumerate(found.items()):
        right = 0.3 + 0.01 * place
        predicted = (np.arange(1000) >= 1000 * right).astype(int)
        records[label] = [
            SimpleNamespace(
                spec=spec,
                result={"last": {"score": right}},
                traces={"labels": np.zeros(1000, int), "predicted_last": predicted},
            )
            for spec in specs
        ]
    return records


def test_ours_stand_beside_what_was_printed_at_their_place(made):
    records = judged(runs.initialisations(made, SEEDS))
    table = tables.beside_print(records, "table-12", "start").set_index("start")
    score = 100 * np.mean([r.result["last"]["score"] for r in records["target", "video teacher"]])
    cell = table.loc["video teacher", "motion (SSv2)|top-1 %"]
    assert isinstance(cell, Interval)
    assert cell.estimate == pytest.approx(score)
    assert table.loc["video teacher", "motion (SSv2)|paper"] == 71.7
    assert table.loc["from scratch", "texture (K400)|paper"] == 82.7
    table = tables.target_table(judged(runs.targets(made, SEEDS))).set_index(["data", "target"])
    assert table.loc[("pictures (IN-1K)", "pixels"), "paper"] == 83.6
    assert table.loc[("motion (SSv2)", "features"), "paper"] == 72.5
