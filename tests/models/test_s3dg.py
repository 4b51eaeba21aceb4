import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.video import s3d

from kdlib import models
from kdlib.errors import UserError
from kdlib.models.cost import cost, macs, parameters
from kdlib.models.s3dg import ConvUnit, MaxPool, NonLocal, SelfGating, from_torchvision

SMALL = {"width": 8, "blocks": 1, "strides": "small"}
# METHODS: endpoint, channels, then frames, height and width of 64 x 224 x 224
ENDPOINTS = {
    "Conv2d_1a": (64, 32, 112, 112),
    "MaxPool_2a": (64, 32, 56, 56),
    "Conv2d_2b": (64, 32, 56, 56),
    "Conv2d_2c": (192, 32, 56, 56),
    "MaxPool_3a": (192, 32, 28, 28),
    "Mixed_3b": (256, 32, 28, 28),
    "Mixed_3c": (480, 32, 28, 28),
    "MaxPool_4a": (480, 16, 14, 14),
    "Mixed_4b": (512, 16, 14, 14),
    "Mixed_4c": (512, 16, 14, 14),
    "Mixed_4d": (512, 16, 14, 14),
    "Mixed_4e": (528, 16, 14, 14),
    "Mixed_4f": (832, 16, 14, 14),
    "MaxPool_5a": (832, 8, 7, 7),
    "Mixed_5b": (832, 8, 7, 7),
    "Mixed_5c": (1024, 8, 7, 7),
}
# TF-slim, nets/s3dg.py: in; 0; 1, 1 end; 2, 2 end; 3; places of 64 x 224 x 224
INCEPTION = [
    (192, 64, 96, 128, 16, 32, 32, 32 * 28**2),
    (256, 128, 128, 192, 32, 96, 64, 32 * 28**2),
    (480, 192, 96, 208, 16, 48, 64, 16 * 14**2),
    (512, 160, 112, 224, 24, 64, 64, 16 * 14**2),
    (512, 128, 128, 256, 24, 64, 64, 16 * 14**2),
    (512, 112, 144, 288, 32, 64, 64, 16 * 14**2),
    (528, 256, 160, 320, 32, 128, 128, 16 * 14**2),
    (832, 256, 160, 320, 32, 128, 128, 8 * 7**2),
    (832, 384, 192, 384, 48, 128, 128, 8 * 7**2),
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def shaken(model):
    """The model with norms and gates as no new network has them."""
    for name, tensor in model.state_dict().items():
        if name.endswith(("norm.weight", "running_var", "1.weight")) and tensor.ndim == 1:
            tensor.uniform_(0.5, 2)
        elif name.endswith(("bias", "running_mean")):
            tensor.normal_(std=0.3)
    return model


def test_endpoints_are_those_of_tf_slim():
    with torch.device("meta"):
        model = models.build("s3dg", 400).eval()
        maps = model.stages(torch.empty(1, 3, 64, 224, 224), list(ENDPOINTS))
    assert {name: tuple(map_.shape[1:]) for name, map_ in maps.items()} == ENDPOINTS
    assert list(ENDPOINTS) == [name for name, _ in model.backbone.named_children()]


def test_cost_by_hand():
    """Convolutions, norms of two numbers a channel behind all but those in time, gates, head."""

    def separable(inside, out):
        return 9 * inside * out, 3 * out * out, out, 2 * out  # space, time, its bias, norm

    weights = 3 * 3 * 49 * 64 + 2 * 64 + 64 * 64 + 2 * 64 + sum(separable(64, 192)) + 192**2
    products = 3 * 3 * 49 * 64 * 32 * 112**2 + 64 * 64 * 32 * 56**2
    products += sum(separable(64, 192)[:2]) * 32 * 56**2 + 192**2
    for inside, b0, b1, b1_out, b2, b2_out, b3, places in INCEPTION:
        points = inside * (b0 + b1 + b2 + b3)
        gates = b0**2 + b1_out**2 + b2_out**2 + b3**2
        weights += points + 2 * (b0 + b1 + b2 + b3) + gates
        weights += sum(separable(b1, b1_out)) + sum(separable(b2, b2_out))
        products += places * points + gates
        products += places * sum(separable(b1, b1_out)[:2] + separable(b2, b2_out)[:2])
    found = cost("s3dg", 400, (3, 64, 224, 224))
    assert found["parameters"] == weights + 1024 * 400 + 400 == 9_526_128
    assert round(found["gmacs"] * 1e9) == products + 1024 * 400
    with_blocks = cost("s3dg", 400, (3, 64, 224, 224), non_local=True)
    block = 3 * (832 * 416 + 416) + 416 * 832 + 832
    assert with_blocks["parameters"] - found["parameters"] == 2 * block
    attention = 4 * 392 * 832 * 416 + 2 * 392**2 * 416
    assert round((with_blocks["gmacs"] - found["gmacs"]) * 1e9) == 2 * attention


@pytest.mark.parametrize(("sees", "channels"), [("flow", 2), ("flow and magnitude", 3)])
def test_a_network_that_sees_flow_has_a_stem_for_it(sees, channels):
    pixels, flow = models.build("s3dg", 4, **SMALL), models.build("s3dg", 4, sees=sees, **SMALL)
    assert (pixels.sees, flow.sees) == ("pixels", sees)
    assert flow(torch.randn(2, channels, 4, 24, 24)).shape == (2, 4)
    assert parameters(pixels) - parameters(flow) == (3 - channels) * 8 * 3 * 49


@pytest.mark.parametrize(
    ("options", "clip", "at_3a", "last"),
    [
        (SMALL, (4, 24, 24), (24, 4, 6, 6), (104, 1, 2, 2)),
        (SMALL, (8, 32, 32), (24, 8, 8, 8), (104, 2, 2, 2)),
        (SMALL, (5, 25, 31), (24, 5, 7, 8), (104, 2, 2, 2)),
        (SMALL | {"blocks": 2, "width": 16}, (4, 32, 32), (48, 4, 8, 8), (256, 1, 2, 2)),
        ({"width": 4}, (4, 24, 24), (12, 2, 3, 3), (64, 1, 1, 1)),
        ({"width": 1}, (1, 9, 9), (4, 1, 2, 2), (20, 1, 1, 1)),
    ],
)
def test_small_maps(options, clip, at_3a, last):
    model = models.build("s3dg", 12, **options)
    clips = torch.randn(2, 3, *clip)
    found = model.stages(clips, ["MaxPool_3a", ""])
    shapes = [tuple(map_.shape[1:]) for map_ in found.values()]
    assert shapes == [at_3a, last]
    assert model.channels == last[0]
    assert model(clips).shape == (2, 12)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (2, 2), (3, 1)])
def test_padding_is_tensorflows(size, kernel, stride):
    """By the definition: window i starts at i * stride - before, and only what is inside counts."""
    places = math.ceil(size / stride)
    before = max((places - 1) * stride + kernel - size, 0) // 2
    line = torch.randn(1, 1, size, 1, 1)
    windows = []
    for place in range(places):
        first = place * stride - before
        windows.append((max(first, 0), min(first + kernel, size), first))
    if kernel != 7:
        pooled = MaxPool((kernel, 1, 1), (stride, 1, 1))(line).flatten()
        expected = torch.stack([line[0, 0, start:end].max() for start, end, _ in windows])
        assert torch.equal(pooled, expected)
    if kernel % 2:
        unit = ConvUnit(1, 1, (kernel, 1, 1), (stride, 1, 1))
        unit.norm = nn.Identity()
        weight = unit.conv.weight.flatten()
        expected = torch.stack(
            [
                (line[0, 0, start:end].flatten() * weight[start - first : end - first]).sum()
                for start, end, first in windows
            ]
        ).relu()
        torch.testing.assert_close(unit(line).flatten(), expected)


def test_gating_by_hand():
    gate = SelfGating(2)
    gate.fc.weight.data = torch.tensor([[1.0, 0.0], [2.0, -1.0]])
    maps = torch.tensor([[1.0, 3.0], [0.0, 4.0]]).view(1, 2, 2, 1, 1)  # means 2 and 2
    sigmoid = 1 / (1 + math.exp(-2))
    expected = torch.tensor([[1.0, 3.0], [0.0, 4.0]]) * torch.tensor([[sigmoid], [sigmoid]])
    torch.testing.assert_close(gate(maps).view(2, 2), expected)


def test_convolutions_in_time_start_as_the_identity():
    model = models.build("s3dg", 4, width=8).eval()
    conv = model.backbone.Mixed_4c.branch1.conv
    maps = torch.randn(2, conv.spatial.conv.in_channels, 4, 6, 6)
    torch.testing.assert_close(conv(maps), conv.spatial(maps))


@pytest.mark.parametrize(("width", "std"), [(64, 0.01), (16, 0.02)])
def test_weights_start_from_a_truncated_normal(width, std):
    backbone = models.build("s3dg", 4, width=width).backbone
    for layer in (backbone.Mixed_5b.branch1.conv.spatial.conv, backbone.Mixed_5b.branch1.gate.fc):
        weight = layer.weight.detach()
        assert std < float(weight.abs().max()) <= 2 * std
        # Of a normal distribution cut at two standard deviations.
        assert float(weight.std()) == pytest.approx(0.880 * std, rel=0.03)


def test_a_non_local_block_by_hand_and_as_it_starts():
    block, maps = NonLocal(4), torch.randn(2, 4, 2, 3, 3)
    assert torch.equal(block(maps), maps)
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    out = torch.zeros(2, 18, 4)
    for b in range(2):
        x = maps[b].reshape(4, 18).T
        theta, phi, g = (x @ f.weight.T + f.bias for f in (block.theta, block.phi, block.g))
        for i in range(18):
            share = torch.exp(phi @ theta[i])
            out[b, i] = x[i] + block.out((share[:, None] * g).sum(0) / share.sum())
    torch.testing.assert_close(block(maps), out.transpose(1, 2).reshape(maps.shape))


def test_non_local_blocks_stand_before_5b_and_5c():
    model = models.build("s3dg", 4, width=8, non_local=True)
    names = [name for name, _ in model.backbone.named_children()]
    assert names[-4:] == ["NonLocal_5b", "Mixed_5b", "NonLocal_5c", "Mixed_5c"]
    one = models.build("s3dg", 4, non_local=True, **SMALL)
    assert [n for n, _ in one.backbone.named_children()][-2:] == ["NonLocal_5b", "Mixed_5b"]


def test_channel_last_changes_nothing_but_speed():
    model = shaken(models.build("s3dg", 4, non_local=True, **SMALL)).eval()
    clips = torch.randn(16, 3, 4, 24, 24)  # of fewer clips torch takes other ways
    torch.testing.assert_close(model(clips), model.head(model.backbone(clips)))
    maps = model.stages(clips, ["MaxPool_3a", "Mixed_4b"])
    assert all(m.is_contiguous(memory_format=torch.channels_last_3d) for m in maps.values())


@pytest.mark.parametrize("steps", [2, 8])
def test_head_is_s3ds_but_for_the_weight_of_the_ends(steps):
    """Theirs averages windows of two steps, so that only those inside are in two of them."""
    ours, theirs = models.build("s3dg", 5, width=8).eval(), s3d(num_classes=5).eval()
    maps = torch.randn(3, 1024, steps, 7, 7)
    ours.head.fc = nn.Linear(1024, 5)
    theirs.classifier[1].weight.data = ours.head.fc.weight.data[:, :, None, None, None]
    theirs.classifier[1].bias.data = ours.head.fc.bias.data
    expected = theirs.classifier(theirs.avgpool(maps)).mean((2, 3, 4))
    weights = torch.full((steps,), 1 / (steps - 1))
    weights[[0, -1]] /= 2
    weighted = (maps * weights[:, None, None]).sum(2, keepdim=True)
    torch.testing.assert_close(ours.head(weighted), expected)
    assert torch.allclose(ours.head(maps), expected, atol=1e-5) == (steps == 2)


@pytest.fixture(scope="module")
def converted():
    torch.manual_seed(1)
    theirs = shaken(s3d(num_classes=7)).eval()
    loaded, left_out = from_torchvision(theirs.state_dict())
    ours = models.build("s3dg", 7).eval()
    return theirs, ours, left_out, ours.load_state_dict(loaded, strict=False)


def test_what_torchvisions_weights_lack_and_what_they_have_besides(converted):
    _, _, left_out, keys = converted
    assert len(left_out) == 2 * 6
    assert all(name.startswith("features.0.") for name in left_out)
    assert not keys.unexpected_keys
    stem = {name for name in keys.missing_keys if name.startswith("backbone.Conv2d_1a.")}
    gates = {name for name in keys.missing_keys if name.endswith(".gate.fc.weight")}
    assert stem | gates == set(keys.missing_keys)
    assert (len(stem), len(gates)) == (5, 1 + 9 * 4)


def test_torchvisions_weights_make_torchvisions_maps(converted):
    """Without gates, and where the padding is the same: of odd sizes, and in the blocks."""
    theirs, ours, _, _ = converted
    gates = {name: m for name, m in ours.named_modules() if isinstance(m, SelfGating)}
    for name in gates:
        owner, _, last = name.rpartition(".")
        setattr(ours.get_submodule(owner), last, nn.Identity())
    parts, layers = list(ours.backbone), list(theirs.features)
    with torch.no_grad():
        maps = torch.randn(1, 64, 3, 17, 17).relu()  # then 9 x 9 and 5 x 5
        torch.testing.assert_close(
            nn.Sequential(*parts[1:7])(maps), nn.Sequential(*layers[1:7])(maps)
        )
        maps = torch.randn(1, 480, 3, 5, 5).relu()
        torch.testing.assert_close(
            nn.Sequential(*parts[7:13])(maps), nn.Sequential(*layers[7:13])(maps)
        )
        maps = torch.randn(1, 832, 2, 2, 2).relu()
        torch.testing.assert_close(
            nn.Sequential(*parts[13:])(maps), nn.Sequential(*layers[13:])(maps)
        )
        last = torch.randn(2, 1024, 2, 7, 7)
        expected = theirs.classifier(theirs.avgpool(last)).mean((2, 3, 4))
        torch.testing.assert_close(ours.head(last), expected)
    for name, gate in gates.items():
        owner, _, last = name.rpartition(".")
        setattr(ours.get_submodule(owner), last, gate)


def test_other_weights_are_refused():
    state = s3d(num_classes=3).state_dict()
    del state["features.8.branch2.1.1.1.bias"]
    with pytest.raises(UserError, match=r"no 'features\.8\.branch2\.1\.1\.1\.bias'"):
        from_torchvision(state)


@pytest.mark.parametrize("option", [{"sees": "RGB"}, {"blocks": 6}, {"strides": "tiny"}])
def test_options_are_checked(option):
    with pytest.raises(UserError, match=rf"model s3dg\.{next(iter(option))}"):
        models.build("s3dg", 3, **option)


@pytest.mark.slow
def test_it_learns_with_norms_of_a_short_training():
    """Of flow towards two sides, in sixty steps; running statistics have settled by then."""
    model = models.build("s3dg", 2, sees="flow", norm_momentum=0.1, **SMALL)
    labels = torch.arange(16) % 2
    clips = 0.3 * torch.randn(16, 2, 4, 24, 24)
    clips[:, 0] += (2.0 * labels - 1)[:, None, None, None]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(clips), labels).backward()
        optimizer.step()
    assert (model.eval()(clips).argmax(1) == labels).all()
    assert macs(model, (2, 4, 24, 24)) < 1e7
