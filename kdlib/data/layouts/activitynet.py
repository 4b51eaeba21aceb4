"""ActivityNet's json: videos with annotated segments; see `kdlib.data.manifest`."""

from kdlib.data import listfiles
from kdlib.data.layouts import SUFFIXES, Clip, Places
from kdlib.data.listing import Listing
from kdlib.data.manifest import ActivityNetLayout, Manifest
from kdlib.errors import UserError


def clips(manifest: Manifest, layout: ActivityNetLayout, places: Places, split: str) -> list[Clip]:
    """A sample a video; its classes are those of its segments, in the order they first come."""
    path = places.find(manifest, layout.file)
    content = listfiles.content(path)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise UserError(f"{path}: no database of videos")
    files = Listing(places.folder).by_stem(SUFFIXES["videos"])
    parts = {name: part for part, name in layout.parts.items()}
    found = []
    for video, fields in database.items():
        where = f"{path}, video {video!r}"
        if not isinstance(fields, dict) or not isinstance(fields.get("subset"), str):
            raise UserError(f"{where}: no subset")
        if fields["subset"] not in parts:
            continue
        labels = _labels(where, fields.get("annotations"))
        name = listfiles.clip_path(where, f"v_{video}")
        file = files.get(name, f"{name}.mp4")
        found.append(Clip(name, parts[fields["subset"]], labels, name, file))
    return found


def _labels(where: str, annotations: object) -> tuple[str, ...]:
    segments = annotations if isinstance(annotations, list) else []
    labels = [s.get("label") if isinstance(s, dict) else None for s in segments]
    if not labels or not all(isinstance(label, str) and label for label in labels):
        raise UserError(f"{where}: no annotations with labels")
    return tuple(dict.fromkeys(label for label in labels if isinstance(label, str)))
