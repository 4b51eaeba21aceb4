"""Optical flow by TV-L1: pairs a second and end-point error, beside scikit-image and OpenCV.

    python -m benchmarks.flow --sizes 32 64 112

CPU seconds of this process count, one thread. Clips: textures that move by 1 to 8 pixels a frame, a
disc of another motion than its ground ("edge"), and generated ones with noise, changes of light and
occlusion; all with their true flow. scikit-image and opencv-contrib-python are timed where they are
installed, with their own defaults.
"""

import argparse
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch

from kdlib.analysis.flow import end_point_error
from kdlib.data.generated import GeneratedSpec, videos
from kdlib.data.tvl1 import tvl1

Clip = tuple[np.ndarray, np.ndarray]  # uint8 (T, H, W, 3), and its flow (T - 1, 2, H, W)
_ROOM = 64  # pixels that a texture has beyond its frame
_LUMA = np.array([0.299, 0.587, 0.114])


def texture(draw: np.random.Generator, size: int) -> np.ndarray:
    """Fourier coefficients (3, size, size) of a coloured texture without the finest detail."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    share = np.where((frequency > 0) & (frequency < 0.25), 1 / np.maximum(frequency, 1 / size), 0)
    found = np.fft.fft2(draw.normal(size=(3, size, size))) * share
    return found / np.fft.ifft2(found).real.std()


def shown(coefficients: np.ndarray, move: np.ndarray, size: int) -> np.ndarray:
    """The texture uint8 (size, size, 3) after a move in pixels, exact between pixels too."""
    frequency = np.fft.fftfreq(coefficients.shape[1])
    turn = np.exp(-2j * np.pi * (frequency[None] * move[0] + frequency[:, None] * move[1]))
    pixels = 128 + 50 * np.fft.ifft2(coefficients * turn).real
    inside = slice(_ROOM // 2, _ROOM // 2 + size)
    return pixels[:, inside, inside].clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0)


def velocity(draw: np.random.Generator, pixels: float) -> np.ndarray:
    """Of so many pixels a frame, in any direction."""
    angle = draw.uniform(0, 2 * np.pi)
    return pixels * np.array([np.cos(angle), np.sin(angle)])


def translation(seed: int, pixels: float, size: int = 112, frames: int = 8) -> Clip:
    """A texture that moves as a whole."""
    draw = np.random.default_rng(seed)
    ground, move = texture(draw, size + _ROOM), velocity(draw, pixels)
    clip = np.stack([shown(ground, move * t, size) for t in range(frames)])
    true = np.broadcast_to(move[:, None, None], (frames - 1, 2, size, size))
    return clip, true.astype(np.float32)


def boundary(seed: int, pixels: float, size: int = 112, frames: int = 8) -> Clip:
    """A disc of half the frame's side, and behind it ground that moves the other way, half as fast.

    The flow is that of what each pixel shows; ground that the disc is about to cover counts.
    """
    draw = np.random.default_rng(seed)
    disc, ground = texture(draw, size + _ROOM), texture(draw, size + _ROOM)
    move = velocity(draw, pixels)
    y, x = np.mgrid[:size, :size]
    clip, true = [], []
    for t in range(frames):
        centre = size / 2 + move * (t - frames / 2)
        inside = np.hypot(x - centre[0], y - centre[1]) < size / 4
        behind = shown(ground, -move / 2 * t, size)
        clip.append(np.where(inside[..., None], shown(disc, move * t, size), behind))
        true.append(np.where(inside, move[:, None, None], -move[:, None, None] / 2))
    return np.stack(clip), np.stack(true)[:-1].astype(np.float32)


def generated(task: str, size: int, count: int, frames: int = 8) -> list[Clip]:
    made = videos(GeneratedSpec(task, 5, frames=frames, size=size), "test", count, flow=True)
    assert made.flow is not None
    rows = [slice(start, start + frames) for start in made.starts]
    return [(made.frames[row], made.flow[row][:-1].astype(np.float32)) for row in rows]


def made(size: int) -> dict[str, list[Clip]]:
    """Clips by the name of what they show; fewer of large ones."""
    count = max(256 // size, 2)
    seeds = range(20, 20 + count)
    sets = {f"move {p}": [translation(seed, p, size) for seed in seeds] for p in (1, 2, 4, 8)}
    sets |= {f"edge {p}": [boundary(seed, p, size) for seed in seeds] for p in (1, 3, 6)}
    return sets | {task: generated(task, size, count) for task in ("motion12", "mix12")}


Method = Callable[[np.ndarray], np.ndarray]  # clips (N, T, H, W, 3) -> (N, T - 1, 2, H, W)


def no_motion(clips: np.ndarray) -> np.ndarray:
    count, frames, height, width, _ = clips.shape
    return np.zeros((count, frames - 1, 2, height, width), np.float32)


def ours(clips: np.ndarray) -> np.ndarray:
    return tvl1(torch.from_numpy(clips)).numpy()


def pair_by_pair(pair: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Method:
    """pair: the flow (2, H, W) between two images of grey values from 0 to 255."""

    def flow(clips: np.ndarray) -> np.ndarray:
        return np.stack([[pair(a, b) for a, b in pairwise(grey)] for grey in clips @ _LUMA])

    return flow


def scikit_image() -> Method:
    from skimage.registration import optical_flow_tvl1

    return pair_by_pair(lambda a, b: optical_flow_tvl1(a / 255, b / 255)[::-1])


def opencv() -> Method:
    import cv2

    cv2.setNumThreads(1)
    solver = cv2.optflow.DualTVL1OpticalFlow_create()

    def pair(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = (grey.round().astype(np.uint8) for grey in (a, b))
        return solver.calc(a, b, None).transpose(2, 0, 1)

    return pair_by_pair(pair)


def measured(flow: Method, sets: dict[str, list[Clip]]) -> tuple[float, list[float]]:
    """Pairs a CPU second over all clips, and the end-point error of each set."""
    seconds, pairs, errors = 0.0, 0, []
    for clips in sets.values():
        frames, true = (np.stack(part) for part in zip(*clips, strict=True))
        start = time.process_time()
        found = flow(frames)
        seconds += time.process_time() - start
        pairs += true.shape[0] * true.shape[1]
        errors.append(end_point_error(found, true))
    return pairs / seconds, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 112])
    args = parser.parse_args()
    torch.set_num_threads(1)
    methods: dict[str, Method] = {"kdlib": ours, "no motion": no_motion}
    for name, make in (("scikit-image", scikit_image), ("OpenCV", opencv)):
        try:
            methods[name] = make()
        except (ImportError, AttributeError):
            print(f"{name} is not installed")
    for size in args.sizes:
        sets = made(size)
        ours(sets["move 1"][0][0][None])  # warm-up
        head = "".join(f"{name:>10}" for name in sets)
        print(f"\n{size} pixels: end-point error\n{'':13}{'pairs/s':>9}{head}")
        for name, flow in methods.items():
            rate, errors = measured(flow, sets)
            print(f"{name:13}{rate:9.0f}" + "".join(f"{error:10.3f}" for error in errors))


if __name__ == "__main__":
    main()
