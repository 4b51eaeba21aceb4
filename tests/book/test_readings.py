"""What stands below the artifacts, from made-up scores: right for them, whatever they are."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from kdlib.study.chapter import Chapter, chapter_names
from kdlib.study.setting import Setting

TRACED = {"sakd/figure-2", "sakd/figure-3", "sakd/figure-4", "sakd/figure-5", "sakd/figure-6"}
WITHOUT_RUNS = {
    *("sakd/table-01", "sakd/table-02", "sakd/table-03", "sakd/audit", "sakd/figure-1"),
    *("reskd/recipes", "reskd/true-size"),
}


@pytest.fixture(scope="module", params=chapter_names())
def chapter(request, tmp_path_factory):
    """A chapter with three seeds a row."""
    folder = str(tmp_path_factory.mktemp("empty"))
    return Chapter(request.param, Setting(profile="smoke", seeds=3, store=folder, results=folder))


def record(seed, right, count=1000):
    """Classifies `right` of the test videos rightly, and selected the first half of its samples."""
    predicted = np.ones(count, int)
    predicted[:right] = 0
    data = SimpleNamespace(
        asked="classification", name="generated/x", seed=seed, test=count, generated=True
    )
    selected = np.zeros((3, 8), bool)
    selected[:, :4] = True
    return SimpleNamespace(
        spec=SimpleNamespace(seed=seed, data=data),
        result={"last": {"score": right / count}},
        traces={
            "predicted_last": predicted,
            "labels": np.zeros(count, int),
            "evaluated": np.arange(3),
            "was_selected": selected,
            "had_strength": np.outer([0.2, 0.3, 0.4], np.ones(8)),
        },
    )


def records(study, right):
    """Three seeds of each label; right: of the label's place, how many videos."""
    return {
        label: [record(seed, right(place) + 7 * seed * (place % 2)) for seed in range(3)]
        for place, label in enumerate(study.runs)
    }


def test_every_artifact_with_runs_has_a_reading(chapter):
    assert [name for name, study in chapter.studies.items() if study.read is None] == []


@pytest.mark.parametrize(
    "right", [lambda k: 500 + 10 * k % 400, lambda k: 900 - 3 * k, lambda k: 0]
)
def test_a_reading_is_made_of_any_scores(chapter, right):
    told = 0
    for name, study in chapter.studies.items():
        if name in WITHOUT_RUNS or name.endswith(("/controls", "/weights")):
            continue
        reading = study.read(None, records(study, right))
        assert all(map(str.strip, reading)), name
        assert not re.search("nan|inf\\b", " ".join(reading)), name
        told += name not in TRACED
    assert told


def test_readings_of_what_has_no_runs(chapter):
    for name in WITHOUT_RUNS & chapter.studies.keys() - {"sakd/table-03"}:
        study = chapter.studies[name]
        reading = study.read(study.make({}), {})
        assert reading.found
        assert reading.why


def test_numbers_of_the_headline_are_those_of_its_scores():
    chapter = Chapter("resolution", Setting(profile="smoke", seeds=3))
    study = chapter.study("reskd/targets")
    scores = {"teacher": 900, "direct": 500, "feature KD": 640, "pixel-level logit KD": 450}
    made = {label: [record(s, scores.get(label, 520)) for s in range(3)] for label in study.runs}
    found = study.read(None, made).found
    assert "Over direct training, “feature KD” gains +14.0 [" in found
    assert "“pixel-level logit KD” gains least, -5.0 [" in found
    assert "beyond the noise" in found


def test_a_selection_that_stays_is_told_from_chance():
    chapter = Chapter("adaptive", Setting(profile="smoke", seeds=1))
    found = chapter.study("sakd/figure-3").read(None, {"KD": [record(0, 1)]}).found
    # Half of 8 samples, the same half: by chance 4 * 4 / 8.
    assert "4 of 8 samples are selected at epoch 1; 4 of them again at epoch 3" in found
    assert "chance would give 2.0. In all 4 samples" in found
    found = chapter.study("sakd/figure-2").read(None, {"KD": [record(0, 1)]}).found
    assert found == "KD: 0.20 at the first selection, 0.40 at the last."
