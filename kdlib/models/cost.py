"""What a model costs: parameters, multiply-accumulates, and how many frames it takes a second."""

import time
from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from kdlib import models


def parameters(model: nn.Module) -> int:
    """Numbers that a model holds as parameters, frozen ones included, buffers not."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module | Callable[[Tensor], Tensor], clip_shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of one forward pass of one clip of shape (3, T, H, W).

    Convolutions, linear layers and the two products of attention are counted; norms, activations,
    pooling, resizing and biases are not. One multiply-accumulate is two FLOPs: the "GFLOPs" that
    vision papers print are these, over 1e9.

    Nothing is computed: shapes alone are passed on (torch's meta device). A function may join
    models, a resize and a student for instance, if these stand on the meta device.
    """
    clip = torch.empty(1, *clip_shape, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        if isinstance(model, nn.Module):
            # shadows of the tensors: neither the weights nor batch-norm statistics are touched
            tensors = chain(model.named_parameters(), model.named_buffers())
            functional_call(model, {name: t.to("meta") for name, t in tensors}, (clip,))
        else:
            model(clip)
    return counter.get_total_flops() // 2


def cost(
    name: str, classes: int, clip_shape: tuple[int, int, int, int], **options: object
) -> dict[str, float]:
    """Parameters and giga multiply-accumulates (`gmacs`) of a model by name, one clip in eval mode.

    The arguments are those of `kdlib.models.build`, clip_shape is (3, T, H, W). No weight is
    allocated, however large the model.
    """
    with torch.device("meta"):
        model = models.build(name, classes, **options).eval()
    return {"parameters": parameters(model), "gmacs": macs(model, clip_shape) / 1e9}


@torch.inference_mode()
def frames_per_second(
    name: str,
    classes: int,
    clip_shape: tuple[int, int, int, int],
    *,
    seconds: float = 0.3,
    **options: object,
) -> float:
    """Frames a second that a model classifies on this CPU, one clip at a time, untrained.

    The arguments are those of `cost`. Whole clips are timed until `seconds` are over, one at least,
    after one small clip that is not.
    """
    model = models.build(name, classes, **options).eval()
    channels, frames, height, width = clip_shape
    model(torch.zeros(1, channels, frames, min(height, 64), min(width, 64)))
    clip, count, started = torch.zeros(1, *clip_shape), 0, time.perf_counter()
    while not count or time.perf_counter() - started < seconds:
        model(clip)
        count += 1
    return frames * count / (time.perf_counter() - started)
