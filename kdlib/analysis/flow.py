"""How far an optical flow is from the true one."""

import torch

from kdlib.analysis.metrics import Array


def end_point_error(predicted: Array, true: Array, valid: Array | None = None) -> float:
    """Mean Euclidean distance in pixels between flows (..., 2, H, W), x then y.

    valid: (..., H, W), true or above 0 where the flow is known; elsewhere it counts for nothing,
    whatever it holds. All pixels by default.
    Raises ValueError for shapes that do not match, NaN in a valid pixel and if none is valid.
    """
    one, other = (torch.as_tensor(flow).detach().cpu().double() for flow in (predicted, true))
    if one.shape != other.shape or one.ndim < 3 or one.shape[-3] != 2:
        shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
        raise ValueError(f"flows must both be (..., 2, H, W), not {shapes}")
    distance = (one - other).square().sum(-3).sqrt()
    if valid is not None:
        chosen = torch.as_tensor(valid).cpu() > 0
        if chosen.shape != distance.shape:
            raise ValueError(f"valid must be {tuple(distance.shape)}, not {tuple(chosen.shape)}")
        distance = distance[chosen]
    if not distance.numel():
        raise ValueError("no valid pixel")
    if distance.isnan().any():
        raise ValueError("NaN among the valid pixels: the run has diverged")
    return float(distance.mean())
