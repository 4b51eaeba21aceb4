import weakref

import pytest
import torch
from torch import nn

from kdlib.analysis.activations import layer_grams


def centred(features):
    """The Gram matrix of features less their mean, plainly and in float64."""
    rows = features.double().reshape(features.shape[0], -1)
    rows = rows - rows.mean(0)
    return rows @ rows.T


def close(gram, expected):
    error = (gram - expected).abs().max() / expected.abs().max()
    return float(error) < 1e-6


class Gives(nn.Module):
    """A network of one module `layer`, which gives whatever `make` makes of its input."""

    def __init__(self, make):
        super().__init__()
        self.layer = nn.Identity()
        self.layer.forward = make

    def forward(self, clips):
        self.layer(clips)
        return clips


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_gram_matrices_of_all_layers_in_the_order_in_which_they_are_done():
    first, second = nn.Linear(6, 5), nn.Linear(5, 4)

    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first = second, first  # registered the other way round

        def forward(self, clips):
            return self.second(torch.relu(self.first(clips)))

    clips = draw(7, 6)
    grams = layer_grams(Backwards(), clips, ["", "second", "first"])
    assert list(grams) == ["first", "second", ""]
    with torch.no_grad():
        one = first(clips)
        other = second(one.relu())
    for name, features in (("first", one), ("second", other), ("", other)):
        assert grams[name][0].dtype == torch.float64
        assert close(grams[name][0], centred(features))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_maps_in_either_layout_and_larger_than_a_piece(memory_format):
    maps = draw(5, 10, 4, 16, 16).contiguous(memory_format=memory_format)
    assert maps[0].numel() > 8192
    (gram, _), *_ = layer_grams(nn.Identity(), maps, [""]).values()
    assert close(gram, centred(maps))


def test_what_is_common_to_all_clips_takes_no_digits():
    features = draw(8, 20_000) + 1000.0
    plain = (features @ features.T).double()
    gram, _ = layer_grams(nn.Identity(), features, [""])[""]
    centre = torch.eye(8, dtype=torch.float64) - 1 / 8  # takes off what rounding left of the mean
    assert not close(centre @ plain @ centre, centred(features))
    assert close(centre @ gram @ centre, centred(features))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(kind):
    features = draw(6, 300).to(kind)
    assert close(layer_grams(nn.Identity(), features, [""])[""][0], centred(features))


def test_autocast_does_not_round_the_products():
    clips = draw(6, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not close((clips @ clips.T).double(), clips.double() @ clips.double().T)
        gram, _ = layer_grams(nn.Identity(), clips, [""])[""]
    assert close(gram, centred(clips))


def test_a_relu_in_place_does_not_change_what_the_norm_gave():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(9)
    network = nn.Sequential(norm, nn.ReLU(inplace=True))
    clips = draw(6, 9)
    grams = layer_grams(network, clips, ["0", "1", ""])
    with torch.no_grad():
        normed = norm.eval()(clips)
    assert close(grams["0"][0], centred(normed))
    assert close(grams["1"][0], centred(normed.relu()))
    assert torch.equal(grams[""][0], grams["1"][0])


def test_outputs_of_many_tensors_count_with_all_of_them():
    a, b, c = draw(5, 7, seed=1), draw(5, 3, 2, seed=2), draw(5, seed=3)

    def make(clips):
        return {"x": [a, (b, None)], "scalar": clips.sum(), "ids": torch.arange(5), "y": c}

    gram, _ = layer_grams(Gives(make), draw(5, 2), ["layer"])["layer"]
    assert close(gram, centred(torch.cat([a, b.flatten(1), c[:, None]], dim=1)))


def test_frames_in_the_batch_axis_belong_to_their_clip():
    clips = draw(4, 3, 2, 2, 2)
    frames = clips.transpose(1, 2).flatten(0, 1)
    grams = layer_grams(Gives(lambda _: frames.contiguous()), clips, ["layer"])
    assert close(grams["layer"][0], centred(clips))


@pytest.mark.parametrize(
    "make",
    [lambda x: None, lambda x: "text", lambda x: torch.arange(5), lambda x: draw(6, 2), torch.sum],
)
def test_modules_without_features_are_left_out(make):
    assert layer_grams(Gives(make), draw(5, 2), ["layer"]) == {}


def test_modules_that_never_run_are_left_out_and_of_several_runs_the_last_counts():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.relu, self.linear = nn.Linear(2, 2), nn.ReLU(), nn.Linear(6, 6)

        def forward(self, clips):
            return self.relu(self.linear(self.relu(clips)))

    network, clips = Twice(), draw(5, 6)
    grams = layer_grams(network, clips, ["relu", "linear", "idle"])
    assert list(grams) == ["linear", "relu"]
    assert close(grams["relu"][0], centred(network(clips).detach()))


def test_features_do_not_outlive_their_use():
    alive, most = weakref.WeakSet(), [0]

    class Watched(nn.Linear):
        def forward(self, clips):
            output = super().forward(clips)
            most[0] = max(most[0], len(alive))
            alive.add(output)
            return output

    network = nn.Sequential(*(Watched(50, 50) for _ in range(20)))
    layer_grams(network, draw(4, 50), [name for name, _ in network.named_modules()])
    assert most[0] <= 2
    assert len(alive) == 0


def test_hooks_go_and_modes_come_back_even_after_a_failure():
    class Fails(nn.Module):
        def forward(self, clips):
            raise RuntimeError("no")

    network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), Fails())
    network[1].eval()
    network[0].register_forward_hook(lambda *_: None)  # the user's own stays
    before = network[0].running_mean.clone()
    with pytest.raises(RuntimeError, match="no"):
        layer_grams(network, draw(4, 3), ["0", "1", "2", ""])
    assert [len(module._forward_hooks) for module in network.modules()] == [0, 1, 0, 0]
    assert [module.training for module in network.modules()] == [True, True, False, True]
    assert torch.equal(network[0].running_mean, before)


def test_under_inference_mode():
    network = nn.Sequential(nn.Identity(), nn.Linear(3, 3), nn.ReLU(inplace=True))
    expected = layer_grams(network, draw(4, 3), ["0", "1", "2"])
    with torch.inference_mode():
        grams = layer_grams(network, draw(4, 3), ["0", "1", "2"])
    for name in expected:
        assert torch.equal(grams[name][0], expected[name][0])


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_floor_tells_rounding_from_features(kind):
    same = (draw(1, 400).repeat(6, 1) * 50 + 3).to(kind)
    step = torch.finfo(kind).eps
    for spread, alike in ((0, True), (step, True), (20 * step, False)):
        features = same * (1 + spread * draw(6, 400, seed=1).sign().to(kind))
        gram, floor = layer_grams(nn.Identity(), features, [""])[""]
        assert bool(gram.trace() <= floor) is alike
