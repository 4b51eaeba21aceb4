"""Video files made for the tests, and where real ones lie."""

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

REAL = Path(os.environ.get("KDLIB_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _write_video(path: Path, frames: np.ndarray, codec: str = "libx264", rate: int = 25) -> Path:
    """Encode uint8 frames (T, H, W, 3), even sizes, in the container the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = {"libx264": {"crf": "0", "preset": "ultrafast"}}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=lossless.get(codec, {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture
def write_video() -> Callable[..., Path]:
    return _write_video


@pytest.fixture
def real() -> Path:
    """The folder of real data, or a skip that says where it was looked for."""
    if not (REAL / "test_clips").is_dir():
        pytest.skip(f"no real clips in {REAL} (KDLIB_REAL_DATA names another place)")
    return REAL
