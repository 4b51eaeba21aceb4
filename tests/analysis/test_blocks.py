import numpy as np
import pytest

from kdlib.analysis.blocks import block_structure

LAYERS = 60
PLACE = np.arange(LAYERS)
DISTANCE = np.abs(PLACE[:, None] - PLACE)


def blocks(edges, within=0.9, between=0.2):
    block = np.searchsorted(edges, PLACE, side="right")
    return np.where(block[:, None] == block, within, between)


def noisy(values, spread=0.05, seed=0):
    noise = np.random.default_rng(seed).normal(0, spread, values.shape)
    found = values + (noise + noise.T) / np.sqrt(2)
    np.fill_diagonal(found, 1)
    return found


FADING = {
    "fast": np.exp(-DISTANCE / 5),
    "slow": np.exp(-DISTANCE / 60),
    "evenly": 1 - DISTANCE / LAYERS,
    "bell": np.exp(-((DISTANCE / 20) ** 2)),
    "chequered": np.exp(-DISTANCE / 30) - 0.2 * (DISTANCE % 2),
    "the same everywhere": np.full((LAYERS, LAYERS), 0.9),
}


@pytest.mark.parametrize("edges", [[30], [20, 40], [50], [5, 12, 40], [10, 50]])
@pytest.mark.parametrize(("within", "between"), [(0.9, 0.2), (0.6, 0.5), (0.3, -0.1)])
def test_of_blocks_it_is_the_difference_between_within_and_between(edges, within, between):
    values = blocks(edges, within, between)
    assert block_structure(values) == pytest.approx(within - between)
    if within - between > 0.2:
        assert block_structure(noisy(values)) == pytest.approx(within - between, abs=0.02)


@pytest.mark.parametrize("name", FADING)
def test_a_map_that_fades_evenly_has_none(name):
    assert block_structure(FADING[name]) == pytest.approx(0, abs=1e-9)
    assert abs(block_structure(noisy(FADING[name]))) < 0.05


def test_one_block_among_layers_that_are_like_no_other():
    inside = (PLACE >= 20) & (PLACE < 45)
    values = np.where(np.outer(inside, inside), 0.95, 0.3)
    assert block_structure(values) == pytest.approx(0.65)


def test_the_sharper_the_edge_between_two_halves_the_more():
    scores = []
    for width in (100.0, 10.0, 3.0, 0.5):
        depth = 1 / (1 + np.exp(-(PLACE - 29.5) / width))
        depth = (depth - depth[0]) / (depth[-1] - depth[0])
        scores.append(block_structure(np.exp(-np.abs(depth[:, None] - depth))))
    assert scores == sorted(scores)
    assert scores[0] < 0.01
    assert scores[-1] > 0.5


def test_the_cut_is_the_best_of_all():
    """By trying every cut of a few layers: none has more within its blocks."""
    count = 7
    for seed in range(5):
        values = noisy(np.full((count, count), 0.5), 0.2, seed)
        upper = np.triu_indices(count, 1)
        distance = upper[1] - upper[0]
        means = np.bincount(distance, values[upper]) / np.maximum(np.bincount(distance), 1)
        excess = values[upper] - means[distance]
        best, score = -np.inf, 0.0
        for cut in range(2 ** (count - 1)):
            block = np.concatenate([[0], np.cumsum([cut >> i & 1 for i in range(count - 1)])])
            same = (block[upper[0]] == block[upper[1]]).astype(float)
            if (total := excess @ same) > best:
                design = np.column_stack([same, distance[:, None] == np.arange(1, count)])
                slope = np.linalg.lstsq(design, values[upper], rcond=None)[0][0]
                best, score = total, slope
        assert block_structure(values) == pytest.approx(score)


def test_layers_without_a_value_are_left_out():
    values = blocks([20, 40])
    values[[3, 25]] = values[:, [3, 25]] = np.nan
    assert block_structure(values) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "values",
    [np.ones((3, 4)), np.ones(9), np.eye(2), np.triu(np.ones((4, 4))), np.full((5, 5), np.nan)],
)
def test_other_maps_are_refused(values):
    with pytest.raises(ValueError, match="map"):
        block_structure(values)
