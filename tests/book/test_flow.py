"""The flow chapter: what is printed, rows that differ in what they say, and how they are shown."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from book.flow import audit, checks, classes, figures, measured, runs, streams, tables
from book.flow.readings import READINGS
from book.flow.runs import HALF, TASKS, Runs
from book.flow.search import candidates
from book.flow.study import studies
from kdlib.data.generated import class_names
from kdlib.errors import UserError
from kdlib.models.flow_decoder import FlowDecoder
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.store import run_key
from kdlib.study import search
from kdlib.study.claims import checks_of, read
from kdlib.study.setting import ROOT, Setting

FOLDER = ROOT / "book" / "flow"
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def made():
    return Runs(Setting("laptop"))


def first(found):
    return {label: specs[0] for label, specs in found.items()}


# What is printed


def test_the_printed_counts_and_what_follows():
    assert tables.counted() == {
        "in all": (400, 100.0),
        "improved": (203, 50.8),
        "degraded": (103, 27.3),
    }
    assert audit.share_is_right("improved")
    assert not audit.share_is_right("degraded")


@pytest.mark.parametrize(
    ("said", "agrees", "follows"),
    [
        ("203 of 400", "yes", "50.75 %"),
        ("103 of 400", "no", "25.75 %"),
        ("one of the two numbers", "–", "27.3 % would be 109 classes; unchanged are 94 or 88"),
        ("28 × 28", "yes", "MaxPool_3a, Mixed_3b, Mixed_3c"),
        ("PWC-Net's", "yes", "192, 320, 448, 544, 608, 640"),
        ("5X", "yes", "Mixed_5b 7 × 7 × 8, Mixed_5c 7 × 7 × 8"),
    ],
)
def test_the_audit_finds_what_is_known(said, agrees, follows):
    rows = audit.table({})
    (row,) = rows[rows["what is said"].str.contains(said, regex=False)].to_dict("records")
    assert row["agrees"] == agrees
    assert follows in row["what follows"]


def test_the_leaderboard_is_quoted_and_marked():
    table = tables.leaderboard({}).set_index("data set")
    assert set(table["source"]) == {"secondary: leaderboards that quote the paper"}
    assert table.loc["Kinetics-400", ["alone", "with S3D-G"]].tolist() == ["75.9", "76.5"]
    assert table["as quoted"].to_dict() == {
        "Kinetics-400": "75.9, 76.5",
        "Kinetics-600": "77.9, 79.1",
        "HMDB51": "78.7, 79.3, 80.5",
        "UCF101": "97.1, 97.6",
        "AVA v2.1": "23",
    }


@pytest.mark.parametrize(
    ("artifact", "make"),
    [
        ("audit", audit.table),
        ("leaderboard", tables.leaderboard),
        ("figure-4", figures.decoder_drawing),
    ],
)
def test_what_is_printed_has_a_reading(artifact, make):
    reading = READINGS[f"d3d/{artifact}"](make({}), {})
    assert reading.found
    assert reading.why


def test_every_entry_has_a_check_and_every_control_bears_something():
    entries = read(FOLDER / "claims.toml")
    assert sorted(entry.check for entry in entries) == sorted(checks_of(checks))
    required = {name for entry in entries for name in entry.requires}
    assert required == {entry.id for entry in entries if entry.kind == "control"}
    assert sum(entry.kind == "claim" for entry in entries) >= 5


@pytest.mark.parametrize(
    ("name", "verdict"), [("improved", "supported"), ("degraded", "contradicted")]
)
def test_what_the_caption_decides(name, verdict):
    found = getattr(checks, f"{name}_share_is_right")(None)
    assert found.verdict == verdict
    assert found.effect.method == "counted"


# Rows differ only in what they say


def test_students_differ_in_what_they_are_taught(made):
    found = first(runs.headline(made, SEEDS))
    alone, teacher, d3d, mars = (found[name,] for name in ("S3D-G", "flow teacher", "D3D", "MARS"))
    assert replace(d3d, method=alone.method) == replace(mars, method=alone.method) == alone
    assert d3d.method.teachers == mars.method.teachers == (teacher,)
    assert (d3d.method.options["target"], mars.method.options["target"]) == ("logits", "features")
    assert teacher.model.options["sees"] == "flow"
    assert alone.model.options["sees"] == "pixels"
    assert replace(teacher.data, train=alone.data.train) == alone.data
    assert teacher.data.train > alone.data.train


def test_teachers_differ_in_what_they_see(made):
    found = first(runs.teachers(made, SEEDS))
    of_flow, of_pixels = found["teacher of flow",], found["teacher of pixels",]
    assert replace(of_flow, model=of_pixels.model) == of_pixels
    assert of_pixels.model == found["S3D-G",].model
    students = [found[f"D3D, teacher of {what}",] for what in ("flow", "pixels")]
    assert [student.method.teachers for student in students] == [(of_flow,), (of_pixels,)]
    taught = {replace(one, method=replace(one.method, teachers=())) for one in students}
    assert len(taught) == 1


def test_non_local_networks_differ_in_their_blocks(made):
    found = first(runs.non_local(made, SEEDS))
    for name in ("S3D-G", "D3D"):
        plain, other = found[name,], found[f"NL {name}",]
        assert replace(other, model=plain.model) == plain
        assert other.model.options == {**plain.model.options, "non_local": True}


def test_probes_differ_in_what_they_read(made):
    found, students = first(runs.probes(made, SEEDS)), first(runs.headline(made, SEEDS))
    for (network, how), probe in found.items():
        assert probe.data.task == "flow"
        assert probe.recipe.freeze == (("backbone", "head") if how == "frozen" else ())
        if network == "random weights":
            assert probe.start is None
        else:
            assert probe.start.run == students[network,]
            assert probe.start.part == "backbone"
            assert probe.model == students[network,].model
    same = {replace(p, start=None, model=made.model(), recipe=replace(p.recipe, freeze=()))
            for p in found.values()}  # fmt: skip
    assert len(same) == 1


def test_cells_of_the_map_differ_in_classes_and_clips(made):
    found, students = first(runs.regimes(made, SEEDS)), first(runs.headline(made, SEEDS))
    usual = made.scale.clips
    for name in ("S3D-G", "flow teacher", "D3D", "MARS"):
        assert found[HALF, usual, name] == students[name,], "the headline is a cell"
    for (share, clips, name), spec in found.items():
        assert spec.data.name == f"generated/{TASKS[share]}"
        expected = found[HALF, usual, name]
        steps = spec.recipe.epochs * spec.data.train
        assert steps == expected.recipe.epochs * expected.data.train, "as many whatever the clips"
        assert replace(spec.recipe, epochs=expected.recipe.epochs) == expected.recipe
        if name == "flow teacher":
            assert spec == found[share, usual, name]
        else:
            assert spec.data.train == clips
        if name in ("D3D", "MARS"):
            assert spec.method.teachers == (found[share, usual, "flow teacher"],)


def test_the_search_uses_clips_that_no_row_has(made):
    searched = {spec.seed for group in candidates(made).values() for spec in group}
    assert searched == set(search.SEEDS)
    reported = {spec.seed for study in studies(made.setting) for spec in study.specs()}
    assert not reported & searched


def test_what_is_reported_is_among_what_was_tried(made):
    tried = {spec for group in candidates(made).values() for spec in group}
    seed = search.SEEDS[0]
    for find in (made.network, made.teacher, made.distilled):
        assert find(seed) in tried


ARTIFACTS = {
    *(f"figure-{number}" for number in range(1, 5)),
    *("probes", "students", "teachers", "non-local", "leaderboard", "audit", "search"),
}


@pytest.mark.parametrize("profile", ["smoke", "laptop", "gpu"])
def test_every_profile_has_all_studies(profile):
    made = [study.artifact for study in studies(Setting(profile))]
    assert sorted(made) == sorted(f"d3d/{n}" for n in {*ARTIFACTS, "regimes", "regime-numbers"})
    scale = runs.SCALES[profile]
    assert scale.clips in scale.regimes


def test_the_headline_has_seeds_of_its_own():
    asked = Runs(Setting("laptop", seeds=4))
    assert asked.headline == (0, 1, 2, 3)
    for profile, scale in runs.SCALES.items():
        setting = Setting(profile)
        assert len(Runs(setting).headline) == scale.seeds >= len(setting.headline)


def test_a_real_target_has_the_classes_and_clips_that_it_has():
    given = {"roles": {"target": "jhmdb21"}, "headline": (0,), "claimed": (0,), "others": (0,)}
    made = studies(SimpleNamespace(**vars(Setting("smoke")), **given))
    real = [study for study in made if "regime" not in study.artifact]
    assert {study.artifact for study in real} == {f"d3d/{name}" for name in ARTIFACTS}
    data = {spec.data for study in real for spec in study.specs()}
    assert {one.name for one in data} == {"jhmdb21"}
    assert {one.known for one in data} == {("flow",)}
    mapped = {spec.data.name for study in made if study not in real for spec in study.specs()}
    assert mapped == {f"generated/{task}" for task in TASKS.values()}


# Classes


def judged(predicted, labels, name="generated/colmot12", seed=0):
    data = SimpleNamespace(name=name)
    traces = {"predicted_last": np.array(predicted), "labels": np.array(labels)}
    return SimpleNamespace(spec=SimpleNamespace(seed=seed, data=data), traces=traces)


def test_accuracy_by_class_by_hand():
    one = judged([0, 1, 1, 2, 0, 2], [0, 0, 1, 1, 2, 2])
    assert classes.by_class(one).to_dict() == {0: 50.0, 1: 50.0, 2: 50.0}
    other = judged([0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2])
    assert classes.change([other], [one]).tolist() == [50.0, 50.0, -50.0]
    assert classes.change([one, other], [one, one]).tolist() == [25.0, 25.0, -25.0]


def test_small_changes_count_as_none():
    assert classes.counts(pd.Series([0.2, 0.1, 0.0, -0.1, -0.2, -5.0])) == (1, 2, 3)


def test_classes_by_motion_are_those_that_move_in_a_way_of_their_own():
    named = [name.startswith("disk") for name in class_names("colmot12")]
    assert classes.BY_MOTION["generated/colmot12"] == tuple(np.flatnonzero(named))
    for share, task in TASKS.items():
        by_motion = classes.BY_MOTION[f"generated/{task}"]
        assert 100 * len(by_motion) == share * len(class_names(task))


def test_kinds_of_classes_by_hand():
    labels = np.arange(12)
    right = judged(np.where(np.isin(labels, (0, 1, 2, 6)), labels, -1), labels)
    assert classes.of_kind(right, "motion") == 50.0
    assert classes.of_kind(right, "appearance") == pytest.approx(100 / 6)
    unknown = judged(labels, labels, name="jhmdb21")
    assert classes.kinds(unknown) == {}
    with pytest.raises(UserError, match="not known"):
        classes.of_kind(unknown, "motion")


# Pictures of flow


def test_colours_are_on_the_scale_of_the_first_flow():
    known = torch.zeros(1, 2, 4, 4)
    known[0, 0, 1, 1] = 2.0
    shown = figures.colours({"known": known, "half": known / 2, "long": 5 * known})
    np.testing.assert_array_equal(shown["long"], shown["known"])
    assert shown["half"][0, 1, 1].min() > shown["known"][0, 1, 1].min()
    assert shown["known"][0, 0, 0].min() > 240, "no motion is white"


# The decoder


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_decoder_is_drawn_from_the_module():
    shown = texts(figures.drawn(FlowDecoder(10, 2, width=16)))
    channels = [text.split("\n")[1] for text in shown[1:-1]]
    assert channels == ["10 → 16", "26 → 16", "42 → 12", "54 → 8", "62 → 4", "66 → 2"]
    assert shown[-1] == "flow\n2 channels"
    assert "640 → 3" in texts(figures.decoder_drawing({}))[-2]


def test_a_decoder_that_sees_what_is_not_there_cannot_be_drawn():
    decoder = FlowDecoder(10, 2, width=16)
    decoder.convs[1] = torch.nn.Conv2d(30, 16, 3)
    with pytest.raises(ValueError, match="4 channels more"):
        figures.drawn(decoder)


# From end to end


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A setting of its own, and records by label of the headline and of the probes."""
    setting = Setting("smoke", store=str(tmp_path_factory.mktemp("store")))
    small = Runs(setting)
    wanted = first({**runs.headline(small, (0,)), **runs.probes(small, (0,))})
    keys, store = setting.datasets.keys(wanted.values()), setting.run_store
    todo, _ = plan(wanted.values(), store, "cpu", keys)
    assert not run_all(todo, store, setting.datasets, device="cpu", jobs=1).failed
    return setting, {
        label: [store.find(run_key(spec, "cpu", keys))] for label, spec in wanted.items()
    }


@pytest.mark.slow
def test_figure_1_has_a_row_a_flow_and_a_column_a_class(trained):
    setting, records = trained
    figure = figures.flow_pictures(records, setting)
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels[:4] == ["frame", "true flow", "TV-L1", "TV-L1,\nas decoded"]
    assert labels[4:] == list(figures.DECODED)
    assert len(figure.axes) == 6 * len(labels)
    assert [axis.get_title() for axis in figure.axes[:2]] == [
        "disk\ngoing\nright",
        "disk\ngoing\nleft",
    ]


@pytest.mark.slow
def test_a_coarse_flow_is_what_a_map_can_hold(trained):
    setting, records = trained
    (probe,) = records["S3D-G", "frozen"]
    flow = torch.full((2, 3, 2, 24, 24), 3.0)
    torch.testing.assert_close(figures.coarse(flow, probe), flow)
    true = measured.true_flow(probe, setting)
    assert measured.decoded(probe, setting).shape == true.shape
    assert 0 < (figures.coarse(true, probe) - true).abs().mean() < true.abs().mean()


@pytest.mark.slow
def test_frames_are_the_test_clips(trained):
    setting, records = trained
    (probe,) = records["S3D-G", "frozen"]
    frames = measured.clip_frames(probe, setting)
    videos = setting.datasets.load(probe.spec.data)["test"]
    np.testing.assert_array_equal(
        frames.numpy(), videos.clips(np.arange(24), np.tile(range(4), (24, 1)))
    )


@pytest.mark.slow
def test_errors_of_the_probe_are_those_of_its_record(trained):
    setting, records = trained
    probes = {label: group for label, group in records.items() if len(label) == 2}
    table = measured.probe_table(probes, setting).set_index(["flow of", "its layers"])
    for label, (record,) in probes.items():
        error = record.result["last"]["end_point_error"]
        assert table.loc[label, "error, pixels"] == f"{error:.2f}"
    assert table.loc[("TV-L1", "–"), "from TV-L1, pixels"] == "0.00"


@pytest.mark.slow
def test_a_network_twice_is_the_network(trained):
    setting, records = trained
    (one,), (other,) = records["S3D-G",], records["flow teacher",]
    twice = streams.together(one, one, setting)
    assert twice.result["last"]["score"] == one.result["last"]["score"]
    np.testing.assert_array_equal(twice.traces["predicted_last"], one.traces["predicted_last"])
    both = streams.together(one, other, setting)
    assert both.spec == one.spec
    assert both.result["last"]["per_class"] != []
    hits = both.traces["predicted_last"] == both.traces["labels"]
    assert both.result["last"]["score"] == pytest.approx(hits.mean())
