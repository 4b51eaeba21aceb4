import warnings

import numpy as np
import pytest
import torch
from torch import nn

from kdlib.analysis.cka import cka_map
from kdlib.clips.batches import ordered_batches
from kdlib.errors import UserError
from tests.analysis.networks import Parts, clips, drawn, indexed, network, plain_map

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
