"""Pickle files of numbers, read without running any of them.

CIFAR's official files and detectors' proposals are pickles. A pickle may call whatever it names, so
the names it may use lead to stand-ins here, which only build arrays of plain numbers.
"""

import pickle
import pickletools
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from kdlib.errors import UserError

_LIMIT = 1 << 30
_MOST_PLACES = 10_000_000
_MOST_ITEMS = 10_000_000
_KINDS = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}


def load(path: Path, *, limit_bytes: int = _LIMIT) -> Any:
    """The content of a pickle of None, numbers, text, bytes, lists, tuples, dicts and arrays.

    Text of Python 2 comes as bytes; arrays are read-only. What stands in the file once and is used
    many times is one object here too. UserError, naming the file, for anything else in it, for a
    damaged file, for one larger than `limit_bytes`, and for one that, written out, would have more
    than 10 million items.
    """
    if path.stat().st_size > limit_bytes:
        raise UserError(f"{path}: larger than {limit_bytes:,} bytes; not read as a pickle")
    try:
        with path.open("rb") as file:
            _look_through(file)
            file.seek(0)
            return _plain(_Reader(file, encoding="bytes").load(), {})[0]
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
    finally:
        _latin1.cache_clear()


def _look_through(file: IO[bytes]) -> None:
    """Refuse, before anything is built, what would take gigabytes or hours to build.

    Places in the reader's memory that are far away; and tuples in tuples that, as keys, would be
    looked through item by item: a few bytes repeat one tuple ten times at each of twenty levels.
    """
    stack: list[int | None] = []  # items of what the reader has at hand; None is a mark
    memory: dict[int, int] = {}
    for operation, argument, _ in pickletools.genops(file):
        name, taken = operation.name, []
        if pickletools.markobject in operation.stack_before:
            while stack and (top := stack.pop()) is not None:
                taken.append(top)
            needed = operation.stack_before.index(pickletools.markobject)
        else:
            needed = len(operation.stack_before)
        for _ in range(min(needed, len(stack))):
            taken.append(stack.pop() or 1)
        size = 1
        if name.startswith("TUPLE"):
            size = 1 + sum(taken)
        elif name in ("MEMOIZE", "DUP"):
            size = taken[0] if taken else 1
        elif name.endswith("GET"):
            size = memory.get(int(argument or 0), 1)
        if size > _MOST_ITEMS:
            raise _Refused("it repeats its items too often")
        marks = (after is pickletools.markobject for after in operation.stack_after)
        stack += [None if mark else size for mark in marks]
        if name == "MEMOIZE":
            memory[len(memory)] = size
        elif name.endswith("PUT"):
            if int(argument or 0) > _MOST_PLACES:
                raise _Refused(f"it uses place {argument} of the reader's memory")
            memory[int(argument or 0)] = (stack[-1] if stack else 1) or 1


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
        data = _latin1(data) if isinstance(data, str) else data
        if not isinstance(kind, _Type) or not isinstance(data, bytes | bytearray):
            raise _Refused("it holds an array of objects")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise _Refused(f"it holds an array of shape {shape!r}")
        # No copy: a thousand arrays may be of the same bytes.
        flat = np.frombuffer(data if isinstance(data, bytes) else bytes(data), kind.numpy())
        self.value = flat.reshape(shape, order="F" if fortran else "C")


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


@lru_cache(None)
def _latin1(text: str) -> bytes:
    """The bytes of a text; the same object for the same text, however often a file asks for it."""
    return text.encode("latin1")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise _Refused("it encodes text in an unknown way")
    return _latin1(text)


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


def _plain(value: Any, known: dict[int, tuple[Any, int]], depth: int = 0) -> tuple[Any, int]:
    """The value with stand-ins replaced by arrays, and its items; what is not plain is refused.

    known: what was made of a value before, by its id.
    """
    if depth > 20:
        raise _Refused("it is nested too deeply")
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("it holds an array without content")
        return value.value, 1
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value, 1
    if type(value) not in (list, tuple, dict):
        raise _Refused(f"it holds a {type(value).__name__}")
    if id(value) not in known:
        items = [x for pair in value.items() for x in pair] if type(value) is dict else value
        made = [_plain(item, known, depth + 1) for item in items]
        count = 1 + sum(size for _, size in made)
        if count > _MOST_ITEMS:
            raise _Refused("it repeats its items too often")
        plain: Any = [item for item, _ in made]
        if type(value) is dict:
            plain = dict(zip(plain[::2], plain[1::2], strict=True))
        elif type(value) is tuple:
            plain = tuple(plain)
        known[id(value)] = plain, count
    return known[id(value)]
