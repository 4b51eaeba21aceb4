"""What stands below the artifacts, from made-up scores: right for them, whatever they are."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kdlib.analysis.statistics import Interval
from kdlib.study.chapter import Chapter, chapter_names
from kdlib.study.setting import Setting

# Of a table whose reading looks at more than scores, made up.
VALUES = {
    "pretext/tasks": pd.DataFrame({"task": ["PRP"], "answered %": [60.0], "chance %": [50.0]}),
    "pretext/teachers": pd.DataFrame(
        [
            {
                "network": "R21D",
                "task": task,
                "difficulty": "–",
                "videos": 800,
                "from": where,
                "above chance": above,
            }
            for task, where, above in (
                ("PRP", "source", Interval(0.5, -2.0, 3.0, 16, "t")),
                ("RSPNet", "shifted", Interval(4.0, 1.0, 7.0, 16, "t")),
                ("VCOP", "source", Interval(78.0, 70.0, 86.0, 16, "t")),
            )
        ]
    ),
}
TRACED = {"sakd/figure-2", "sakd/figure-3", "sakd/figure-4", "sakd/figure-5", "sakd/figure-6"}


@pytest.fixture(scope="module", params=chapter_names())
def chapter(request, tmp_path_factory):
    """A chapter at the profile whose rows have unequal numbers of seeds."""
    folder = str(tmp_path_factory.mktemp("empty"))
    return Chapter(request.param, Setting(profile="laptop", store=folder, results=folder))


def record(seed, right, count=1000, method=None):
    """Classifies `right` of the test videos rightly, and selected the first half of its samples."""
    predicted = np.ones(count, int)
    predicted[:right] = 0
    data = SimpleNamespace(
        asked="classification", name="generated/x", seed=seed, test=count, generated=True
    )
    selected = np.zeros((3, 8), bool)
    selected[:, :4] = True
    return SimpleNamespace(
        spec=SimpleNamespace(seed=seed, data=data, method=method),
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
    """Of each run a record; right: of the label's place, how many videos."""
    return {
        label: [
            record(s.seed, right(place) + 7 * s.seed * (place % 2), method=s.method) for s in specs
        ]
        for place, (label, specs) in enumerate(study.runs.items())
    }


def test_every_artifact_has_a_reading(chapter):
    assert [name for name, study in chapter.studies.items() if study.read is None] == []


@pytest.mark.parametrize(
    "right", [lambda k: 500 + 10 * k % 400, lambda k: 900 - 3 * k, lambda k: 0]
)
def test_a_reading_is_made_of_any_scores(chapter, right):
    told = 0
    for name, study in chapter.studies.items():
        if not study.runs or name.endswith("/controls"):
            continue
        reading = study.read(VALUES.get(name), records(study, right))
        assert all(map(str.strip, reading)), name
        assert not re.search("nan|inf\\b", " ".join(reading)), name
        told += name not in TRACED
    assert told


@pytest.mark.slow
def test_readings_of_what_has_no_runs(chapter):
    without = [s for s in chapter.studies.values() if not s.runs]
    assert without
    for study in without:
        if study.artifact == "sakd/table-03" or study.artifact.endswith("/search"):
            continue  # one measures speeds, the other is read where it is kept
        reading = study.read(study.make({}), {})
        assert reading.found
        assert reading.why


def test_pairs_of_fewer_seeds_are_left_out_of_a_mean_and_it_is_said():
    study = Chapter("adaptive", Setting(profile="smoke")).study("sakd/table-05")
    found = study.read(None, records(study, lambda k: 500)).found
    assert found.startswith("SlowFast (the others have fewer seeds), mean over the methods")


def test_numbers_of_the_headline_are_those_of_its_scores():
    chapter = Chapter("resolution", Setting(profile="smoke", seeds=3))
    study = chapter.study("reskd/targets")
    scores = {"teacher": 900, "direct": 500, "feature KD": 640, "pixel-level logit KD": 450}
    made = {label: [record(s, scores.get(label, 520)) for s in range(3)] for label in study.runs}
    found = study.read(None, made).found
    assert "Over direct training, “feature KD” gains +14.0 [" in found
    assert "“pixel-level logit KD” gains least, -5.0 [" in found
    assert "beyond the noise" in found


def test_a_gain_by_time_alone_is_named_where_it_is_the_largest():
    chapter = Chapter("resolution", Setting(profile="smoke", seeds=3))
    study = chapter.study("reskd/targets")
    scores = {"teacher": 900, "direct": 500, "direct, twice the epochs": 640}
    made = {label: [record(s, scores.get(label, 520)) for s in range(3)] for label in study.runs}
    reading = study.read(None, made)
    assert "Over direct training, “direct, twice the epochs” gains +14.0 [" in reading.found
    assert "no larger than that of twice the epochs may be time, not teaching" in reading.why


def test_a_selection_that_stays_is_told_from_chance():
    chapter = Chapter("adaptive", Setting(profile="smoke", seeds=1))
    found = chapter.study("sakd/figure-3").read(None, {"KD": [record(0, 1)]}).found
    # Half of 8 samples, the same half: by chance 4 * 4 / 8.
    assert "4 of 8 samples are selected at epoch 1; 4 of them again at epoch 3" in found
    assert "chance would give 2.0. In all 4 samples" in found
    found = chapter.study("sakd/figure-2").read(None, {"KD": [record(0, 1)]}).found
    assert found == "KD: 0.20 at the first selection, 0.40 at the last."


def test_teachers_that_guess_are_named():
    from book.pretext.teachers import teachers_reading

    found = teachers_reading(VALUES["pretext/teachers"], {}).found
    assert found == (
        "Of 3 teachers 2 answer more than a guess. "
        "Not told from one that guesses: R21D PRP 800. "
        "Above it by less than 10 points: R21D RSPNet 800 shifted (+4.0)."
    )
