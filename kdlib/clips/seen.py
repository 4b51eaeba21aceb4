"""What a network looks at of a batch: its clips, or the flow that is known of them."""

import torch
from torch import Tensor

from kdlib.clips.batches import Batch
from kdlib.errors import UserError

MOST = 20.0  # pixels a frame


def seen_by(network: object, batch: Batch) -> Tensor:
    """The input (B, C, T, H, W) of a network, as its attribute `sees` says; the clips without one.

    UserError if it sees flow and the batch does not know it.
    """
    sees = getattr(network, "sees", "pixels")
    if sees == "pixels":
        return batch.clips
    if "flow" not in batch.known:
        raise UserError('data.known: a network sees the "flow" of each clip; add it')
    return flow_clips(batch.known["flow"], magnitude=sees == "flow and magnitude")


def flow_clips(flow: Tensor, *, magnitude: bool) -> Tensor:
    """Flow (B, T - 1, 2, H, W) in pixels a frame as clips (B, 2, T, H, W), or (B, 3, T, H, W).

    x and y are cut at 20 pixels to either side and divided by 20, as for the temporal stream of I3D
    (Carreira and Zisserman 2017, released code). The last flow is shown twice, so that there are as
    many as frames. magnitude: the length of the two as third channel, 0 to the root of 2; D3D's
    supplement speaks of three channels and does not say what the third is.
    """
    return channels_of(flow.clamp(-MOST, MOST) / MOST, magnitude=magnitude)


def channels_of(flow: Tensor, *, magnitude: bool) -> Tensor:
    """Flow (B, T - 1, 2, H, W) as a map (B, 2, T, H, W), the last one twice; 3 with its length."""
    shown = torch.cat([flow, flow[:, -1:]], 1).transpose(1, 2)
    if magnitude:
        shown = torch.cat([shown, shown.square().sum(1, keepdim=True).sqrt()], 1)
    return shown
