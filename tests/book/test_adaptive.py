"""The adaptive chapter: transcriptions, audit, sizes, specs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from book.adaptive import audit, checks, figures, lesson, sizes, tables
from book.adaptive.ablations import ABLATIONS, DEFAULTS, OPTIONS, default, values
from book.adaptive.runs import BASES, DECIDING, IMAGE, IMAGENET, VIDEO, Runs, regimes, selections
from book.adaptive.search import candidates
from book.adaptive.study import studies
from kdlib.errors import UserError
from kdlib.runs.size import size
from kdlib.study.chapter import BOOK
from kdlib.study.setting import Setting


@pytest.mark.parametrize(
    ("number", "row", "column", "cell"),
    [
        (1, 1, "Training|N", "234,619"),
        (2, 0, "Epochs|Kinetics", "200"),
        (3, 4, "FPS", "2125"),
        (4, 9, "ResNet34→ResNet18|Top-1", "72.87"),
        (5, 16, "TPN|min", "4.9"),
        (5, 17, "SlowFast|Top-5", "95.62"),
        (6, 3, "UCF101|Top-5|SlowFast", "99.23"),
        (7, 2, "UCF101|Top-1|VideoST", "87.03"),
        (10, 4, "CIFAR-100|Time (s)|WRN", "21.9"),
        (12, 0, "UCF101|Top-1|SlowFast", "87.92"),
        (14, 3, "CIFAR-100|Top-5|WRN", "93.94"),
        (15, 6, "CIFAR-100|Top-1|ResNet", "67.72"),
    ],
)
def test_known_cells_of_the_published_tables(number, row, column, cell):
    assert tables.published(number)[column][row] == cell


def test_every_published_table_is_there_and_whole():
    shapes = {number: tables.published(number).shape for number in range(1, 16)}
    assert shapes[4] == (20, 9)
    assert shapes[5] == (20, 12)
    assert [shapes[n][0] for n in range(6, 16)] == [7, 7, 3, 3, 5, 5, 3, 3, 7, 7]


@pytest.mark.slow
def test_table_3_is_ours_to_the_printed_digits():
    table = sizes.size_table()
    assert len(table) == 16
    assert (table["parameters (M)"].map("{:.2f}".format) == table["paper|Params (M)"]).all()
    printed = table["paper|GFLOPs"].astype(float)
    # Two per cent, or half of the last digit that is printed.
    assert (abs(table["GMACs"] - printed) <= np.maximum(0.02 * printed, 0.011)).all()


def test_table_1_explains_every_difference():
    table = tables.data_table({})
    real = table[~table["data set"].str.startswith("generated")]
    differs = real["manifest"] != real["paper"]
    assert set(real[differs]["data set"]) == {"Kinetics-400", "ImageNet"}
    assert (real["why they differ"] != "").tolist() == differs.tolist()


def test_the_audit_finds_what_is_known():
    found = audit.table({})
    text = "\n".join(found.what + ": " + found.printed)
    assert "89.88 (Table 10), 87.92 (Table 12)" in text
    assert "Table 7, lambda = 0.1 called best, VideoST: 86.94, but 87.03 at 0.3" in text
    assert "33.79 of SF4×16, but 27.81 of SwinT" in text
    assert "Table 13, teacher said to be better than labels, CIFAR-100, Top-1, WRN: 73.17" in text
    assert "Table 8" not in "".join(found.what)  # the polynomial is best there


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["smoke", "laptop", "gpu"])
def test_every_profile_has_the_21_artifacts_and_shares_runs(profile):
    made = {study.artifact: study for study in studies(Setting(profile=profile))}
    wanted = {f"sakd/table-{n:02}" for n in range(1, 16)} | {
        f"sakd/figure-{n}" for n in range(1, 7)
    }
    others = {"selections", "images", "search", "regimes", "regime-numbers", "audit"}
    assert wanted | {f"sakd/{name}" for name in others} == made.keys()
    defaults = {
        made[f"sakd/table-{number:02}"].runs["SlowFast", value][:2]
        for number, value in ((8, "Poly"), (10, "5"), (12, "GT+Teac."), (14, "0.5"))
    } | {made["sakd/table-05"].runs["SlowFast", "KD", "Ours*"][:2]}
    assert len(defaults) == 1
    specs = [spec for study in made.values() for spec in study.specs()]
    assert len(set(specs)) < 0.9 * len(specs)


def test_an_ablation_changes_one_option():
    made = {study.artifact: study for study in studies(Setting())}
    runs = Runs(Setting())
    for number, (option, base) in ABLATIONS.items():
        for (pair, printed), (spec, *_) in made[f"sakd/table-{number:02}"].runs.items():
            usual = runs.ours(pair, BASES[base], 0)
            given, known = spec.method.options, usual.method.options
            changed = {name for name in {**given, **known} if given.get(name) != known.get(name)}
            assert changed == (set() if printed == default(number) else {option})
            assert replace(spec, method=replace(spec.method, options=known)) == usual


def test_an_ablation_shows_what_was_printed_for_pairs_that_are_not_trained():
    study = next(s for s in studies(Setting()) if s.artifact == "sakd/table-06")
    result = {"last": {"score": 0.5, "video_top5": 0.9}}
    asked = SimpleNamespace(data=SimpleNamespace(asked="classification"))
    made = SimpleNamespace(result=result, spec=asked)
    table = study.make({label: [made] for label in study.runs})
    assert "VideoST|top-1 %" not in table
    assert list(table["VideoST|paper"]) == list(tables.published(6)["UCF101|Top-1|VideoST"])
    assert {pair for pair, _ in study.runs} == set(DECIDING)


def test_a_pair_that_decides_nothing_has_fewer_seeds_where_it_is_trained():
    made = {study.artifact: study for study in studies(Setting(profile="smoke"))}
    for number in (5, 6):
        seeds = {label[0]: len(s) for label, s in made[f"sakd/table-{number:02}"].runs.items()}
        assert seeds.pop("SlowFast") == 2
        assert set(seeds.values()) == {1}


def test_supervisors_are_judged_where_the_teacher_trains_the_head_that_is_tested():
    assert checks.teacher_beats_labels.reads == ("sakd/table-12",)
    assert checks.both_supervisors_are_best.reads == ("sakd/table-12",)
    assert checks.gamma_is_best_at_half.reads == ("sakd/table-14", "sakd/table-15")


def test_seeds_that_are_asked_for_are_those_of_every_row():
    made = studies(Setting(seeds=2))
    assert {len(specs) for study in made for specs in study.runs.values()} <= {1, 2}
    assert {len(s) for study in made if "table" in study.artifact for s in study.runs.values()} == {
        2
    }


def test_every_ablated_option_has_a_default_that_its_tables_print():
    assert DEFAULTS.keys() == OPTIONS.keys() == {option for option, _ in ABLATIONS.values()}
    for number, (option, _) in ABLATIONS.items():
        assert values(number)[default(number)] == DEFAULTS[option]


def test_controls_change_one_thing():
    made = selections(Runs(Setting()), (0,))
    ours, random = made["Ours*"][0], made["Ours*, random samples"][0]
    assert dict(random.method.options) == {**ours.method.options, "pick": "random"}
    assert ours.start == made["KD, all samples"][0].start is not None
    assert made["Ours*, from scratch"][0].start is None
    students = [spec for label, (spec,) in made.items() if label != "teacher"]
    assert len({replace(spec.data, known=()) for spec in students}) == 1
    cut, whole = made["KD, steps of Ours"][0].recipe.epochs, ours.recipe.epochs
    assert cut == 0.1 * whole
    # Longer than for as many steps, but of no more multiply-accumulates than SAKD.
    in_time = made["KD, time of Ours*"][0]
    assert in_time.recipe.epochs > cut
    work = [size(spec).macs for spec in (in_time, ours)]
    assert work[0] < work[1]


@pytest.mark.parametrize("pair", [*VIDEO, *IMAGE, IMAGENET])
def test_a_control_cut_to_as_many_steps_has_exactly_as_many(pair):
    runs = Runs(Setting())
    ours, cut = runs.ours(pair, "kd", 0), runs.cut(pair, "kd", 0)
    selected = round(ours.method.options["ratio"] * ours.data.train)
    size = ours.recipe.batch_size
    assert selected % size == cut.data.train % size == 0
    # To half an epoch of the cut training.
    missing = ours.recipe.epochs * selected - cut.recipe.epochs * cut.data.train
    assert abs(missing) <= cut.data.train / 2


def test_a_cell_of_the_map_changes_share_and_clips_alone():
    runs = Runs(Setting())
    made = regimes(runs, (0,))
    assert made[0.1, 240, "Ours*"] == selections(runs, (0,))["Ours*"]
    for (share, clips, name), (spec,) in made.items():
        assert spec.data.train == clips
        assert spec.method.teachers[0] == runs.teacher("SlowFast", 0)
        if name in ("Ours*", "random"):
            assert spec.method.options["ratio"] == share
            assert spec.recipe.epochs == runs.scale.epochs
        else:
            assert spec.recipe.epochs == round((share + 0.06) * runs.scale.epochs)


def test_the_two_resnets_share_their_runs():
    runs = Runs(Setting())
    assert runs.ours("ResNet", "kd", 0) == runs.ours(IMAGENET, "kd", 0)


@pytest.mark.parametrize("pair", [*VIDEO, *IMAGE, IMAGENET])
def test_a_teacher_has_seen_its_student_s_samples_and_more(pair):
    runs = Runs(Setting())
    student, teacher = runs.direct(pair, 0).data, runs.teacher(pair, 0).data
    assert replace(teacher, train=student.train) == student
    assert teacher.train == 4 * student.train


@pytest.mark.parametrize("pair", VIDEO)
def test_labels_of_the_pretraining_are_right_and_those_of_the_training_drawn(pair):
    student = Runs(Setting()).direct(pair, 0)
    assert student.start.run.data.label_noise == 0.0
    assert student.data.label_noise == 0.2


def test_rows_under_a_sentence_have_three_seeds():
    made = {study.artifact: study for study in studies(Setting())}
    for number in range(4, 16):
        seeds = {len(specs) for specs in made[f"sakd/table-{number:02}"].runs.values()}
        assert seeds == {4: {3}, 5: {4}, 10: {5, 10}, 11: {5, 10}}.get(number, {5})
    interval = made["sakd/table-10"].runs
    assert [printed for (_, printed), specs in interval.items() if len(specs) == 10] == ["1", "10"]
    for name in ("sakd/selections", "sakd/images"):
        assert {len(specs) for specs in made[name].runs.values()} == {5}
    assert {len(specs) for specs in made["sakd/regimes"].runs.values()} == {3}


def test_no_reported_run_has_the_seeds_of_the_search():
    searched = {spec.data.seed for group in candidates(Runs(Setting())).values() for spec in group}
    reported = {spec.data.seed for study in studies(Setting()) for spec in study.specs()}
    assert searched == {100, 101, 102}
    assert not searched & reported


def test_seeds_are_those_of_every_row():
    made = {study.artifact: study for study in studies(Setting(seeds=3))}
    counts = {
        len(specs)
        for number in (4, 5, 6, 12)
        for specs in made[f"sakd/table-{number:02}"].runs.values()
    }
    assert counts == {3}


def test_real_images_are_taken_in_part_and_differ_by_seed(tmp_path):
    setting = Setting(dataset="image:cifar100", data=str(tmp_path))
    first, second = (Runs(setting).data("ResNet", seed) for seed in (0, 1))
    assert (first.name, first.train) == ("cifar100", 1920)
    assert first.seed != second.seed
    assert Runs(setting).data("SlowFast", 0).name == "generated/mix12"
    whole = Setting(profile="gpu", dataset="image:cifar100", data=str(tmp_path))
    assert Runs(whole).data("ResNet", 0).train == 0


def test_all_seeds_start_from_one_pre_training_on_clips_of_its_own():
    runs = Runs(Setting())
    starts = {runs.vanilla("SlowFast", "kd", seed).start for seed in range(3)}
    (start,) = starts
    assert start.run.data.seed not in range(100)
    assert start.run.data.name == runs.data("SlowFast", 0).name


def test_there_is_no_paper_profile():
    with pytest.raises(UserError, match="PROFILE: the adaptive chapter has no paper profile"):
        Runs(Setting(profile="paper"))


def test_the_lesson_s_points_go_from_easy_to_spread():
    spread = lesson.spread()
    assert spread["mean difficulty"].is_monotonic_increasing
    assert spread["mean angle, degrees"].iloc[-1] > spread["mean angle, degrees"].iloc[0]


def test_the_steps_of_the_method_are_five():
    tokens = MarkdownIt("commonmark").parse((BOOK / "adaptive/index.md").read_text())
    start = next(n for n, token in enumerate(tokens) if token.type == "ordered_list_open")
    end = next(n for n in range(start, len(tokens)) if tokens[n].type == "ordered_list_close")
    steps = [""]
    for token in tokens[start:end]:
        if token.type == "list_item_open":
            steps.append("")
        steps[-1] += token.content
    named = [step.split(".")[0].strip("*") for step in steps[1:]]
    assert named[:4] == ["Interrupt", "Difficulty", "Strength", "Select"]
    assert len(steps[1:]) == 5
    assert "log\\det" in steps[4]
    assert "determinantal point process" in steps[4]
    assert steps[5].startswith("**Train**")


def test_moments_and_strengths_of_a_record():
    record = SimpleNamespace(
        traces={
            "evaluated": np.array([0, 5, 10]),
            "was_selected": np.eye(4, dtype=bool)[:3],
            "had_strength": np.array([[0.5, 1, 1, 1], [1, 0.25, 1, 1], [1, 1, 0, 1]], np.float16),
        },
    )
    assert figures.evaluations(record).tolist() == [1, 6, 11]
    assert figures.strengths(record).tolist() == [0.5, 0.25, 0]
    assert list(figures.moments(record)) == [1, 6, 11]


@pytest.mark.parametrize(
    ("cycle", "seconds", "mean"), [(1, [9, 1, 2], 1.5), (2, [9, 9, 3, 1, 8], 2), (4, [4, 2], 3)]
)
def test_seconds_of_an_epoch_are_of_whole_cycles_without_the_first(cycle, seconds, mean):
    history = pd.DataFrame({"seconds": seconds})
    record = SimpleNamespace(result={"cycle": cycle}, history=history)
    assert tables.epoch_seconds(record) == mean
