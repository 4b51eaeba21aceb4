"""Still images to arrays, by Pillow."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kdlib.data.decode import Undecodable, cropped, resized

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_PIXELS = 64_000_000


def decode_image(path: Path, size: int | tuple[int, int] | None = None) -> np.ndarray:
    """An image as one frame, uint8 RGB (1, H, W, 3); size as for `kdlib.data.decode.decode`.

    Its orientation tag is followed; transparent parts become black. Of an animation it is the first
    picture. Raises Undecodable for other formats, broken files and more than 64 megapixels.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Undecodable(path, f"{image.width}x{image.height} pixels are too many")
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                black = Image.new("RGBA", upright.size, (0, 0, 0, 255))
                upright = Image.alpha_composite(black, upright)
            upright = upright.convert("RGB")
    # Pillow reports broken files by many exceptions, SyntaxError among them.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).split(" '")[0]
        raise Undecodable(path, reason or type(error).__name__) from error
    return fitted(upright, size)[None]


def fitted(image: Image.Image, size: int | tuple[int, int] | None) -> np.ndarray:
    """An RGB image uint8 (H, W, 3), resized and cropped to its centre as `size` asks."""
    height, width = resized((image.height, image.width), size)
    if (height, width) != (image.height, image.width):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(cropped(np.asarray(image), size))
