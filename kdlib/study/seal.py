"""Files that say what they are made of, and that notice when they or their siblings change."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdlib.data.manifest import inside


def write_text(path: Path, text: str) -> None:
    """Write a text file through a temporary one beside it: it appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path`, of this process alone: what is written to it becomes `path`, or
    nothing is left of it."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def seal(path: Path, files: Iterable[Path], provenance: Mapping[str, Any]) -> None:
    """Write a provenance to `path`, with the checksums of these files, which lie below its folder,
    and of itself."""
    content = {
        **provenance,
        "files": {f.relative_to(path.parent).as_posix(): sha256(f.read_bytes()) for f in files},
    }
    write_text(path, json.dumps({**content, "checksum": checksum(content)}, indent=1))


def unseal(path: Path) -> dict[str, Any] | None:
    """What `seal` wrote to `path`; None if it or one of its files is missing, damaged or edited."""
    try:
        if not path.is_file():  # what is no file might never end
            return None
        content = json.loads(path.read_bytes())
        whole = content.pop("checksum") == checksum(content) and all(
            (path.parent / inside(name)).is_file()
            and sha256((path.parent / name).read_bytes()) == expected
            for name, expected in content["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return content if whole else None


def checksum(content: Any) -> str:
    """SHA-256 of plain data, whatever the order of its keys."""
    return sha256(json.dumps(content, sort_keys=True).encode())


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
