"""Video files to frames, by PyAV (its wheel carries FFmpeg)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
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


def decode(
    path: Path | str,
    size: int | tuple[int, int] | None = None,
    *,
    frames: Sequence[int] | np.ndarray | None = None,
    span: tuple[float, float] | None = None,
    at_most: int | None = None,
) -> np.ndarray:
    """Frames of a video in presentation order, uint8 RGB (T, H, W, 3); all of them by default.

    size: None keeps the stored size; a number is the length of the short side; (height, width) is
        covered by the smallest resize that keeps the proportions, then centre-cropped.
    frames: the indices wanted, repeats and any order allowed. Index i is the i-th picture that the
        decoder gives out, from 0, whatever its time stamp: UCF101's v_ApplyEyeMakeup_g01_c01 has
        164, though its header counts a last, empty packet as well and some tools extract 165.
    span: only frames shown at seconds from (included) to (excluded); `frames` counts within them.
    at_most: keep so many, evenly spaced (see `evenly`), where there are more.

    Decoding ends at the last frame needed. The rotation flag is followed, audio ignored, non-square
    pixels taken as square. A file that breaks off with an error before that, or has not all of
    `frames`, is Undecodable as a whole: half a video is not the video.
    """
    if frames is not None and at_most is not None:
        raise ValueError("ask for frames or for at_most, not for both")
    if frames is not None:
        wanted, places = np.unique(np.asarray(frames, dtype=np.int64), return_inverse=True)
        if not len(wanted) or wanted[0] < 0:
            raise ValueError("frames: at least one index, none below 0")
        pictures, count = _decode(path, size, wanted, span)
        if len(pictures) < len(wanted):
            raise Undecodable(path, f"it has {count} frames, and number {wanted[-1]} is wanted")
        return pictures[places]
    if at_most is None or span is not None:
        pictures, count = _decode(path, size, None, span)
        return pictures if at_most is None else pictures[evenly(count, at_most)]
    wanted = evenly(count_frames(path), at_most)
    pictures, count = _decode(path, size, wanted, None)
    if len(pictures) < len(wanted):
        # There were fewer pictures than packets; now their number is known.
        pictures, _ = _decode(path, size, evenly(count, at_most), None)
    return pictures


def evenly(count: int, at_most: int) -> np.ndarray:
    """Indices int64 of at most so many of `count` frames: the middles of equal parts."""
    if count <= at_most:
        return np.arange(count)
    return (np.arange(at_most) * 2 + 1) * count // (2 * at_most)


def count_frames(path: Path | str) -> int:
    """Frames of a video by its packets, without decoding; may be off by the few that are empty."""
    try:
        with _open(path) as container:
            return sum(1 for packet in container.demux(_stream(container, path)) if packet.size)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Undecodable(path, _reason(error)) from error


def _decode(
    path: Path | str,
    size: int | tuple[int, int] | None,
    wanted: np.ndarray | None,
    span: tuple[float, float] | None,
) -> tuple[np.ndarray, int]:
    """The wanted pictures (ascending indices, None for all), and how many were looked at."""
    pictures: list[np.ndarray] = []
    keep = None if wanted is None else set(wanted.tolist())
    count, target = 0, None
    try:
        with _open(path) as container:
            stream = _stream(container, path)
            for frame in _in_span(container, stream, span, path):
                # The decoder's order is the presentation order. Time stamps are not sorted by:
                # those of avi files run backwards in places.
                if keep is None or count in keep:
                    turns = _quarter_turns(frame)
                    target = target or resized(_shown(frame), size)
                    height, width = target[::-1] if turns % 2 else target
                    rgb = frame.to_ndarray(
                        format="rgb24",
                        height=height,
                        width=width,
                        interpolation=SCALER,
                        threads=1,  # starting more costs over twice the time at these sizes
                    )
                    pictures.append(cropped(np.rot90(rgb, turns), size))
                count += 1
                if keep is not None and len(pictures) == len(keep):
                    break
    except (av.FFmpegError, OSError, ValueError) as error:
        after = f" after {count} frames" if count else ""
        raise Undecodable(path, _reason(error) + after) from error
    if not pictures:
        raise Undecodable(path, "no frames" + (" in that span" if span else ""))
    return np.stack(pictures), count


def _in_span(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    span: tuple[float, float] | None,
    path: Path | str,
) -> Iterator[av.VideoFrame]:
    if span is None:
        yield from container.decode(stream)
        return
    if stream.time_base is None:
        raise Undecodable(path, "no time stamps to find seconds by")
    first = stream.start_time or 0
    # To the key frame before; decoding starts there.
    container.seek(first + int(span[0] / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        if frame.pts is None:
            raise Undecodable(path, "a frame without a time stamp")
        seconds = float((frame.pts - first) * stream.time_base)
        if seconds >= span[1]:
            return
        if seconds >= span[0]:
            yield frame


def _open(path: Path | str) -> av.container.InputContainer:
    # An absolute path cannot be taken for a protocol ("http:", "concat:") by FFmpeg.
    if Path(path).exists() and not Path(path).is_file():
        raise Undecodable(path, "not a plain file")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    return av.open(str(Path(path).absolute()), metadata_errors="replace", options=options)


def _stream(container: av.container.InputContainer, path: Path | str) -> av.VideoStream:
    # A cover picture is a video stream too, in the eyes of FFmpeg.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise Undecodable(path, "no video stream")
    stream = streams[0]
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


def resized(shown: tuple[int, int], size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width to scale to, before any crop, from those shown and the size asked for."""
    if size is None:
        return shown
    needed = (size, size) if isinstance(size, int) else size
    scale = max(want / have for want, have in zip(needed, shown, strict=True))
    # Rounding may not fall below what the crop needs.
    height, width = (
        max(want, round(have * scale)) for want, have in zip(needed, shown, strict=True)
    )
    return height, width


def cropped(image: np.ndarray, size: int | tuple[int, int] | None) -> np.ndarray:
    """The centre of an image (H, W, 3), where a height and a width are asked for."""
    if not isinstance(size, tuple):
        return image
    top, left = ((have - want) // 2 for have, want in zip(image.shape, size, strict=False))
    return image[top : top + size[0], left : left + size[1]]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
