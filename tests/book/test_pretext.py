"""The pretext chapter, as far as it needs no runs: transcriptions, audit, claims, lesson."""

import json

import numpy as np
import pytest

from book.pretext import audit, counted, lesson, printed, tables
from book.pretext.readings import READINGS
from kdlib.study.checks import Check
from kdlib.study.claims import read
from kdlib.study.setting import ROOT

FOLDER = ROOT / "book" / "pretext"
COUNTED = {name: value for name, value in vars(counted).items() if isinstance(value, Check)}


@pytest.mark.parametrize(
    ("name", "row", "column", "cell"),
    [
        ("table-1", 2, "30k|UCF101/HMDB51", "94.6/51.5"),
        ("table-1", 1, "100k|UCF101/HMDB51", "78.5/43.4"),
        ("table-2", 1, "RotNet|ShuffleNet/R21D", "20.2/58.3"),
        ("table-2", 3, "VCOP|ShuffleNet/R21D", "75.4/43.5"),
        ("table-3", 2, "SSv2 (T2)", "34.7"),
        ("table-3", 3, "Student", "80.2"),
        ("table-4", 0, "S (T1)", "RotNet"),
        ("table-4", 1, "ST", "70.3"),
        ("benchmarks-tasks", 0, "TDL", "12.4"),
        ("benchmarks-sizes-ucf101", 0, "PRP", "17.5"),
        ("benchmarks-sizes-hmdb51", 2, "CVRL", "29.3"),
        ("benchmarks-epochs", 1, "100k|ShuffleNet/R21D", "69.0/80.0"),
        ("benchmarks-diving48", 1, "RotNet", "21.3"),
        ("benchmarks-probe", 1, "VCOP", "12.2"),
        ("benchmarks-compared", 0, "UCF101", "97.3"),
    ],
)
def test_known_cells_of_the_published_tables(name, row, column, cell):
    assert printed.published(name)[column][row] == cell


def test_every_published_table_is_there_and_whole():
    shapes = {
        path.stem: printed.published(path.stem).shape for path in FOLDER.glob("published/*.csv")
    }
    assert shapes == {
        "table-1": (3, 5),
        "table-2": (4, 4),
        "table-3": (4, 4),
        "table-4": (2, 4),
        "benchmarks-tasks": (2, 7),
        "benchmarks-sizes-ucf101": (3, 7),
        "benchmarks-sizes-hmdb51": (3, 7),
        "benchmarks-epochs": (4, 5),
        "benchmarks-diving48": (2, 5),
        "benchmarks-probe": (2, 4),
        "benchmarks-compared": (1, 3),
    }


def test_numbers_are_the_printed_halves():
    assert printed.numbers("table-1")["T2", "30k", "HMDB51"] == 37.4
    assert printed.numbers("table-2")["S", "PRP", "R21D"] == 61.0
    assert printed.numbers("table-4") == {
        ("Non-contrastive", "ST", ""): 61.1,
        ("Contrastive", "ST", ""): 70.3,
    }


def test_the_benchmarks_have_every_printed_accuracy_once():
    table = tables.benchmarks({})
    cells = table[[column for column in table if "|" in column]].to_numpy().ravel()
    shown = sorted(float(part) for cell in cells if cell != "–" for part in cell.split(", "))
    names = [path.stem for path in FOLDER.rglob("benchmarks-*.csv")]
    assert shown == sorted(value for name in names for value in printed.numbers(name).values())


def test_differences_by_hand():
    over = printed.over_mean_teacher()
    assert over["RotNet"] == pytest.approx(20.45)
    assert over["VCOP"] == pytest.approx(12.55)
    assert printed.over_one_task("ShuffleNet") == pytest.approx(
        {"contrastive": 1.5, "non-contrastive": 39.2}
    )
    assert printed.over_one_task("R21D") == pytest.approx(
        {"contrastive": -7.7, "non-contrastive": 14.9}
    )
    assert printed.over_three_teachers()["VCOP", "R21D"] == pytest.approx(43.5 - 56.8)
    assert printed.over_both_teachers()["100k", "HMDB51"] == pytest.approx(46.4 - 43.4)
    assert printed.mixed_over_single() == pytest.approx({"RotNet": -13.9, "VCOP": -14.3})
    assert printed.three_clips_over_more() == pytest.approx({"ShuffleNet": -0.2, "R21D": 1.2})


@pytest.mark.parametrize(
    ("said", "agrees"),
    [
        ("outperforms both teachers in all cases", "yes"),
        ("best with teachers of 30k", "yes"),
        ("the tasks are VCOP, PRP and RSPNet", "in 2 of 3"),
        ("the teachers are the benchmark's models", "in 4 of 6"),
        ("R21D student of PRP outperforms", "yes"),
        ("ShuffleNet student outperforms", "yes"),
        ("Inference 2", "in 4 of 6"),
        ("20.5 (RotNet) and 12.6 (VCOP)", "yes"),
        ("39.2 (contrastive)", "no"),
        ("the network is R21D", "no"),
        ("Inference 4", "no"),
        ("three clips are best", "no"),
        ("all tasks but PRP gain less than 2 points", "in 3 of 5"),
        ("RSPNet student, ShuffleNet, 30k of K400, UCF101", "no"),
        ("TDL, R21D, 50k of K400", "no"),
    ],
)
def test_the_audit_finds_what_is_known(said, agrees):
    rows = audit.table({})
    (found,) = rows[rows["what is said"].str.contains(said, regex=False)]["agrees"]
    assert found == agrees


def test_the_audit_sees_the_two_accuracies_of_one_student():
    rows = audit.table({}).set_index("what is said")["what is printed"]
    (student,) = rows[rows.index.str.startswith("RSPNet student")]
    assert student == "94.6 (Table 1), 97.3 (comparison with others)"


@pytest.mark.parametrize(
    ("artifact", "make"), [("audit", audit.table), ("benchmarks", tables.benchmarks)]
)
def test_what_is_printed_has_a_reading(artifact, make):
    reading = READINGS[f"pretext/{artifact}"](make({}), {})
    assert reading.found
    assert reading.why
    assert "nan" not in reading.found


# Claims


def entries(kind=""):
    return [e for e in read(FOLDER / "claims.toml") if kind in ("", e.kind)]


def test_every_entry_has_a_check_of_its_own_name():
    names = [entry.check for entry in entries()]
    assert len(set(names)) == len(names)
    assert COUNTED.keys() <= set(names)
    assert len(entries("claim")) >= 8
    assert len(entries("comparison")) >= 3


def test_every_control_bears_something():
    required = {name for entry in entries() for name in entry.requires}
    assert required == {entry.id for entry in entries("control")}


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ("source_margins_are_as_stated", "supported"),
        ("category_margins_are_as_stated", "contradicted"),
        ("quoted_student_is_that_of_table_1", "contradicted"),
        ("three_clips_are_best_in_print", "contradicted"),
    ],
)
def test_what_the_tables_decide(check, verdict):
    found = COUNTED[check](None)
    assert found.verdict == verdict
    assert found.effect.method == "counted"


# The lesson


@pytest.fixture(scope="module")
def cka():
    """The one that the notebook defines."""
    cells = json.loads((FOLDER / "01-a-clip-teaches-itself.ipynb").read_text())["cells"]
    (source,) = ("".join(c["source"]) for c in cells if "def cka(" in "".join(c["source"]))
    names = {}
    exec(source, names)
    return names["cka"]


def u_centred(features):
    """Off the diagonal a Gram matrix less its row and column means; by unbiased averages."""
    n = len(features)
    gram = features @ features.T
    np.fill_diagonal(gram, 0)
    rows = gram.sum(1) / (n - 2)
    centred = gram - rows[:, None] - rows + gram.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred


def test_the_notebooks_cka_is_a_cosine_of_u_centred_matrices(cka):
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(12, 5)), draw.normal(size=(12, 30))
    a, b = u_centred(one), u_centred(other)
    assert cka(one, other) == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
    assert cka(one, 3 * one @ lesson.rotation(5)) == pytest.approx(1)


def test_the_unbiased_estimate_sees_noise_as_such(cka):
    table = lesson.by_width(cka)
    assert table["unbiased"].abs().max() < 0.1
    assert table["whole matrices, centred"].iloc[-1] > 0.9


def test_made_up_networks_have_the_maps_that_the_lesson_says(cka):
    maps = {
        kind: lesson.similarities(cka, layers, layers)
        for kind in ("drift", "blocks", "two kinds", "noise")
        for layers in [lesson.network(kind)]
    }
    assert maps["drift"][0, 1] > 0.5 > maps["drift"][0, 9]
    assert maps["blocks"][6:12, 6:12].min() > 0.6 > maps["blocks"][:6, 6:].max()
    assert maps["two kinds"][1, 15] > 0.6 > abs(maps["two kinds"][1, 14])
    assert abs(maps["noise"] - np.eye(18)).max() < 0.2


def test_videos_are_of_different_scenes_and_turn_in_place():
    videos = lesson.shown_videos()
    assert videos.shape == (12, lesson.FRAMES, 48, 48, 3)
    assert len(np.unique(videos[:, 0, 0], axis=0)) == 12
    clip = videos[0][:4]
    # Anticlockwise: what was on the right is on top.
    assert (lesson.turned(clip, 1)[:, 0] == clip[:, :, -1]).all()
    assert (lesson.turned(lesson.turned(clip, 3), 1) == clip).all()


def test_another_look_treats_all_frames_alike():
    still = np.repeat(lesson.shown_videos()[0][:1], 3, axis=0)
    seen = lesson.another_look(still, 1)
    assert seen.shape == still.shape
    assert (seen == seen[:1]).all()
    assert (seen == lesson.another_look(still, 1)).all()
    assert (seen != lesson.another_look(still, 2)).any()
