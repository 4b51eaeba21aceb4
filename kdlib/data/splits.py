"""What is asked of every split: counts, classes, groups on one side, a validation part."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kdlib.data.layouts import Clip
from kdlib.data.manifest import Manifest, Part
from kdlib.errors import UserError, unknown

PARTS: tuple[Part, ...] = ("train", "validation", "test")


def names(manifest: Manifest) -> tuple[str, ...]:
    """The splits of a data set, the default first; "folders" where folders make the only one."""
    return tuple(manifest.splits) or ("folders",)


def check_name(manifest: Manifest, split: str | None) -> str:
    """The split itself, or the default for None; UserError with the nearest one otherwise."""
    known = names(manifest)
    if split is not None and split not in known:
        raise unknown(f"{manifest.name}: split", split, known)
    return known[0] if split is None else split


def class_names(manifest: Manifest, clips: Iterable[Clip]) -> tuple[str, ...]:
    """The manifest's classes, or the clips' own, sorted; UserError if they differ."""
    found = {label for clip in clips for label in clip.labels}
    if isinstance(manifest.classes, tuple):
        if strange := found - set(manifest.classes):
            raise unknown(f"{manifest.name}: class", min(strange), manifest.classes)
        return manifest.classes
    if len(found) > manifest.classes or (len(found) < manifest.classes and not manifest.incomplete):
        raise UserError(
            f"{manifest.name}: {len(found)} classes, but the manifest says {manifest.classes}"
        )
    return tuple(sorted(found))


def check(manifest: Manifest, split: str, clips: list[Clip]) -> None:
    """Refuse empty parts, counts other than the manifest's, and clips on two sides.

    A warning tells how many groups an official split has on both sides of test, where the lists of
    an incomplete set count otherwise, and which classes have no training sample.
    """
    counts = Counter(clip.part for clip in clips)
    official = manifest.splits.get(split, {})
    if official and counts != official:
        differing = (
            f"{manifest.name}: split {split} has {describe(counts)}, but the manifest says "
            f"{describe(official)}"
        )
        if not manifest.incomplete:
            raise UserError(differing)
        warnings.warn(differing, stacklevel=3)
    for part in ("train", "test"):
        if not counts[part]:
            raise UserError(f"{manifest.name}: split {split} has no {part} samples")
    parts: dict[str, str] = {}
    for clip in clips:
        if (other := parts.setdefault(clip.name, clip.part)) != clip.part:
            raise UserError(f"{manifest.name}: {clip.name} stands in both {other} and {clip.part}")
    if len(parts) < len(clips):
        name = Counter(clip.name for clip in clips).most_common(1)[0][0]
        raise UserError(f"{manifest.name}: {name} stands twice in split {split}")
    warn_of_untrained(manifest, split, clips)
    shared = groups(clips, "train", "validation") & groups(clips, "test")
    if shared:
        warnings.warn(
            f"{manifest.name}: split {split} has {len(shared)} groups on both sides of test, "
            f"for instance {min(shared)!r}: its test accuracy is optimistic",
            stacklevel=3,
        )


def warn_of_untrained(manifest: Manifest, split: str, clips: Iterable[Clip]) -> None:
    """Warn of the classes that no sample of training shows."""
    by_part: dict[str, set[str]] = {part: set() for part in PARTS}
    for clip in clips:
        by_part[clip.part].update(clip.labels)
    named = manifest.classes if isinstance(manifest.classes, tuple) else ()
    untrained = sorted(set(named).union(*by_part.values()) - by_part["train"])
    if untrained:
        more = f" and {len(untrained) - 10} more" if len(untrained) > 10 else ""
        warnings.warn(
            f"{manifest.name}: split {split} has no training sample of {len(untrained)} of "
            f"{manifest.class_count} classes, which cannot be learnt: "
            f"{', '.join(untrained[:10])}{more}",
            stacklevel=3,
        )


def with_validation(manifest: Manifest, clips: list[Clip]) -> list[Clip]:
    """Move whole groups from training to validation, near the manifest's share of each class.

    Groups are visited in the order of their hashes, random but always the same, and taken where
    that brings the counts by class nearer to the share. A split with a validation part is returned
    as it is.
    """
    if any(clip.part == "validation" for clip in clips):
        return clips
    training = [clip for clip in clips if clip.part == "train"]
    names = sorted({clip.group for clip in training}, key=_hash)
    rows = {group: row for row, group in enumerate(names)}
    columns = {label: k for k, label in enumerate(class_names(manifest, clips))}
    counts = np.zeros((len(rows), len(columns)))
    for clip in training:
        for label in clip.labels:
            counts[rows[clip.group], columns[label]] += 1
    missing = manifest.validation * counts.sum(0)
    taken = set()
    for group, count in zip(names, counts, strict=True):
        # |missing - count|^2 < |missing|^2
        if count @ (count - 2 * missing) < 0:
            taken.add(group)
            missing = missing - count
    if not taken or len(taken) == len(names):
        raise UserError(
            f"{manifest.name}: too few groups ({len(names)}) in training to set validation apart; "
            "give a validation part or more groups"
        )
    return [
        clip._replace(part="validation") if clip.part == "train" and clip.group in taken else clip
        for clip in clips
    ]


def groups(clips: Iterable[Clip], *parts: str) -> set[str]:
    """The groups of these parts."""
    return {clip.group for clip in clips if clip.part in parts}


def describe(counts: Mapping[Any, int]) -> str:
    """Counts by part in words: "605 train, 257 test"."""
    return ", ".join(f"{counts[part]} {part}" for part in PARTS if counts.get(part))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
