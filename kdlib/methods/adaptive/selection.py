"""Selection of samples for quality and diversity, without a kernel between all of them.

Both functions maximise, over sets S of k samples,

    (1 - diversity) * sum of quality in S  +  diversity * log det(V V' + eps I) restricted to S

for features V (N, D), by adding one sample after another. The log det, of a determinantal point
process, needs no N x N matrix: with M = (I + V_S' V_S / eps)^-1, which is D x D, sample i gains
log d_i, d_i = eps + v_i' M v_i, and adding j changes M by one outer product.

eps keeps the log det finite and submodular beyond D samples; in float32 it should be 1e-3 or more.
"""

import math

import torch
from torch import Tensor

from kdlib.errors import UserError

EPS = 1e-3
_POOL = 2048
_CHUNK = 16_384


def greedy_map(
    features: Tensor, quality: Tensor, k: int, *, diversity: float, eps: float = EPS
) -> Tensor:
    """The k samples that greedy selection takes, int64 (k,), in its order; of equals the first.

    features: (N, D); quality: (N,). Gains only fall as samples are added, so old ones are bounds:
    as long as the best of a pool beats every bound outside it, only the pool is brought up to date;
    then all N are, by one matrix product. About 2 N D k operations, and memory for V.

    Raises UserError for k outside 1..N, a diversity outside 0..1, and values that are not finite.
    """
    _check(features, quality, k, diversity)
    value = (1 - diversity) * quality
    precision = torch.eye(features.shape[1], dtype=features.dtype)
    variance = features.square().sum(1) + eps
    chosen: list[int] = []
    while len(chosen) < k:
        gains = value + diversity * variance.clamp_min(eps).log()
        pool, bound, after = _best(gains, _POOL)
        left = k - len(chosen)
        steps = _select_in(
            pool, features, value, variance, precision, bound, after, left, diversity, eps
        )
        chosen += [int(pool[place]) for place, _ in steps]
        value[chosen] = -math.inf
        block = torch.stack([step for _, step in steps], dim=1)
        for start in range(0, len(features), _CHUNK):
            rows = slice(start, start + _CHUNK)
            variance[rows] -= (features[rows] @ block).square().sum(1)
    return torch.tensor(chosen)


def _best(gains: Tensor, size: int) -> tuple[Tensor, Tensor, int]:
    """The `size` best, of equals the first: their places (size,), in order; and what is outside,
    the best gain and the first place that has it."""
    if size >= len(gains):
        return torch.arange(len(gains)), gains.new_tensor(-math.inf), len(gains)
    # The values of topk are right; of equals at their end it may have taken any.
    last = torch.topk(gains, size).values[-1]
    surely, equals = gains > last, (gains == last).nonzero()[:, 0]
    inside = surely.index_fill(0, equals[: size - int(surely.sum())], True)
    outside = gains.masked_fill(inside, -math.inf)
    after = int(outside.argmax())
    return inside.nonzero()[:, 0], outside[after], after


def _select_in(
    pool: Tensor,
    features: Tensor,
    value: Tensor,
    variance: Tensor,
    precision: Tensor,
    bound: Tensor,
    after: int,
    k: int,
    diversity: float,
    eps: float,
) -> list[tuple[int, Tensor]]:
    """Up to k steps inside a pool, as long as its best comes before the best outside, whose gain is
    at most `bound` and whose place is `after`; changes `precision`.

    Each step is the place in the pool, and the vector whose product with v_i falls out of d_i.
    """
    features, value, variance = features[pool], value[pool].clone(), variance[pool]
    steps: list[tuple[int, Tensor]] = []
    while len(steps) < k:
        gains = value + diversity * variance.clamp_min(eps).log()
        place = int(gains.argmax())  # of equals the first
        gain = gains[place]
        # The first step cannot be outside.
        outside = gain < bound or (gain == bound and pool[place] > after)
        if steps and (outside or gain == -math.inf):
            break
        step = _add(features[place], precision, eps)
        variance -= (features @ step).square()
        value[place] = -math.inf
        steps.append((place, step))
    return steps


def _add(feature: Tensor, precision: Tensor, eps: float) -> Tensor:
    """Take a sample (D,) into `precision`, in place; returns w / sqrt(d) with w = M v."""
    product = precision @ feature
    step = product / (eps + feature @ product).sqrt()
    precision.addr_(step, step, alpha=-1)
    return step


def stochastic_map(
    features: Tensor,
    quality: Tensor,
    k: int,
    *,
    diversity: float,
    eps: float = EPS,
    miss: float = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """As `greedy_map`, but each step takes the best of N / k * ln(1 / miss) random samples.

    In expectation it reaches 1 - 1/e - miss of the optimum where greedy reaches 1 - 1/e
    (Mirzasoleiman et al. 2015); about N D^2 ln(1 / miss) operations, whatever k is.
    """
    _check(features, quality, k, diversity)
    count = len(features)
    tries = min(count, math.ceil(count / k * math.log(1 / miss)))
    value = (1 - diversity) * quality
    precision = torch.eye(features.shape[1], dtype=features.dtype)
    chosen: list[int] = []
    while len(chosen) < k:
        drawn = torch.randint(count, (tries,), generator=generator)
        seen = features[drawn]
        variance = eps + ((seen @ precision) * seen).sum(1)
        gains = value[drawn] + diversity * variance.clamp_min(eps).log()
        gain, place = gains.max(0)
        if gain == -math.inf:
            continue
        index = int(drawn[place])
        _add(features[index], precision, eps)
        value[index] = -math.inf
        chosen.append(index)
    return torch.tensor(chosen)


def objective(
    features: Tensor, quality: Tensor, chosen: Tensor, *, diversity: float, eps: float = EPS
) -> float:
    """What both maximise, for samples `chosen`, in float64."""
    v = features[chosen].double()
    gram = torch.eye(v.shape[1], dtype=v.dtype) + v.T @ v / eps
    log_det = float(torch.logdet(gram)) + len(chosen) * math.log(eps)
    return (1 - diversity) * float(quality[chosen].double().sum()) + diversity * log_det


def _check(features: Tensor, quality: Tensor, k: int, diversity: float) -> None:
    if not 1 <= k <= len(features):
        raise UserError(f"selection: {k} of {len(features)} samples; it takes 1 to all of them")
    if not 0 <= diversity <= 1:
        raise UserError(f"gamma: from 0 (difficulty alone) to 1 (diversity alone), not {diversity}")
    for name, values in (("features", features), ("difficulty", quality)):
        if not torch.isfinite(values).all():
            raise UserError(f"selection: the {name} hold NaN or infinite values")
