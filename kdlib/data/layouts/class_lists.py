"""A text file a class and split (HMDB51); see `kdlib.data.manifest.ClassListsLayout`."""

from pathlib import PurePosixPath

from kdlib.data import listfiles
from kdlib.data.layouts import Clip, Places
from kdlib.data.manifest import ClassListsLayout, Manifest
from kdlib.errors import UserError

_PARTS = {"0": None, "1": "train", "2": "test"}


def clips(manifest: Manifest, layout: ClassListsLayout, places: Places, split: str) -> list[Clip]:
    """The clips that the lists of all classes mark 1 (train) or 2 (test)."""
    assert isinstance(manifest.classes, tuple)
    found = []
    for label in manifest.classes:
        path = places.find(manifest, layout.lists[split].replace("{class}", label))
        for number, text in listfiles.lines(path):
            where = f"{path}, line {number}"
            file, _, mark = text.rpartition(" ")
            if mark not in _PARTS or not file.strip():
                raise UserError(f"{where}: {text!r} is not a clip's name and 0, 1 or 2")
            part = _PARTS[mark]
            if part is None:
                continue
            stated = PurePosixPath(listfiles.clip_path(where, f"{label}/{file.strip()}"))
            name = str(stated.with_suffix(layout.suffix) if layout.suffix else stated)
            group = listfiles.group(where, layout.group, name)
            found.append(Clip(name, part, (label,), group, name))
    return found
