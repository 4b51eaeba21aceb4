"""Which files there are, by one listing a folder: a look a file takes far longer on some disks."""

import os
from pathlib import Path


class Listing:
    """The files below a folder, as they were when their own folder was first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, dict[str, None]] = {}

    def has(self, path: str) -> bool:
        """Whether there is a file at a path below the folder."""
        parent, _, name = path.rpartition("/")
        return name in self._names(parent)

    def by_stem(self, suffixes: tuple[str, ...], parent: str = "") -> dict[str, str]:
        """The files with one of the suffixes right in `parent`, by name without suffix."""
        parts = map(os.path.splitext, self._names(parent))
        return {stem: stem + suffix for stem, suffix in parts if suffix.lower() in suffixes}

    def _names(self, parent: str) -> dict[str, None]:
        if parent not in self._known:
            try:
                entries = sorted(os.scandir(self.folder / parent), key=lambda entry: entry.name)
                self._known[parent] = {entry.name: None for entry in entries if entry.is_file()}
            except OSError:
                self._known[parent] = {}
        return self._known[parent]
