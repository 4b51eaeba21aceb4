"""Text files that list a part each (UCF101); see `kdlib.data.manifest.ListsLayout`."""

import re
from pathlib import PurePosixPath

from kdlib.data import listfiles, patterns
from kdlib.data.layouts import Clip, Places
from kdlib.data.manifest import ListsLayout, Manifest
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: ListsLayout, places: Places, split: str) -> list[Clip]:
    """The clips of the lists; a number after a path must be that of its class, from 1."""
    found = []
    for part, file in layout.lists[split].items():
        path = places.find(manifest, file)
        for line, text in listfiles.lines(path):
            where = f"{path}, line {line}"
            name, number = _name_and_number(text)
            name = listfiles.clip_path(where, name)
            if layout.class_ is not None:
                label = _found_label(where, layout.class_, text)
            else:
                label = _folder_label(where, manifest, name, number)
            group = listfiles.group(where, layout.group, name)
            found.append(Clip(name, part, (label,), group, name))
    return found


def _found_label(where: str, pattern: str, text: str) -> str:
    label = patterns.found(where, "layout.class", pattern, text)
    if not label:
        raise UserError(f"{where}: layout.class finds nothing in {text!r}")
    return label


def _folder_label(where: str, manifest: Manifest, name: str, number: int | None) -> str:
    label = PurePosixPath(name).parent.name
    if not label:
        raise UserError(
            f"{where}: {name!r} lies in no folder of a class; layout.class may say where in a line "
            "the class stands"
        )
    if number is not None and isinstance(manifest.classes, tuple):
        named = manifest.classes[number - 1 : number] if number else ()
        if named != (label,):
            raise UserError(
                f"{where}: class {number} is {named[0] if named else 'none'!r}, "
                f"but the clip lies in {label}"
            )
    return label


def _name_and_number(text: str) -> tuple[str, int | None]:
    """ "a/b c.avi 12" is "a/b c.avi" and 12; a name may hold spaces, and the number be absent."""
    parts = re.fullmatch(r"(.*\S)\s+([0-9]{1,6})", text, re.DOTALL)
    return (parts.group(1), int(parts.group(2))) if parts else (text, None)
