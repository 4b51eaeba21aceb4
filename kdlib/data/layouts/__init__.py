"""How data sets lie on disk: one small reader a layout, from list files to clips.

A reader is `clips(manifest, layout, places, split) -> list[Clip]`: the samples that the lists name,
whether or not their files are there, in the order of the lists.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from kdlib.data import listfiles
from kdlib.data.manifest import Manifest
from kdlib.errors import UserError

# All that may be what is decoded; a suffix that lies does no harm.
SUFFIXES = {
    "videos": (
        ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mj2", ".f4v", ".mkv", ".webm", ".avi",
        ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".m2ts", ".mts", ".flv", ".wmv", ".asf", ".ogv",
        ".gif",
    ),
    "images": (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff",
    ),
}  # fmt: skip


class Actor(NamedTuple):
    """A person in a keyframe: box x1, y1, x2, y2 in 0..1 of width and height, and classes."""

    box: tuple[float, float, float, float]
    labels: tuple[str, ...]


class Clip(NamedTuple):
    """One sample of a split.

    name: unique in the set. part: "train", "validation" or "test". labels: its classes, one unless
    the set is multi-label. group: samples of one group share a scene. file: its path below the
    folder. span: the seconds of the file that are used, from and to; all by default. frame: the
    one picture of a packed file that it is. actors: the people in a keyframe, as annotated;
    proposals: those a detector found, x1, y1, x2, y2 and score.
    """

    name: str
    part: str
    labels: tuple[str, ...]
    group: str
    file: str
    span: tuple[float, float] | None = None
    actors: tuple[Actor, ...] = ()
    proposals: tuple[tuple[float, ...], ...] = ()
    frame: int | None = None


class Places(NamedTuple):
    """Where a data set lies: the folder of its clips, and the folders that may hold its lists."""

    folder: Path
    bases: tuple[Path, ...]

    def find(self, manifest: Manifest, path: str) -> Path:
        """A list file by its path in the manifest; UserError where it is in none of the bases."""
        # Again, since the name of a class may have been put into it.
        listfiles.clip_path(f"{manifest.name}: layout", path)
        for base in self.bases:
            if (base / path).is_file():
                return base / path
        where = " nor ".join(str(base) for base in self.bases)
        raise UserError(f"{manifest.name}: no {path} in {where}")


def clips(manifest: Manifest, places: Places, split: str) -> list[Clip]:
    """The samples of a split, by the manifest's layout."""
    module = import_module(f"kdlib.data.layouts.{manifest.layout.kind}")
    read: Callable[..., list[Clip]] = module.clips
    return read(manifest, manifest.layout, places, split)
