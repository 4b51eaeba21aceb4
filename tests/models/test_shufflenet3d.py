import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kdlib import models
from kdlib.errors import UserError
from kdlib.models.cost import cost
from kdlib.models.shufflenet3d import AveragePool, ShuffleUnit, shuffle

SMALL = {"width": 48, "stem": 12, "units": 1, "pool": False, "time_stages": 1}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def by_hand(width, stem, units, pool, time_stages, clip):
    """Weights and products of the backbone, from the table of the paper."""
    frames, side = clip[0], clip[1] // 2
    weights = 81 * stem + 2 * stem
    products = 81 * stem * frames * side**2
    if pool:
        frames, side = frames // 2, side // 2
    inside = stem
    for stage, count in enumerate((units, 2 * units, units)):
        outside = width * 2**stage
        inner = outside // 4
        for unit in range(count):
            made = outside - inside if unit == 0 else outside
            before = frames * side**2
            if unit == 0:
                side //= 2
                frames //= 2 if stage >= 3 - time_stages else 1
            first, depthwise, last = inside * inner // 3, 27 * inner, inner * made // 3
            weights += first + depthwise + last + 4 * inner + 2 * made
            products += first * before + (depthwise + last) * frames * side**2
            inside = outside
    return weights, products


@pytest.mark.parametrize(
    ("options", "clip"),
    [
        ((480, 48, 4, True, 3), (16, 128)),
        ((48, 12, 1, False, 1), (4, 32)),
        ((36, 6, 2, False, 2), (8, 64)),
        ((24, 3, 3, True, 0), (4, 96)),
    ],
)
def test_cost_by_hand(options, clip):
    weights, products = by_hand(*options, clip)
    named = dict(zip(("width", "stem", "units", "pool", "time_stages"), options, strict=True))
    found = cost("shufflenet3d", 12, (3, clip[0], clip[1], clip[1]), **named)
    channels = 4 * options[0]
    assert found["parameters"] == weights + channels * 12 + 12
    assert round(found["gmacs"] * 1e9) == products + channels * 12


@pytest.mark.parametrize(("classes", "number"), [(512, 4_589_840), (101, 3_800_309)])
def test_printed_sizes(classes, number):
    """4.59 M of the 512 features, 3.80 M with the classes of UCF101."""
    found = cost("shufflenet3d", classes, (3, 16, 112, 112))
    assert found["parameters"] == number
    assert found["gmacs"] == pytest.approx(0.514, abs=0.001)


def test_stages():
    with torch.device("meta"):
        model = models.build("shufflenet3d", 101).eval()
        names = ["stem", "pool", "stage1", "stage2", "stage3"]
        maps = model.stages(torch.empty(1, 3, 16, 112, 112), names)
    assert [tuple(map_.shape[1:]) for map_ in maps.values()] == [
        (48, 16, 56, 56),
        (48, 8, 28, 28),
        (480, 4, 14, 14),
        (960, 2, 7, 7),
        (1920, 1, 4, 4),
    ]


@pytest.mark.parametrize(
    ("options", "clip", "expected"),
    [
        (SMALL, (4, 32, 32), (192, 2, 2, 2)),
        (SMALL, (8, 32, 32), (192, 4, 2, 2)),
        (SMALL, (3, 25, 40), (192, 2, 2, 3)),
        (SMALL | {"time_stages": 3}, (7, 32, 32), (192, 1, 2, 2)),
        (SMALL | {"time_stages": 0}, (8, 48, 48), (192, 8, 3, 3)),
        (SMALL | {"pool": True}, (8, 48, 48), (192, 2, 2, 2)),
    ],
)
def test_map(options, clip, expected):
    model = models.build("shufflenet3d", 12, **options)
    assert model.features(torch.randn(2, 3, *clip)).shape == (2, *expected)
    assert model.channels == expected[0]


def test_every_module_runs():
    """A map of similarities has a row for each: the released network has 143."""
    with torch.device("meta"):
        model = models.build("shufflenet3d", 512).eval()
        ran = set()
        for name, module in model.named_modules():
            module.register_forward_hook(lambda *_, name=name: ran.add(name))
        model(torch.empty(1, 3, 16, 112, 112))
    assert len(ran) == len(list(model.modules())) == 144


def test_shuffle():
    names = torch.tensor([0.0, 1, 10, 11, 20, 21]).view(1, 6, 1, 1, 1)  # 10 * group + place
    assert shuffle(names).flatten().tolist() == [0, 10, 20, 1, 11, 21]
    maps = torch.randn(2, 12, 3, 4, 5)
    assert torch.equal(shuffle(maps), F.channel_shuffle(maps, 3))
    lying = maps.contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(shuffle(lying), F.channel_shuffle(maps, 3))
    assert shuffle(lying).is_contiguous(memory_format=torch.channels_last_3d)


def test_the_shuffle_lets_each_group_see_all_others():
    """Without it an output depends on the third of the channels that its group holds."""
    unit = ShuffleUnit(36, 36).eval()
    maps = torch.randn(1, 36, 1, 3, 3)

    def changed():
        other = maps.clone()
        other[:, :12] += 1
        return [
            (unit(maps) != unit(other))[:, part].any() for part in (slice(12, 24), slice(24, 36))
        ]

    assert all(changed())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdlib.models.shufflenet3d.shuffle", lambda maps: maps)
        assert not any(changed())


def test_a_unit_of_which_the_branch_is_silent_adds_or_appends_its_input():
    maps = torch.randn(2, 12, 4, 5, 6)
    same, fewer = ShuffleUnit(12, 12).eval(), ShuffleUnit(12, 24, (2, 2, 2)).eval()
    for unit in (same, fewer):
        nn.init.zeros_(unit.norm3.weight)
    torch.testing.assert_close(same(maps), maps.relu())
    found = fewer(maps)
    assert not found[:, :12].any()
    # windows of 2 x 3 x 3 around every second place; beyond the edge stand zeros that count
    padded = F.pad(maps, (1, 1, 1, 1))
    by_hand = torch.stack(
        [
            padded[:, :, 2 * t : 2 * t + 2, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3].sum((2, 3, 4))
            / 18
            for t in range(2)
            for y in range(3)
            for x in range(3)
        ],
        dim=-1,
    ).view(2, 12, 2, 3, 3)
    torch.testing.assert_close(found[:, 12:], by_hand.relu())


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2)])
def test_the_pool_is_torch_s_and_keeps_the_channel_last(stride):
    maps = torch.randn(2, 12, 4, 6, 8).to(memory_format=torch.channels_last_3d)
    pooled = AveragePool(stride)(maps)
    expected = nn.AvgPool3d((stride[0], 3, 3), stride, (0, 1, 1))(maps)
    torch.testing.assert_close(pooled, expected)
    assert pooled.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2)])
def test_the_pool_s_gradient_on_a_gpu_is_that_of_the_cpu(stride):
    """Which PyTorch's own is not, channel last and padded (its issue 188344)."""
    drawn = torch.rand(2, 6, 4, 7, 7).contiguous(memory_format=torch.channels_last_3d)
    gradients = []
    for device in ("cpu", "cuda"):
        maps = drawn.to(device, copy=True).requires_grad_()
        AveragePool(stride)(maps).square().sum().backward()
        gradients.append(maps.grad.cpu())
    torch.testing.assert_close(*gradients)


def test_a_frame_without_a_partner_is_pooled_alone():
    unit = ShuffleUnit(12, 24, (2, 2, 2)).eval()
    maps = torch.randn(1, 12, 5, 6, 6)
    last = ShuffleUnit(12, 24, (1, 2, 2)).eval()
    pooled = unit(maps)[:, 12:]
    torch.testing.assert_close(pooled[:, :, 2], last(maps[:, :, 4:])[:, 12:, 0])
    torch.testing.assert_close(pooled[:, :, :2], unit(maps[:, :, :4])[:, 12:])


def test_the_order_of_frames_matters():
    model = models.build("shufflenet3d", 4, **SMALL).eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    assert not torch.allclose(model(clips), model(clips.flip(2)), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 40}, r"shufflenet3d.width: a multiple of 12, not 40"),
        ({"width": 48, "stem": 10}, r"shufflenet3d.stem: a multiple of 3 under 48, not 10"),
        ({"width": 48, "stem": 48}, r"shufflenet3d.stem: a multiple of 3 under 48, not 48"),
        ({"time_stages": 4}, r"shufflenet3d.time_stages: 4.*less than or equal to 3"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        models.build("shufflenet3d", 5, **options)


def test_frames_that_are_too_small_are_refused():
    model = models.build("shufflenet3d", 5, **SMALL | {"pool": True})
    with pytest.raises(UserError, match=r"a map of 2 x 2, .*3 x 3 or larger; .*pool=False"):
        model(torch.randn(2, 3, 8, 32, 32))
