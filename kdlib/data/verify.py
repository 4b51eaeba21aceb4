"""Is a folder the data set that its manifest describes? Counts, and every file looked at."""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.data import layouts, packed, real, splits
from kdlib.data.cache import How, Source, frame_cache, source_keys
from kdlib.data.layouts import SUFFIXES, Clip, Places
from kdlib.data.listing import Listing
from kdlib.data.manifest import Manifest, PackedLayout
from kdlib.data.splits import PARTS
from kdlib.errors import UserError

# Every frame is decoded, and kept this small, so that a second call finds what it knows.
_LOOK = How(height=8, width=8)


@dataclass
class Report:
    """What was found; the lists of faults are empty if the set is whole.

    counts: a row a split and part: what the manifest says, the lists name and the folder holds.
    classes: a row a class, a column a split and part: samples present.
    missing, extra: files that the lists name or do not name. undecodable: reason by file.
    duplicates: files of equal content. crossing: those of them, or equal images of a packed set,
        on both sides of test. faults: what is wrong with the lists. notes: what to know of them.
    """

    name: str
    folder: str
    counts: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    undecodable: dict[str, str] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)
    crossing: list[list[str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    incomplete: bool = False

    @property
    def whole(self) -> bool:
        """Whether it can be used as it is; a set that vanishes at the source may miss files."""
        missing = self.missing and not self.incomplete
        return not (missing or self.undecodable or self.faults)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "whole": self.whole}

    def text(self, at_most: int = 10) -> str:
        """A table of counts, then what is wrong, with the first few files of each kind."""
        parts = [f"{self.name} in {self.folder}"]
        if self.counts:
            parts.append(pd.DataFrame(self.counts).to_markdown(index=False))
        if self.classes:
            parts.append(_class_ranges(self.classes))
        listed: list[tuple[str, list[str]]] = [
            ("faults of the lists", self.faults),
            ("notes on the lists", self.notes),
            ("missing", self.missing),
            ("undecodable", [f"{name}: {reason}" for name, reason in self.undecodable.items()]),
            ("equal in content, on both sides of test", [" = ".join(g) for g in self.crossing]),
            ("equal in content", [" = ".join(g) for g in self.duplicates]),
            ("in no list", self.extra),
        ]
        for title, items in listed:
            if items:
                more = [f"  ... {len(items) - at_most} more"] if len(items) > at_most else []
                parts.append(
                    "\n".join([f"{title}: {len(items)}", *_indent(items[:at_most]), *more])
                )
        parts.append("whole" if self.whole else "NOT whole")
        return "\n\n".join(parts)


def verify(manifest: Manifest, data_root: Path, cache_root: Path, *, jobs: int = 1) -> Report:
    """Hold a data set against its manifest: lists, files, contents; every file is decoded once.

    UserError only where the set is not there at all; all else is in the report.
    """
    found = real.places(manifest, data_root, cache_root)
    report = Report(manifest.name, str(found.folder), incomplete=manifest.incomplete)
    by_split = {name: _listed(manifest, found, name, report) for name in splits.names(manifest)}
    every = {clip.name: clip for clips in by_split.values() for clip in clips}
    files = {clip.file for clip in every.values()}
    listing = Listing(found.folder)
    there = {file for file in files if listing.has(file)}
    report.missing = sorted(files - there)
    if not isinstance(manifest.layout, PackedLayout):
        report.extra = sorted(_media(manifest, found.folder) - files)
    _count(manifest, by_split, there, report)
    usable = [clip for clip in every.values() if clip.file in there]
    if usable:
        if isinstance(manifest.layout, PackedLayout):
            _look_at_packed(found, usable, report)
        else:
            _look_at_files(
                manifest, real.sources(manifest, found, usable), cache_root, jobs, report
            )
            report.crossing = _crossing(by_split.values(), report.duplicates)
    return report


def _listed(manifest: Manifest, found: Places, split: str, report: Report) -> list[Clip]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clips = layouts.clips(manifest, found, split)
            splits.check(manifest, split, clips)
            splits.class_names(manifest, clips)
        except UserError as error:
            report.faults.append(str(error))
            clips = []
    report.notes += [str(warning.message) for warning in caught]
    return clips


def _media(manifest: Manifest, folder: Path) -> set[str]:
    """The videos or images below a folder, by path."""
    return {
        Path(place, name).relative_to(folder).as_posix()
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES[manifest.media])
    }


def _count(
    manifest: Manifest, by_split: Mapping[str, list[Clip]], there: set[str], report: Report
) -> None:
    by_class: dict[str, dict[str, int]] = defaultdict(dict)
    for split, clips in by_split.items():
        for part in PARTS:
            of_part = [clip for clip in clips if clip.part == part]
            said = manifest.splits.get(split, {}).get(part)
            if not of_part and not said:
                continue
            present = [clip for clip in of_part if clip.file in there]
            report.counts.append(
                {
                    "split": split,
                    "part": part,
                    "manifest": said,
                    "listed": len(of_part),
                    "present": len(present),
                }
            )
            for label, count in Counter(x for clip in present for x in clip.labels).items():
                by_class[label][f"{split} {part}"] = count
    columns = [f"{row['split']} {row['part']}" for row in report.counts]
    report.classes = [
        {"class": label, **{column: by_class[label].get(column, 0) for column in columns}}
        for label in sorted(by_class)
    ]


def _look_at_files(
    manifest: Manifest, sources: Mapping[str, Source], cache_root: Path, jobs: int, report: Report
) -> None:
    try:
        cache = frame_cache(cache_root, manifest.name, sources, _LOOK, jobs=jobs)
        report.undecodable = dict(cache.undecodable)
    except UserError as error:
        report.faults.append(str(error))
    keys = source_keys(cache_root, manifest.name, sources)
    same: dict[str, list[str]] = defaultdict(list)
    for name, key in keys.items():
        same[key].append(name)
    report.duplicates = [sorted(group) for group in same.values() if len(group) > 1]


def _crossing(splits: Iterable[list[Clip]], duplicates: list[list[str]]) -> list[list[str]]:
    """Those of the groups of equal files that are on both sides of test in any split."""
    sides = [
        ({c.name for c in clips if c.part == "test"}, {c.name for c in clips if c.part != "test"})
        for clips in splits
    ]
    return [
        group
        for group in duplicates
        if any(test & set(group) and other & set(group) for test, other in sides)
    ]


def _look_at_packed(found: Places, usable: list[Clip], report: Report) -> None:
    images = {}
    for part in PARTS:
        for file in {clip.file for clip in usable if clip.part == part}:
            try:
                images[part] = packed.images(found.folder / file)
            except UserError as error:
                report.undecodable[file] = str(error)
    if "train" in images and "test" in images:
        pairs = packed.duplicates(images["train"], images["test"])
        report.crossing = [[f"train/{a:05}", f"test/{b:05}"] for a, b in pairs]


def _class_ranges(classes: list[dict[str, Any]]) -> str:
    table = pd.DataFrame(classes).drop(columns="class")
    ranges = ", ".join(
        f"{column} {table[column].min()} to {table[column].max()}" for column in table.columns
    )
    return f"{len(classes)} classes; samples a class: {ranges}"


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
