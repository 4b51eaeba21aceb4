"""Networks and clips for the tests of CKA, and its plain formula."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn


def hsic(k, ell):
    """Unbiased HSIC of two Gram matrices (n, n), as METHODS and Nguyen et al. print it."""
    n, ones = len(k), np.ones(len(k))
    k, ell = (matrix - np.diag(np.diag(matrix)) for matrix in (k, ell))
    return (
        np.trace(k @ ell)
        + (ones @ k @ ones) * (ones @ ell @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ ell @ ones)
    ) / (n * (n - 3))


def plain_map(rows, columns):
    """CKA (L1, L2) of features: for each network, batches of features by layer."""

    def gram(features):
        flat = features.detach().double().flatten(1).numpy()
        return flat @ flat.T

    pairs = [
        ([gram(f) for f in one], [gram(f) for f in other])
        for one, other in zip(rows, columns, strict=True)
    ]
    cross = np.mean([[[hsic(k, m) for m in other] for k in one] for one, other in pairs], 0)
    own = np.mean([[hsic(k, k) for k in one] for one, _ in pairs], 0)
    others = np.mean([[hsic(m, m) for m in other] for _, other in pairs], 0)
    return cross / np.sqrt(np.outer(own, others))


def network(seed, width=6, layers=3):
    torch.manual_seed(seed)
    parts, inside = [], 3
    for _ in range(layers):
        parts += [nn.Conv3d(inside, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU()]
        inside = width
    made = nn.Sequential(*parts)
    for part in made:
        if isinstance(part, nn.BatchNorm3d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    return made.eval()


def clips(count, seed=0):
    return torch.randn(count, 3, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def features(net, batch, names):
    """What each layer gives, one after another by hand."""
    found, maps = {}, batch
    for name, part in net.named_children():
        maps = found[name] = part(maps)
    return [found[name] for name in names]


def drawn(count, seed=0):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


class Parts(nn.Module):
    """Identity layers by name, each of which shows its own function of the clips."""

    def __init__(self, **functions):
        super().__init__()
        self.functions = functions
        for name in functions:
            self.add_module(name, nn.Identity())

    def forward(self, clips):
        for name, function in self.functions.items():
            getattr(self, name)(function(clips))
        return clips


def indexed(tensor, indices):
    return SimpleNamespace(clips=tensor, indices=torch.as_tensor(indices))
