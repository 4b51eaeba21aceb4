"""<folder>/<part>/<class>/<file>; see `kdlib.data.manifest.FoldersLayout`."""

import os

from kdlib.data import listfiles
from kdlib.data.layouts import SUFFIXES, Clip, Places
from kdlib.data.manifest import FoldersLayout, Manifest
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: FoldersLayout, places: Places, split: str) -> list[Clip]:
    """The videos or images in the folders, sorted by path."""
    suffixes = SUFFIXES[manifest.media]
    found = []
    for part, folder in layout.parts.items():
        place = places.folder / folder
        if not place.is_dir():
            continue
        labels = sorted(entry.name for entry in os.scandir(place) if entry.is_dir())
        for label in labels:
            for file in sorted(os.listdir(place / label)):
                if file.startswith(".") or not file.lower().endswith(suffixes):
                    continue
                name = f"{folder}/{label}/{file}"
                group = listfiles.group(manifest.name, layout.group, file) if layout.group else name
                found.append(Clip(name, part, (label,), group, name))
    if not found:
        raise UserError(
            f"{manifest.name}: no {manifest.media} in {places.folder}; it should hold "
            f"{layout.parts.get('train', 'train')}/<class>/<file> and "
            f"{layout.parts.get('test', 'test')}/<class>/<file>, with files ending in "
            f"{', '.join(suffixes)}"
        )
    return found
