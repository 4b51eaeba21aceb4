"""Pickle files of numbers, read without running any of them.

CIFAR's official files and detectors' proposals are pickles. A pickle may call whatever it names, so
the names it may use lead to stand-ins here, which only build arrays of plain numbers.
"""

import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from kdlib.errors import UserError

_LIMIT = 1 << 30
_MOST_PLACES = 10_000_000
_KINDS = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}


def load(path: Path, *, limit_bytes: int = _LIMIT) -> Any:
    """The content of a pickle of None, numbers, text, bytes, lists, tuples, dicts and arrays.

    Text of Python 2 comes as bytes. UserError, naming the file, for anything else in it, for a
    damaged file, and for one larger than `limit_bytes`.
    """
    if path.stat().st_size > limit_bytes:
        raise UserError(f"{path}: larger than {limit_bytes:,} bytes; not read as a pickle")
    try:
        with path.open("rb") as file:
            _look_through(file)
            file.seek(0)
            return _plain(_Reader(file, encoding="bytes").load())
    except _Refused as error:
        raise UserError(
            f"{path}: {error}; only numbers, text, lists, dicts and arrays are read"
        ) from error
    # The reader of pickles raises nearly anything at a damaged file.
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
        *(AttributeError, OverflowError, MemoryError, RecursionError, struct.error, ImportError),
        *(UnicodeError, NotImplementedError),
    ) as error:
        raise UserError(f"{path}: no readable pickle ({type(error).__name__})") from error


def _look_through(file: IO[bytes]) -> None:
    """Refuse places in the reader's memory that would take gigabytes to reach."""
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > _MOST_PLACES:
            raise _Refused(f"it uses place {argument} of the reader's memory")


class _Refused(Exception):
    """Something that is not built."""


class _Type:
    """Stands for numpy.dtype: a kind and size of plain numbers, and a byte order."""

    def __init__(self, text: Any, *_: Any) -> None:
        text = text.decode("latin1") if isinstance(text, bytes) else text
        self.order = "<"
        if not isinstance(text, str) or text[:1] not in _KINDS or not text[1:].isdigit():
            raise _Refused(f"it holds an array of {text!r}")
        if int(text[1:]) not in _KINDS[text[0]]:
            raise _Refused(f"it holds an array of {text!r}")
        self.text = text

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "="):
            raise _Refused(f"it holds the byte order {order!r}")
        self.order = order

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.text)


class _Array:
    """Stands for numpy.ndarray; `value` is there once its state has been read."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(kind, _Type) or not isinstance(data, bytes | bytearray):
            raise _Refused("it holds an array of objects")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise _Refused(f"it holds an array of shape {shape!r}")
        flat = np.frombuffer(bytes(data), kind.numpy())
        self.value = flat.reshape(shape, order="F" if fortran else "C").copy()


class _Call:
    """A function that a pickle may call, but not change."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it changes a function")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order in ("F", b"F"), data))
    return array


def _scalar(kind: Any, data: Any) -> Any:
    data = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(kind, _Type) or not isinstance(data, bytes):
        raise _Refused("it holds a number of an unknown kind")
    return np.frombuffer(data, kind.numpy())[0].item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise _Refused("it encodes text in an unknown way")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _Call(_encode),
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Call(_from_buffer) for core in ("core", "_core")},
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _Call(_reconstruct)), ("scalar", _Call(_scalar)))
    },
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _Refused(f"it asks for {module}.{name}")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("it asks for something outside the file")


def _plain(value: Any, depth: int = 0) -> Any:
    """The value with stand-ins replaced by arrays; whatever else is not plain is refused."""
    if depth > 20:
        raise _Refused("it is nested too deeply")
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("it holds an array without content")
        return value.value
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if type(value) in (list, tuple):
        return type(value)(_plain(item, depth + 1) for item in value)
    if type(value) is dict:
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in value.items()}
    raise _Refused(f"it holds a {type(value).__name__}")
