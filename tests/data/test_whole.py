"""Files that were cut off: what can be decoded is all of it, or nothing."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from kdlib.data.decode import Undecodable, count_frames, decode
from kdlib.data.whole import cut_off

FRAMES = 24
CONTAINERS = {
    "avi": "mpeg4",
    "mkv": "libx264",
    "mov": "libx264",
    "mp4": "libx264",
    "webm": "libvpx",
    "ts": "libx264",
    "mpg": "mpeg2video",
    "flv": "flv1",
    "wmv": "wmv2",
    "ogv": "libvpx",
    "m2ts": "libx264",  # packets of 192 bytes
}


@pytest.fixture(scope="module", params=CONTAINERS)
def whole(request, tmp_path_factory):
    """A moving picture in a container."""
    return made(tmp_path_factory.mktemp("whole") / f"a.{request.param}", CONTAINERS[request.param])


def made(path, codec, **options):
    draw = np.random.default_rng(0)
    wide = draw.integers(0, 256, (48, 64 + FRAMES, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for shift in range(FRAMES):
            picture = np.ascontiguousarray(wide[:, 2 * shift : 2 * shift + 128])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def places(size):
    """Lengths to cut to: all over the file, and close to its end."""
    return [*range(size // 20, size, size // 20), *(size - n for n in (300, 50, 7, 2, 1))]


def frames_or_reason(path, size=None, **options):
    try:
        return decode(path, size, **options)
    except Undecodable as error:
        return error.reason


def check_cuts(path):
    content, expected, passed = path.read_bytes(), decode(path, 16), 0
    cut = path.with_name(f"cut{path.suffix}")
    for size in places(len(content)):
        cut.write_bytes(content[:size])
        found = frames_or_reason(cut, 16)
        if not isinstance(found, str):
            np.testing.assert_array_equal(found, expected)
            passed += 1
        few = frames_or_reason(cut, 16, at_most=4)
        assert isinstance(few, str) or size > 0.9 * len(content)
    # At most the cuts behind the last frame: in an index, or in nothing at all.
    assert passed <= 6


def test_a_whole_file_lacks_nothing(whole):
    assert cut_off(whole) is None
    assert len(decode(whole, 16)) == count_frames(whole) == FRAMES
    assert len(decode(whole, 16, at_most=4)) == 4


def test_half_a_video_is_none_wherever_it_was_cut(whole):
    check_cuts(whole)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("early.mp4", {"movflags": "faststart"}),
        ("parts.mp4", {"movflags": "frag_every_frame+empty_moov"}),
        ("streamed.mkv", {"live": "1"}),
    ],
)
def test_other_forms_of_a_container(tmp_path, name, options):
    path = made(tmp_path / name, "libx264", **options)
    assert cut_off(path) is None
    if name == "parts.mp4":
        # Between two parts such a file could end as well.
        return
    check_cuts(path)


def say_more_frames(path, more):
    """Count up the frames that both headers of an avi state, that of the file and of its stream."""
    content = bytearray(path.read_bytes())
    for sign, place in ((b"avih", 24), (b"strh", 40)):
        count = slice(content.index(sign) + place, content.index(sign) + place + 4)
        assert int.from_bytes(content[count], "little") == FRAMES
        content[count] = (FRAMES + more).to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("more", [1, 2])
def test_a_whole_avi_may_count_two_empty_packets_more(tmp_path, more):
    path = made(tmp_path / "a.avi", "mpeg4")
    expected = decode(path, 16)
    say_more_frames(path, more)
    np.testing.assert_array_equal(decode(path, 16), expected)
    assert count_frames(path) == FRAMES
    # One that is cut off behind its last frame, in its index, may not.
    path.write_bytes(path.read_bytes()[:-100])
    for read in (decode, count_frames):
        with pytest.raises(Undecodable, match=f"its header says {FRAMES + more} frames, and 24 "):
            read(path)


def test_an_avi_that_counts_three_more_is_not_whole(tmp_path):
    path = made(tmp_path / "a.avi", "mpeg4")
    say_more_frames(path, 3)
    for read in (decode, count_frames):
        with pytest.raises(Undecodable, match="its header says 27 frames, and 24 are there"):
            read(path)


def test_a_gif(tmp_path):
    path = tmp_path / "a.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "gray"
        for level in range(8):
            picture = np.full((32, 32), 30 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode())
    assert len(decode(path)) == 8
    check_cuts(path)


def test_what_follows_the_end_of_a_file_is_no_fault(whole, tmp_path):
    path = Path(shutil.copy(whole, tmp_path))
    if whole.suffix in (".ts", ".m2ts", ".wmv", ".mpg"):
        return  # packets without an end
    with path.open("ab") as file:
        file.write(b"\0" * 1000)
    assert len(decode(path, 16)) == FRAMES


def test_the_reason_says_what_is_wrong(whole):
    cut = whole.with_name(f"half{whole.suffix}")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(Undecodable, match=r"it breaks off|its header says 24 frames"):
        decode(cut)


def test_a_file_that_ends_in_zeros(tmp_path):
    """As a download that reserved its room and stopped."""
    for name, codec in (("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264")):
        path = made(tmp_path / name, codec)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
        with pytest.raises(Undecodable):
            decode(path)


def test_what_is_cut_behind_the_last_frame_wanted_does_not_matter(whole):
    cut = whole.with_name(f"late{whole.suffix}")
    content = whole.read_bytes()
    share = 15 if whole.suffix == ".m2ts" else 17  # such a file is filled up at its end
    cut.write_bytes(content[: share * len(content) // 20])
    if whole.suffix in (".mp4", ".mov", ".ogv"):
        return  # the index stands at their end, and all of a short Ogg file in one page
    expected = decode(whole)
    np.testing.assert_array_equal(decode(cut, frames=[2])[0], expected[2])
    with pytest.raises(Undecodable):
        decode(cut, frames=[FRAMES - 1])


def test_a_frame_that_is_broken_itself_is_none(whole):
    """The first frame is the largest: half of it decodes to something grey."""
    cut = whole.with_name(f"first{whole.suffix}")
    expected = decode(whole)[0]
    content = whole.read_bytes()
    for share in (3, 4, 5, 6):
        cut.write_bytes(content[: share * len(content) // 10])
        found = frames_or_reason(cut, frames=[0])
        assert isinstance(found, str) or (found == expected).all()
