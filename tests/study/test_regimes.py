"""Maps of where an effect lives, of made-up scores whose differences are worked out by hand."""

import pytest
from seaborn.utils import relative_luminance

from kdlib.study.regimes import regime_map, regime_reading, regime_table

PAIRS = {"ours less theirs": ("ours", "theirs")}
AXES = {"down": "pixels", "across": "clips"}
# By cell, how many of 1,000 videos each of three seeds has right.
# Gains are of 20, 16 and 23 points, and of 0, -5 and -10.
RIGHTS = {
    (16, 100): {"ours": (700, 800, 900), "theirs": (500, 640, 670)},
    (16, 200): {"ours": (600, 600, 600), "theirs": (600, 650, 700)},
}


@pytest.fixture
def cells(record):
    """The records of a map of one row and two columns."""
    return {
        (*cell, name): [record(seed, right, 1000) for seed, right in enumerate(rights)]
        for cell, trainings in RIGHTS.items()
        for name, rights in trainings.items()
    }


def test_a_cell_is_the_first_training_less_the_second(cells):
    table = regime_table(cells, PAIRS, **AXES)
    assert table[["pixels", "clips", "n"]].to_numpy().tolist() == [[16, 100, 3], [16, 200, 3]]
    first, second = table["ours less theirs"]
    # Mean 19.67, error 2.028, t(2) 4.303; mean -5, error 2.887.
    assert (first.estimate, first.low, first.high) == pytest.approx((19.67, 10.94, 28.39), abs=0.01)
    assert (second.estimate, second.low) == pytest.approx((-5, -17.42), abs=0.01)
    turned = regime_table(cells, {"x": ("theirs", "ours")}, **AXES)["x"]
    assert [cell.estimate for cell in turned] == [-first.estimate, -second.estimate]


def test_the_map_says_the_same_and_is_bold_where_the_interval_leaves_out_0(cells):
    plot = regime_map(cells, PAIRS, **AXES).axes[0]
    said = {text.get_text(): text.get_fontweight() for text in plot.texts}
    assert said == {"+19.7\n[10.9, 28.4]": "bold", "-5.0\n[-17.4, 7.4]": "normal"}
    assert [label.get_text() for label in plot.get_xticklabels()] == ["100", "200"]
    assert plot.images[0].get_array().tolist() == [pytest.approx([19.667, -5], abs=0.01)]
    low, high = plot.images[0].get_clim()
    assert low == -high, "0 must have the colour of nothing"


def test_what_a_cell_says_is_seen_on_its_colour(record):
    rights = {(1, "ours"): 50, (2, "ours"): 0, (1, "theirs"): 0, (2, "theirs"): 50}
    many = {
        (row, column, name): [record(seed, 100 + more * column, 1000) for seed in range(3)]
        for (row, name), more in rights.items()
        for column in range(9)
    }
    plot = regime_map(many, PAIRS, **AXES).axes[0]
    shown = plot.images[0]
    grounds = [relative_luminance(shown.to_rgba(v)) for v in shown.get_array().ravel()]
    words = [relative_luminance(text.get_color()) for text in plot.texts]
    assert min(grounds) < 0.1 < max(grounds), "else one colour would do"
    for ground, word in zip(grounds, words, strict=True):
        assert (max(ground, word) + 0.05) / (min(ground, word) + 0.05) > 4.5


def test_where_nothing_differs_the_map_has_the_colour_of_nothing(cells):
    plot = regime_map(cells, {"none": ("ours", "ours")}, **AXES).axes[0]
    low, high = plot.images[0].get_clim()
    assert low == -high < 0


def test_the_reading_counts_the_cells_beyond_0(cells):
    reading = regime_reading(None, cells, PAIRS, "why")
    assert "-5 points (16, 200) to 19.7 points (16, 100)" in reading.found
    assert "of 2 intervals 1 lie above 0, 0 below" in reading.found
