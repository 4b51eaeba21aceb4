"""What the masked chapter measures of trained networks, and what its lesson shows."""

import numpy as np
import pytest
import torch

from book.masked import figures, lesson, measured, readings, runs, tables
from book.masked.runs import Runs
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.store import run_key
from kdlib.study.setting import Setting

# What networks do


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A setting of its own, records of the pre-trainings of `runs.pretrained`, and a detector."""
    setting = Setting("smoke", store=str(tmp_path_factory.mktemp("store")))
    small = Runs(setting)
    wanted = {name: specs[0] for (name,), specs in runs.pretrained(small).items()}
    wanted["detector"] = small.detector(small.video_teacher, 0)
    keys, store = setting.datasets.keys(wanted.values()), setting.run_store
    todo, _ = plan(wanted.values(), store, "cpu", keys)
    assert not run_all(todo, store, setting.datasets, device="cpu", jobs=1).failed
    found = {name: store.find(run_key(spec, "cpu", keys)) for name, spec in wanted.items()}
    return setting, {(name,): [record] for name, record in found.items()}


@pytest.mark.slow
def test_errors_are_of_all_predictions_by_scene_and_drawn_once(trained):
    setting, records = trained
    scale = Runs(setting).scale
    found = measured.errors(records, "student of both", setting)
    assert set(found) == {"image", "video"}
    for row in found.values():
        assert set(row) == {"prediction", "mean", "neighbour"}
        assert {len(losses) for losses in row.values()} == {scale.held_out // 24}
    again = measured.errors(records, "student of both", setting)
    np.testing.assert_array_equal(again["image"]["prediction"], found["image"]["prediction"])
    half = {"prediction": np.array([1.0]), "mean": np.array([4.0]), "neighbour": np.array([2.0])}
    assert measured.margins(half) == 50


@pytest.mark.slow
def test_cosines_are_of_clips_never_trained_on_and_of_the_frames_that_are_taught(trained):
    setting, records = trained
    scale = Runs(setting).scale
    for name in ("image teacher", "video teacher"):
        found = measured.similarities(records[name,][0].student(), setting)
        assert found.shape == (scale.held_out // 24, scale.frames // 2, scale.frames // 2)
        np.testing.assert_allclose(found[:, 0, 0], 1, atol=1e-5)
    record = records["video teacher",][0]
    before = measured.between_frames(record, setting, trained=False)
    assert not np.allclose(before, measured.between_frames(record, setting))
    np.testing.assert_array_equal(before, measured.between_frames(record, setting, trained=False))


@pytest.mark.slow
def test_a_figure_is_read_as_the_table_of_its_numbers(trained):
    setting, records = trained
    names = ["image teacher", "video teacher"]
    shown = {(name,): records[name,] for name in names}
    drawn = readings.similarities(figures.similarity_maps(shown, setting, names), shown)
    table = tables.similarity_table(shown, setting)
    assert drawn == readings.similarities(table, shown)
    assert f"video teacher {table['mean cosine'][1]:.3f}" in drawn.found


@pytest.mark.slow
def test_a_detector_with_its_own_boxes_scores_as_its_record_says(trained, monkeypatch):
    setting, records = trained
    (record,) = records["detector",]
    assert measured.shuffled(record, setting) == measured.shuffled(record, setting)
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.arange(n))
    score = 100 * record.result["last"]["score"]
    assert measured.shuffled(record, setting) == pytest.approx(score)


# The lesson


@pytest.fixture(scope="module")
def videos():
    return lesson.shown_videos()


def test_tokens_are_put_back_where_they_were(videos):
    np.testing.assert_array_equal(lesson._frames(lesson._tokens(videos[3])), videos[3])


def test_tubes_hide_the_same_places_at_all_times_and_planes_of_their_own_do_not(videos):
    grey = (lesson.hidden(videos[0], lesson.drawn(0.9)) == 128).all(-1)
    assert (grey == grey[:1]).all()
    places = lesson.drawn(0.9, at_each_time=True)
    other = (lesson.hidden(videos[0], places) == 128).all(-1)
    assert not (other == other[:1]).all()
    assert places[0].shape == lesson.drawn(0.9)[0].shape
    assert set(torch.cat(places, 1)[0].tolist()) == set(range(256))


def test_what_is_visible_stays_as_it_is(videos):
    places = lesson.drawn(0.75, seed=2)
    visible = (lesson.hidden(videos[1], (places[1], places[0])) == 128).all(-1)
    for fill in (lesson.copied, lesson.averaged):
        shown = fill(videos[1], places)
        assert (shown[visible] == videos[1][visible]).all()
        assert (shown != videos[1]).any()


def test_noise_is_predicted_by_its_mean_and_a_copy_is_twice_as_bad():
    noise = np.random.default_rng(0).integers(0, 256, (4, 8, 64, 64, 3)).astype(np.uint8)
    found = lesson.errors(noise, (0.9,)).iloc[0, 2:].to_numpy(float)
    np.testing.assert_allclose(found, 2, atol=0.1)


def test_copies_are_better_where_every_time_has_a_mask_of_its_own(videos):
    found = lesson.errors(videos, (0.9,)).iloc[0]
    assert found.iloc[3] < found.iloc[2]


def test_colours_are_principal_components_in_range():
    maps = torch.zeros(5, 2, 2, 2)
    maps[3, 1] = 7.0  # one channel tells the second time from the first
    shown = lesson.coloured(maps)
    assert shown.shape == (2, 2, 2, 3)
    red = shown[..., 0]
    assert {red[0].mean(), red[1].mean()} == {0.0, 1.0}
