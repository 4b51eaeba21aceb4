import pytest
import torch

from kdlib.errors import UserError
from kdlib.methods.supervised import Supervised
from kdlib.training import precision
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe


def test_a_sound_device_passes():
    precision.check_bfloat16("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_this_gpu_passes():
    precision.check_bfloat16("cuda")


@pytest.mark.parametrize("fault", [lambda x: x * 1.1, lambda x: x * float("nan")])
def test_a_wrong_convolution_is_refused(monkeypatch, fault):
    conv3d = precision.F.conv3d

    def wrong(clips, kernel, padding):
        result = conv3d(clips, kernel, padding=padding)
        return fault(result) if clips.dtype == torch.bfloat16 else result

    monkeypatch.setattr(precision.F, "conv3d", wrong)
    with pytest.raises(UserError, match="bfloat16"):
        precision.check_bfloat16("cpu")


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
