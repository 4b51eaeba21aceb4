"""Whether a map of a network's layers with themselves falls into blocks."""

import numpy as np


def block_structure(values: np.ndarray) -> float:
    """How much more alike layers of one block are than layers as far apart in different blocks.

    values: symmetric (L, L), such as `CKAMap.values` of a network with itself, layers in order;
        those with NaN on the diagonal are left out.

    In any network near layers are more alike than far ones, and a map that only fades with the
    distance from its diagonal has no blocks, though blocks of neighbours fit it well. So each value
    counts by what it has beyond the mean of all pairs of layers of its distance. Blocks are the
    cut of the layers into contiguous runs with the largest sum of that within them (modularity with
    distance as the null model, Expert et al. 2011, exactly maximised). The score is the slope of
    the values on "in one block", distance held fixed: 0 for a map that fades evenly or is the
    same everywhere, a - b for a map that is a within blocks and b between them; it is in units of
    the values, so at most 1 or so for CKA. Layers that fade unevenly lie in between.

    Raises ValueError for a map that is not square and symmetric or has under 3 layers.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) != len(values.T):
        raise ValueError(f"a square map of layers with themselves, not {values.shape}")
    if not np.allclose(values, values.T, atol=1e-6, equal_nan=True):
        raise ValueError("a symmetric map: of the layers of one network with themselves")
    known = ~np.isnan(values.diagonal())
    values = values[np.ix_(known, known)]
    if len(values) < 3:
        raise ValueError(f"a map of 3 layers or more, not {len(values)}")
    excess = _beyond_distance(values)
    block = _blocks(excess)
    inside = _beyond_distance((block[:, None] == block).astype(float))
    spread = float((inside**2).sum())
    return float((excess * inside).sum()) / spread if spread > 0 else 0.0


def _beyond_distance(values: np.ndarray) -> np.ndarray:
    """Values less the mean of their diagonal; above the main diagonal, elsewhere 0."""
    rest = np.zeros_like(values)
    for distance in range(1, len(values)):
        diagonal = np.diagonal(values, distance)
        places = np.arange(len(diagonal))
        rest[places, places + distance] = diagonal - diagonal.mean()
    return rest


def _blocks(excess: np.ndarray) -> np.ndarray:
    """The block (L,) of each layer: contiguous, with the largest sum of excess within blocks."""
    count = len(excess)
    # within[i, j]: the sum over pairs of layers i <= a < b < j.
    total = np.pad(excess.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    ends = np.arange(count + 1)
    within = total[ends[None], ends[None]] - total[ends[:, None], ends[None]]
    best, start = np.zeros(count + 1), np.zeros(count + 1, dtype=int)
    for end in range(1, count + 1):
        sums = best[:end] + within[:end, end]
        start[end] = sums.argmax()
        best[end] = sums[start[end]]
    block, end = np.zeros(count, dtype=int), count
    while end:
        block[start[end] : end] = start[end]
        end = start[end]
    return block
