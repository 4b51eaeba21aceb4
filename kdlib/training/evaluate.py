"""What a method makes of a split, as at test time, and how its task judges that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdlib.clips.batches import ClipSource, ordered_batches
from kdlib.clips.datasets import DatasetSource
from kdlib.errors import UserError
from kdlib.methods.base import Method


@dataclass(frozen=True)
class Outputs:
    """values: (N, views, ...), on the CPU. truth: what they are held against, (N, views, ...)."""

    values: Tensor
    truth: dict[str, Tensor]


@torch.inference_mode()
def predict(
    method: Method, source: ClipSource | DatasetSource, *, device: str = "cpu"
) -> Outputs | None:
    """The outputs for every video's test clips, in float32; the method's mode is put back.

    None where the method predicts nothing.
    """
    was_training = method.training
    method.eval()
    values, truths = [], []
    for batch in ordered_batches(source, torch.device(device)):
        output = method.predict(batch)
        if output is None:
            break
        values.append(output.float().cpu())
        truths.append({name: t.cpu() for name, t in method.task.truth(batch).items()})
    method.train(was_training)
    if not values:
        return None
    by_view = (-1, source.sampling.views)
    truth = {name: torch.cat([t[name] for t in truths]).unflatten(0, by_view) for name in truths[0]}
    return Outputs(torch.cat(values).unflatten(0, by_view), truth)


def judged(
    method: Method, source: ClipSource | DatasetSource, *, device: str = "cpu"
) -> dict[str, Any]:
    """What the task says of the method on a split; `score` is higher for better.

    Of a method that predicts nothing, `score` is minus its own loss.
    """
    outputs = predict(method, source, device=device)
    if outputs is None:
        return {"score": -validation_loss(method, source, device=device)}
    return method.task.judge(outputs.values, outputs.truth)


def predict_together(
    methods: Sequence[Method], source: ClipSource, *, device: str = "cpu"
) -> Outputs:
    """The outputs of several classifiers as one: the logarithms of their mean probabilities.

    Of a network of pixels and one of flow, both known to the source, these are the two streams of
    Simonyan and Zisserman (2014), averaged. UserError for a method that predicts nothing.
    """
    found = [predict(method, source, device=device) for method in methods]
    outputs = [one for one in found if one is not None]
    if len(outputs) < len(found) or not found:
        raise UserError("methods: one or more, of which each predicts classes")
    probabilities = torch.stack([one.values.softmax(-1) for one in outputs]).mean(0)
    # A judge takes logits; the softmax of these gives the probabilities back.
    return Outputs(probabilities.log(), outputs[0].truth)


@torch.inference_mode()
def validation_loss(
    method: Method, source: ClipSource | DatasetSource, *, device: str = "cpu"
) -> float:
    """The mean loss of a method's step over a split in eval mode, the same draws at every call."""
    was_training = method.training
    method.eval()
    total, count = torch.zeros((), device=device), 0
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        for batch in ordered_batches(source, torch.device(device)):
            total += method.step(batch, 0).loss.float() * len(batch.clips)
            count += len(batch.clips)
    method.train(was_training)
    return float(total) / count
