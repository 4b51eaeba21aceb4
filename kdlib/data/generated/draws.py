"""Random draws that depend on keys alone: the same numbers in any batch, process or thread count.

A counter-based scheme: every draw is a hash of (key of the clip, name of the draw, position).
"""

import zlib
from functools import lru_cache

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NOISE_TABLE = 1 << 19


def mix(bits: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: a bijection of uint64 that scatters every bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def keys(*parts: np.ndarray | int) -> np.ndarray:
    """One uint64 key for each row of the broadcast integer parts."""
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = mix((key + _GOLDEN) ^ mix(np.atleast_1d(part).astype(np.uint64) + _GOLDEN))
    return key


class Draws:
    """Named draws for each of N keys; a name always gives the same numbers for a key."""

    def __init__(self, key: np.ndarray):
        self.key = key

    def bits(self, name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Uint64 (N, *shape)."""
        stream = mix(self.key ^ mix(np.full(1, zlib.crc32(name.encode()), np.uint64)))
        counter = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * _GOLDEN
        return mix(stream[:, None] + counter).reshape(len(self.key), *shape)

    def uniform(
        self, name: str, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()
    ) -> np.ndarray:
        """Float64 (N, *shape), uniform in [low, high)."""
        unit = (self.bits(name, shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * unit

    def integers(self, name: str, count: int, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Int64 (N, *shape) in 0..count-1."""
        return (self.uniform(name, shape=shape) * count).astype(np.int64)

    def sign(self, name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Float64 (N, *shape) of -1 and 1."""
        return 2.0 * self.integers(name, 2, shape) - 1.0


@lru_cache(maxsize=1)
def noise_table() -> np.ndarray:
    """Float32 (2^19,), nearly normal (a sum of four uniforms), mean 0 and sd 1, read-only."""
    unit = Draws(keys(np.arange(_NOISE_TABLE))).uniform("noise table", shape=(4,))
    table = ((unit.sum(1) - 2.0) * np.sqrt(3.0)).astype(np.float32)
    table.flags.writeable = False
    return table
