"""A set of one's own with list files, and its clips by any layout."""

from pathlib import Path

import pytest

from kdlib.data import layouts
from kdlib.data.layouts import Places
from kdlib.data.manifest import Manifest
from kdlib.errors import UserError


class Lists:
    """A manifest of two classes over a folder of list files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "clips").mkdir()

    def put(self, name, content):
        """Write a list file, or an empty clip."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def manifest(self, layout, **changes):
        values = {
            "name": "mine",
            "title": "Mine",
            "classes": ("jump", "wave"),
            "files": {"folder": "clips"},
            "layout": layout,
        }
        return Manifest.model_validate({**values, **changes})

    def clips(self, layout, split="one", **changes):
        places = Places(self.folder / "clips", (self.folder,))
        return layouts.clips(self.manifest(layout, **changes), places, split)

    def clips_or_refused(self, name, layout, **changes):
        """The clips, or none if a UserError that names the file refuses them."""
        try:
            return self.clips(layout, **changes)
        except UserError as error:
            refused = str(error)
        assert name in refused
        return []


@pytest.fixture
def lists(tmp_path):
    return Lists(tmp_path)


@pytest.fixture
def any_lists(tmp_path_factory):
    """A fresh folder for every example of a property."""
    return lambda: Lists(tmp_path_factory.mktemp("lists"))
