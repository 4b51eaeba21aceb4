"""Logits of a method on a split, as at test time."""

import torch
from torch import Tensor

from kdlib.clips.batches import ClipSource, test_clips
from kdlib.methods.base import Method


@torch.inference_mode()
def predict(
    method: Method, source: ClipSource, *, batch_size: int = 64, device: str = "cpu"
) -> Tensor:
    """Logits float32 (N, views, K) of every video's test clips; the method's mode is put back."""
    was_training = method.training
    method.eval()
    logits = [
        method.predict(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]).float().cpu()
        for _, clips in test_clips(source, batch_size, torch.device(device))
    ]
    method.train(was_training)
    return torch.cat(logits)
