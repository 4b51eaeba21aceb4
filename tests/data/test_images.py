import os

import numpy as np
import pytest
from PIL import Image

from kdlib.data import images as module
from kdlib.data.decode import Undecodable
from kdlib.data.images import decode_image

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_a_lossless_picture_comes_back(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(PICTURE).save(tmp_path / f"a.{suffix}", **options)
    decoded = decode_image(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(decoded, PICTURE[None])
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize(
    ("size", "expected"), [(None, (24, 40)), (12, (12, 20)), ((12, 12), (12, 12)), (48, (48, 80))]
)
def test_sizes_are_those_of_videos(tmp_path, size, expected):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    assert decode_image(tmp_path / "a.png", size).shape == (1, *expected, 3)


# By the standard: where row 0 and column 0 of what is stored are shown.
SHOWN = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_the_orientation_tag_is_followed(tmp_path, suffix, orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(PICTURE).save(path, exif=tags, **options)
    np.testing.assert_array_equal(decode_image(path)[0], SHOWN[orientation](PICTURE))


def test_what_is_transparent_is_black(tmp_path):
    alpha = np.full((24, 40, 1), 255, np.uint8)
    alpha[:12] = 0
    Image.fromarray(np.concatenate([PICTURE, alpha], axis=2)).save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png")[0]
    assert not decoded[:12].any()
    np.testing.assert_array_equal(decoded[12:], PICTURE[12:])


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "PA", "RGBA"])
def test_any_kind_of_colour_is_rgb(tmp_path, mode):
    image = Image.fromarray(PICTURE).convert(mode)
    suffix = "tiff" if mode in ("CMYK", "PA") else "png"
    image.save(tmp_path / f"a.{suffix}")
    decoded = decode_image(tmp_path / f"a.{suffix}")
    assert decoded.shape == (1, 24, 40, 3)
    # By Pillow's own tables, or by arithmetic where these are simple.
    expected = {
        "L": lambda: np.asarray(image)[..., None],
        "LA": lambda: np.asarray(image)[..., :1],
        "1": lambda: np.asarray(image)[..., None] * 255,
        "CMYK": lambda: 255 - np.asarray(image)[..., :3],
        "RGBA": lambda: PICTURE,
    }.get(mode, lambda: np.asarray(image.convert("RGB")))()
    assert np.abs(decoded[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_become_eight(tmp_path, suffix):
    levels = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / f"a.{suffix}")
    expected = np.round(levels / 65535 * 255)[..., None].repeat(3, 2)
    np.testing.assert_array_equal(decode_image(tmp_path / f"a.{suffix}")[0], expected)


def test_sixteen_bits_with_a_transparent_level(tmp_path):
    levels = np.array([[0, 40_000], [65_535, 40_000]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=40_000)
    assert decode_image(tmp_path / "a.png")[0, ..., 0].tolist() == [[0, 0], [255, 0]]


def test_levels_without_a_range_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(Undecodable, match="no known range"):
        decode_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tiff"])
def test_half_an_image_is_none_wherever_it_was_cut(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PICTURE.repeat(2, 0)).save(path)
    content, expected = path.read_bytes(), decode_image(path)
    names = {"jpg": "JPEG", "webp": "WebP"}
    for size in [0, *range(9, len(content), 1 + len(content) // 40), len(content) - 3]:
        path.write_bytes(content[:size])
        try:
            np.testing.assert_array_equal(decode_image(path), expected)
        except Undecodable as error:
            reason = error.reason
        else:
            # Behind the pixels only: an end mark, a table of contents.
            assert size > 0.9 * len(content)
            continue
        name = names.get(suffix, suffix.upper())
        said = ("truncated", "broken", f"begins as a {name}", "empty file", "Truncated", "decode")
        assert any(word in reason for word in said), reason


def test_broken_files_are_named_with_a_reason(tmp_path):
    contents = {
        "empty.png": (b"", "an empty file"),
        "text.jpg": (b"no picture", "no image that is read: JPEG, PNG"),
        "film.png": (b"\0\0\0\x18ftypmp42", "no image that is read"),
        "head.gif": (b"GIF89a", "it begins as a GIF file, and is damaged or cut off"),
        "head.tiff": (b"II*\0\xff\xff\xff\0", "it begins as a TIFF file"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Undecodable, match=f"{name}: {reason}") as caught:
            decode_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(Undecodable, match=r"absent\.png: No such file"):
        decode_image(tmp_path / "absent.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Undecodable, match=r"pipe\.png: not a plain file"):
        decode_image(tmp_path / "pipe.png")


def test_a_lying_suffix_does_not_matter(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.tiff")
    (tmp_path / "a.tiff").rename(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png")[0], PICTURE)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 100)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    with pytest.raises(Undecodable, match="40x24 pixels are too many"):
        decode_image(tmp_path / "a.png")
