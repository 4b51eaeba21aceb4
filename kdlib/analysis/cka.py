"""Centred kernel alignment (CKA): do two layers find the same clips alike?"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from kdlib.analysis.activations import Gram, layer_grams
from kdlib.errors import UserError, unknown

T = TypeVar("T")
Pair = tuple[T, T]  # of the network of the rows and that of the columns

SMALLEST = 4  # clips that the unbiased estimate needs

# Of the trace, what rounding may leave of a U-centred Gram matrix that is 0: where all clips are
# equally far from each other, as one-hot features are.
EQUAL = 1e-6


class Batch(Protocol):
    """What is read of a `kdlib.clips.batches.Batch`."""

    @property
    def clips(self) -> Tensor:
        """(B, ...), what a network takes."""

    @property
    def indices(self) -> Tensor:
        """(B,), the video that each clip is of."""


def _itself(values: np.ndarray) -> np.ndarray:
    return values


@dataclass(frozen=True)
class CKAMap:
    """CKA of every layer of one network (rows, L1) with every layer of another (columns, L2).

    names: of the layers; "" is the whole network.
    cross: float64 (batches, L1, L2), the HSIC of each pair in each batch.
    own: float64 (batches, L1) and (batches, L2), that of each layer with itself.
    left_out: modules that never ran or gave no features, where all were asked for.
    """

    names: Pair[tuple[str, ...]]
    cross: np.ndarray
    own: Pair[np.ndarray]
    left_out: Pair[tuple[str, ...]]

    @property
    def values(self) -> np.ndarray:
        """(L1, L2), in [-1, 1]; an unbiased estimate of next to nothing may be negative.

        NaN for layers that are `undefined`.
        """
        return self._values(np.full(len(self.cross), 1 / len(self.cross)))

    @property
    def undefined(self) -> Pair[tuple[str, ...]]:
        """Layers that tell no clips apart in any batch: their CKA is 0 / 0."""
        one, other = (
            tuple(name for place, name in enumerate(names) if not own[:, place].any())
            for names, own in zip(self.names, self.own, strict=True)
        )
        return one, other

    def to_frame(self) -> pd.DataFrame:
        """`values` under the names of the layers."""
        rows, columns = self.names
        return pd.DataFrame(self.values, list(rows), list(columns))

    def interval(
        self,
        statistic: Callable[[np.ndarray], np.ndarray | float] = _itself,
        *,
        level: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Pair[np.ndarray]:
        """The low and the high end of a bootstrap interval over batches, of each cell by default.

        statistic: of a map (L1, L2), such as `kdlib.analysis.blocks.block_structure`.

        It says how far other clips would move the map, not other trainings. Expanded percentiles
        (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4.1.2): with few
        batches plain ones are too narrow. Infinite for a single batch; NaN where the map is.
        """
        count = len(self.cross)
        if count < 2:
            unknown_end = np.where(np.isnan(statistic(self.values)), np.nan, np.inf)
            return -unknown_end, unknown_end
        draws = np.random.default_rng(seed).multinomial(count, [1 / count] * count, resamples)
        found = np.stack([statistic(self._values(weights)) for weights in draws / count])
        tail = stats.t.ppf((1 - level) / 2, count - 1) * np.sqrt(count / (count - 1))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
            low, high = np.nanquantile(found, stats.norm.cdf([tail, -tail]), axis=0)
        return low, high

    def _values(self, weights: np.ndarray) -> np.ndarray:
        """Of batches with these weights (batches,), which sum to 1."""
        one, other = (weights @ own for own in self.own)
        scale = np.sqrt(one[:, None] * other)
        cross = np.tensordot(weights, self.cross, axes=1)
        return np.divide(cross, scale, out=np.full_like(cross, np.nan), where=scale > 0)


def cka_map(
    one: nn.Module,
    other: nn.Module,
    batches: Iterable[Batch | Tensor],
    *,
    layers: Sequence[str] | None = None,
    other_layers: Sequence[str] | None = None,
    other_batches: Iterable[Batch] | None = None,
) -> CKAMap:
    """Minibatch CKA with a linear kernel between layers of two networks, or of one and itself.

    With K and L the Gram matrices of two layers in a batch of n clips, diagonals set to 0,

        HSIC(K, L) = [tr(KL) + (1'K1)(1'L1) / ((n-1)(n-2)) - 2 (1'KL1) / (n-2)] / (n (n-3))
        CKA = mean HSIC(K, L) / sqrt(mean HSIC(K, K) * mean HSIC(L, L)),  means over batches.

    The estimate of HSIC is unbiased, so the map does not depend on the size of the batches but for
    noise (Nguyen, Raghu and Kornblith 2021, "Do Wide and Deep Networks Learn the Same Things?",
    section 2; Song et al. 2012). Nothing is clamped. Errors against float64 are below 1e-6.

    batches: what the networks take, on their device, each of 4 clips or more; both networks see the
        same batch, and one that is compared with itself runs once.
    layers, other_layers: dotted names of modules, in the order of the map. None: all modules, in
        the order in which they are done, containers behind what they contain; in a map of one
        network with itself, the columns then are as the rows.
    other_batches: where the second network takes other clips of the same videos, say larger ones.

    `activations.layer_grams` says what the features of a module are. UserError for layers that do
    not exist, never run or give no features, batches under 4, two sources whose videos or order
    differ, and features that are not finite. A warning names layers that tell no clips apart.
    """
    if other is one and other_layers is None:
        other_layers = layers
    shared = other is one and other_batches is None
    asked = _asked("layers", one, layers), _asked("other_layers", other, other_layers)
    names: Pair[tuple[str, ...]] | None = None
    found = []
    for clips, other_clips in _clips(batches, other_batches):
        if shared:
            first = second = layer_grams(one, clips, dict.fromkeys([*asked[0], *asked[1]]))
        else:
            first = layer_grams(one, clips, asked[0])
            second = layer_grams(other, other_clips, asked[1])
        if names is None:
            rows = layers or [name for name in first if name in asked[0]]
            columns = other_layers or [name for name in second if name in asked[1]]
            names = tuple(rows), tuple(columns)
            if not rows or not columns:
                raise UserError("cka: no module gives a floating-point tensor with a row a clip")
        u = _u_centred("layers", first, names[0])
        same = shared and names[0] == names[1]
        v = u if same else _u_centred("other_layers", second, names[1])
        scale = len(clips) * (len(clips) - 3)
        found.append((u @ v.T / scale, u.square().sum(1) / scale, v.square().sum(1) / scale))
    if names is None:
        raise UserError("cka.batches: there is none")
    cross, *own = (torch.stack(each).cpu().numpy() for each in zip(*found, strict=True))
    for layer_names, values in zip(names, own, strict=True):
        for place in np.flatnonzero(~np.isfinite(values).all(0)):
            raise UserError(f"cka: features of {layer_names[place]!r} are not finite, or too large")
    left_out = tuple(
        tuple(name for name in all_names if name not in set(kept))
        for all_names, kept in zip(asked, names, strict=True)
    )
    result = CKAMap(names, cross, (own[0], own[1]), (left_out[0], left_out[1]))
    for dead in dict.fromkeys(result.undefined):
        if dead:
            shown = ", ".join(map(repr, dead))
            warnings.warn(f"CKA is not defined (NaN): no two clips differ in {shown}", stacklevel=2)
    return result


def _asked(field: str, network: nn.Module, layers: Sequence[str] | None) -> tuple[str, ...]:
    """The layers, or all modules."""
    every = [name for name, _ in network.named_modules()]
    if layers is None:
        return tuple(every)
    for name in layers:
        if name not in every:
            raise unknown(f"cka.{field}", name, filter(None, every))
    if not layers or len(set(layers)) < len(layers):
        raise UserError(f"cka.{field}: names of one or more modules, each once")
    return tuple(layers)


def _clips(
    batches: Iterable[Batch | Tensor], other_batches: Iterable[Batch] | None
) -> Iterator[Pair[Tensor]]:
    """What each network sees, batch by batch."""
    if other_batches is None:
        pairs: Iterable[tuple[Any, Any]] = ((batch, batch) for batch in batches)
    else:
        pairs = zip_longest(batches, other_batches)
    for number, (batch, other) in enumerate(pairs):
        if batch is None or other is None:
            raise UserError("cka.other_batches: one of the two sources has more batches")
        if other is not batch:
            _check_same_videos(number, batch, other)
        clips = _tensor(batch)
        if len(clips) < SMALLEST:
            raise UserError(
                f"cka.batches: batch {number} has {len(clips)} clips, unbiased CKA needs "
                f"{SMALLEST} or more; choose a batch size that leaves no such rest"
            )
        yield clips, _tensor(other)


def _tensor(batch: Batch | Tensor) -> Tensor:
    if isinstance(batch, Tensor):
        return batch
    if not hasattr(batch, "clips"):
        kind = type(batch).__name__
        raise UserError(f"cka.batches: tensors, or batches with clips, not {kind}")
    return batch.clips


def _check_same_videos(number: int, batch: Any, other: Any) -> None:
    for each in (batch, other):
        if isinstance(each, Tensor) or not hasattr(each, "indices"):
            raise UserError(
                "cka.other_batches: whether two sources show the same videos is known of batches "
                "with indices alone"
            )
    if not torch.equal(batch.indices.cpu(), other.indices.cpu()):
        raise UserError(
            f"cka.other_batches: batch {number} has other videos than that of the first source, "
            "or another order; networks are compared on the same videos, in one order"
        )


def _u_centred(field: str, grams: Mapping[str, Gram], names: Sequence[str]) -> Tensor:
    """U-centred Gram matrices (L, n * n): n (n - 3) HSIC is their inner product.

    Off the diagonal, which is 0, all rows and columns sum to 0 (Szekely and Rizzo 2014). All 0
    for a layer that tells no clips apart.
    """
    for name in names:
        if name not in grams:
            raise UserError(
                f"cka.{field}: the module {name!r} never runs, or gives no floating-point tensor "
                "with a row a clip"
            )
    matrices, floors = (torch.stack(each) for each in zip(*map(grams.get, names), strict=True))
    n = matrices.shape[1]
    diagonal = matrices.diagonal(dim1=1, dim2=2)
    trace = diagonal.sum(1)
    diagonal.zero_()
    sums = matrices.sum(2)
    matrices -= (sums[:, :, None] + sums[:, None, :]) / (n - 2)
    matrices += sums.sum(1)[:, None, None] / ((n - 1) * (n - 2))
    diagonal.zero_()
    flat = matrices.flatten(1)
    same = trace.isfinite() & ((trace <= floors) | (flat.norm(dim=1) <= EQUAL * trace))
    return torch.where(same[:, None], 0.0, flat)
