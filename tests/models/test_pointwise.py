"""The strided 1 x 1 convolution, on AVX2 kernels everywhere: oneDNN's own are wrong there."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from kdlib.models.pointwise import StridedPointwise

# Small networks channels last beside float64 with the channels first; a crash counts too.
STEPS = """
import torch
from kdlib import models
torch.set_num_threads(1)
torch.manual_seed(0)
small = {"resnet_cifar": {"depth": 8, "width": 4}, "wrn": {"depth": 10, "widen": 1, "stem": 4}}
for name, options in small.items():
    network = models.build(name, 5, **options).eval()
    exact = models.build(name, 5, **options).eval().double()
    exact.load_state_dict(network.state_dict())
    for _ in range(50):
        clips = torch.randn(2, 3, 1, 16, 16)
        network(clips).square().sum().backward()
        exact(clips.double()).square().sum().backward()
    for (key, one), other in zip(network.named_parameters(), exact.parameters()):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-3, atol=1e-3, msg=key)
"""


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 4, 8])
def test_it_is_torch_s_convolution_and_keeps_the_channel_last(channels, stride):
    layer = StridedPointwise(channels, 6, stride)
    maps = torch.randn(2, channels, 7, 8).to(memory_format=torch.channels_last).requires_grad_()
    found = layer(maps)
    weight = layer.weight.detach().double().requires_grad_()
    plain = maps.detach().contiguous().double().requires_grad_()
    expected = F.conv2d(plain, weight, stride=stride)
    torch.testing.assert_close(found, expected.float())
    drawn = torch.randn_like(found)
    found.backward(drawn)
    expected.backward(drawn.double())
    torch.testing.assert_close(maps.grad, plain.grad.float())
    torch.testing.assert_close(layer.weight.grad, weight.grad.float())
    assert maps.grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_networks_of_few_channels_have_exact_gradients_and_leave_memory_whole():
    done = subprocess.run(
        [sys.executable, "-c", STEPS],
        capture_output=True, text=True,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
