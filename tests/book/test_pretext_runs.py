"""The runs of the pretext chapter: rows that differ in what they say, and how they are judged."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from book.pretext import maps, measured, runs, teachers
from book.pretext.checks import SINGLE
from book.pretext.printed import numbers
from book.pretext.runs import DIFFICULTIES, NETWORKS, R21D, ROLES_OF, SHUFFLENET, TASKS, Runs
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.spec import MethodSpec
from kdlib.runs.store import run_key
from kdlib.study.setting import Setting

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def made():
    return Runs(Setting("laptop"))


def of(found, *who):
    return [spec for label, specs in found.items() if label[-1] in who for spec in specs]


def tables_of(made):
    return (
        runs.subsets(made, SEEDS),
        runs.difficulties(made, SEEDS),
        runs.sources(made, SEEDS),
        runs.categories(made, SEEDS),
    )


def test_the_teachers_that_are_asked_are_those_of_the_tables(made):
    asked = {spec for (spec,) in teachers.pretrainings(made).values()}
    tuned = [s for table in tables_of(made) for s in of(table, "T1", "T2", "T3")]
    assert asked == {spec.start.run for spec in tuned}
    (first,) = teachers.pretrainings(made)["1", "10k", "T2"]
    assert first == made.pretraining(runs.Pretraining(R21D, "RSPNet", made.scale.subsets[0]))


def test_a_student_is_taught_by_the_teachers_of_its_row(made):
    for found in tables_of(made):
        for label, students in found.items():
            if label[-1] in ("S", "ST"):
                row = [who for who in found if who[:-1] == label[:-1] and who != label]
                for n, student in enumerate(students):
                    assert student.method.teachers == tuple(found[who][n] for who in row)


def test_teachers_were_pre_trained_without_labels_and_students_start_from_random_weights(made):
    for found in tables_of(made):
        teachers = of(found, "T1", "T2", "T3")
        assert {spec.start.run.data.labels for spec in teachers} == {False}
        assert {spec.start.part for spec in teachers} == {"backbone"}
        assert {spec.start.run.data.seed for spec in teachers} == {runs.PRETRAINING}
        assert all(spec.start is None for spec in of(found, "S", "ST"))
        trained = [spec.data for specs in found.values() for spec in specs]
        assert all(data.labels and data.seed != runs.PRETRAINING for data in trained)


def test_one_pretraining_alone_has_a_rate_of_its_own(made):
    every = {
        (task, network): made.pretraining(made.default(network, task)).recipe.learning_rate
        for task in TASKS
        for network in NETWORKS
    }
    slower = {pair: rate for pair, rate in every.items() if rate != runs.RATE}
    assert slower == {("RSPNet", R21D): 1e-3}


def test_subsets_grow_and_nothing_else_differs(made):
    found = runs.subsets(made, SEEDS)
    for role in ROLES_OF:
        for who in ("T1", "T2"):
            used = [found[role, subset, who][0] for subset in ("10k", "30k", "50k", "100k")]
            counts = [spec.start.run.data.train for spec in used]
            assert counts == sorted(set(counts))
            epochs = [spec.start.run.recipe.epochs for spec in used]
            batch = made.scale.pretrain_batch
            steps = [n // batch * each for n, each in zip(counts, epochs, strict=True)]
            assert max(steps) < 1.1 * min(steps)
            alike = {
                replace(
                    spec.start.run,
                    data=replace(spec.start.run.data, train=1),
                    recipe=replace(spec.start.run.recipe, epochs=2),
                )
                for spec in used
            }
            assert len(alike) == 1
            assert len({replace(spec, start=None) for spec in used}) == 1


def test_rows_of_one_target_have_the_same_clips(made):
    for found in tables_of(made):
        for seed in SEEDS:
            by_task = {}
            for spec in (s for specs in found.values() for s in specs if s.seed == seed):
                by_task.setdefault(spec.data.domain, set()).add(spec.data)
            assert all(len(clips) == 1 for clips in by_task.values())


def test_difficulties_are_those_of_the_method(made):
    found = runs.difficulties(made, SEEDS)
    for network in NETWORKS:
        for task, (option, values, _) in DIFFICULTIES.items():
            methods = [found[network, task, f"T{n}"][0].start.run.method for n in (1, 2, 3)]
            assert [method.options[option] for method in methods] == list(values)
            assert {method.name for method in methods} == {TASKS[task]}


def test_all_are_trained_as_long_and_pre_training_is_all_that_a_teacher_has_more(made):
    found = runs.ensembles(made, SEEDS)
    trained = [spec for specs in found.values() for spec in specs]
    assert len({replace(spec.recipe, learning_rate=1.0) for spec in trained}) == 1
    assert len({(spec.model.name, spec.recipe.learning_rate) for spec in trained}) == len(NETWORKS)
    for network in NETWORKS:
        (alone, *_), (tuned, *_) = found[measured.ALONE[network]], found[f"teacher {network}",]
        assert replace(tuned, start=None) == alone


@pytest.mark.parametrize("given", [0, 3])
def test_what_pre_training_is_worth_has_seeds_of_its_own_unless_they_are_given(given):
    small = Runs(Setting("laptop", seeds=given))
    found = runs.pretrained(small)
    wanted = given or small.scale.seeds
    assert given or wanted > len(small.setting.headline)
    for network in NETWORKS:
        alone, tuned = found[network, "random"], found[network, "fine-tuned"]
        assert [spec.seed for spec in alone] == [spec.data.seed for spec in alone]
        assert len({spec.seed for spec in alone}) == len(alone) == wanted
        assert tuple(replace(spec, start=None) for spec in tuned) == alone
        assert {spec.start.run for spec in tuned} == {
            small.pretraining(small.default(network, "RSPNet"))
        }


@pytest.mark.parametrize("given", [0, 3])
def test_what_one_teacher_is_worth_has_the_seeds_and_teachers_of_the_pre_training(given):
    small = Runs(Setting("laptop", seeds=given))
    found, taught_by = runs.distilled(small), runs.pretrained(small)
    assert found[measured.BASELINE] == taught_by[SHUFFLENET, "random"]
    for network, (row,) in zip(NETWORKS, SINGLE, strict=True):
        students = found[row,]
        assert tuple(s.method.teachers for s in students) == tuple(
            (teacher,) for teacher in taught_by[network, "fine-tuned"]
        )
        assert tuple(replace(s, method=MethodSpec()) for s in students) == found[measured.BASELINE]
    assert set(runs.ensembles(small, (0,))[row,]) <= set(students)


@pytest.mark.parametrize("profile", ["laptop", "gpu"])
def test_subsets_are_in_the_proportions_of_the_printed_ones(profile):
    subsets = Runs(Setting(profile)).scale.subsets
    assert [10 * videos / subsets[0] for videos in subsets] == [10, 30, 50, 100]


@pytest.mark.parametrize("profile", ["smoke", "laptop", "gpu"])
def test_every_profile_has_all_studies(profile):
    from book.pretext.study import studies

    made = studies(Setting(profile))
    assert len({study.artifact for study in made}) == len(made)
    assert {f"pretext/{name}" for name in ("figure-1", "regimes", "search", "audit")} <= {
        study.artifact for study in made
    }


def test_a_real_target_has_the_clips_that_it_has():
    from book.pretext.study import studies

    given = {"roles": {"target": "jhmdb21"}, "headline": (0,), "claimed": (0,), "others": (0,)}
    setting = SimpleNamespace(**vars(Setting("smoke")), **given)
    made = {study.artifact: study for study in studies(setting)}
    assert "pretext/regimes" not in made
    data = {spec.data for spec in made["pretext/table-2"].specs()}
    assert {one.name for one in data} == {"jhmdb21"}
    assert {one.train for one in data} == {0}  # all


# What is measured of them


def scored(score):
    result = {"last": {"score": score}, "cost": {"training_seconds": 1.0}}
    return [SimpleNamespace(result=result, spec=SimpleNamespace(data=SimpleNamespace()))]


@pytest.fixture
def flat(monkeypatch):
    """Cells of one number, without what records of videos must have."""
    monkeypatch.setattr(
        measured.tables, "accuracy", lambda group: 100 * group[0].result["last"]["score"]
    )


@pytest.mark.parametrize(
    ("found", "table", "label", "row", "column", "paper"),
    [
        (
            runs.subsets,
            measured.subset_table,
            ("target2", "30k", "ST"),
            {"target": "HMDB51", "network": "ST"},
            "30k",
            ("table-1", ("ST", "30k", "HMDB51")),
        ),
        (
            runs.difficulties,
            measured.difficulty_table,
            (SHUFFLENET, "PRP", "T2"),
            {"network": SHUFFLENET, "task": "PRP"},
            "T2",
            ("table-2", ("T2", "PRP", SHUFFLENET)),
        ),
        (
            runs.sources,
            measured.source_table,
            ("CVRL", "S"),
            {"task": "CVRL"},
            "Student",
            ("table-3", ("CVRL", "Student", "")),
        ),
    ],
)
def test_ours_stand_beside_what_was_printed_at_their_place(
    made, flat, found, table, label, row, column, paper
):
    records = {name: scored(n / 1000) for n, name in enumerate(found(made, (0,)))}
    value = table(records)
    (cells,) = value[(value[list(row)] == list(row.values())).all(axis=1)].to_dict("records")
    assert cells[f"{column}|top-1 %"] == 100 * records[label][0].result["last"]["score"]
    assert cells[f"{column}|paper"] == numbers(paper[0])[paper[1]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A setting of its own, and records of a pre-training and of both networks fine-tuned."""
    setting = Setting("smoke", store=str(tmp_path_factory.mktemp("store")))
    small = Runs(setting)
    pretraining = small.pretraining(small.default(SHUFFLENET, "VCOP"))
    tuned = [small.tuned(small.default(network, "VCOP"), 0) for network in (SHUFFLENET, R21D)]
    wanted = [pretraining, *tuned]
    keys, store = setting.datasets.keys(wanted), setting.run_store
    todo, _ = plan(wanted, store, "cpu", keys)
    assert not run_all(todo, store, setting.datasets, device="cpu", jobs=1).failed
    return setting, [store.find(run_key(spec, "cpu", keys)) for spec in wanted]


@pytest.mark.slow
def test_every_held_out_clip_is_asked_and_the_answers_are_drawn_once(trained):
    setting, (record, *_) = trained
    scenes, answered, chance = measured.answers(record, setting)
    again = measured.answers(record, setting)[1]
    asked = runs.SCALES["smoke"].asked
    assert len(scenes) == len(answered) == len(chance) == asked > record.spec.data.validation
    videos = setting.datasets.load(replace(record.spec.data, validation=asked))["validation"]
    np.testing.assert_array_equal(scenes, videos.groups)
    few = setting.datasets.load(record.spec.data)["validation"]
    np.testing.assert_array_equal(videos.frames[: len(few.frames)], few.frames)
    assert set(answered) <= {0.0, 1.0}
    np.testing.assert_allclose(chance, 1 / 6)
    np.testing.assert_array_equal(answered, again)


@pytest.mark.slow
def test_maps_are_of_test_clips_and_symmetric_for_one_network(trained):
    setting, (_, shuffle, other) = trained
    batches = list(maps.test_batches(shuffle, setting))
    assert sum(len(batch.clips) for batch in batches) == min(maps.CLIPS, shuffle.spec.data.test)
    own = maps.layer_map(shuffle, shuffle, setting).values
    np.testing.assert_allclose(own, own.T, atol=1e-9)
    np.testing.assert_allclose(np.diag(own)[~np.isnan(np.diag(own))], 1, atol=1e-6)
    between = maps.layer_map(shuffle, other, setting)
    assert between.values.shape == tuple(len(names) for names in between.names)
    assert maps.blocks(shuffle, setting) == maps.blocks(shuffle, setting)


@pytest.mark.slow
def test_a_teacher_s_row_is_of_its_own_questions(trained):
    setting, (vcop, *_) = trained
    scenes, answered, chance = measured.answers(vcop, setting, asked=24)
    groups = {("2", SHUFFLENET, "VCOP", "T1"): [vcop], ("4", "Non-contrastive", "T2"): [vcop]}
    (row,) = teachers.teacher_table(groups, setting).to_dict("records")
    assert len(answered) == runs.SCALES["smoke"].asked // 2
    above = row.pop(teachers.ABOVE)
    assert above.estimate == pytest.approx(100 * (answered - chance).mean())
    assert above.n == len(set(scenes))
    assert row == {
        "network": SHUFFLENET,
        "task": "VCOP",
        "difficulty": "3 clips",
        "videos": Runs(setting).scale.subsets[2],
        "from": "source",
        "tables": "2, 4",
        "answered %": round(100 * float(answered.mean()), 1),
        "chance %": 16.7,
    }
