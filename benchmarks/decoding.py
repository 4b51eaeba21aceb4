"""What JHMDB-21 costs: preparing all 928 clips, then reading and augmenting clips from the cache.

    python benchmarks/decoding.py DATA_ROOT [--jobs 2] [--sizes 64 112]

Prepares into a temporary folder. One thread for torch; best of five for the rates.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from kdlib.data.folder import locate

from kdlib.data.augment import Augmentation, augment, resize
from kdlib.data.cache import frame_cache
from kdlib.data.manifest import load
from kdlib.data.sampling import Sampling, training_frames
from kdlib.data.videos import Videos


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    def once() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return min(once() for _ in range(repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112])
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        cache_root = Path(temporary)
        folder = locate(load("jhmdb21"), options.data_root, cache_root)
        files = {f"{p.parent.name}/{p.name}": p for p in sorted(folder.glob("*/*.mp4"))}
        for size in options.sizes:
            report(cache_root, files, size, options.jobs)


def report(cache_root: Path, files: dict[str, Path], size: int, jobs: int) -> None:
    def prepare():
        return frame_cache(cache_root, files, height=size, width=size, jobs=jobs)

    first = seconds(prepare, repeats=1)
    cache = prepare()
    print(
        f"{size} px: {len(files)} videos prepared in {first:.1f} s with {jobs} jobs, "
        f"{cache.frames.nbytes / 1e6:.0f} MB; opened again in {1000 * seconds(prepare):.0f} ms"
    )
    n = len(cache.names)
    labels = np.zeros(n, dtype=np.int64)
    videos = Videos(cache.frames, cache.offsets, labels, labels, ("any",))
    sampling, generator = Sampling("segments", frames=8), np.random.default_rng(0)

    def clips():
        indices = generator.integers(0, n, 64)
        return videos.clips(indices, training_frames(videos.lengths[indices], sampling, generator))

    clips()
    print(f"  clips of 8 frames from the cache: {64 / seconds(clips):.0f}/s")
    batch, draws = clips(), torch.Generator().manual_seed(0)
    for crop in ("none", "shift", "multiscale"):
        how = Augmentation(crop, flip=True)
        rate = 64 / seconds(lambda how=how: resize(augment(batch, how, size, draws), size // 2))
        print(f"  augmented ({crop}, flip) and resized to half: {rate:.0f}/s")


if __name__ == "__main__":
    main()
