"""JHMDB-21 read by kdlib and by pytorchvideo, side by side on the same files.

    python -m benchmarks.decoding DATA_ROOT [--videos 200] [--rounds 3]

First-time decoding: every frame of every video at its stored size, one thread, held against each
other pixel by pixel. Clips: 8 frames of 48 x 48 for training, by pytorchvideo's labelled data set
with a random crop, and by kdlib from its cache. Preparation: the cache filled by 1 and 2 threads.
The two take turns, and the best of the rounds counts.
"""

import argparse
import sys
import tempfile
import time
import types
import unittest.mock
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torchvision
from av.video.reformatter import Interpolation

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.sampling import Sampling, training_frames
from kdlib.clips.view import draw_view
from kdlib.data import real
from kdlib.data.cache import How, Source, frame_cache
from kdlib.data.decode import decode
from kdlib.data.manifest import load
from kdlib.data.videos import Videos

FRAMES, SIDE, STORED, CLIPS = 8, 48, 55, 64


def import_pytorchvideo() -> types.ModuleType:
    """pytorchvideo 0.1.5 imports a module that torchvision has since made private."""
    stub = types.ModuleType("torchvision.transforms.functional_tensor")
    stub.rgb_to_grayscale = torchvision.transforms.functional.rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules.setdefault(stub.__name__, stub)
    import pytorchvideo.data
    import pytorchvideo.data.encoded_video
    import pytorchvideo.transforms

    return pytorchvideo


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def side_by_side(rounds: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Best seconds of each, taking turns."""
    found = {name: float("inf") for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            found[name] = min(found[name], seconds(function))
    return found


def first_time(peer: types.ModuleType, files: list[Path], rounds: int) -> dict[str, float]:
    """Every frame of these files, by both; ValueError if one pixel differs."""

    def theirs(file: Path) -> torch.Tensor:
        video = peer.data.encoded_video.EncodedVideo.from_path(str(file), decode_audio=False)
        found = video.get_clip(0, video.duration + 1)["video"]
        video.close()
        return found

    # kdlib's colours are converted more exactly; the pictures are held against each other under
    # the flags that pytorchvideo leaves at their default.
    with unittest.mock.patch("kdlib.data.decode.SCALER", Interpolation.BILINEAR):
        for file in files[::10]:
            ours = torch.from_numpy(decode(file)).permute(3, 0, 1, 2)
            if not torch.equal(ours.float(), theirs(file)):
                raise ValueError(f"{file}: the frames differ")
    return side_by_side(
        rounds,
        kdlib=lambda: [decode(file) for file in files],
        pytorchvideo=lambda: [theirs(file) for file in files],
    )


def training_clips(peer: types.ModuleType, files: list[Path], rounds: int, root: Path) -> dict:
    """Seconds for CLIPS clips of 8 frames, 48 x 48: theirs, ours as uint8 and ours augmented."""
    transforms = peer.transforms
    pipeline = transforms.ApplyTransformToKey(
        "video",
        torchvision.transforms.Compose(
            [
                transforms.UniformTemporalSubsample(FRAMES),
                transforms.ShortSideScale(STORED),
                torchvision.transforms.RandomCrop(SIDE),
                transforms.Div255(),
            ]
        ),
    )
    labelled = peer.data.LabeledVideoDataset(
        [(str(file), {"label": 0}) for file in files],
        peer.data.make_clip_sampler("random", 0.5),
        transform=pipeline,
        decode_audio=False,
    )
    sources = {str(file): Source(file) for file in files}
    cache = frame_cache(root, "jhmdb21", sources, How(STORED, STORED))
    zeros = np.zeros(len(cache.names), dtype=np.int64)
    videos = Videos(cache.frames, cache.starts, cache.lengths, zeros, zeros, ("any",))
    draw, pixels = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def theirs() -> torch.Tensor:
        rows = iter(labelled)
        return torch.stack([next(rows)["video"] for _ in range(CLIPS)])

    def cached() -> torch.Tensor:
        index = draw.integers(0, len(videos), CLIPS)
        frames = training_frames(videos.lengths[index], Sampling("segments", FRAMES), draw)
        return videos.clips(index, frames)

    def augmented() -> torch.Tensor:
        view = draw_view(Augmentation(crop="shift"), CLIPS, STORED, STORED, SIDE, pixels)
        return view.pixels(cached())

    if theirs().shape != augmented().shape:
        raise ValueError(f"other shapes: {theirs().shape}, {augmented().shape}")
    return side_by_side(rounds, cached=cached, augmented=augmented, pytorchvideo=theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    peer = import_pytorchvideo()
    with tempfile.TemporaryDirectory() as temporary:
        folder = real.places(load("jhmdb21"), options.data_root, Path(temporary)).folder
        every = sorted(folder.glob("*/*.mp4"))
        files = every[:: max(1, len(every) // options.videos)]
        first = first_time(peer, files, options.rounds)
        clips = training_clips(peer, files, options.rounds, Path(temporary))
        prepared = {
            f"prepared, {jobs} threads": seconds(
                lambda jobs=jobs: frame_cache(
                    Path(temporary) / str(jobs),
                    "jhmdb21",
                    {str(file): Source(file) for file in every},
                    How(STORED, STORED),
                    jobs=jobs,
                )
            )
            for jobs in (1, 2)
        }
    rows = [
        ("first time, kdlib", len(files) / first["kdlib"], "videos/s"),
        ("first time, pytorchvideo", len(files) / first["pytorchvideo"], "videos/s"),
        ("  times as fast", first["pytorchvideo"] / first["kdlib"], ""),
        ("clips from the cache, uint8", CLIPS / clips["cached"], "clips/s"),
        ("clips from the cache, augmented float", CLIPS / clips["augmented"], "clips/s"),
        ("clips, pytorchvideo", CLIPS / clips["pytorchvideo"], "clips/s"),
        ("  times as fast, uint8", clips["pytorchvideo"] / clips["cached"], ""),
        ("  times as fast, augmented float", clips["pytorchvideo"] / clips["augmented"], ""),
        *((name, len(every) / took, "videos/s") for name, took in prepared.items()),
    ]
    print(pd.DataFrame(rows, columns=["what", "rate", ""]).round(1).to_markdown(index=False))


if __name__ == "__main__":
    main()
