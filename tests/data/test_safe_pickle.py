import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kdlib.data import safe_pickle
from kdlib.errors import UserError


@pytest.fixture
def load(tmp_path):
    def read(content, **limits):
        (tmp_path / "a.pkl").write_bytes(content)
        return safe_pickle.load(tmp_path / "a.pkl", **limits)

    return read


def with_old_name(content):
    """With the module's old name, where names end in a newline instead of bearing their length."""
    return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_numbers_text_and_arrays_come_back(load, protocol):
    images = np.random.default_rng(0).integers(0, 256, (5, 12), np.uint8)
    value = {
        "data": images,
        "turned": np.asfortranarray(images[:, :4].astype(">f4")),
        "fine_labels": [1, 2, 3],
        "names": ("a", "ä", b"bytes", None, True, 1.5, -(10**30)),
        "one": np.float64(0.25),
    }
    found = load(with_old_name(pickle.dumps(value, protocol)))
    assert found.keys() == value.keys()
    for name in ("data", "turned"):
        np.testing.assert_array_equal(found[name], value[name])
    assert found["fine_labels"] == [1, 2, 3]
    assert found["names"] == value["names"]
    assert found["one"] == 0.25


def test_text_of_python_2_comes_as_bytes(load):
    short = b"\x80\x02}q\x00U\x04dataq\x01U\x03abcq\x02s."
    assert load(short) == {b"data": b"abc"}


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


HOSTILE = {
    "system": pickle.dumps(Call(os.system, "touch evil")),
    "eval": pickle.dumps(Call(eval, "open('evil', 'w')")),
    "getattr": pickle.dumps(Call(getattr, [], "append")),
    "numpy.load": b"cnumpy\nload\n(S'x'\ntR.",
    "objects": pickle.dumps(np.array([1, "a"], dtype=object)),
    "text": pickle.dumps(np.array(["a"])),
    "dates": pickle.dumps(np.array(["2020-01-01"], dtype="M8[D]")),
    "fields": pickle.dumps(np.zeros(2, dtype=[("a", "i4")])),
    "set": pickle.dumps({1, 2}),
    "complex": pickle.dumps(1j),
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"Px\n.",
    "a function": b"cnumpy.core.multiarray\n_reconstruct\n.",
    "a changed function": b"c_codecs\nencode\n(N(dS'__doc__'\nS'x'\ns\x86b.",
    "an empty array": b"cnumpy.core.multiarray\n_reconstruct\n(tR.",
    "a far place": b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_whatever_is_not_plain_is_refused(load, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"a\.pkl: "):
        load(content)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("shape", [(3,), (-1,), (2**40,), (2**31, 2**33), "ab", (1.5,)])
def test_shapes_that_do_not_fit_the_bytes_are_refused(load, shape):
    class Wrong:
        def __reduce__(self):
            build, arguments, state = np.zeros(2, np.uint8).__reduce__()
            return build, arguments, (state[0], shape, *state[2:])

    with pytest.raises(UserError, match=r"a\.pkl: "):
        load(pickle.dumps(Wrong()))


def repeated(value, kind, levels=30):
    """A value of a few bytes that would be endless if it were written out."""
    for _ in range(levels):
        value = kind([value] * 10)
    return value


class SameBytes:
    """Arrays that all have one text of a megabyte."""

    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        build, arguments, state = np.zeros(2, np.uint8).__reduce__()
        return build, arguments, (*state[:1], (len(self.data),), *state[2:4], self.data)


REPEATING = {
    "lists": pickle.dumps(repeated(1, list, 7)),
    "deep lists": pickle.dumps(repeated(1, list)),
    "tuples": pickle.dumps(repeated(1, tuple)),
    "dicts": pickle.dumps(repeated(1, lambda items: dict(enumerate(items)), 15)),
    # Keys, whose hashes a reader works out while it reads.
    **{
        f"keys of protocol {protocol}": b"}"
        + pickle.dumps(repeated(1, tuple), protocol)[:-1]
        + b"Ns."
        for protocol in (0, 2)
    },
}


@pytest.mark.parametrize("content", REPEATING.values(), ids=REPEATING)
def test_what_is_repeated_without_end_is_refused_at_once(load, content):
    assert len(content) < 3000
    with pytest.raises(UserError, match=r"a\.pkl: it (repeats its items too often|is nested)"):
        load(content)


def test_what_is_used_many_times_is_one_object(load):
    names, image = ["a", "b"], np.zeros(10**6, np.uint8)
    found = load(pickle.dumps({"one": [names] * 1000, "two": names}))
    assert len({id(item) for item in [*found["one"], found["two"]]}) == 1
    for data in (image.tobytes(), "\0" * 10**6):
        arrays = load(pickle.dumps([SameBytes(data) for _ in range(3000)], 2))
        assert len({array.ctypes.data for array in arrays}) == 1
        np.testing.assert_array_equal(arrays[-1], image)


def test_large_files_are_not_read(load):
    with pytest.raises(UserError, match="larger than 10 bytes"):
        load(pickle.dumps(list(range(100))), limit_bytes=10)


WHOLE = pickle.dumps({"data": np.arange(6, dtype=np.int16).reshape(2, 3), "labels": [1, "a"]}, 2)


@settings(deadline=None, max_examples=200)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(WHOLE) - 1).map(lambda end: WHOLE[:end]),
        st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=1)).map(
            lambda change: WHOLE[: change[0]] + change[1] + WHOLE[change[0] + 1 :]
        ),
    )
)
def test_any_bytes_give_a_plain_value_or_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "a.pkl"
    path.write_bytes(content)
    try:
        value = safe_pickle.load(path)
    except UserError:
        return
    plain = (bool, int, float, str, bytes, list, tuple, dict, np.ndarray)
    assert value is None or isinstance(value, plain)


@settings(deadline=None, max_examples=50)
@given(
    array=hnp.arrays(
        st.sampled_from(["u1", "i2", ">i4", "<f8", "?", "f2"]), hnp.array_shapes(max_side=4)
    ),
    protocol=st.integers(0, 4),
)
def test_any_array_of_numbers_comes_back(tmp_path_factory, array, protocol):
    path = tmp_path_factory.mktemp("any") / "a.pkl"
    path.write_bytes(pickle.dumps(array, protocol))
    np.testing.assert_array_equal(safe_pickle.load(path), array)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "columns"),
    [("eval_detection/proposal.pkl", 5), ("ava_dataset/ava_proposals_sample.pkl", 5)],
)
def test_real_proposals(real, name, columns):
    found = safe_pickle.load(real / "annotations/ava_toy" / name)
    assert found
    for key, boxes in found.items():
        assert "," in key
        assert boxes.shape[1] == columns
        assert (boxes[:, :4] >= 0).all()
