"""Video files to frames, by PyAV (its wheel carries FFmpeg)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation

from kdlib.data.listing import printable
from kdlib.data.whole import Reading, cut_off
from kdlib.errors import UserError

# Part of every cache key: count up when the same file would decode to other bytes.
VERSION = 2

# Self-contained files only: a playlist or a concat script would open further paths it names.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf,ogg,gif"

# Bicubic as `ffmpeg -vf scale`, which published data sets were prepared with. The other flags ask
# for the same bytes on every processor, and for right colours at all widths: without full chroma,
# white comes out as 253 at even ones.
SCALER = int(
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.BITEXACT
)


class Undecodable(UserError):
    """A file that yields no complete sequence of frames, with the reason."""

    def __init__(self, path: Path | str, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = Path(path), reason

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.reason}")


@dataclass(frozen=True)
class VideoInfo:
    """What a container states of its first video stream, before anything is decoded.

    frames is None where the container does not say, and may be off by one where it does (avi).
    height and width are those shown, after the display matrix is followed at decoding.
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
        raise Undecodable(path, _reason(error, path)) from error


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

    Decoding ends at the last frame needed. The display matrix is followed (quarter turns, mirrors),
    audio ignored, non-square pixels taken as square. A file that breaks off before that, with an
    error or without, or has not all of `frames`, is Undecodable as a whole: half a video is not the
    video.
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
    """Frames of a video by its packets, without decoding; may be off by the few that are empty.

    Raises Undecodable for a file that is not all there, as far as that is to be seen.
    """
    try:
        with _open(path) as container:
            reading = Reading(container, _stream(container, path))
            count = reading.count()
            if lack := reading.lack(path):
                raise Undecodable(path, f"{lack}; frames that are there: {count}")
            return count
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Undecodable(path, _reason(error, path)) from error


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
            reading = Reading(container, _stream(container, path))
            for frame in reading.frames() if span is None else _in_span(reading, span, path):
                # The decoder's order is the presentation order. Time stamps are not sorted by:
                # those of avi files run backwards in places.
                if keep is None or count in keep:
                    target = target or resized(_shown(frame), size)
                    height, width = target[::-1] if _is_on_its_side(frame) else target
                    rgb = frame.to_ndarray(
                        format="rgb24",
                        height=height,
                        width=width,
                        interpolation=SCALER,
                        threads=1,  # starting more costs over twice the time at these sizes
                    )
                    # A copy: a view would keep the whole picture, and lie otherwise in memory.
                    pictures.append(np.ascontiguousarray(cropped(_upright(frame, rgb), size)))
                count += 1
                if keep is not None and len(pictures) == len(keep):
                    if reading.is_last_broken:
                        raise Undecodable(path, f"it breaks off in frame {count - 1}")
                    break
            else:
                if span is None and (lack := reading.lack(path)):
                    raise Undecodable(path, f"{lack}; frames that can be decoded: {count}")
    except (av.FFmpegError, OSError, ValueError) as error:
        after = f" after {count} frames" if count else ""
        raise Undecodable(path, _reason(error, path) + after) from error
    if not pictures:
        raise Undecodable(path, "no frames" + (" in that span" if span else ""))
    return np.stack(pictures), count


def _in_span(
    reading: Reading, span: tuple[float, float], path: Path | str
) -> Iterator[av.VideoFrame]:
    """The frames shown in a span of seconds, counted from the start of the stream."""
    stream = reading.stream
    if stream.time_base is None:
        raise Undecodable(path, "no time stamps to find seconds by")
    first = stream.start_time or 0
    # Program and transport streams (mpg, ts) have no index: a seek in them goes wrong.
    if reading.container.format.name not in ("mpeg", "mpegts"):
        # To the key frame before; decoding starts there.
        reading.container.seek(first + int(span[0] / stream.time_base), stream=stream)
    for frame in reading.frames():
        if frame.pts is None:
            raise Undecodable(path, "a frame without a time stamp")
        seconds = float((frame.pts - first) * stream.time_base)
        if seconds >= span[1]:
            return
        if seconds >= span[0]:
            yield frame
    if lack := cut_off(path):
        raise Undecodable(path, lack)


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
        raise Undecodable(path, cut_off(path) or "no video stream")
    stream = streams[0]
    # Starting decoder threads costs more than they bring for small clips.
    stream.thread_type = "NONE"
    return stream


def _axes(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """The display matrix a, b, c, d: a stored point (x, y) is shown at (ax + cy, bx + dy)."""
    stored: Any = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(stored, np.int32).tolist()
    return a, b, c, d


def _is_on_its_side(frame: av.VideoFrame) -> bool:
    """Whether what is stored as height is shown as width."""
    a, b, _, _ = _axes(frame)
    return abs(b) > abs(a)


def _upright(frame: av.VideoFrame, stored: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) of a frame as it is to be shown: turned by quarters and mirrored."""
    a, b, c, d = _axes(frame)
    if _is_on_its_side(frame):
        stored, down, right = stored.swapaxes(0, 1), b, c
    else:
        down, right = d, a
    return stored[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def _shown(frame: av.VideoFrame) -> tuple[int, int]:
    """Height and width after the display matrix."""
    size = (frame.height, frame.width)
    return size[::-1] if _is_on_its_side(frame) else size


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


def _reason(error: Exception, path: Path | str) -> str:
    """What is wrong, in words; that the file was cut off says more than what the decoder met."""
    if not isinstance(error, FileNotFoundError) and (lack := cut_off(path)):
        return lack
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
