"""Optical flow of clips by total variation and an L1 data term, many pairs at once, on any device.

The energy is TV-L1's (Zach et al. 2007): the total variation of the flow u plus LAMBDA times the
absolute violation of brightness constancy, linearised round the flow so far. It is minimised from
coarse to fine by the first-order primal-dual method (Chambolle and Pock 2011, section 6.3), a fixed
number of times, so that equal clips have equal flow. The gradient is the mean of both frames'
(Wedel et al. 2009), and the violation is divided by it: it is then a distance in pixels, whatever
the contrast (Zimmer et al. 2011). Constants were chosen on generated and synthetic clips of 32 to
112 pixels; a median of the flow before each warp, as others have it, changed little.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

VERSION = 1  # of what comes out; flows that are kept are made again where it changes
MOST = 20.0  # pixels a frame, to either side
LAMBDA = 1.2  # a pixel's distance over the flow's total variation
NOISE = 0.015  # gradients below it, of brightness from 0 to 1 a pixel, count for little
WARPS, ITERATIONS = 5, 20  # at each size
SMALLEST = 8  # side in pixels of the coarsest frames
_BLUR = 0.6  # standard deviation in pixels
_STEP = 8**-0.5  # of both variables: their product times 8, a bound of the gradient's norm, is 1
_LUMA = (0.299, 0.587, 0.114)
# Pixels computed at once: a core's cache holds them, and a GPU has enough to do.
_AT_ONCE, _AT_ONCE_GPU = 1 << 17, 1 << 24


@torch.no_grad()
def tvl1(frames: Tensor) -> Tensor:
    """The flow float32 (..., T - 1, 2, H, W) of clips uint8 (..., T, H, W, 3), on their device.

    x, then y, in pixels from each frame to the next, cut at 20 to either side. What leaves the
    frame has its neighbours' flow. Raises ValueError for other types and shapes, and for clips of
    one frame.
    """
    if frames.dtype != torch.uint8 or frames.ndim < 4 or frames.shape[-1] != 3:
        raise ValueError(
            f"frames must be uint8 (..., T, H, W, 3), not {frames.dtype} {tuple(frames.shape)}"
        )
    *clips, count, height, width, _ = frames.shape
    if count < 2:
        raise ValueError("flow is between frames: a clip needs two or more")
    luma = torch.tensor(_LUMA, device=frames.device) / 255
    at_once = max((_AT_ONCE_GPU if frames.is_cuda else _AT_ONCE) // (height * width), 1)
    first, second = frames[..., :-1, :, :, :], frames[..., 1:, :, :, :]
    pairs = (images.reshape(-1, height, width, 3).split(at_once) for images in (first, second))
    flows = [
        _coarse_to_fine(*(_blurred(images.float() @ luma) for images in pair))
        for pair in zip(*pairs, strict=True)
    ]
    flow = torch.cat(flows).clamp_(-MOST, MOST)
    return flow.view(*clips, count - 1, 2, height, width)


def _blurred(images: Tensor) -> Tensor:
    """Images (N, H, W) with less noise."""
    place = torch.arange(-2.0, 3.0, device=images.device)
    kernel = torch.exp(-place.square() / (2 * _BLUR**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    padded = F.pad(images[:, None], (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3))[:, 0]


def _coarse_to_fine(first: Tensor, second: Tensor) -> Tensor:
    """The flow (N, 2, H, W) between images (N, H, W)."""
    pair, pyramid = torch.stack([first, second]), []
    size = list(first.shape[1:])
    while True:
        pyramid.append(pair)
        size = [(side + 1) // 2 for side in size]
        if min(size) < SMALLEST:
            break
        pair = F.interpolate(pair, size, mode="bilinear", antialias=True)
    flow = first.new_zeros(2, *pyramid[-1].shape[1:])
    for pair in reversed(pyramid):
        height, width = pair.shape[2:]
        scale = torch.tensor([width / flow.shape[3], height / flow.shape[2]], device=flow.device)
        flow = F.interpolate(flow, (height, width), mode="bilinear") * scale[:, None, None, None]
        flow = _refined(pair[0], pair[1], flow)
    return flow.transpose(0, 1)


def _refined(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """The flow (2, N, h, w) that is better at the size of these images (N, h, w)."""
    own = _gradient(first)
    dual = flow.new_zeros(2, *flow.shape)  # along x and y, of each component of the flow
    for _ in range(WARPS):
        warped, inside = _warped(second, flow)
        slope = (_gradient(warped) + own) / 2 * inside
        weight = (slope.square().sum(0) + NOISE**2).rsqrt()
        slope = slope * weight
        # The violation is  constant + slope . flow.
        constant = (warped - first) * inside * weight - (slope * flow).sum(0)
        flow = _primal_dual(flow, dual, slope, constant)
    return flow


def _primal_dual(flow: Tensor, dual: Tensor, slope: Tensor, constant: Tensor) -> Tensor:
    """Iterations from this flow (2, N, h, w); the dual variable is changed in place."""
    share = -1 / slope.square().sum(0).clamp_min(1e-9)
    ahead, change = flow, torch.zeros_like(dual)
    for _ in range(ITERATIONS):
        # Beyond the last column and row the change stays 0.
        torch.sub(ahead[..., 1:], ahead[..., :-1], out=change[0][..., :-1])
        torch.sub(ahead[..., 1:, :], ahead[..., :-1, :], out=change[1][..., :-1, :])
        dual.add_(change, alpha=_STEP)
        dual.div_(dual.square().sum(0).sqrt_().clamp_min_(1))
        divergence = dual[0] + dual[1]
        divergence[..., 1:] -= dual[0][..., :-1]
        divergence[..., 1:, :] -= dual[1][..., :-1, :]
        new = flow.add(divergence, alpha=_STEP)
        violation = constant.addcmul(slope[0], new[0]).addcmul_(slope[1], new[1])
        new.addcmul_(slope, violation.mul_(share).clamp_(-LAMBDA * _STEP, LAMBDA * _STEP))
        ahead, flow = new.mul(2).sub_(flow), new
    return flow


def _warped(images: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Images (N, h, w) at the places that the flow (2, N, h, w) leads to, and which lie inside."""
    _, height, width = images.shape
    columns = torch.arange(width, device=flow.device) + flow[0]
    rows = torch.arange(height, device=flow.device)[:, None] + flow[1]
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)
    warped = F.grid_sample(
        images[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return warped[:, 0], inside


def _gradient(images: Tensor) -> Tensor:
    """The derivatives (2, N, h, w) of images (N, h, w) along x and y, of five places each."""
    padded = F.pad(images[:, None], (2, 2, 2, 2), mode="replicate")[:, 0]
    along_x, along_y = padded[:, 2:-2], padded[..., 2:-2].transpose(1, 2)

    def derivative(lines: Tensor) -> Tensor:
        near = lines[..., 3:-1] - lines[..., 1:-3]
        return (8 * near - (lines[..., 4:] - lines[..., :-4])) / 12

    return torch.stack([derivative(along_x), derivative(along_y).transpose(1, 2)])
