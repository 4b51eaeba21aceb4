"""Files as telephones, broken archives and other programs leave them, through every step.

A corpus is made here, goes through verify, prepare and a training, and is held frame for frame
against another decoder: the command `ffmpeg`, where there is one.
"""

import os
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from kdlib.data import manifest as manifests
from kdlib.data import real
from kdlib.data.decode import decode
from kdlib.data.images import decode_image
from kdlib.data.manifest import load
from kdlib.data.verify import verify
from kdlib.runs.datasets import Datasets
from kdlib.runs.execute import execute
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.runs.store import RunStore, run_key
from kdlib.training.recipe import Recipe

MANIFEST = """\
name: odd
title: Odd files
classes: [left, right]
files: {{folder: clips}}
media: {media}
layout: {{kind: folders, class: '^([^/]+)/'}}
"""


def moving(frames, height, width, step):
    """A smooth picture that moves by `step` pixels a frame, uint8 (T, H, W, 3)."""
    place = np.arange(width)[None, None] + step * np.arange(frames)[:, None, None]
    down = np.arange(height)[None, :, None] + 0 * place
    waves = [np.sin(place / 9.0), np.cos(down / 7.0 + 1), np.sin((place + down) / 11.0)]
    return np.stack([128 + 100 * wave + 0 * down for wave in waves], 3).round().astype(np.uint8)


def write(path, clip, codec, pixels, *, turned=0, stamps=None, full=False, **options):
    """Encode frames (T, H, W, 3) as they are, in any codec and pixel format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], pixels
        if turned:
            stream.set_display_rotation(turned)
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if full:
            stream.codec_context.color_range = 2
        for number, picture in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format=pixels, dst_color_range=2 if full else None
            )
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


# By name: size, codec, pixel format, and what else.
WHOLE = {
    **{
        f"turned{degrees}.{suffix}": ((48, 64), "libx264", "yuv420p", {"turned": degrees})
        for degrees in (0, 90, 180, 270)
        for suffix in ("mp4", "mov", "mkv")
    },
    "odd sizes.avi": ((47, 63), "mpeg4", "yuv420p", {}),
    "narrow.mkv": ((21, 130), "ffv1", "yuv420p", {}),
    "any rate.mkv": (
        (48, 64),
        "libx264",
        "yuv420p",
        {"stamps": [0, 40, 45, 300, 301, 900, 2000, 2040]},
    ),
    "ten bits.mkv": ((48, 64), "ffv1", "yuv420p10le", {}),
    "full range.mov": ((48, 64), "mjpeg", "yuvj420p", {"full": True}),
    "grey.mkv": ((48, 64), "ffv1", "gray", {}),
    "see-through.mov": ((48, 64), "png", "rgba", {}),
    "moving.gif": ((48, 64), "gif", "rgb8", {}),
    "broadcast.ts": ((48, 64), "libx264", "yuv420p", {}),
    "old.mpg": ((48, 64), "mpeg2video", "yuv420p", {}),
    "telephone.3gp": ((48, 64), "mpeg4", "yuv420p", {}),
    "web.webm": ((48, 64), "libvpx", "yuv420p", {}),
    "window.wmv": ((48, 64), "wmv2", "yuv420p", {}),
    "flash.flv": ((48, 64), "flv1", "yuv420p", {}),
    "!(1) [x]; %03d ünï.mp4": ((48, 64), "libx264", "yuv420p", {}),
}
CUT = ("odd sizes.avi", "turned0.mkv", "turned90.mp4", "broadcast.ts", "web.webm", "old.mpg")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The folder data/odd/clips: whole files in both classes and parts, and what is none."""
    clips = tmp_path_factory.mktemp("corpus") / "data/odd/clips"
    for k, (name, (size, codec, pixels, more)) in enumerate(WHOLE.items()):
        for part, label, step in (
            ("train", "left", 2),
            ("train", "right", -2),
            ("test", ("left", "right")[k % 2], (3, -3)[k % 2]),
        ):
            write(clips / part / label / name, moving(8, *size, step), codec, pixels, **more)
    train = clips / "train/left"
    write(train / "one frame.mp4", moving(1, 48, 64, 0), "libx264", "yuv420p")
    for name in CUT:
        content = (train / name).read_bytes()
        # An odd number: a transport stream cut between two packets is one that ends there.
        (train / f"cut {name}").write_bytes(content[: 6 * len(content) // 10 | 1])
    (train / "empty.mp4").write_bytes(b"")
    (train / "text.avi").write_bytes(b"no video at all\n" * 50)
    (train / "loop.mp4").symlink_to("loop.mp4")
    (train / "lost.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(train / "pipe.mp4")
    (train / "linked.mp4").symlink_to(train / "telephone.3gp")
    shutil.copy(train / "grey.mkv", os.fsencode(train) + b"/caf\xe9.mkv")
    (train / "notes.txt").write_text("")
    (clips / "train/.ipynb_checkpoints").mkdir()
    shutil.copy(train / "grey.mkv", clips / "train/.ipynb_checkpoints/x.mkv")
    return clips


BAD = {
    *(f"train/left/cut {name}" for name in CUT),
    *(
        f"train/left/{name}"
        for name in ("empty.mp4", "text.avi", "loop.mp4", "lost.mp4", "pipe.mp4")
    ),
}


@pytest.fixture
def own_manifest(tmp_path, monkeypatch):
    """The one manifest there is, of videos or images."""
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path / "manifests")
    (tmp_path / "manifests").mkdir()

    def made(media):
        (tmp_path / "manifests/odd.yaml").write_text(MANIFEST.format(media=media))
        return load("odd")

    return made


@pytest.mark.slow
def test_verify_names_each_bad_file_and_no_other(corpus, own_manifest, tmp_path):
    report = verify(own_manifest("videos"), corpus.parents[1], tmp_path / "cache")
    assert report.undecodable.keys() == BAD
    assert all(report.undecodable.values())
    assert (report.missing, report.extra, report.faults) == ([], [], [])
    assert report.passed_over == ["train/left/notes.txt"]
    assert [row["present"] for row in report.counts] == [
        2 * len(WHOLE) + 3 + len(BAD),
        len(WHOLE),
    ]
    assert ["train/left/caf\\xe9.mkv", "train/left/grey.mkv"] in report.duplicates
    assert report.text().endswith("NOT whole")


def test_prepared_frames_are_those_of_each_file(corpus, own_manifest, tmp_path):
    with pytest.warns(UserWarning, match=f"{len(BAD)} files cannot be decoded"):
        parts = real.read(
            own_manifest("videos"),
            corpus.parents[1],
            cache_root=tmp_path / "cache",
            height=32,
            width=32,
            jobs=2,
        )
    assert sum(map(len, parts.values())) == 3 * len(WHOLE) + 3
    for videos in parts.values():
        for start, length, name in zip(
            videos.starts, videos.lengths, videos.factors["name"], strict=True
        ):
            path = os.fsencode(corpus / name).replace(b"\\xe9", b"\xe9")
            expected = decode(os.fsdecode(path), (32, 32))
            np.testing.assert_array_equal(videos.frames[start : start + length], expected)
            assert length == (1 if "one frame" in name else 8)


# Their chroma lies at the left of two pixels, which older versions of the command do not look up.
LEFT = ("libx264", "mpeg4", "mpeg2video")


def by_ffmpeg(path, frames, codec):
    """All frames of a video as the command decodes them, uint8 (T, H, W, 3), not turned."""
    flags = "bicubic+accurate_rnd+full_chroma_int+bitexact"
    flags += ":in_h_chr_pos=0:in_v_chr_pos=128" if codec in LEFT else ""
    command = ["ffmpeg", "-v", "error", "-noautorotate", "-i", path, "-fps_mode", "passthrough"]
    filters = ["-vf", f"scale=flags={flags},format=rgb24", "-f", "rawvideo", "-"]
    done = subprocess.run([*command, *filters], capture_output=True, check=True, timeout=60)
    return np.frombuffer(done.stdout, np.uint8).reshape(frames.shape)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the command ffmpeg is not installed")
@pytest.mark.parametrize("name", WHOLE)
def test_frames_are_those_of_another_decoder(corpus, name):
    for part in ("train/left", "train/right"):
        path = corpus / part / name
        _, codec, _, more = WHOLE[name]
        # Turned by hand: the command turns the chroma first, and then does not know where it lies.
        frames = np.rot90(decode(path), -more.get("turned", 0) // 90, axes=(1, 2))
        assert len(frames) == 8
        assert np.abs(frames.astype(int) - by_ffmpeg(path, frames, codec)).max() <= 1


@pytest.mark.parametrize("name", WHOLE)
def test_frames_are_those_that_were_written(corpus, name):
    """Without another decoder: upright, in order, and as near as the codec allows."""
    size, _, _, more = WHOLE[name]
    written = moving(8, *size, 2)
    shown = np.rot90(written, more.get("turned", 0) // 90, axes=(1, 2)).astype(float)
    if "grey" in name:
        shown = (shown @ [0.299, 0.587, 0.114])[..., None].repeat(3, 3)
    difference = np.abs(decode(corpus / "train/left" / name) - shown)
    assert difference.mean() < (20 if name.endswith("gif") else 6)


@pytest.mark.slow
def test_a_teacher_and_a_student_learn_from_them(corpus, own_manifest, tmp_path):
    own_manifest("videos")
    recipe = Recipe(epochs=1, learning_rate=2e-3)
    data = DataSpec("odd", frames=4, size=24)
    teacher = RunSpec(data, ModelSpec("tsn", {"width": 4}), recipe)
    method = MethodSpec("kd", (teacher,), {"temperature": 2.0})
    student = RunSpec(data, ModelSpec("tsn", {"width": 4}), recipe, method)
    store = RunStore(tmp_path / "store")
    datasets = Datasets(tmp_path / "cache", corpus.parents[1])
    keys = datasets.keys([student])
    videos = datasets.load(data)
    for spec, needed in ((teacher, []), (student, [teacher])):
        found = [store.find(run_key(other, "cpu", keys)) for other in needed]
        key = run_key(spec, "cpu", keys)
        execute(spec, key, store, videos, found, device="cpu", progress=lambda epoch: None)
    assert 0 <= store.find(run_key(student, "cpu", keys)).result["last"]["score"] <= 1


def put_images(folder):
    """Images of every kind whose pixels are known; by path, these pixels (None: unreadable)."""
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (24, 40, 3), np.uint8)
    grey = draw.integers(0, 65536, (24, 40), np.uint16)
    palette = Image.fromarray(picture).convert("P")
    turns = (
        *(lambda p: p, lambda p: p[:, ::-1], lambda p: p[::-1, ::-1], lambda p: p[::-1]),
        *(lambda p: p.swapaxes(0, 1), lambda p: np.rot90(p, -1)),
        *(lambda p: p[::-1, ::-1].swapaxes(0, 1), np.rot90),
    )
    known = {}

    def put(name, image, pixels, **options):
        path = folder / ("test/left", "train/right", "train/left")[len(known) % 3] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        known[path] = pixels

    for number, turn in enumerate(turns, start=1):
        tags = Image.Exif()
        tags[0x0112] = number
        put(f"exif{number}.png", Image.fromarray(picture), turn(picture), exif=tags)
    alpha = np.where(np.arange(40) < 20, 0, 255).astype(np.uint8) + np.zeros((24, 1), np.uint8)
    put(
        "alpha.png",
        Image.fromarray(np.dstack([picture, alpha])),
        picture * (alpha[..., None] > 0),
    )
    cmyk = Image.fromarray(np.dstack([255 - picture, np.zeros_like(alpha)]), mode="CMYK")
    put("print.tiff", cmyk, picture)
    put("deep.png", Image.fromarray(grey), np.round(grey / 257)[..., None].repeat(3, 2))
    put("palette.gif", palette, np.asarray(palette.convert("RGB")))
    put("palette.png", palette, np.asarray(palette.convert("RGB")))
    put("one bit.bmp", Image.fromarray(alpha).convert("1"), alpha[..., None].repeat(3, 2))
    put("plain.webp", Image.fromarray(picture), picture, lossless=True)
    whole = next(iter(known)).read_bytes()
    bad = folder / "train/left"
    (bad / "cut.png").write_bytes(whole[: len(whole) // 2])
    (bad / "empty.jpg").write_bytes(b"")
    os.mkfifo(bad / "pipe.jpg")
    return known, {f"train/left/{name}" for name in ("cut.png", "empty.jpg", "pipe.jpg")}


def test_images_of_every_kind(own_manifest, tmp_path):
    known, bad = put_images(tmp_path / "data/odd/clips")
    report = verify(own_manifest("images"), tmp_path / "data", tmp_path / "cache")
    assert report.undecodable.keys() == bad
    for path, pixels in known.items():
        decoded = decode_image(path)[0].astype(int)
        assert decoded.shape == pixels.shape, path
        assert np.abs(decoded - pixels).max() <= 1, path
    with pytest.warns(UserWarning, match=f"{len(bad)} files cannot be decoded"):
        parts = real.read(
            own_manifest("images"),
            tmp_path / "data",
            cache_root=tmp_path / "c",
            height=16,
            width=16,
        )
    assert sum(map(len, parts.values())) == len(known)
