import pytest
import torch

from kdlib.errors import UserError
from kdlib.training import precision


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
