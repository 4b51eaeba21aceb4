"""What a real data set never knows: the exact flow, boxes and visibility of every clip."""

import numpy as np
import torch
from torch import Tensor

from kdlib.data.generated.latents import Objects, Scene
from kdlib.data.generated.paint import POST_PARALLAX


def flow(objects: Objects, scene: Scene, layers: Tensor) -> Tensor:
    """Flow float32 (N, T-1, 2, H, W), pixels a frame, x then y: where each pixel's surface goes.

    layers: uint8 (N, T, H, W), the topmost layer at every pixel.
    """
    count, frames, height, width = layers.shape
    step = torch.from_numpy(np.diff(scene.pan, axis=1).astype(np.float32))[..., None, None]
    result = step.expand(count, frames - 1, 2, height, width).clone()
    result = torch.where((layers[:, :-1] == 255)[:, :, None], POST_PARALLAX * step, result)
    pixel = np.arange(width) + 0.5
    for a in range(objects.radius.shape[1]):
        here, there = objects.centre[:, a, :-1], objects.centre[:, a, 1:]
        growth = objects.radius[:, a, 1:] / objects.radius[:, a, :-1]
        turn = np.diff(objects.angle[:, a], axis=1)
        along, across = growth * np.cos(turn) - 1, growth * np.sin(turn)
        dx, dy = pixel - here[..., :1], pixel - here[..., 1:]  # (N, T-1, W), (N, T-1, H)
        move = (there - here)[..., None]
        x = _outer(along[..., None] * dx + move[:, :, 0], -across[..., None] * dy)
        y = _outer(across[..., None] * dx + move[:, :, 1], along[..., None] * dy)
        own = (layers[:, :-1] == 1 + a)[:, :, None]
        result = torch.where(own, torch.stack([x, y], 2), result)
    return result


def _outer(columns: np.ndarray, rows: np.ndarray) -> Tensor:
    across = torch.from_numpy(columns.astype(np.float32)).unsqueeze(2)
    return across + torch.from_numpy(rows.astype(np.float32)).unsqueeze(3)


def boxes(objects: Objects, count: int, size: int) -> np.ndarray:
    """Float32 (N, T, count, 4) x1 y1 x2 y2 in pixels of the labelled objects, clipped to the frame.

    All zero where there is no object. Pixel i covers [i, i + 1).
    """
    azimuth = np.arange(96) * (2 * np.pi / 96)
    outline = objects.outline[:, :count]
    power = np.cos(azimuth)[None] ** np.arange(outline.shape[-1])[:, None]
    radius = outline @ power  # (N, A, 96)
    heading = azimuth + objects.angle[:, :count, :, None]  # clockwise from up
    scale = objects.radius[:, :count, :, None] * radius[:, :, None]
    x = objects.centre[:, :count, :, :1] + scale * np.sin(heading)
    y = objects.centre[:, :count, :, 1:] - scale * np.cos(heading)
    edges = np.stack([x.min(-1), y.min(-1), x.max(-1), y.max(-1)], -1).clip(0, size)
    edges *= objects.present[:, :count, None, None]
    return np.ascontiguousarray(edges.transpose(0, 2, 1, 3), np.float32)
