"""What SAKD's released script does in place of its paper's selection and strength.

https://github.com/mlvccn/SAKD_ActionRec, ucf101_slowfast_ac.py at ef305ce. Reproduced here:

* difficulty and selection are of whole mini-batches, the last of which is left out of the kernel;
* the loss is added to the kernel's diagonal, without gamma, and favours difficult ones;
* batches are drawn by chance, one after another; a drawn one is deleted from the kernel, but not
  from the list of batches, so that batches come out twice;
* strength is written for the samples of the last batch alone, and grows with the loss.
"""

import torch
from torch import Tensor


def batch_means(values: Tensor, size: int) -> Tensor:
    """Means (N // size,) of mini-batches in order; what does not fill one is left out."""
    return values[: len(values) // size * size].unflatten(0, (-1, size)).mean(1)


def draw_batches(features: Tensor, losses: Tensor, count: int) -> Tensor:
    """Indices int64 (count,) of mini-batches, some maybe twice.

    features: (n, D), flattened over the samples of each. losses: (n,), scaled to 0..1.
    """
    features, losses = features[:-1].double(), losses[:-1].double()
    rows = torch.nn.functional.normalize(features, dim=1)
    kernel = rows @ rows.T + torch.diag(losses) + 1e-6 * torch.eye(len(rows), dtype=rows.dtype)
    # Row sums of squares of this factor are the kernel's diagonal: no diversity in the first draw.
    factor = torch.linalg.cholesky(kernel)
    drawn = []
    for _ in range(min(count, len(rows))):
        place = int(torch.multinomial(factor.square().sum(1), 1))
        drawn.append(place)
        kept = torch.arange(len(factor)) != place
        factor = factor[kept][:, kept]
    return torch.tensor(drawn)
