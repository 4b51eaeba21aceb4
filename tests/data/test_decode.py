import os
import pickle

import av
import numpy as np
import pytest
from av.stream import Disposition

from kdlib.data.decode import SCALER, Undecodable, count_frames, decode, evenly, probe
from kdlib.errors import UserError


def ramp(frames=6, height=48, width=64):
    """Grey frames, each brighter than the last, with a white top-left corner."""
    clip = np.empty((frames, height, width, 3), np.uint8)
    clip[:] = (30 * np.arange(frames) + 20)[:, None, None, None]
    clip[:, : height // 4, : width // 4] = 250
    return clip


def test_a_lossless_video_comes_back_in_order(tmp_path, write_video):
    clip = ramp()
    decoded = decode(write_video(tmp_path / "a.mp4", clip))
    assert decoded.shape == clip.shape
    assert decoded.dtype == np.uint8
    # RGB -> YUV -> RGB rounds.
    assert np.abs(decoded.astype(int) - clip).max() <= 3


def test_frames_of_reordered_pictures_are_in_presentation_order(tmp_path, write_video):
    clip = ramp(frames=8)
    decoded = decode(write_video(tmp_path / "b.avi", clip, codec="mpeg4"))
    brightness = decoded[:, 30:, 30:].mean((1, 2, 3))
    assert np.abs(brightness - clip[:, 40, 40, 0]).max() < 6


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (None, (48, 64)),
        (24, (24, 32)),
        (33, (33, 44)),
        (96, (96, 128)),
        ((24, 24), (24, 24)),
        ((40, 20), (40, 20)),
        ((17, 51), (17, 51)),
    ],
)
def test_sizes(tmp_path, write_video, size, expected):
    decoded = decode(write_video(tmp_path / "a.mp4", ramp()), size)
    assert decoded.shape == (6, *expected, 3)


def test_crop_is_the_centre_of_the_resized_frame(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", ramp())
    np.testing.assert_array_equal(decode(path, (24, 24)), decode(path, 24)[:, :, 4:28])


def test_resizing_averages(tmp_path, write_video):
    stripes = np.zeros((2, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 254
    decoded = decode(write_video(tmp_path / "a.mp4", stripes), 16)
    assert np.abs(decoded[:, 2:-2, 2:-2].astype(int) - 127).max() < 12


def test_probe(tmp_path, write_video):
    info = probe(write_video(tmp_path / "a.mp4", ramp(), rate=30))
    assert (info.frames, info.height, info.width, info.fps, info.codec) == (6, 48, 64, 30, "h264")


def test_frame_size_is_that_of_the_first_frame_throughout(tmp_path, write_video):
    # Two streams of other sizes after one another, as raw H.264 in a transport stream may be.
    one = write_video(tmp_path / "1.ts", ramp()).read_bytes()
    two = write_video(tmp_path / "2.ts", ramp(height=96, width=96)).read_bytes()
    (tmp_path / "both.ts").write_bytes(one + two)
    assert decode(tmp_path / "both.ts").shape == (12, 48, 64, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("text.mp4", b"this is no video\n" * 100),
        # Scripts that would have FFmpeg open other files.
        ("concat.mp4", b"ffconcat version 1.0\nfile a.mp4\n"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.mp4\n#EXT-X-ENDLIST\n"),
    ],
)
def test_what_is_no_video_is_named_with_a_reason(tmp_path, write_video, name, content):
    write_video(tmp_path / "a.mp4", ramp())
    (tmp_path / name).write_bytes(content)
    for read in (decode, probe):
        with pytest.raises(Undecodable, match=f"{name}: .*[Ii]nvalid") as caught:
            read(tmp_path / name)
        assert caught.value.path == tmp_path / name


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Undecodable, match=r"absent\.mp4: No such file"):
        decode(tmp_path / "absent.mp4")


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(Undecodable, match="no video stream"):
        decode(tmp_path / "a.mkv")


def test_undecodable_is_a_user_error_that_travels_between_processes():
    error = pickle.loads(pickle.dumps(Undecodable("a.mp4", "why")))
    assert isinstance(error, UserError)
    assert str(error) == "a.mp4: why"


# Orientation and colours


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_display_matrix_is_followed(tmp_path, write_video, suffix, degrees, mirrored):
    stored = ramp(frames=2)
    stored[:, 30:, 40:] = (250, 20, 20)
    path = write_video(tmp_path / f"a.{suffix}", stored, turned=(degrees, mirrored))
    shown = np.rot90(stored, degrees // 90, axes=(1, 2))
    shown = shown[:, :, ::-1] if mirrored else shown
    decoded = decode(path)
    assert decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - shown).max() <= 3
    info = probe(path)
    assert (info.height, info.width) == shown.shape[1:3]
    assert decode(path, (24, 20)).shape == (2, 24, 20, 3)


WEIGHTS = {"601": (5, 0.299, 0.114), "709": (1, 0.2126, 0.0722), "2020": (9, 0.2627, 0.0593)}


def write_colours(path, rgb, space, full, pixels):
    """Patches of colours (N, N, 3) in 0..1 as a lossless frame, and the levels these are then.

    By the definition of the standards, not by a library: Y is a weighted sum, U and V are scaled
    differences to it, and limited range leaves room at both ends. All three are stored as integers.
    """
    number, red, blue = WEIGHTS[space]
    depth = 10 if "10" in pixels else 8
    r, g, b = np.moveaxis(rgb.repeat(16, 0).repeat(16, 1), 2, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    low, luma, chroma = (0, 255, 255) if full else (16, 219, 224)
    scaled = np.stack([low + luma * y, 128 + chroma * u, 128 + chroma * v])
    yuv = np.round(scaled * 2 ** (depth - 8)).clip(0, 2**depth - 1)
    kind = np.uint16 if depth > 8 else np.uint8
    side = len(y)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = pixels
        frame = av.VideoFrame(side, side, pixels)
        for context in (stream.codec_context, frame):
            context.colorspace, context.color_range = number, 2 if full else 1
        for plane, values in zip(frame.planes, yuv, strict=True):
            step = side // plane.height, side // plane.width
            row = np.zeros((plane.height, plane.line_size // kind().itemsize), kind)
            row[:, : plane.width] = values[:: step[0], :: step[1]]
            plane.update(row.tobytes())
        container.mux([*stream.encode(frame), *stream.encode()])
    y, u, v = yuv / 2 ** (depth - 8) - np.reshape([low, 128, 128], (3, 1, 1))
    y, u, v = y / luma, u / chroma, v / chroma
    r, b = y + (2 - 2 * red) * v, y + (2 - 2 * blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return (np.stack([r, g, b], 2) * 255).clip(0, 255)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("space", WEIGHTS)
def test_colours_are_those_of_the_standards(tmp_path, space, full, pixels):
    rgb = np.random.default_rng(0).random((8, 8, 3))
    levels = write_colours(tmp_path / "a.mkv", rgb, space, full, pixels)
    decoded = decode(tmp_path / "a.mkv")[0]
    # In the middle of the patches: at their borders subsampled chroma is mixed.
    assert np.abs(decoded - levels)[8::16, 8::16].max() <= 1.5


@pytest.mark.parametrize("size", [None, (48, 64), (64, 86), (37, 37), (35, 52), 33])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_greys_are_the_same_at_even_and_odd_sizes(tmp_path, size, grey):
    write_colours(tmp_path / "a.mkv", np.full((4, 4, 3), grey / 255), "601", False, "yuv420p")
    assert np.unique(decode(tmp_path / "a.mkv", size)).tolist() == [grey]


# Only the frames needed


def test_frames_by_index_repeats_and_any_order(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", ramp(frames=8))
    everything = decode(path, 24)
    wanted = [5, 0, 5, 7]
    np.testing.assert_array_equal(decode(path, 24, frames=wanted), everything[wanted])
    with pytest.raises(Undecodable, match="it has 8 frames, and number 8 is wanted"):
        decode(path, frames=[0, 8])
    with pytest.raises(ValueError, match="none below 0"):
        decode(path, frames=[-1])


def test_what_is_broken_behind_the_last_frame_wanted_does_not_matter(tmp_path, write_video):
    path = write_video(tmp_path / "a.ts", ramp(frames=60, height=96, width=96))
    whole = decode(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    np.testing.assert_array_equal(decode(path, frames=[3])[0], whole[3])


@pytest.mark.parametrize(("count", "at_most"), [(3, 8), (8, 8), (9, 8), (100, 8), (5, 1)])
def test_evenly_spaced_frames_are_the_middles_of_equal_parts(count, at_most):
    indices = evenly(count, at_most)
    if count <= at_most:
        assert indices.tolist() == list(range(count))
        return
    parts = (np.arange(at_most) + 0.5) * count / at_most
    assert indices.tolist() == [int(middle) for middle in parts]


def test_at_most_so_many_frames(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", ramp(frames=7))
    np.testing.assert_array_equal(decode(path, at_most=3), decode(path)[evenly(7, 3)])
    assert len(decode(path, at_most=7)) == len(decode(path, at_most=9)) == 7
    assert count_frames(path) == 7


def test_seconds_of_a_video(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", ramp(frames=8), rate=4)
    whole = decode(path)
    np.testing.assert_array_equal(decode(path, span=(0.5, 1.25)), whole[2:5])
    np.testing.assert_array_equal(decode(path, span=(0.5, 1.25), frames=[1]), whole[[3]])
    np.testing.assert_array_equal(decode(path, span=(1.75, 99)), whole[7:])
    np.testing.assert_array_equal(decode(path, span=(0, 2), at_most=2), whole[[2, 6]])
    with pytest.raises(Undecodable, match="no frames in that span"):
        decode(path, span=(5, 6))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video"), ("mkv", "libx264")]
)
@pytest.mark.parametrize("span", [(0, 0.32), (0.4, 0.8), (0.6, 9)])
def test_seconds_count_from_the_start_of_the_stream(tmp_path, write_video, suffix, codec, span):
    """Those of ts and mpg files begin at another time than 0, and seeks in them go wrong."""
    path = write_video(tmp_path / f"a.{suffix}", ramp(frames=8).repeat(3, 0), codec)
    whole, times = decode(path), np.arange(24) / 25
    found = decode(path, span=span)
    np.testing.assert_array_equal(found, whole[(span[0] <= times) & (times < span[1])])


def test_a_cover_picture_is_no_video(tmp_path):
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        cover = container.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = Disposition.attached_pic
        stream = container.add_stream("aac", rate=8000, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux([*cover.encode(picture), *cover.encode()])
        container.mux([*stream.encode(sound), *stream.encode()])
    with pytest.raises(Undecodable, match="no video stream"):
        decode(tmp_path / "song.mp4")


def test_what_is_no_plain_file(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    os.mkfifo(tmp_path / "b.mp4")
    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(Undecodable, match=f"{name}: not a plain file"):
            decode(tmp_path / name)


def test_one_frame_and_names_with_odd_signs(tmp_path, write_video):
    for name in ("!(a);[b]#c@ d.mp4", "%03d.mp4", "ünï-日本.mp4", "http:x.mp4", "-i.mp4"):
        assert decode(write_video(tmp_path / name, ramp(frames=1))).shape == (1, 48, 64, 3)


def test_a_lying_suffix_does_not_matter(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", ramp(), codec="mpeg4")
    path.rename(tmp_path / "a.mp4")
    assert len(decode(tmp_path / "a.mp4")) == 6


def test_a_truncated_file_is_undecodable(tmp_path, write_video):
    path = write_video(tmp_path / "a.mp4", ramp(frames=30))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Undecodable):
        decode(path)


# Real files


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("edge_cases/decord_unordered.mov", (4, 50, 50, 3)),
        ("edge_cases/torchcodec_av1_video.mkv", (125, 360, 640, 3)),
        ("edge_cases/decord_video_0.mov", (3, 320, 568, 3)),
        ("edge_cases/decord_video_90.mov", (3, 568, 320, 3)),
        ("hmdb51/SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi", (74, 240, 320, 3)),
        ("ucf101/v_ApplyEyeMakeup_g01_c01.avi", (164, 240, 320, 3)),
        ("kinetics400/SOX5yA1l24A.mp4", (332, 256, 340, 3)),
    ],
)
def test_real_clips(real, name, shape):
    path = real / "test_clips" / name
    assert decode(path).shape == shape
    info = probe(path)
    assert (info.height, info.width) == shape[1:3]
    # The header of this avi counts a last, empty packet.
    assert info.frames in (None, shape[0], shape[0] + 1)


@pytest.mark.real
def test_a_rotated_clip_is_upright(real):
    upright = decode(real / "test_clips/edge_cases/decord_video_90.mov")
    with av.open(str(real / "test_clips/edge_cases/decord_video_90.mov")) as container:
        lying = next(container.decode(video=0)).to_ndarray(format="rgb24", interpolation=SCALER)
    # The flag says a quarter turn clockwise: what lay on the left is on top.
    difference = np.abs(upright[0].astype(int) - np.rot90(lying, -1)).mean()
    assert difference < 1


@pytest.mark.real
def test_avi_frames_follow_one_another_smoothly(real):
    """Sorting by the time stamps of this file would shuffle its frames."""
    path = real / "test_clips/ucf101/v_ApplyEyeMakeup_g01_c01.avi"
    frames = decode(path, 60).astype(int)
    with av.open(str(path)) as container:
        stamps = [frame.pts for frame in container.decode(video=0)]
    assert stamps != sorted(stamps)

    def roughness(clip):
        return np.abs(np.diff(clip, axis=0)).mean()

    assert roughness(frames) < 0.8 * roughness(frames[np.argsort(stamps)])


@pytest.mark.real
def test_a_corrupted_clip_is_undecodable_as_a_whole(real):
    with pytest.raises(Undecodable, match=r"decord_corrupted.mp4: Invalid data.* after 28 frames"):
        decode(real / "test_clips/edge_cases/decord_corrupted.mp4", 64)
