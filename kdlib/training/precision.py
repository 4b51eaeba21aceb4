"""Whether a device is there, and computes right in bfloat16."""

import torch
from torch.nn import functional as F

from kdlib.errors import UserError, unknown


def check_device(device: str, named: str = "device") -> None:
    """UserError, under the name that the user knows it by, unless torch can train on it here."""
    if device not in ("cpu", "cuda"):
        raise unknown(named, device, ("cpu", "cuda"))
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{named}: no CUDA device is visible to torch; use {named}=cpu")


def check_bfloat16(device: str) -> None:
    """UserError where large 3-D convolutions in bfloat16 are wrong.

    Some cuDNN 9.10 builds silently return such (pytorch issue 163539). A CPU has no cuDNN, and one
    without bfloat16 of its own would be minutes at it.
    """
    error = bfloat16_error(device, size=56) if device == "cuda" else 0.0
    if not error < 0.02:
        raise UserError(
            f"precision: bfloat16 convolutions are wrong on this {device} by {error:.0%} "
            "(a known fault of some cuDNN builds); use 32-true"
        )


def bfloat16_error(device: str, size: int) -> float:
    """How far one convolution of clips (4, 64, 8, size, size) is from float32, as a share of it."""
    draw = torch.Generator().manual_seed(0)
    clips = torch.randn(4, 64, 8, size, size, generator=draw).to(device)
    kernel = torch.randn(64, 64, 3, 3, 3, generator=draw).to(device) / 42  # sqrt of its fan-in
    exact = F.conv3d(clips, kernel, padding=1)
    rounded = F.conv3d(clips.bfloat16(), kernel.bfloat16(), padding=1).float()
    return float((rounded - exact).norm() / exact.norm())
