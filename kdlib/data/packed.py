"""Images in one file: CIFAR's official pickles, and npz archives.

An npz has the labels `y`, and the images either as `x`, uint8 (N, H, W, 3), or as WebP files: image
i is `webp[offset[i]:offset[i + 1]]`.
"""

import io
import zipfile
import zlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from kdlib.data import safe_pickle
from kdlib.data.decode import Undecodable
from kdlib.data.images import fitted
from kdlib.errors import UserError

_LIMIT = 4 << 30
_LABELS = (b"fine_labels", b"labels")


def images(path: Path) -> np.ndarray:
    """The images of a packed file, uint8 RGB (N, H, W, 3). Raises Undecodable."""
    if path.suffix != ".npz":
        flat = _entry(path, _pickle(path), (b"data",))
        if not isinstance(flat, np.ndarray) or flat.dtype != np.uint8 or flat.shape[1:] != (3072,):
            raise Undecodable(path, "its data are not uint8 (N, 3072), as those of CIFAR")
        return np.ascontiguousarray(flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    with _npz(path) as arrays:
        if "x" not in arrays:
            return _webp_images(path, _member(path, arrays, "webp"), _offsets(path, arrays))
        stored = _member(path, arrays, "x")
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[3] != 3:
        raise Undecodable(path, f"x is {stored.dtype} {stored.shape}, not uint8 (N, H, W, 3)")
    return stored


def at_size(stored: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images uint8 (N, H, W, 3) at (height, width)."""
    if stored.shape[1:3] == size:
        return stored
    return np.stack([fitted(Image.fromarray(image), size) for image in stored])


def labels(path: Path) -> np.ndarray:
    """The class indices of a packed file, int64 (N,); CIFAR-100's are the fine ones. UserError."""
    if path.suffix != ".npz":
        found = np.asarray(_entry(path, _pickle(path), _LABELS))
    else:
        with _npz(path) as arrays:
            found = _member(path, arrays, "y")
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu":
        raise UserError(f"{path}: labels are {found.dtype} {found.shape}, not integers (N,)")
    return found.astype(np.int64)


def duplicates(a: np.ndarray, b: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of indices of images uint8 (N, H, W, 3) in `a` and `b` that are equal in all pixels."""
    places = defaultdict(list)
    for index, image in enumerate(a):
        places[image.tobytes()].append(index)
    return [(first, second) for second, image in enumerate(b) for first in places[image.tobytes()]]


def _pickle(path: Path) -> dict[Any, Any]:
    content = safe_pickle.load(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: no dict of arrays, as CIFAR's files are")
    return content


def _entry(path: Path, content: dict[Any, Any], names: tuple[bytes, ...]) -> Any:
    for name in names:
        for key in (name, name.decode()):
            if key in content:
                return content[key]
    raise UserError(f"{path}: no {' or '.join(name.decode() for name in names)} in it")


class _npz:
    """An npz whose faults, while it is open, are UserErrors that name the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Any:
        try:
            with zipfile.ZipFile(self.path) as packed:
                size = sum(info.file_size for info in packed.infolist())
            if size > _LIMIT:
                raise UserError(f"{self.path}: it unpacks to {size:,} bytes; not read")
            self.arrays = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise UserError(f"{self.path}: no readable npz ({error})") from error
        return self.arrays

    def __exit__(self, *_: object) -> None:
        self.arrays.close()


def _member(path: Path, arrays: Any, name: str) -> np.ndarray:
    if name not in arrays:
        raise UserError(f"{path}: no array {name!r}; it has {', '.join(arrays.files) or 'none'}")
    try:
        found = arrays[name]
    except (
        *(ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error),
        *(TypeError, SyntaxError, MemoryError, NotImplementedError, RuntimeError),
    ) as error:
        raise UserError(f"{path}: array {name!r} cannot be read ({error})") from error
    if not isinstance(found, np.ndarray):
        raise UserError(f"{path}: {name!r} is no array")
    return found


def _offsets(path: Path, arrays: Any) -> np.ndarray:
    offsets, content = _member(path, arrays, "offset"), _member(path, arrays, "webp")
    if offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu":
        raise UserError(f"{path}: offset must be integers (N + 1,)")
    offsets = offsets.astype(np.int64)
    if offsets[0] < 0 or offsets[-1] > content.size or (np.diff(offsets) <= 0).any():
        raise UserError(f"{path}: offset must rise within the {content.size:,} bytes of webp")
    return offsets


def _webp_images(path: Path, content: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    if content.dtype != np.uint8 or content.ndim != 1:
        raise Undecodable(path, f"webp is {content.dtype} {content.shape}, not bytes")
    data = content.tobytes()
    first = _webp(path, data, offsets, 0)
    decoded = np.empty((len(offsets) - 1, *first.shape), np.uint8)

    def decode(index: int) -> None:
        image = _webp(path, data, offsets, index)
        if image.shape != first.shape:
            raise Undecodable(path, f"image {index} is {image.shape}, the first {first.shape}")
        decoded[index] = image

    with ThreadPoolExecutor() as pool:
        indices = range(len(decoded))
        work = pool.map(decode, indices, chunksize=256)
        for _ in tqdm(work, total=len(decoded), desc=f"decoding {path.name}", mininterval=0.5):
            pass
    return decoded


def _webp(path: Path, data: bytes, offsets: np.ndarray, index: int) -> np.ndarray:
    piece = data[offsets[index] : offsets[index + 1]]
    try:
        with Image.open(io.BytesIO(piece), formats=["WEBP"]) as image:
            if image.width * image.height > 1_000_000:
                raise Undecodable(path, f"image {index} is {image.width}x{image.height} pixels")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Undecodable(path, f"image {index} is no readable WebP") from error
