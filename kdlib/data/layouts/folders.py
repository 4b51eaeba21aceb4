"""<folder>/<part>/<class>/<file>; see `kdlib.data.manifest.FoldersLayout`."""

from pathlib import PurePosixPath

from kdlib.data import listfiles, patterns
from kdlib.data.layouts import SUFFIXES, Clip, Places
from kdlib.data.listing import files, printable
from kdlib.data.manifest import FoldersLayout, Manifest
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: FoldersLayout, places: Places, split: str) -> list[Clip]:
    """The videos or images in the folders, sorted by path."""
    suffixes = SUFFIXES[manifest.media]
    found = []
    for part, folder in layout.parts.items():
        for path in files(places.folder / folder):
            if not path.lower().endswith(suffixes):
                continue
            # A name need not be UTF-8; what is printed and compared is.
            name = printable(path)
            label = _label(manifest, layout, name)
            if label is None:
                continue
            group = f"{folder}/{name}"
            if layout.group is not None:
                file = PurePosixPath(name).name
                group = listfiles.group(manifest.name, layout.group, file)
            found.append(Clip(f"{folder}/{name}", part, (label,), group, f"{folder}/{path}"))
    if not found:
        raise UserError(
            f"{manifest.name}: no {manifest.media} in {places.folder}; it should hold "
            f"{layout.parts.get('train', 'train')}/<class>/<file> and "
            f"{layout.parts.get('test', 'test')}/<class>/<file>, with files ending in "
            f"{', '.join(suffixes)}; or layout.class says where in a path the class stands"
        )
    return found


def _label(manifest: Manifest, layout: FoldersLayout, name: str) -> str | None:
    """The class of a file by its path below its part's folder; None where it has none."""
    if layout.class_ is not None:
        return patterns.found(manifest.name, "layout.class", layout.class_, name) or None
    label, _, file = name.partition("/")
    return None if "/" in file or not file else label
