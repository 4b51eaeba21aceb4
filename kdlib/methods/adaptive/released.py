"""What SAKD's released script does in place of its paper's selection and strength.

https://github.com/mlvccn/SAKD_ActionRec, ucf101_slowfast_ac.py at ef305ce. Reproduced here:

* difficulty and selection are of whole mini-batches, put together anew at every evaluation, the
  last of which is left out of the kernel;
* the loss is added to the kernel's diagonal, without gamma, and favours difficult ones;
* batches are drawn by chance, one after another; a drawn one is deleted from the kernel, but not
  from the list of batches, so that batches come out twice;
* strength grows with the loss, and is written for the samples of the last batch alone, for the
  loss of every batch in turn.

The book's page on SAKD lists all thirteen departures, and which are not reproduced.
"""

import torch
from torch import Tensor


def mini_batches(samples: int, size: int) -> Tensor:
    """Samples int64 (samples // size, size) in random order; what does not fill one is left out."""
    return torch.randperm(samples)[: samples // size * size].unflatten(0, (-1, size))


def strengthened(old: Tensor, losses: Tensor, rate: float, history: float, first: bool) -> Tensor:
    """The strengths (B,) of the last mini-batch's samples after the losses (n,) of all batches.

    At the first evaluation each overwrites the one before; later each is mixed into it.
    """
    if first:
        return losses[-1].expand(old.shape)
    for loss in losses:
        old = history * old + (1 - history) * rate * loss
    return old


def draw_batches(features: Tensor, losses: Tensor, count: int) -> Tensor:
    """Indices int64 of `count` mini-batches, some maybe twice.

    features: (n, D), flattened over the samples of each. losses: (n,), scaled to 0..1. Fewer come
    out where none has a probability left, at which the script would stop with an error.
    """
    features, losses = features[:-1].double(), losses[:-1].double()
    rows = torch.nn.functional.normalize(features, dim=1)
    kernel = rows @ rows.T + torch.diag(losses) + 1e-6 * torch.eye(len(rows), dtype=rows.dtype)
    # Row sums of squares of this factor are the kernel's diagonal: no diversity in the first draw.
    factor = torch.linalg.cholesky(kernel)
    drawn: list[int] = []
    barred: list[int] = []  # places that are meant to be those drawn, and after a deletion are not
    for _ in range(count):
        weights = factor.square().sum(1)
        weights[barred] = 0
        if not weights.any():
            break
        place = int(torch.multinomial(weights, 1))
        drawn.append(place)
        barred.append(place)
        if len(barred) < len(factor):
            kept = torch.arange(len(factor)) != place
            factor = factor[kept][:, kept]
            # The place itself becomes the one before it; of the first that is the last, -1.
            barred = [other if other < place else other - 1 for other in barred]
    return torch.tensor(drawn)
