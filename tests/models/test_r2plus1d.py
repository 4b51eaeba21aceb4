import pytest
import torch
from torch.nn import functional as F
from torchvision.models.video.resnet import Conv2Plus1D

from kdlib import models
from kdlib.models.cost import cost, macs, parameters
from kdlib.models.r2plus1d import FactorisedConv, ResidualBlock

SMALL = {"width": 8, "stages": 3, "time_stages": 1}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def convolutions(width, stages, time_stages, clip):
    """(channels in, between, channels out, t, d, places out in space, places out) by hand."""

    def one(inside, outside, t, d, stride_t, stride):
        nonlocal size
        between = t * d**2 * inside * outside // (d**2 * inside + t * outside)
        frames, side = size
        size = (-(-frames // stride_t), -(-side // stride))
        return inside, between, outside, t, d, frames * size[1] ** 2, size[0] * size[1] ** 2

    size = clip
    found, inside = [one(3, width, 3, 7, 1, 2)], width
    for stage in range(stages):
        outside, before = width * 2**stage, size
        stride = 1 if stage == 0 else 2
        stride_t = stride if stage >= stages - time_stages else 1
        if stage:
            found.append(one(inside, outside, 1, 1, stride_t, stride))
            size = before
        found.append(one(inside, outside, 3, 3, stride_t, stride))
        found.append(one(outside, outside, 3, 3, 1, 1))
        inside = outside
    return found


@pytest.mark.parametrize(
    ("options", "clip"),
    [((64, 4, 3), (16, 112)), ((8, 3, 1), (4, 32)), ((6, 2, 0), (8, 48)), ((4, 4, 9), (7, 25))],
)
def test_cost_by_hand(options, clip):
    weights = products = 0
    for inside, between, outside, t, d, in_space, out in convolutions(*options, clip):
        space, time = inside * between * d**2, between * outside * t
        weights += space + time + 2 * between + 2 * outside
        products += space * in_space + time * out
    width, stages, time_stages = options
    channels = width * 2 ** (stages - 1)
    found = cost(
        "r2plus1d", 12, (3, clip[0], clip[1], clip[1]),
        width=width, stages=stages, time_stages=time_stages,
    )  # fmt: skip
    assert found["parameters"] == weights + channels * 12 + 12
    assert round(found["gmacs"] * 1e9) == products + channels * 12


def test_the_printed_size_is_that_of_the_backbone_alone():
    """14.37 M parameters and 42.96 GFLOPs, two for each product."""
    with torch.device("meta"):
        model = models.build("r2plus1d", 101)
    assert parameters(model.backbone) == 14_365_303
    assert model.channels == 512
    assert macs(model.eval(), (3, 16, 112, 112)) / 1e9 == pytest.approx(42.96 / 2, rel=0.01)


def test_stages():
    with torch.device("meta"):
        model = models.build("r2plus1d", 101).eval()
        names = ["stem", "stage1", "stage2", "stage3", "stage4"]
        maps = model.stages(torch.empty(1, 3, 16, 112, 112), names)
    assert [tuple(map_.shape[1:]) for map_ in maps.values()] == [
        (64, 16, 56, 56),
        (64, 16, 56, 56),
        (128, 8, 28, 28),
        (256, 4, 14, 14),
        (512, 2, 7, 7),
    ]


@pytest.mark.parametrize(
    ("options", "clip", "expected"),
    [
        (SMALL, (4, 32, 32), (32, 2, 4, 4)),
        (SMALL, (8, 32, 32), (32, 4, 4, 4)),
        (SMALL, (3, 25, 40), (32, 2, 4, 5)),
        (SMALL | {"time_stages": 2}, (8, 32, 32), (32, 2, 4, 4)),
        (SMALL | {"time_stages": 0}, (8, 32, 32), (32, 8, 4, 4)),
        ({"width": 4}, (8, 32, 32), (32, 1, 2, 2)),
    ],
)
def test_map(options, clip, expected):
    model = models.build("r2plus1d", 12, **options)
    assert model.features(torch.randn(2, 3, *clip)).shape == (2, *expected)
    assert model.channels == expected[0]


def test_every_module_runs():
    """A map of similarities has a row for each: of the released network 92 of 96 run."""
    with torch.device("meta"):
        model = models.build("r2plus1d", 512).eval()
        ran = set()
        for name, module in model.named_modules():
            module.register_forward_hook(lambda *_, name=name: ran.add(name))
        model(torch.empty(1, 3, 16, 112, 112))
    assert len(ran) == len(list(model.modules())) == 94


@pytest.mark.parametrize("stride", [1, 2])
def test_a_factorised_convolution_is_torchvision_s(stride):
    ours = FactorisedConv(6, 10, (3, 3), (stride, stride)).eval()
    theirs = Conv2Plus1D(6, 10, ours.spatial.out_channels, stride).eval()
    torch.nn.init.normal_(ours.norm.weight)
    torch.nn.init.normal_(ours.norm.bias)
    values = ours.state_dict().values()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    maps = torch.randn(2, 6, 5, 9, 8)
    torch.testing.assert_close(ours(maps), theirs(maps))


@pytest.mark.parametrize(
    ("channels_in", "channels", "kernel"), [(3, 64, (3, 7)), (64, 128, (3, 3)), (64, 128, (1, 1))]
)
def test_a_factorised_convolution_is_as_large_as_a_whole_one(channels_in, channels, kernel):
    t, d = kernel
    conv = FactorisedConv(channels_in, channels, kernel, (1, 1))
    weights = conv.spatial.weight.numel() + conv.temporal.weight.numel()
    whole = t * d**2 * channels_in * channels
    # one channel more between the two would be more than the whole
    assert weights <= whole < weights + d**2 * channels_in + t * channels


def test_a_block_of_which_the_branch_is_silent_is_its_shortcut():
    maps = torch.randn(2, 4, 3, 6, 6)
    same, other = ResidualBlock(4, 4, (1, 1)).eval(), ResidualBlock(4, 8, (2, 2)).eval()
    for block in (same, other):
        torch.nn.init.zeros_(block.norm2.weight)
    torch.testing.assert_close(same(maps), maps.relu())
    # 1 x 1 x 1 of stride 2 looks at every second place; the norms are those of a new network
    conv, scale = other.shortcut.conv, (1 + 1e-5) ** -0.5
    seen = maps[:, :, ::2, ::2, ::2]
    middle = F.relu(
        torch.einsum("bcthw,oc->bothw", seen, conv.spatial.weight[..., 0, 0, 0]) * scale
    )
    end = torch.einsum("bcthw,oc->bothw", middle, conv.temporal.weight[..., 0, 0, 0]) * scale
    torch.testing.assert_close(other(maps), end.relu())


def test_the_order_of_frames_matters():
    model = models.build("r2plus1d", 4, **SMALL).eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    assert not torch.allclose(model(clips), model(clips.flip(2)), atol=1e-4)


def test_a_hook_on_a_norm_keeps_what_the_norm_gave():
    model = models.build("r2plus1d", 4, **SMALL).eval()
    name = "stage2.conv1.norm"
    kept = model.stages(torch.randn(1, 3, 4, 32, 32), [name])[name]
    assert (kept < 0).any()
