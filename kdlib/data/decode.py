"""Video files to frames, by PyAV (its wheel carries FFmpeg)."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

from kdlib.errors import UserError

# Part of every cache key: count up when the same file would decode to other bytes.
VERSION = 1

# Self-contained files only: a playlist or a concat script would open further paths it names.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf,ogg,gif"

# Bicubic as `ffmpeg -vf scale`, which published data sets were prepared with; the other flags ask
# for the same bytes on every processor.
SCALER = int(Interpolation.BICUBIC) | int(Interpolation.ACCURATE_RND) | int(Interpolation.BITEXACT)


class Undecodable(UserError):
    """A file that yields no complete sequence of frames, with the reason."""

    def __init__(self, path: Path | str, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = Path(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class VideoInfo:
    """What a container states of its first video stream, before anything is decoded.

    frames is None where the container does not say, and may be off by one where it does (avi).
    height and width are those shown, after the rotation flag is followed at decoding.
    """

    frames: int | None
    height: int
    width: int
    fps: float | None
    codec: str


def probe(path: Path | str) -> VideoInfo:
    """Describe a video by its header and its first frame. Raises Undecodable."""
    try:
        with _open(path) as container:
            stream = _stream(container, path)
            frame = next(container.decode(stream), None)
            if frame is None:
                raise Undecodable(path, "no frames")
            height, width = _shown(frame)
            fps = float(stream.average_rate) if stream.average_rate else None
            codec = stream.codec_context.name
            return VideoInfo(stream.frames or None, height, width, fps, codec)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Undecodable(path, _reason(error)) from error


def decode(path: Path | str, size: int | tuple[int, int] | None = None) -> np.ndarray:
    """All frames of a video in presentation order, uint8 RGB (T, H, W, 3).

    size: None keeps the stored size; a number is the length of the short side; (height, width) is
        covered by the smallest resize that keeps the proportions, then centre-cropped.

    The rotation flag is followed, audio ignored, non-square pixels taken as square. A file that
    breaks off with an error is Undecodable as a whole: half a video is not the video.
    """
    frames: list[np.ndarray] = []
    try:
        with _open(path) as container:
            target = None
            for frame in container.decode(_stream(container, path)):
                # The decoder's order is the presentation order. Time stamps are not sorted by:
                # those of avi files run backwards in places.
                turns = _quarter_turns(frame)
                target = target or _resized(_shown(frame), size)
                height, width = target[::-1] if turns % 2 else target
                rgb = frame.to_ndarray(
                    format="rgb24",
                    height=height,
                    width=width,
                    interpolation=SCALER,
                    threads=1,  # starting more costs over twice the time at these sizes
                )
                frames.append(_cropped(np.rot90(rgb, turns), size))
    except (av.FFmpegError, OSError, ValueError) as error:
        after = f" after {len(frames)} frames" if frames else ""
        raise Undecodable(path, _reason(error) + after) from error
    if not frames:
        raise Undecodable(path, "no frames")
    return np.stack(frames)


def _open(path: Path | str) -> av.container.InputContainer:
    # An absolute path cannot be taken for a protocol ("http:", "concat:") by FFmpeg.
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    return av.open(str(Path(path).absolute()), metadata_errors="replace", options=options)


def _stream(container: av.container.InputContainer, path: Path | str) -> av.VideoStream:
    if not container.streams.video:
        raise Undecodable(path, "no video stream")
    stream = container.streams.video[0]
    # Starting decoder threads costs more than they bring for small clips.
    stream.thread_type = "NONE"
    return stream


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise quarter turns that put a frame upright."""
    return round(frame.rotation / 90) % 4


def _shown(frame: av.VideoFrame) -> tuple[int, int]:
    """Height and width after rotation."""
    size = (frame.height, frame.width)
    return size[::-1] if _quarter_turns(frame) % 2 else size


def _resized(shown: tuple[int, int], size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width to scale to, before any crop."""
    if size is None:
        return shown
    needed = (size, size) if isinstance(size, int) else size
    scale = max(want / have for want, have in zip(needed, shown, strict=True))
    # Rounding may not fall below what the crop needs.
    height, width = (
        max(want, round(have * scale)) for want, have in zip(needed, shown, strict=True)
    )
    return height, width


def _cropped(image: np.ndarray, size: int | tuple[int, int] | None) -> np.ndarray:
    if not isinstance(size, tuple):
        return image
    top, left = ((have - want) // 2 for have, want in zip(image.shape, size, strict=False))
    return image[top : top + size[0], left : left + size[1]]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
