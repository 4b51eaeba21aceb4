import pytest
import torch

from kdlib import models
from kdlib.errors import UserError
from kdlib.models.cost import cost


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "classes", "millions", "gmacs"),
    [
        ("r50_4x16", 101, 33.79, 28.01),
        ("r50_8x8", 400, 34.57, 50.86),
        ("r101_16x8", 101, 62.14, 97.19),
    ],
)
def test_sizes_printed_by_sakd(backbone, classes, millions, gmacs):
    """SAKD's Table 3; the number of classes that each row is of is found by its parameters."""
    found = cost("slowfast", classes, (3, 32, 224, 224), backbone=backbone)
    assert round(found["parameters"] / 1e6, 2) == millions
    assert found["gmacs"] == pytest.approx(gmacs, rel=0.02)


def test_the_map_s_mean_is_the_pooling_of_both_paths():
    torch.manual_seed(0)
    model = models.build("slowfast", 5, width=8, stride=2).eval()
    clips = torch.randn(2, 3, 8, 16, 16)
    slow, fast = model.backbone.stages([clips[:, :, ::2], clips])
    assert slow.shape == (2, 32, 4, 2, 2)
    assert fast.shape == (2, 8, 8, 2, 2)
    pooled = torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)
    torch.testing.assert_close(model.features(clips).mean((2, 3, 4)), pooled)
    torch.testing.assert_close(model(clips), model.head.of_pooled(pooled))


def test_the_slow_path_does_not_see_the_frames_between():
    torch.manual_seed(0)
    model = models.build("slowfast", 5, width=8, stride=2).eval()
    for lateral in model.backbone.stages.lateral:
        torch.nn.init.zeros_(lateral.weight)
    clips = torch.randn(1, 3, 4, 16, 16)
    other = clips.clone()
    other[:, :, 1] = 0
    one, two = model.features(clips), model.features(other)
    torch.testing.assert_close(one[:, :32], two[:, :32])
    assert not torch.equal(one[:, 32:], two[:, 32:])


def test_frames_that_do_not_fit_and_options_of_others_are_named():
    with pytest.raises(UserError, match=r"6 frames.*a multiple of 4"):
        models.build("slowfast", 5)(torch.randn(1, 3, 6, 16, 16))
    with pytest.raises(UserError, match="r50_4x16 has its own width"):
        models.build("slowfast", 5, backbone="r50_4x16", width=8)
