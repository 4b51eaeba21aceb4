import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kdlib.analysis.cka import CKAMap, cka_map
from kdlib.clips.batches import ordered_batches
from kdlib.errors import UserError


def hsic(k, ell):
    """Unbiased HSIC of two Gram matrices (n, n), as METHODS and Nguyen et al. print it."""
    n, ones = len(k), np.ones(len(k))
    k, ell = (matrix - np.diag(np.diag(matrix)) for matrix in (k, ell))
    return (
        np.trace(k @ ell)
        + (ones @ k @ ones) * (ones @ ell @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ ell @ ones)
    ) / (n * (n - 3))


def plain_map(rows, columns):
    """CKA (L1, L2) of features: for each network, batches of features by layer."""

    def gram(features):
        flat = features.detach().double().flatten(1).numpy()
        return flat @ flat.T

    pairs = [
        ([gram(f) for f in one], [gram(f) for f in other])
        for one, other in zip(rows, columns, strict=True)
    ]
    cross = np.mean([[[hsic(k, m) for m in other] for k in one] for one, other in pairs], 0)
    own = np.mean([[hsic(k, k) for k in one] for one, _ in pairs], 0)
    others = np.mean([[hsic(m, m) for m in other] for _, other in pairs], 0)
    return cross / np.sqrt(np.outer(own, others))


def network(seed, width=6, layers=3):
    torch.manual_seed(seed)
    parts, inside = [], 3
    for _ in range(layers):
        parts += [nn.Conv3d(inside, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU()]
        inside = width
    made = nn.Sequential(*parts)
    for part in made:
        if isinstance(part, nn.BatchNorm3d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    return made.eval()


def clips(count, seed=0):
    return torch.randn(count, 3, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def features(net, batch, names):
    """What each layer gives, one after another by hand."""
    found, maps = {}, batch
    for name, part in net.named_children():
        maps = found[name] = part(maps)
    return [found[name] for name in names]


def drawn(count, seed=0):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


class Parts(nn.Module):
    """Identity layers by name, each of which shows its own function of the clips."""

    def __init__(self, **functions):
        super().__init__()
        self.functions = functions
        for name in functions:
            self.add_module(name, nn.Identity())

    def forward(self, clips):
        for name, function in self.functions.items():
            getattr(self, name)(function(clips))
        return clips


def indexed(tensor, indices):
    return SimpleNamespace(clips=tensor, indices=torch.as_tensor(indices))


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


# Layers


def test_all_modules_in_order_of_execution_with_what_is_left_out():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.unused = nn.Linear(5, 2), nn.ModuleList([nn.Linear(2, 2)])
            self.body = nn.Sequential(nn.Linear(5, 5), nn.Tanh())

        def forward(self, batch):
            return self.head(self.body(batch))

    net, other = Whole(), nn.Sequential(nn.Linear(5, 3))
    found = cka_map(net, other, [drawn(6)])
    assert found.names == (("body.0", "body.1", "body", "head", ""), ("0", ""))
    assert found.left_out == (("unused", "unused.0"), ())


def test_a_map_of_a_network_with_itself_has_the_rows_as_columns_unless_others_are_named():
    net = network(0)
    named = cka_map(net, net, [clips(5)], layers=["3", "0"])
    assert named.names == (("3", "0"), ("3", "0"))
    mixed = cka_map(net, net, [clips(5)], layers=["3", "0"], other_layers=["0", "6"])
    assert mixed.names == (("3", "0"), ("0", "6"))
    whole = cka_map(net, net, [clips(5)]).to_frame()
    for found in (named, mixed):
        frame = found.to_frame()
        assert np.allclose(frame, whole.loc[frame.index, frame.columns], atol=1e-12)


def test_each_network_runs_once_a_batch():
    runs = []
    one, other = network(0), network(1)
    for name, net in (("one", one), ("other", other)):
        net.register_forward_hook(lambda *_, name=name: runs.append(name))
    cka_map(one, one, [clips(4), clips(5)])
    assert runs == ["one"] * 2
    cka_map(one, other, [clips(4)])
    assert runs[2:] == ["one", "other"]


@pytest.mark.parametrize("field", ["layers", "other_layers"])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["body.last", "body.frist"], r"'body.frist'.*Did you mean 'body.first'"),
        (["body.idle"], "'body.idle' never runs"),
        (["body.speaks"], "'body.speaks' never runs, or gives no floating-point tensor"),
        (["body.first", "body.first"], "each once"),
        ([], "one or more"),
    ],
)
def test_layers_that_cannot_be_compared_are_named(field, names, words):
    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last, self.idle = nn.Linear(5, 5), nn.Linear(5, 5), nn.ReLU()
            self.speaks = nn.Identity()
            self.speaks.forward = lambda batch: "words"

        def forward(self, batch):
            self.speaks(batch)
            return self.last(self.first(batch))

    net = nn.Sequential()
    net.add_module("body", Body())
    with pytest.raises(UserError, match=f"cka.{field}.*{words}"):
        cka_map(
            net, Parts(a=lambda x: x) if field == "layers" else net, [drawn(4)], **{field: names}
        )


def test_a_network_without_any_features():
    net = nn.Identity()
    net.forward = lambda batch: "words"
    with pytest.raises(UserError, match="no module gives"):
        cka_map(net, net, [drawn(4)])


def test_a_layer_that_stops_running_is_named():
    class Once(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.runs = nn.Identity(), 0

        def forward(self, batch):
            self.runs += 1
            return self.part(batch) if self.runs == 1 else batch

    net = Once()
    with pytest.raises(UserError, match=r"'part' never runs"):
        cka_map(net, net, [drawn(4), drawn(4)])


# Features that say nothing


def test_constant_features_are_nan_and_named_and_the_rest_stands():
    parts = Parts(
        a=lambda x: x,
        zero=torch.zeros_like,
        constant=lambda x: x[:1].expand(len(x), -1).contiguous() * 7,
        b=lambda x: x**2,
    )
    names = [*parts.functions]
    with pytest.warns(UserWarning, match="'zero', 'constant'") as said:
        found = cka_map(parts, parts, [drawn(6), drawn(7, seed=1)], layers=names)
    assert len(said) == 1
    assert found.undefined == (("zero", "constant"),) * 2
    nan = np.isnan(found.values)
    assert np.array_equal(nan, [[i in (1, 2) or j in (1, 2) for j in range(4)] for i in range(4)])
    alone = cka_map(parts, parts, [drawn(6), drawn(7, seed=1)], layers=["a", "b"])
    assert np.allclose(found.values[np.ix_([0, 3], [0, 3])], alone.values, atol=1e-12)
    low, high = found.interval(resamples=20)
    assert np.array_equal(np.isnan(low), nan)
    assert np.array_equal(np.isnan(high), nan)


def test_clips_that_are_all_equally_far_apart_say_nothing_either():
    parts = Parts(a=lambda x: x, one_hot=lambda x: 3 * torch.eye(len(x)))
    with pytest.warns(UserWarning, match="'one_hot'"):
        found = cka_map(parts, parts, [drawn(6)], layers=["a", "one_hot"])
    assert np.isnan(found.values[:, 1]).all()


def test_a_layer_constant_in_one_batch_counts_with_the_others():
    parts = Parts(a=lambda x: x, sometimes=lambda x: x * float(x[0, 0] != 0))
    dark = drawn(6, seed=1)
    dark[0, 0] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cka_map(parts, parts, [drawn(6), dark], layers=["a", "sometimes"])
    assert (found.own[0][:, 1] == 0).tolist() == [False, True]
    bright, both = found.own[0][0, 0], found.own[0][:, 0].mean()
    assert found.values[0, 1] == pytest.approx((bright / 2) / np.sqrt(both * bright / 2))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e30])
def test_a_diverged_network_is_refused(wrong):
    parts = Parts(a=lambda x: x, b=lambda x: x * wrong)
    with pytest.raises(UserError, match="'b' are not finite"):
        cka_map(parts, parts, [drawn(6)], layers=["a", "b"])


# Batches


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([drawn(8), drawn(3)], "batch 1 has 3 clips.*4 or more"),
        ([], "there is none"),
        ([[drawn(8), torch.zeros(8)]], "not list"),
    ],
)
def test_batches_that_cannot_be_used(batches, words):
    net = nn.Identity()
    with pytest.raises(UserError, match=rf"cka.batches: .*{words}"):
        cka_map(net, net, batches)


def test_two_sources_show_the_same_videos_in_two_ways():
    one, other = nn.Sequential(nn.Linear(5, 4)), nn.Sequential(nn.Linear(5, 3))
    first = [indexed(drawn(6, seed=s), range(6 * s, 6 * s + 6)) for s in range(2)]
    second = [indexed(2 * batch.clips, batch.indices) for batch in first]
    found = cka_map(one, other, first, other_batches=second, layers=["0"], other_layers=["0"])
    expected = plain_map(
        [[one(batch.clips)] for batch in first], [[other(batch.clips)] for batch in second]
    )
    assert np.abs(found.values - expected).max() < 1e-6


def test_one_network_on_two_sources_runs_on_both():
    net = nn.Identity()
    first, second = indexed(drawn(8), range(8)), indexed(drawn(8, seed=1), range(8))
    found = cka_map(net, net, [first], other_batches=[second])
    assert found.values[0, 0] < 0.9


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([indexed(drawn(4), [0, 1, 3, 2])], "batch 0 has other videos .* or another order"),
        ([indexed(drawn(5), range(5))], "other videos"),
        ([drawn(4)], "with indices alone"),
        ([], "more batches"),
        ([indexed(drawn(4), range(4)), indexed(drawn(4), range(4))], "more batches"),
    ],
)
def test_two_sources_that_differ_are_refused(second, words):
    net = nn.Identity()
    with pytest.raises(UserError, match=f"cka.other_batches: .*{words}"):
        cka_map(net, nn.Identity(), [indexed(drawn(4), range(4))], other_batches=second)


def test_the_clips_of_a_data_set(source, tiny):
    """A 2-D network that holds its frames in the batch axis, in place ReLUs and all."""
    one, other = tiny(), tiny(seed=1)
    device = torch.device("cpu")
    found = cka_map(one, other, ordered_batches(source, device, videos=10))
    assert found.left_out == ((), ())
    assert found.cross.shape[0] == 3  # 10, 10, 4
    layers = ["backbone.0", "backbone.1.0", "head"]
    batches = [batch.clips for batch in ordered_batches(source, device, videos=10)]

    def seen(net):
        return [
            [
                net.stages(clips, ["0"])["0"],
                net.stages(clips, ["1.0"])["1.0"],
                net(clips),
            ]
            for clips in batches
        ]

    expected = plain_map(seen(one.eval()), seen(other.eval()))
    assert np.abs(found.to_frame().loc[layers, layers] - expected).max().max() < 1e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu():
    net, batch = network(0).double(), clips(8).double()
    expected = cka_map(net, net, [batch]).values
    found = cka_map(net.cuda(), net.cuda(), [batch.cuda()]).values
    assert np.abs(found - expected).max() < 1e-6


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
