"""What each actor of a clip does: a head that pools the map inside boxes, and frame mAP.

Boxes are given, those of the clip's middle frame; a detector of one's own may fill them in.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.analysis.detection import Detections, TrueBoxes, frame_map
from kdlib.clips.batches import Batch
from kdlib.clips.seen import seen_by

KNOWN: tuple[str, ...] = ("boxes",)
SCORE = "frame mAP %"


class BoxHead(nn.Module):
    """RoIAlign on the map's mean over time, the largest value in each box, norm, a linear layer.

    The norm is for transformers, whose maps no norm has made alike.
    """

    def __init__(self, channels: int, classes: int, bins: int = 4) -> None:
        super().__init__()
        self.bins = bins
        self.norm = nn.LayerNorm(channels)
        self.fc = nn.Linear(channels, classes)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Logits (B, A, K) of a map (B, C, T', h, w), boxes (B, A, 4) in its pixels."""
        from torchvision.ops import roi_align  # seconds to import

        clip = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
        rows = torch.cat([clip.repeat_interleave(boxes.shape[1])[:, None], boxes.flatten(0, 1)], 1)
        pooled = roi_align(features.mean(2), rows, self.bins, aligned=True).amax((2, 3))
        return self.fc(self.norm(pooled)).unflatten(0, boxes.shape[:2])


def head(channels: int, classes: int) -> nn.Module:
    """A head that takes boxes beside the map."""
    return BoxHead(channels, classes)


def answer(model: Any, batch: Batch) -> Tensor:
    """Logits (B, A, K) of the actors in the known boxes."""
    features = model.features(seen_by(model, batch))
    scale = features.shape[-1] / batch.clips.shape[-1]
    return model.head(features, batch.known["boxes"] * scale)


def loss(output: Tensor, batch: Batch) -> Tensor:
    """The mean over the actors of a clip of their cross-entropy, (B,); 0 of a clip without any.

    Labels (B, A) hold one class an actor, -1 for none; labels (B, A, K) several, and then it is the
    sum over classes of the binary cross-entropy.
    """
    labels, there = batch.required_labels, present(batch)
    if labels.ndim == 2:
        each = F.cross_entropy(output.transpose(1, 2), labels.clamp_min(0), reduction="none")
    else:
        targets = labels.to(output.dtype)
        each = F.binary_cross_entropy_with_logits(output, targets, reduction="none").sum(2)
    return (each * there).sum(1) / there.sum(1).clamp_min(1)


def present(batch: Batch) -> Tensor:
    """Which actors (B, A) there are, with a box that is seen and a label."""
    boxes, labels = batch.known["boxes"], batch.required_labels
    labelled = labels >= 0 if labels.ndim == 2 else labels.any(2)
    return labelled & (boxes[..., 2:] > boxes[..., :2]).all(-1)


def truth(batch: Batch) -> dict[str, Tensor]:
    """Boxes (B, A, 4), labels, and which actors there are (B, A)."""
    boxes, labels = batch.known["boxes"], batch.required_labels
    return {"boxes": boxes, "labels": labels, "there": present(batch)}


def judge(outputs: Tensor, truth: dict[str, Tensor]) -> dict[str, Any]:
    """`score` is frame mAP at IoU 0.5, the probabilities of a video's views averaged.

    outputs: (N, views, A, K). Of labels with one class an actor also `actor_top1`.
    """
    labels, there, boxes = (truth[name][:, 0] for name in ("labels", "there", "boxes"))
    single = labels.ndim == 2
    scores = (outputs.softmax(-1) if single else outputs.sigmoid()).mean(1)
    image, actor = there.nonzero(as_tuple=True)
    scores, boxes, labels = scores[image, actor], boxes[image, actor], labels[image, actor]
    hot = F.one_hot(labels, scores.shape[1]) if single else labels
    row, kind = hot.nonzero(as_tuple=True)
    true = TrueBoxes(image[row].numpy(), boxes[row].numpy(), kind.numpy())
    classes = scores.shape[1]
    every = torch.arange(len(scores)).repeat_interleave(classes)
    found = Detections(
        image[every].numpy(),
        boxes[every].numpy(),
        torch.arange(classes).repeat(len(scores)).numpy(),
        scores.flatten().numpy(),
    )
    judged = {"score": frame_map(found, true)}
    if single:
        judged["actor_top1"] = float((scores.argmax(1) == labels).float().mean())
    return judged


def keep(outputs: Tensor) -> dict[str, np.ndarray]:
    """The logits as float16."""
    return {"logits": outputs.to(torch.float16).numpy()}
