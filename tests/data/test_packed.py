import io
import pickle

import numpy as np
import pytest
from PIL import Image

from kdlib.data import packed
from kdlib.data.decode import Undecodable
from kdlib.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
LABELS = [3, 1, 4, 1, 5, 9]


def cifar(**changes):
    """As the official file has them: rows of all red, all green, all blue."""
    rows = PIXELS.transpose(0, 3, 1, 2).reshape(6, -1)
    content = {b"data": rows, b"fine_labels": LABELS, b"coarse_labels": [0] * 6}
    return {**content, **changes}


def webp(images=PIXELS):
    pieces = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "WEBP", lossless=True)
        pieces.append(file.getvalue())
    ends = np.cumsum([0, *map(len, pieces)])
    return {
        "y": np.array(LABELS),
        "offset": ends,
        "webp": np.frombuffer(b"".join(pieces), np.uint8),
    }


@pytest.fixture
def put(tmp_path):
    def write(content, name="part"):
        if name.endswith(".npz"):
            np.savez(tmp_path / name, **content)
        else:
            (tmp_path / name).write_bytes(pickle.dumps(content, 2))
        return tmp_path / name

    return write


def test_the_official_pickle(put):
    path = put(cifar())
    np.testing.assert_array_equal(packed.images(path), PIXELS)
    assert packed.labels(path).tolist() == LABELS
    assert packed.labels(path).dtype == np.int64


@pytest.mark.parametrize("content", [{"x": PIXELS, "y": np.array(LABELS)}, webp()])
def test_an_npz(put, content):
    path = put(content, "part.npz")
    np.testing.assert_array_equal(packed.images(path), PIXELS)
    assert packed.labels(path).tolist() == LABELS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "no dict of arrays"),
        ({b"labels": LABELS}, "no data in it"),
        (cifar(**{"data": 3}) | {b"data": np.zeros((6, 9), np.uint8)}, r"not uint8 \(N, 3072\)"),
        ({b"data": np.zeros((6, 3072), np.float32)}, r"not uint8 \(N, 3072\)"),
    ],
)
def test_a_wrong_pickle_is_named(put, content, message):
    with pytest.raises(UserError, match=f"part: .*{message}"):
        packed.images(put(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": np.array([0, 10**9])}, "offset must rise within"),
        ({"offset": np.array([0, 5, 3])}, "offset must rise within"),
        ({"offset": np.array([-1, 5])}, "offset must rise within"),
        ({"offset": np.array([0.0, 5.0])}, "offset must be integers"),
        ({"webp": np.frombuffer(b"no picture at all" * 40, np.uint8)}, "no readable WebP|offset"),
        ({"webp": np.zeros((50_000,), np.int16)}, "not bytes"),
    ],
)
def test_a_wrong_npz_is_named(put, change, message):
    with pytest.raises(UserError, match=rf"part\.npz: .*({message})"):
        packed.images(put({**webp(), **change}, "part.npz"))


def test_images_of_other_sizes_are_named(put):
    images = [*PIXELS[:5], PIXELS[5, :16, :16]]
    with pytest.raises(Undecodable, match=r"image 5 is \(16, 16, 3\), the first \(32, 32, 3\)"):
        packed.images(put(webp(images), "part.npz"))


def test_labels_that_are_none(put):
    with pytest.raises(UserError, match="no array 'y'; it has x"):
        packed.labels(put({"x": PIXELS}, "a.npz"))
    with pytest.raises(UserError, match="not integers"):
        packed.labels(put({"y": np.zeros((2, 2))}, "b.npz"))
    with pytest.raises(UserError, match="no fine_labels or labels in it"):
        packed.labels(put({b"data": 1}))


def test_objects_in_an_npz_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", y=np.array([print], dtype=object))
    with pytest.raises(UserError, match=r"a\.npz: array 'y' cannot be read"):
        packed.labels(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive" * 99])
def test_what_is_no_npz(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz: no readable npz"):
        packed.images(tmp_path / "a.npz")


def test_duplicates_are_equal_in_all_pixels():
    other = PIXELS[[2, 0]].copy()
    other[1, 0, 0, 0] ^= 1
    assert packed.duplicates(PIXELS, other) == [(2, 0)]
    assert packed.duplicates(PIXELS[[1, 1]], PIXELS[[1]]) == [(0, 0), (1, 0)]


@pytest.mark.real
@pytest.mark.slow
def test_cifar100(real):
    parts = {}
    for part, count in (("train", 500), ("test", 100)):
        path = real / f"cifar100/cifar100_{part}.npz"
        parts[part] = packed.images(path)
        assert parts[part].shape == (100 * count, 32, 32, 3)
        assert np.bincount(packed.labels(path)).tolist() == [count] * 100
    assert len(packed.duplicates(parts["train"], parts["test"])) == 10
