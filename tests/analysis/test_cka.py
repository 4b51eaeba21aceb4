import itertools
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kdlib.analysis.cka import CKAMap, cka_map
from tests.analysis.networks import Parts, clips, drawn, features, network, plain_map

# Values


def test_the_formula_in_float64_on_batches_of_several_sizes():
    one, other = network(0), network(1, width=4, layers=2)
    batches = [clips(9, seed=1), clips(9, seed=2), clips(4, seed=3)]
    rows, columns = ["4", "0", "8"], ["5", "1", "2", "0"]
    found = cka_map(one, other, batches, layers=rows, other_layers=columns)
    expected = plain_map(
        [features(one, batch, rows) for batch in batches],
        [features(other, batch, columns) for batch in batches],
    )
    assert found.names == (tuple(rows), tuple(columns))
    assert found.cross.dtype == np.float64
    assert found.cross.shape == (3, 3, 4)
    assert np.abs(found.values - expected).max() < 1e-6
    frame = found.to_frame()
    assert frame.loc["0", "1"] == found.values[1, 1]


def test_hsic_is_the_mean_over_all_choices_of_different_clips():
    batch = drawn(5)
    parts = Parts(a=lambda x: x, b=lambda x: x.square())
    found = cka_map(parts, parts, [batch], layers=["a", "b"])
    k, ell = ((f @ f.T).numpy() for f in (batch.double(), batch.square().double()))
    terms = [
        k[i, j] * (ell[i, j] + ell[q, r] - 2 * ell[i, q])
        for i, j, q, r in itertools.permutations(range(5), 4)
    ]
    assert found.cross[0, 0, 1] == pytest.approx(np.mean(terms), rel=1e-6)


def test_the_mean_over_batches_is_unbiased_by_their_size():
    """Batches of 4 and of 64 estimate one thing: the CKA of the features' distribution."""
    parts = Parts(a=lambda x: x.clamp(-1, 1), b=lambda x: (x > 0).float())
    found = {
        size: cka_map(parts, parts, drawn(4096, seed=1).split(size), layers=["a", "b"]).values[0, 1]
        for size in (4, 8, 64)
    }
    assert found == pytest.approx(dict.fromkeys((4, 8, 64), 0.773), abs=0.03)


def test_what_cka_does_not_depend_on():
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))
    turn = torch.from_numpy(turn).float()
    parts = Parts(
        a=lambda x: x,
        scaled=lambda x: -300 * x,
        shifted=lambda x: x + 100,
        turned=lambda x: x @ turn,
        wider=lambda x: torch.cat([x, x, x], 1),
    )
    values = cka_map(parts, parts, [drawn(8), drawn(6, seed=1)], layers=[*parts.functions]).values
    assert np.abs(values - 1).max() < 1e-6


def test_unrelated_layers_are_at_0_on_average_and_negative_estimates_stay():
    parts = Parts(a=lambda x: x[:, :2], b=lambda x: x[:, 2:])
    found = [
        cka_map(parts, parts, [drawn(8, seed=seed)], layers=["a", "b"]).values[0, 1]
        for seed in range(60)
    ]
    assert min(found) < -0.05
    assert abs(np.mean(found)) < 0.06


def test_values_lie_within_one_and_a_map_of_one_network_is_symmetric():
    net = network(0)
    values = cka_map(net, net, [clips(4, seed=seed) for seed in range(3)]).values
    assert np.abs(values).max() <= 1 + 1e-12
    assert np.allclose(values, values.T, atol=1e-12)
    assert np.abs(values.diagonal() - 1).max() < 1e-12


def test_shuffled_clips_are_not_alike():
    parts = Parts(a=lambda x: x, b=lambda x: x.flip(0))
    values = cka_map(parts, parts, [drawn(64)], layers=["a", "b"]).values
    assert abs(values[0, 1]) < 0.2


# torch_cka 0.21


def torch_cka_of(one, other, batches, rows, columns):
    torch_cka = pytest.importorskip("torch_cka")
    loader = DataLoader(TensorDataset(torch.cat(batches)), batch_size=len(batches[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch_cka.CKA(one, other, model1_layers=rows, model2_layers=columns)
        with torch.no_grad():
            theirs.compare(loader)
    return theirs.export()


def test_torch_cka_agrees_where_it_is_right():
    one, other = network(0), network(1, width=4)
    batches = [clips(32, seed=1), clips(32, seed=2)]
    rows, columns = ["0", "1", "2", "3"], ["1", "2", "3"]
    ours = cka_map(one, other, batches, layers=rows, other_layers=columns)
    theirs = torch_cka_of(one, other, batches, rows, columns)
    assert np.abs(ours.values - theirs["CKA"].numpy()).max() < 1e-3  # its float32 has no more


def test_torch_cka_mislabels_layers_that_run_in_another_order_than_they_were_registered():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.early = nn.ReLU(), nn.Linear(5, 5)

        def forward(self, batch):
            return self.late(self.early(batch))

    torch.manual_seed(0)
    net, names = Backwards(), ["late", "early"]
    same = nn.Sequential(nn.Identity())
    batches = [drawn(16)]
    theirs = torch_cka_of(net, same, batches, names, ["0"])
    ours = cka_map(net, same, batches, layers=names, other_layers=["0"]).to_frame()["0"]
    assert theirs["model1_layers"] == names
    swapped = dict(zip(["early", "late"], theirs["CKA"][:, 0].tolist(), strict=True))
    assert ours["late"] == pytest.approx(swapped["late"], abs=1e-4)
    assert ours["early"] == pytest.approx(swapped["early"], abs=1e-4)
    assert abs(ours["late"] - ours["early"]) > 0.01


def test_torch_cka_sees_what_a_relu_in_place_left_of_a_norm():
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(5), nn.ReLU(inplace=True)).eval()
    batches = [drawn(16)]
    theirs = torch_cka_of(net, net, batches, ["0", "1"], ["0", "1"])["CKA"].numpy()
    ours = cka_map(net, net, batches, layers=["0", "1"]).values
    assert theirs[0, 1] == pytest.approx(1, abs=1e-4)
    assert ours[0, 1] < 0.95


def test_torch_cka_fails_on_a_last_batch_of_three():
    net = network(0)
    with pytest.raises(Exception):  # noqa: B017, PT011 it divides by 0
        torch_cka_of(net, net, [clips(8), clips(3)], ["0"], ["0"])


# Intervals


def drawn_map(batches, seed=0):
    parts = Parts(a=lambda x: x, b=lambda x: x + x.roll(1, 1) ** 2)
    return cka_map(
        parts, parts, [drawn(8, seed=1000 * seed + s) for s in range(batches)], layers=["a", "b"]
    )


def test_an_interval_resamples_batches_of_numerator_and_denominators_together():
    found = drawn_map(40)
    low, high = found.interval(resamples=2000)
    draw = np.random.default_rng(1)
    cells = []
    for _ in range(2000):
        chosen = draw.integers(0, 40, 40)
        own = found.own[0][chosen].mean(0)
        cells.append(found.cross[chosen, 0, 1].mean() / np.sqrt(own[0] * own[1]))
    # 95 % of t with 39 degrees of freedom reach as far as 95.9 % of a normal, times sqrt(40/39).
    plain = np.quantile(cells, [0.0203, 0.9797])
    assert [low[0, 1], high[0, 1]] == pytest.approx(list(plain), abs=0.02)
    assert low[0, 1] < found.values[0, 1] < high[0, 1]
    assert np.allclose([low.diagonal(), high.diagonal()], 1)


@pytest.mark.slow
def test_intervals_hold_what_they_promise_with_few_batches():
    truth = drawn_map(1500, seed=99).values[0, 1]
    hits = 0
    for seed in range(100):
        low, high = drawn_map(8, seed=seed).interval(resamples=200)
        hits += low[0, 1] <= truth <= high[0, 1]
    assert hits >= 88


def test_intervals_of_a_statistic_of_the_map():
    found = drawn_map(10)
    low, high = found.interval(lambda values: values[0, 1])
    lows, highs = found.interval()
    assert (low, high) == (lows[0, 1], highs[0, 1])


def test_one_batch_says_nothing_of_the_spread():
    found = CKAMap((("a", "b"),) * 2, np.ones((1, 2, 2)), (np.array([[1.0, 0.0]]),) * 2, ((), ()))
    low, high = found.interval()
    assert np.array_equal(low, [[-np.inf, np.nan], [np.nan, np.nan]], equal_nan=True)
    assert np.array_equal(high, [[np.inf, np.nan], [np.nan, np.nan]], equal_nan=True)
