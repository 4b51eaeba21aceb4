"""Which files there are, by one listing a folder: a look a file takes far longer on some disks."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder, or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def visible(names: Iterable[str]) -> list[str]:
    """The names but those that begin with a dot: what programs leave behind, such as ._a.mp4."""
    return [name for name in names if not name.startswith(".")]


def files(folder: Path) -> Iterator[str]:
    """The paths of all files below a folder, hidden ones and what lies in hidden folders excepted.

    Sorted, those right in a folder before those below it. Links to folders are followed, but not
    round in a circle.
    """
    for place, folders, names in os.walk(folder, followlinks=True):
        above = Path(os.path.realpath(place))
        folders[:] = [
            name
            for name in sorted(visible(folders))
            if not above.is_relative_to(os.path.realpath(os.path.join(place, name)))
        ]
        for name in sorted(visible(names)):
            yield Path(place, name).relative_to(folder).as_posix()


def printable(text: str) -> str:
    """A text with the bytes of a name that are not UTF-8 written as \\xe9."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


class Listing:
    """What lies below a folder, as it was when its own folder was first asked for.

    A link that leads nowhere or a pipe is there, and cannot be read; a folder is no file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, dict[str, None]] = {}

    def has(self, path: str) -> bool:
        """Whether there is a file at a path below the folder."""
        parent, _, name = path.rpartition("/")
        return name in self._names(parent)

    def by_stem(self, suffixes: tuple[str, ...], parent: str = "") -> dict[str, str]:
        """The files with one of the suffixes right in `parent`, by name; hidden ones are none."""
        parts = map(os.path.splitext, visible(self._names(parent)))
        return {stem: stem + suffix for stem, suffix in parts if suffix.lower() in suffixes}

    def _names(self, parent: str) -> dict[str, None]:
        if parent not in self._known:
            try:
                entries = sorted(os.scandir(self.folder / parent), key=lambda entry: entry.name)
                self._known[parent] = {
                    entry.name: None for entry in entries if not is_folder(entry)
                }
            except OSError:
                self._known[parent] = {}
        return self._known[parent]
