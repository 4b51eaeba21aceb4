import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kdlib.errors import UserError
from kdlib.methods.adaptive import selection
from kdlib.methods.adaptive.selection import greedy_map, objective, stochastic_map


def draw(count, size, seed=0, kind=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, size, generator=generator, dtype=kind) / torch.arange(1, size + 1)
    return F.normalize(features, dim=1), torch.rand(count, generator=generator, dtype=kind)


def dense_greedy(features, quality, k, diversity, eps):
    """Greedy selection on the whole kernel, by incremental Cholesky (Chen et al. 2018)."""
    features, quality = features.numpy(), quality.numpy()
    kernel = features @ features.T + eps * np.eye(len(features))
    variance, rows, chosen = kernel.diagonal().copy(), np.zeros((k, len(kernel))), []
    for step in range(k):
        gains = (1 - diversity) * quality + diversity * np.log(np.maximum(variance, eps))
        gains[chosen] = -np.inf
        best = int(np.argmax(gains))
        row = (kernel[best] - rows[:step, best] @ rows[:step]) / math.sqrt(variance[best])
        rows[step], variance = row, variance - row**2
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("count", "size", "k"), [(300, 24, 20), (300, 16, 60), (40, 8, 40)])
def test_the_picks_of_dense_greedy_in_its_order(count, size, k, diversity, monkeypatch):
    """Also for more picks than features have dimensions, and with pools far smaller than N."""
    features, quality = draw(count, size)
    features *= 0.5 + quality.flip(0)[:, None]  # else all would be equal at first, but for rounding
    expected = dense_greedy(features, quality, k, diversity, selection.EPS)
    for pool in (4, 32, 2048):
        monkeypatch.setattr(selection, "_POOL", pool)
        assert greedy_map(features, quality, k, diversity=diversity).tolist() == expected


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 6), st.floats(0, 1), st.data())
def test_any_features(seed, count, size, diversity, data):
    features, quality = draw(count, size, seed)
    features *= 0.5 + quality.flip(0)[:, None]
    k = data.draw(st.integers(1, count))
    chosen = greedy_map(features, quality, k, diversity=diversity)
    assert len(set(chosen.tolist())) == k
    assert chosen.tolist() == dense_greedy(features, quality, k, diversity, selection.EPS)


def test_no_diversity_takes_the_best_and_full_diversity_ignores_quality():
    features, quality = draw(50, 10)
    best = quality.argsort(descending=True)[:7]
    assert greedy_map(features, quality, 7, diversity=0.0).tolist() == best.tolist()
    others = greedy_map(features, 1 - quality, 7, diversity=1.0)
    assert greedy_map(features, quality, 7, diversity=1.0).tolist() == others.tolist()


def test_one_of_each_kind_is_taken_before_a_second():
    features = torch.eye(3, dtype=torch.float64).repeat_interleave(4, 0)
    chosen = greedy_map(features, torch.zeros(12, dtype=torch.float64), 3, diversity=1.0)
    assert sorted(index // 4 for index in chosen.tolist()) == [0, 1, 2]


def test_constant_features_leave_the_choice_to_quality():
    features = torch.ones(20, 5, dtype=torch.float64) / math.sqrt(5)
    quality = draw(20, 5)[1]
    best = quality.argsort(descending=True)[:6].tolist()
    assert greedy_map(features, quality, 6, diversity=0.5).tolist() == best
    zero = torch.zeros_like(features)
    assert greedy_map(zero, quality, 6, diversity=0.5).tolist() == best


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("diversity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [10, 5000, 20_000])
def test_of_equals_the_first(count, diversity, kind):
    features = torch.full((count, 4), 0.5, dtype=kind)
    quality = torch.ones(count, dtype=kind)
    assert greedy_map(features, quality, 9, diversity=diversity).tolist() == [*range(9)]


@pytest.mark.parametrize("pool", [1, 2, 5, 2048])
def test_of_equals_the_first_wherever_they_stand(monkeypatch, pool):
    """A few values, each many times: a stable sort of the whole says which."""
    monkeypatch.setattr(selection, "_POOL", pool)
    draw = torch.Generator().manual_seed(0)
    quality = torch.randint(4, (60,), generator=draw).double()
    features = torch.eye(1, dtype=torch.float64).expand(60, 1)
    expected = torch.sort(quality, descending=True, stable=True).indices[:40]
    assert greedy_map(features, quality, 40, diversity=0.0).tolist() == expected.tolist()
    # Of kinds that stand apart, a first one of each is taken, then a second.
    kinds = torch.randint(5, (60,), generator=draw)
    features = torch.eye(5, dtype=torch.float64)[kinds]
    firsts = sorted(int((kinds == kind).nonzero()[0]) for kind in range(5))
    found = greedy_map(features, torch.zeros(60).double(), 5, diversity=1.0)
    assert found.tolist() == firsts


def test_the_objective_by_the_kernel_itself():
    features, quality = draw(30, 5)
    chosen = greedy_map(features, quality, 12, diversity=0.5)
    kernel = features[chosen] @ features[chosen].T + selection.EPS * torch.eye(
        12, dtype=torch.float64
    )
    expected = 0.5 * quality[chosen].sum() + 0.5 * torch.logdet(kernel)
    found = objective(features, quality, chosen, diversity=0.5)
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_stochastic_selection_is_nearly_as_good_and_takes_no_sample_twice():
    features, quality = draw(2000, 32)
    generator = torch.Generator().manual_seed(0)
    chosen = stochastic_map(features, quality, 200, diversity=0.5, generator=generator)
    assert len(set(chosen.tolist())) == 200
    exact = greedy_map(features, quality, 200, diversity=0.5)
    anyone = torch.randperm(2000, generator=generator)[:200]
    best, found, by_chance = (
        objective(features, quality, picks, diversity=0.5) for picks in (exact, chosen, anyone)
    )
    assert (found - by_chance) / (best - by_chance) > 0.8
    assert stochastic_map(features, quality, 2000, diversity=0.5).unique().numel() == 2000


def test_float32_comes_as_far_as_float64():
    features, quality = draw(3000, 64)
    exact = objective(
        features, quality, greedy_map(features, quality, 300, diversity=0.5), diversity=0.5
    )
    rough = greedy_map(features.float(), quality.float(), 300, diversity=0.5)
    assert objective(features, quality, rough, diversity=0.5) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("choose", [greedy_map, stochastic_map])
def test_impossible_selections_are_named(choose):
    features, quality = draw(10, 3)
    for k in (0, 11):
        with pytest.raises(UserError, match=f"selection: {k} of 10 samples"):
            choose(features, quality, k, diversity=0.5)
    for diversity in (-0.1, 1.1):
        with pytest.raises(UserError, match="gamma: from 0"):
            choose(features, quality, 2, diversity=diversity)
    features[3, 1] = math.nan
    with pytest.raises(UserError, match="the features hold NaN"):
        choose(features, quality, 2, diversity=0.5)
