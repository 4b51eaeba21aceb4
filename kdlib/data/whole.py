"""Is a video file all there? FFmpeg ends without an error where many containers were cut off."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import av

# Packets that a header counts beyond those there are: encoders leave the last ones empty.
_EMPTY = 2


class Reading:
    """A stream read packet by packet, and whether what was read is what the file promises.

    is_last_broken: whether the packet read last, or its frame, is not whole.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self.container, self.stream = container, stream
        self.packets = 0
        self._end: int | None = None
        self.is_last_broken = False

    def frames(self) -> Iterator[av.VideoFrame]:
        """The frames in presentation order."""
        for packet in self._demuxed():
            for frame in packet.decode():
                # The last packet's picture comes with it, or behind it when the decoder is emptied.
                self.is_last_broken |= frame.is_corrupt
                yield frame

    def count(self) -> int:
        """Packets that are not empty, without decoding them."""
        return sum(1 for packet in self._demuxed() if packet.size)

    def lack(self, path: Path | str) -> str | None:
        """What the file lacks, once all of it was read; None if nothing is known to be missing."""
        if reason := cut_off(path):
            return reason
        if self.is_last_broken:
            return "it breaks off in its last frame"
        # The header of an avi says how many frames follow. In an mp4 edits may hide some of them.
        stated = self.stream.frames if self.container.format.name == "avi" else 0
        if self.packets + (0 if _is_cut_riff(path) else _EMPTY) < stated:
            return f"its header says {stated} frames, and {self.packets} are there"
        seconds, promised = self._seconds(), _stated_seconds(self.container, self.stream)
        if seconds is not None and promised and seconds < promised - max(0.5, 0.05 * promised):
            return f"its header says {promised:.1f} seconds, and it ends after {seconds:.1f}"
        return None

    def _demuxed(self) -> Iterator[av.Packet]:
        for packet in self.container.demux(self.stream):
            if packet.dts is not None or packet.size:
                self.packets += 1
                self.is_last_broken = packet.is_corrupt
                if packet.pts is not None:
                    self._end = max(self._end or 0, packet.pts + (packet.duration or 0))
            yield packet

    def _seconds(self) -> float | None:
        if self._end is None or self.stream.time_base is None:
            return None
        return float(self._end * self.stream.time_base)


def cut_off(path: Path | str) -> str | None:
    """How a file ends before its container does, in words; None if it does not, or cannot say."""
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        head = _at(file, 0, 12)
        look = next((look for sign, look in _LOOKS.items() if re.match(sign, head, re.S)), None)
        missing = look(file, size) if look else 0
    return f"it breaks off; bytes missing at its end: {missing:,} or more" if missing else None


def _stated_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    """When the stream ends by the header of a Matroska file; other containers work theirs out."""
    if "matroska" not in container.format.name:
        return None
    if tag := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = map(float, tag.groups())
        return 3600 * hours + 60 * minutes + seconds
    # Sound may go on when the pictures have ended.
    if len(container.streams) > 1 or container.duration is None:
        return None
    return container.duration / av.time_base


def _at(file: IO[bytes], place: int, count: int) -> bytes:
    file.seek(max(0, place))
    return file.read(count)


def _boxes(file: IO[bytes], size: int) -> int:
    """Bytes missing of the last box of an ISO file (mp4, mov): sizes and types, one by one."""
    place = 0
    while place + 8 <= size:
        head = _at(file, place, 16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length < 8 or not head[4:8].isascii():  # "to the end", or what is no box
            return 0
        place += length
    return max(0, place - size)


def _elements(file: IO[bytes], size: int) -> int:
    """Bytes missing of the last element of a Matroska file; those of unknown size are entered."""
    place = 0
    while place < size:
        # An id and a size of a few bytes each; how many, their leading zeros say.
        head = _at(file, place, 12).ljust(12, b"\0")
        before = 9 - head[0].bit_length()
        if before > 4:  # no element
            return 0
        width = 9 - head[before].bit_length()
        unknown = (1 << 7 * width) - 1
        length = int.from_bytes(head[before : before + width]) & unknown
        place += before + width + (0 if length == unknown else length)
    return place - size


def _packets(file: IO[bytes], size: int) -> int:
    """Bytes missing of the last packet of a transport stream, which all begin alike."""
    for length, lead in ((188, 0), (192, 4), (204, 0)):
        if all(_at(file, n * length + lead, 1) == b"G" for n in range(3)):
            rest = size % length
            last = _at(file, size - rest - length + lead, 1)
            return length - rest if rest else length * (last != b"G")
    return 0


def _is_cut_riff(path: Path | str) -> bool:
    """Whether an avi is shorter than it says; some say so though nothing is missing."""
    with Path(path).open("rb") as file:
        size = int.from_bytes(_at(file, 4, 4), "little")
        return size + 8 > file.seek(0, os.SEEK_END)


def _tags(file: IO[bytes], size: int) -> int:
    """Bytes missing of the last tag of an FLV file: sizes, one by one."""
    place = 13
    while place < size:
        head = _at(file, place, 4)
        if head[0] & 31 not in (8, 9, 18):  # sound, pictures, facts
            return 0
        place += 15 + int.from_bytes(head[1:])
    return place - size


def _program(file: IO[bytes], size: int) -> int:
    """Bytes missing of the last packet of a program stream (mpg)."""
    tail = _at(file, size - 70_000, 70_000)
    start = max(tail.rfind(b"\0\0\1" + bytes([stream])) for stream in range(0xB9, 0xF0))
    if start < 0 or tail[start + 3] in (0xB9, 0xBA):
        return 0
    return max(0, start + 6 + int.from_bytes(tail[start + 4 : start + 6]) - len(tail))


def _stated_size(file: IO[bytes], size: int) -> int:
    """Bytes missing to the size that the header of an ASF file (wmv) states."""
    head = _at(file, 0, 1 << 16)
    start = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    properties = head[start + 40 :] if start > 0 else b""
    if len(properties) < 52 or properties[48] & 1:  # it was streamed
        return 0
    return max(0, int.from_bytes(properties[:8], "little") - size)


def _pages(file: IO[bytes], size: int) -> int:
    """Bytes missing of the last page of an Ogg file, or 1 where that is not marked as the last."""
    tail = _at(file, size - 70_000, 70_000)
    start = tail.rfind(b"OggS")
    page = tail[start:]
    if start < 0 or len(page) < 27:
        return 1
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return max(0, length - len(page)) or int(not page[5] & 4)


def _trailer(file: IO[bytes], size: int) -> int:
    """1 where a GIF does not end in its trailer, behind which some writers put zeros."""
    return int(not _at(file, size - 1000, 1000).rstrip(b"\0").endswith(b";"))


# By how a file begins.
_LOOKS = {
    b"....(ftyp|moov|mdat|wide|free|skip)": _boxes,
    b"\x1a\x45\xdf\xa3": _elements,
    b"\0\0\1\xba": _program,
    b"\x30\x26\xb2\x75": _stated_size,
    b"FLV": _tags,
    b"OggS": _pages,
    b"GIF8": _trailer,
    b"G|....G": _packets,
}
