import pytest
import torch

from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.training import precision
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe


def test_rounding_to_bfloat16_is_seen_and_a_wrong_convolution_more_so(monkeypatch):
    assert 1e-4 < precision.bfloat16_error("cpu", size=4) < 0.02
    conv3d = precision.F.conv3d

    def wrong(clips, kernel, padding):
        result = conv3d(clips, kernel, padding=padding)
        return result * 1.1 if clips.dtype == torch.bfloat16 else result

    monkeypatch.setattr(precision.F, "conv3d", wrong)
    assert precision.bfloat16_error("cpu", size=4) == pytest.approx(0.1, abs=0.01)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_this_gpu_passes():
    precision.check_bfloat16("cuda")


@pytest.mark.parametrize("error", [0.1, float("nan")])
def test_a_wrong_convolution_is_refused_where_cudnn_computes_it(monkeypatch, error):
    monkeypatch.setattr(precision, "bfloat16_error", lambda device, size: error)
    precision.check_bfloat16("cpu")
    with pytest.raises(UserError, match="bfloat16"):
        precision.check_bfloat16("cuda")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "device: no CUDA device is visible to torch; use device=cpu"),
        ("gpu", "device: unknown value 'gpu'; allowed: cpu, cuda"),
        ("cuda:1", "device: unknown value 'cuda:1'; allowed: cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there_is_refused_before_anything_trains(
    device, message, tiny, source, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = Recipe(epochs=1, learning_rate=0.1)
    with pytest.raises(UserError, match=message):
        fit(Supervised(tiny()), source, recipe, seed=0, device=device)
