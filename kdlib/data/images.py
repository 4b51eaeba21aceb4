"""Still images to arrays, by Pillow."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kdlib.data.decode import Undecodable, cropped, resized

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 64_000_000

# By how a file begins.
_SIGNS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


def decode_image(path: Path, size: int | tuple[int, int] | None = None) -> np.ndarray:
    """An image as one frame, uint8 RGB (1, H, W, 3); size as for `kdlib.data.decode.decode`.

    Its orientation tag is followed; transparent parts become black, 16 bits become 8. Of an
    animation it is the first picture. Raises Undecodable for other formats, broken files and more
    than 64 megapixels.
    """
    if path.exists() and not path.is_file():
        raise Undecodable(path, "not a plain file")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Undecodable(path, f"{image.width}x{image.height} pixels are too many")
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I", "F"):
                raise Undecodable(path, "its levels are of no known range; store 8 or 16 bits")
            if upright.mode.startswith("I;16"):
                upright = _eight_bits(upright)
            elif upright.has_transparency_data:
                upright = upright.convert("RGBA")
                black = Image.new("RGBA", upright.size, (0, 0, 0, 255))
                upright = Image.alpha_composite(black, upright)
            upright = upright.convert("RGB")
    except Undecodable:
        raise
    except UnidentifiedImageError as error:
        raise Undecodable(path, _what_it_is(path)) from error
    # Pillow reports broken files by nearly any exception, SyntaxError among them.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error).split(" '")[0]
        raise Undecodable(path, " ".join(reason.split()) or type(error).__name__) from error
    return fitted(upright, size)[None]


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 bits in 8, what is transparent in black."""
    levels = np.asarray(image).astype(np.uint32)
    scaled = ((levels + 128) // 257).astype(np.uint8)
    return Image.fromarray(np.where(levels == image.info.get("transparency", -1), 0, scaled))


def _what_it_is(path: Path) -> str:
    """What to say of a file that is no image to Pillow."""
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        return "an empty file"
    for sign, name in _SIGNS.items():
        if head.startswith(sign):
            return f"it begins as a {name} file, and is damaged or cut off behind that"
    return "no image that is read: " + ", ".join(FORMATS)


def fitted(image: Image.Image, size: int | tuple[int, int] | None) -> np.ndarray:
    """An RGB image uint8 (H, W, 3), resized and cropped to its centre as `size` asks."""
    height, width = resized((image.height, image.width), size)
    if (height, width) != (image.height, image.width):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(cropped(np.asarray(image), size))
