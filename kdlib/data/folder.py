"""Data sets of video files in folders: from a manifest and a data root to `Videos`.

Clips of one's own need a folder and a manifest, a YAML file such as

    name: mine
    title: Waving and jumping, filmed at home
    classes: [jump, wave]
    files: {folder: clips}
    layout: {kind: folders, group: '^(day[0-9]+)_'}

for files like clips/train/wave/day3_take1.mp4 and clips/test/jump/day4_take2.mp4. Validation videos
are set apart from training by whole groups; a folder clips/validation is used where there is one.
Without `group` every video is taken for a scene of its own. A list file may stand instead:

    layout: {kind: table, table: clips.csv, path: path, label: class, group: day}
    splits: {split: {train: 40, test: 20}}

clips.csv lies beside the folder and has the columns path, class, day and split. All that a manifest
may say is in `kdlib.data.manifest`.
"""

import csv
import hashlib
import re
import shutil
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from kdlib.data.cache import FrameCache, disk_errors, file_hashes, frame_cache
from kdlib.data.manifest import FoldersLayout, Manifest, TableLayout, inside
from kdlib.data.videos import Videos
from kdlib.errors import UserError, unknown

PARTS = ("train", "validation", "test")
SUFFIXES = (
    ".mp4",
    ".avi",
    ".mov",
    ".mkv",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".flv",
    ".wmv",
    ".gif",
)


class Clip(NamedTuple):
    """One video file: its path below the folder, its part of the split, class and scene."""

    name: str
    part: str
    label: str
    group: str


def read(
    manifest: Manifest,
    data_root: Path,
    *,
    cache_root: Path,
    height: int,
    width: int,
    split: str | None = None,
    jobs: int = 1,
) -> dict[str, Videos]:
    """The parts "train", "validation" and "test" of a data set, decoded at height x width.

    The files are looked for in <data_root>/<name> and in data_root; an archive is unpacked below
    cache_root first. Files that cannot be decoded are left out and named, with the reason, in one
    warning. Each video's file name is in `factors["name"]`. UserError where something is missing.
    """
    folder = locate(manifest, Path(data_root), Path(cache_root))
    clips = list_clips(manifest, folder, Path(data_root), split)
    files = {clip.name: folder / clip.name for clip in clips}
    missing = [name for name, path in files.items() if not path.is_file()]
    if missing:
        raise UserError(
            f"{manifest.name}: {len(missing)} of {len(files)} clips are not in {folder}, "
            f"the first: {missing[0]}"
        )
    cache = frame_cache(Path(cache_root), files, height=height, width=width, jobs=jobs)
    if cache.undecodable:
        listed = "".join(f"\n  {name}: {reason}" for name, reason in cache.undecodable.items())
        warnings.warn(
            f"{manifest.name}: {len(cache.undecodable)} of {len(files)} files cannot be decoded "
            f"and are left out:{listed}",
            stacklevel=2,
        )
    return _parts(manifest, clips, cache)


def locate(manifest: Manifest, data_root: Path, cache_root: Path) -> Path:
    """The folder that holds the videos, unpacked from the archive where need be."""
    bases = (data_root / manifest.name, data_root)
    for base in bases:
        if (base / manifest.files.folder).is_dir():
            return base / manifest.files.folder
    if manifest.files.archive:
        for base in bases:
            if (base / manifest.files.archive).is_file():
                return unpack(base / manifest.files.archive, cache_root) / manifest.files.folder
    wanted = [name for name in (manifest.files.folder, manifest.files.archive) if name]
    raise UserError(
        f"{manifest.name}: no {' or '.join(wanted)} in {bases[0]} or {bases[1]}; set DATA to where "
        + (f"it lies (source: {manifest.homepage})" if manifest.homepage else "it lies")
    )


def unpack(archive: Path, cache_root: Path) -> Path:
    """Unpack a tar below cache_root, once per content; it may hold plain files and folders only."""
    with disk_errors(cache_root):
        key = file_hashes({archive.name: archive}, cache_root)[archive.name][:32]
        target = cache_root / "unpacked" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if target.is_dir():
                return target
            partial = target.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            try:
                with tarfile.open(archive) as tar:
                    for member in tar:
                        if not (member.isfile() or member.isdir()):
                            raise UserError(f"{archive}: {member.name!r} is a link or a device")
                        inside(member.name)
                        tar.extract(member, partial, filter="data")
            except (tarfile.TarError, EOFError, ValueError) as error:
                raise UserError(f"{archive}: {error}") from error
            else:
                partial.replace(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return target


def list_clips(
    manifest: Manifest, folder: Path, data_root: Path, split: str | None = None
) -> list[Clip]:
    """The clips of a split, training, validation and test in this order.

    Counts are held against the manifest's. Where the split has no validation part, whole groups are
    taken from training for it. A warning tells how many groups an official split has on both sides.
    """
    layout = manifest.layout
    known = tuple(manifest.splits) or ("folders",)
    split = known[0] if split is None else split
    if split not in known:
        raise unknown(f"{manifest.name}: split", split, known)
    if isinstance(layout, TableLayout):
        clips = _from_table(manifest, layout, folder, data_root, split)
    else:
        clips = _from_folders(manifest, layout, folder)
    counts = Counter(clip.part for clip in clips)
    official = manifest.splits.get(split, {})
    if official and counts != official:
        raise UserError(
            f"{manifest.name}: split {split} has {_counts(counts)}, but the manifest says "
            f"{_counts(official)}"
        )
    for part in ("train", "test"):
        if not counts[part]:
            raise UserError(f"{manifest.name}: there are no {part} videos in {folder}")
    if strange := {clip.label for clip in clips} - set(manifest.classes):
        raise unknown(f"{manifest.name}: class", min(strange), manifest.classes)
    shared = _groups(clips, "train", "validation") & _groups(clips, "test")
    if shared:
        warnings.warn(
            f"{manifest.name}: split {split} has {len(shared)} groups on both sides of test, "
            f"for instance {min(shared)!r}: its test accuracy is optimistic",
            stacklevel=2,
        )
    if not counts["validation"]:
        clips = _with_validation(manifest, clips)
    return sorted(clips, key=lambda clip: (PARTS.index(clip.part), clip.name))


def _from_table(
    manifest: Manifest, layout: TableLayout, folder: Path, data_root: Path, split: str
) -> list[Clip]:
    places = [base / layout.table for base in (data_root / manifest.name, data_root, folder.parent)]
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        raise UserError(f"{manifest.name}: no {layout.table} in {places[0].parent} nor {data_root}")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = rows[0].keys() if rows else ()
    for column in filter(None, (layout.path, layout.label, layout.group, split)):
        if column not in columns:
            raise unknown(f"{table}: column", column, columns)
    clips = []
    for number, row in enumerate(rows, start=2):
        if row[split] in layout.left_out:
            continue
        if row[split] not in PARTS:
            raise UserError(
                f"{table}, line {number}: {split} is {row[split]!r}; it must be one of "
                f"{', '.join((*PARTS, *layout.left_out))}"
            )
        try:
            path = Path(inside(row[layout.path]))
        except ValueError as error:
            raise UserError(f"{table}, line {number}: {error}") from error
        name = (path.with_suffix(layout.suffix) if layout.suffix else path).as_posix()
        label = row[layout.label] if layout.label else path.parent.name
        group = row[layout.group] if layout.group else name
        clips.append(Clip(name, row[split], label, group))
    if repeated := [name for name, n in Counter(clip.name for clip in clips).items() if n > 1]:
        raise UserError(f"{table}: {repeated[0]} stands in more than one row")
    return clips


def _from_folders(manifest: Manifest, layout: FoldersLayout, folder: Path) -> list[Clip]:
    clips = []
    for path in sorted(folder.glob("*/*/*")):
        part, label, file = path.relative_to(folder).parts
        if part not in PARTS or path.suffix.lower() not in SUFFIXES:
            continue
        name = f"{part}/{label}/{file}"
        group = name
        if layout.group:
            found = re.search(layout.group, file)
            if not found:
                raise UserError(f"{manifest.name}: layout.group finds nothing in {name!r}")
            group = found.group(1)
        clips.append(Clip(name, part, label, group))
    if not clips:
        raise UserError(
            f"{manifest.name}: no videos in {folder}; it should hold train/<class>/<file> and "
            f"test/<class>/<file>, with files ending in {', '.join(SUFFIXES)}"
        )
    return clips


def _with_validation(manifest: Manifest, clips: list[Clip]) -> list[Clip]:
    """Move whole groups from training to validation, near the manifest's share of each class.

    Groups are visited in the order of their hashes, random but always the same, and taken where
    that brings the counts by class nearer to the share.
    """
    training = [clip for clip in clips if clip.part == "train"]
    groups = sorted({clip.group for clip in training}, key=_hash)
    rows = {group: row for row, group in enumerate(groups)}
    columns = {label: column for column, label in enumerate(manifest.classes)}
    counts = np.zeros((len(rows), len(columns)))
    for clip in training:
        counts[rows[clip.group], columns[clip.label]] += 1
    missing = manifest.validation * counts.sum(0)
    taken = set()
    for group, count in zip(groups, counts, strict=True):
        if np.sum((missing - count) ** 2) < np.sum(missing**2):
            taken.add(group)
            missing = missing - count
    if not taken or len(taken) == len(groups):
        raise UserError(
            f"{manifest.name}: too few groups ({len(groups)}) in training to set validation apart; "
            "give a validation part or more groups"
        )
    return [
        clip._replace(part="validation") if clip.part == "train" and clip.group in taken else clip
        for clip in clips
    ]


def _parts(manifest: Manifest, clips: list[Clip], cache: FrameCache) -> dict[str, Videos]:
    """Cut the cache, whose files stand part after part, into one `Videos` a part."""
    kept = [clip for clip in clips if clip.name not in cache.undecodable]
    _, groups = np.unique([clip.group for clip in kept], return_inverse=True)
    index = {label: k for k, label in enumerate(manifest.classes)}
    labels = np.array([index[clip.label] for clip in kept], dtype=np.int64)
    names = np.array([clip.name for clip in kept])
    videos = {}
    for part in PARTS:
        rows = np.flatnonzero([clip.part == part for clip in kept])
        if not len(rows):
            raise UserError(f"{manifest.name}: not one {part} video can be decoded")
        first, last = cache.offsets[rows[0]], cache.offsets[rows[-1] + 1]
        videos[part] = Videos(
            frames=cache.frames[first:last],
            offsets=cache.offsets[rows[0] : rows[-1] + 2] - first,
            labels=labels[rows],
            groups=groups[rows].astype(np.int64),
            classes=manifest.classes,
            factors={"name": names[rows]},
        )
    return videos


def _groups(clips: Iterable[Clip], *parts: str) -> set[str]:
    return {clip.group for clip in clips if clip.part in parts}


def _counts(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{counts[part]} {part}" for part in PARTS if counts.get(part))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
