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


def test_the_orientation_tag_is_followed(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6  # turn a quarter clockwise
    Image.fromarray(PICTURE).save(tmp_path / "a.png", exif=tags)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png")[0], np.rot90(PICTURE, -1))


def test_what_is_transparent_is_black(tmp_path):
    alpha = np.full((24, 40, 1), 255, np.uint8)
    alpha[:12] = 0
    Image.fromarray(np.concatenate([PICTURE, alpha], axis=2)).save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png")[0]
    assert not decoded[:12].any()
    np.testing.assert_array_equal(decoded[12:], PICTURE[12:])


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "I;16", "LA"])
def test_any_kind_of_colour_is_rgb(tmp_path, mode):
    image = Image.fromarray(PICTURE)
    image = Image.new("I;16", (40, 24), 3) if mode == "I;16" else image.convert(mode)
    suffix = "jpg" if mode == "CMYK" else "png"
    image.save(tmp_path / f"a.{suffix}")
    assert decode_image(tmp_path / f"a.{suffix}").shape == (1, 24, 40, 3)


def test_broken_files_are_named_with_a_reason(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    Image.fromarray(PICTURE).save(tmp_path / "other.tiff")
    contents = {
        "empty.png": b"",
        "text.jpg": b"no picture",
        "cut.png": whole[: len(whole) // 2],
        "lies.png": (tmp_path / "other.tiff").read_bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Undecodable, match=f"{name}: .+") as caught:
            decode_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(Undecodable, match=r"absent\.png: No such file"):
        decode_image(tmp_path / "absent.png")


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 100)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    with pytest.raises(Undecodable, match="40x24 pixels are too many"):
        decode_image(tmp_path / "a.png")
