import pytest
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from torch import nn

from kdlib import models
from kdlib.models.cost import cost, frames_per_second, macs, parameters


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        # outputs x kernel x channels in
        (nn.Conv3d(3, 5, 3, stride=(1, 2, 2), padding=1), (3, 8, 24, 24), 8 * 12 * 12 * 5 * 81),
        (nn.Conv3d(4, 8, 1, groups=4), (4, 2, 5, 5), 2 * 5 * 5 * 8),
        (nn.Linear(7, 5), (3, 2, 4, 7), 3 * 2 * 4 * 7 * 5),
        (nn.BatchNorm3d(3), (3, 8, 24, 24), 0),
    ],
)
def test_macs_by_hand(layer, shape, expected):
    assert macs(layer, shape) == expected


def test_macs_of_attention():
    """Both products are counted, written out or through the fused function."""
    n, d = 50, 16

    def fused(clip):
        q = clip.flatten(2)[:, :, None].expand(1, 3, n, d)
        return F.scaled_dot_product_attention(q, q, q)

    def written_out(clip):
        q = clip.flatten(2)[:, :, None].expand(1, 3, n, d)
        return (q @ q.transpose(-2, -1)).softmax(-1) @ q

    expected = 2 * 3 * n * n * d
    assert macs(fused, (3, 1, 4, 4)) == macs(written_out, (3, 1, 4, 4)) == expected


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("c3d", {}),
        ("r2plus1d", {"width": 8}),
        ("shufflenet3d", {"width": 24, "stem": 12, "pool": False}),
        ("slowonly", {}),
        ("swin3d", {}),
        ("tsm", {}),
        ("tsn", {}),
    ],
)
def test_macs_agree_with_fvcore(name, options):
    model = models.build(name, 5, **options).eval()
    analysis = FlopCountAnalysis(model, torch.randn(1, 3, 4, 24, 24))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = analysis.by_operator()
    expected = sum(counted[op] for op in ("conv", "linear", "matmul", "addmm", "bmm"))
    assert macs(model, (3, 4, 24, 24)) == expected


def test_macs_leave_the_model_alone():
    model = models.build("c3d", 5).train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    macs(model, (3, 8, 24, 24))
    assert model.training
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_macs_of_a_function_of_models():
    """The student of ResKD sees a quarter of the pixels: a quarter of the teacher's products."""
    student = models.build("tsn", 5).to("meta")
    clip = (3, 8, 48, 48)
    low = macs(lambda x: student.features(F.interpolate(x, (8, 24, 24))), clip)
    assert 4 * low == macs(student.features, clip)


PUBLISHED = [
    # (model, options, classes, clip, parameters in millions, GMACs), as their papers or zoos print
    ("tsn", "resnet18", 1000, (3, 1, 224, 224), 11.7, 1.81),  # torchvision
    ("tsn", "resnet50", 1000, (3, 1, 224, 224), 25.6, 4.09),  # torchvision
    ("tsn", "resnet152", 1000, (3, 1, 224, 224), 60.2, 11.51),  # torchvision
    ("tsm", "resnet50", 400, (3, 8, 224, 224), 24.3, 33.0),  # TSM
    ("slowonly", "resnet50", 400, (3, 8, 256, 256), 32.45, 54.52),  # pytorchvideo
    ("swin3d", "swin3d_t", 400, (3, 32, 224, 224), 28.2, 88.0),  # Video Swin
    ("swin3d", "swin3d_s", 400, (3, 32, 224, 224), 49.8, 166.0),
    ("swin3d", "swin3d_b", 400, (3, 32, 224, 224), 88.1, 282.0),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "backbone", "classes", "clip", "millions", "gmacs"), PUBLISHED)
def test_published_cost(name, backbone, classes, clip, millions, gmacs):
    measured = cost(name, classes, clip, backbone=backbone)
    assert measured["parameters"] / 1e6 == pytest.approx(millions, rel=0.005)
    assert measured["gmacs"] == pytest.approx(gmacs, rel=0.01)


def test_cost_draws_no_random_number():
    state = torch.get_rng_state()
    cost("swin3d", 5, (3, 8, 24, 24))
    assert torch.equal(state, torch.get_rng_state())


def test_parameters_counts_frozen_ones_and_no_buffers():
    layer = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).requires_grad_(False)
    assert parameters(layer) == 3 * 2 + 2 + 2 * 2


def test_frames_per_second_counts_whole_clips_and_the_faster_network_is_faster():
    small = frames_per_second("tsn", 5, (3, 2, 32, 32), seconds=0.05)
    large = frames_per_second("tsn", 5, (3, 2, 128, 128), seconds=0.05, width=64)
    assert small > 4 * large > 0
