"""Real data sets: from a manifest and a data root to `Videos`.

Clips of one's own need a folder and a manifest, a YAML file such as

    name: mine
    title: Waving and jumping, filmed at home
    classes: [jump, wave]
    files: {folder: clips}
    layout: {kind: folders, group: '^(day[0-9]+)_'}

for files like clips/train/wave/day3_take1.mp4 and clips/test/jump/day4_take2.mp4. Validation videos
are set apart from training by whole groups; a folder clips/validation is used where there is one.
Without `group` every video is taken for a scene of its own. Where the class is not the folder, a
pattern beside it says where in the path it stands:

    layout: {kind: folders, class: '^([0-9]+)_[^/]*$', group: '^[0-9]+_([0-9]+)_'}

for clips/train/0_1_4.avi, of class 0 and scene 1. A list file may stand instead:

    layout: {kind: table, table: clips.csv, path: path, label: class, group: day}
    splits: {split: {train: 40, test: 20}}

clips.csv lies beside the folder and has the columns path, class, day and split. All that a manifest
may say is in `kdlib.data.manifest`.
"""

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdlib.data import layouts, splits
from kdlib.data.archive import unpack
from kdlib.data.cache import FrameCache, How, Source, frame_cache, source_keys
from kdlib.data.disk import disk_errors
from kdlib.data.hashes import file_hash
from kdlib.data.layouts import Clip, Places
from kdlib.data.listing import Listing
from kdlib.data.manifest import Manifest, PackedLayout
from kdlib.data.splits import PARTS
from kdlib.data.videos import Videos
from kdlib.errors import UserError


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
    warning. The name of each sample is in `factors["name"]`. UserError where something is missing.
    """
    found = places(manifest, Path(data_root), Path(cache_root))
    clips = present(manifest, found, split)
    cache = frame_cache(
        Path(cache_root),
        manifest.name,
        sources(manifest, found, clips),
        How(height, width, manifest.frames),
        jobs=jobs,
    )
    if cache.undecodable:
        listed = "".join(f"\n  {name}: {reason}" for name, reason in cache.undecodable.items())
        warnings.warn(
            f"{manifest.name}: {len(cache.undecodable)} files cannot be decoded and are left out:"
            f"{listed}",
            stacklevel=2,
        )
        decoded = [clip for clip in clips if _source_name(clip) not in cache.undecodable]
        splits.warn_of_untrained(manifest, splits.check_name(manifest, split), decoded)
    return _parts(manifest, clips, cache)


def content_key(
    manifest: Manifest, data_root: Path, cache_root: Path, split: str | None = None
) -> str:
    """A hash of the samples of a split, their parts, classes and groups, and of their files."""
    found = places(manifest, data_root, cache_root)
    clips = present(manifest, found, split)
    keys = source_keys(cache_root, manifest.name, sources(manifest, found, clips))
    text = json.dumps([[*clip, keys.get(_source_name(clip))] for clip in clips])
    return hashlib.sha256(f"{manifest.frames} {text}".encode()).hexdigest()


def places(manifest: Manifest, data_root: Path, cache_root: Path) -> Places:
    """Where a data set lies, its archive unpacked where need be; UserError if it is not there."""
    bases = (data_root / manifest.name, data_root)
    place = find(manifest, data_root)
    if place is None:
        wanted = [name for name in (manifest.files.folder, manifest.files.archive) if name]
        raise UserError(
            f"{manifest.name}: no {' or '.join(wanted)} in {bases[0]} or {data_root}; DATA names "
            f"the folder it lies in, and `kdlib data show {manifest.name}` says what to get"
        )
    if place.is_dir():
        return Places(place, bases)
    with disk_errors(cache_root):
        target = cache_root / "unpacked" / f"{manifest.name}-{file_hash(place)[:16]}"
        return Places(unpack(place, target) / manifest.files.folder, (*bases, target))


def find(manifest: Manifest, data_root: Path) -> Path | None:
    """The folder of a data set, or the archive that stands for it; None where neither is there."""
    bases = (data_root / manifest.name, data_root)
    folder, archive = manifest.files.folder, manifest.files.archive
    for base in bases:
        # "." is the set's own folder, known by its name or by a packed file in it.
        if (base / folder).is_dir() and (folder != "." or _is_own(manifest, base)):
            return base / folder
    return next((base / archive for base in bases if archive and (base / archive).is_file()), None)


def _is_own(manifest: Manifest, base: Path) -> bool:
    if not isinstance(manifest.layout, PackedLayout):
        return base.name == manifest.name
    files = [file for files in manifest.layout.files.values() for file in files]
    return any((base / file).is_file() for file in files)


def listed(manifest: Manifest, found: Places, split: str | None = None) -> list[Clip]:
    """The samples of a split as its lists name them, checked, in the order of `PARTS` and names."""
    split = splits.check_name(manifest, split)
    clips = layouts.clips(manifest, found, split)
    splits.check(manifest, split, clips)
    splits.class_names(manifest, clips)
    return sorted(
        splits.with_validation(manifest, clips),
        key=lambda clip: (PARTS.index(clip.part), clip.name),
    )


def present(manifest: Manifest, found: Places, split: str | None = None) -> list[Clip]:
    """The listed samples whose files are there; UserError if any is missing from a complete set."""
    clips = listed(manifest, found, split)
    listing = Listing(found.folder)
    missing = [clip for clip in clips if not listing.has(clip.file)]
    if not missing:
        return clips
    text = (
        f"{manifest.name}: {len(missing)} of {len(clips)} samples are not in {found.folder}, "
        f"the first: {missing[0].file}"
    )
    kept = [clip for clip in clips if listing.has(clip.file)]
    if not manifest.incomplete or not kept:
        raise UserError(f"{text}; `kdlib data verify {manifest.name}` lists them all")
    lost = Counter(clip.part for clip in missing)
    warnings.warn(f"{text}; they are left out ({splits.describe(lost)})", stacklevel=2)
    return kept


def sources(manifest: Manifest, found: Places, clips: Sequence[Clip]) -> dict[str, Source]:
    """What to decode for these samples, by `_source_name`."""
    kind = "packed" if isinstance(manifest.layout, PackedLayout) else manifest.media.rstrip("s")
    return {
        _source_name(clip): Source(found.folder / clip.file, kind, clip.span)  # type: ignore[arg-type]
        for clip in clips
    }


def _source_name(clip: Clip) -> str:
    return clip.file if clip.frame is not None else clip.name


def _parts(manifest: Manifest, clips: list[Clip], cache: FrameCache) -> dict[str, Videos]:
    """One `Videos` a part; all share the frames of the cache."""
    rows = {name: row for row, name in enumerate(cache.names)}
    kept = [clip for clip in clips if _source_name(clip) in rows]
    row = np.array([rows[_source_name(clip)] for clip in kept])
    starts = cache.starts[row] + np.array([clip.frame or 0 for clip in kept])
    one = np.array([clip.frame is not None for clip in kept])
    lengths = np.where(one, 1, cache.lengths[row])
    classes = splits.class_names(manifest, clips)
    labels, boxes = _labels(manifest, kept, classes)
    factors = {"name": np.array([clip.name for clip in kept])}
    if boxes is not None:
        factors |= {"boxes": boxes, "proposals": _proposals(kept)}
    _, groups = np.unique([clip.group for clip in kept], return_inverse=True)
    videos: dict[str, Videos] = {}
    for part in PARTS:
        chosen = np.flatnonzero([clip.part == part for clip in kept])
        if not len(chosen):
            raise UserError(f"{manifest.name}: not one {part} sample can be decoded")
        videos[part] = Videos(
            frames=cache.frames,
            starts=starts[chosen],
            lengths=lengths[chosen],
            labels=labels[chosen],
            groups=groups[chosen].astype(np.int64),
            classes=classes,
            factors={name: values[chosen] for name, values in factors.items()},
        )
    return videos


def _labels(
    manifest: Manifest, clips: list[Clip], classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels of each clip as `Videos` has them, and the boxes float32 (N, A, 4) of actors."""
    index = {label: k for k, label in enumerate(classes)}
    if manifest.task == "classification":
        return np.array([index[clip.labels[0]] for clip in clips], dtype=np.int64), None
    if manifest.task == "multi-label":
        hot = np.zeros((len(clips), len(classes)), dtype=np.float32)
        for row, clip in enumerate(clips):
            hot[row, [index[label] for label in clip.labels]] = 1
        return hot, None
    most = max(len(clip.actors) for clip in clips)
    actions = np.zeros((len(clips), most, len(classes)), dtype=np.uint8)
    boxes = np.zeros((len(clips), most, 4), dtype=np.float32)
    for row, clip in enumerate(clips):
        for a, actor in enumerate(clip.actors):
            boxes[row, a] = actor.box
            actions[row, a, [index[label] for label in actor.labels]] = 1
    return actions, boxes


def _proposals(clips: list[Clip]) -> np.ndarray:
    """Boxes and scores of a detector float32 (N, P, 5), zeros after a clip's last."""
    found = np.zeros((len(clips), max(len(clip.proposals) for clip in clips), 5), np.float32)
    for row, clip in enumerate(clips):
        if clip.proposals:
            found[row, : len(clip.proposals)] = clip.proposals
    return found
