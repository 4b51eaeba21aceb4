"""Is a folder the data set that its manifest describes? Counts, and every file looked at."""

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
from kdlib.data.listing import Listing, printable
from kdlib.data.listing import files as listing_files
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
    validation: by split, the training samples that are set apart where it has no such part.
    missing, extra: files that the lists name or do not name. passed_over: files whose suffix is
        none of the media's. undecodable: reason by file.
    duplicates: files of equal content, or pairs of equal images across train and test of a packed
        set. crossing: those of them on both sides of test. conflicting: those of different classes.
    faults: what is wrong with the lists. notes: what to know of them.
    """

    name: str
    folder: str
    counts: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    validation: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    undecodable: dict[str, str] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)
    crossing: list[list[str]] = field(default_factory=list)
    conflicting: list[list[str]] = field(default_factory=list)
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
            ("equal in content", self._equal()),
            ("in no list", self.extra),
            ("passed over for their suffix", self.passed_over),
        ]
        for title, items in listed:
            if items:
                more = [f"  ... {len(items) - at_most} more"] if len(items) > at_most else []
                parts.append(
                    "\n".join([f"{title}: {len(items)}", *_indent(items[:at_most]), *more])
                )
        parts.append("whole" if self.whole else "NOT whole")
        return printable("\n\n".join(parts))

    def _equal(self) -> list[str]:
        """A line a group of equal files, those that spoil results first."""
        marks = (
            (self.conflicting, "of different classes"),
            (self.crossing, "on both sides of test"),
        )
        lines = []
        for group in self.duplicates:
            found = [mark for groups, mark in marks if group in groups]
            lines.append((-len(found), " = ".join(group), ", ".join(found)))
        return [f"{names} ({mark})" if mark else names for _, names, mark in sorted(lines)]


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
        suffixes = SUFFIXES[manifest.media]
        others = sorted(set(listing_files(found.folder)) - files)
        report.passed_over = [name for name in others if not name.lower().endswith(suffixes)]
        # Where a list could not be read, all that it names would be in none.
        if all(by_split.values()):
            report.extra = [name for name in others if name.lower().endswith(suffixes)]
    _count(manifest, by_split, there, report)
    usable = [clip for clip in every.values() if clip.file in there]
    if usable:
        if isinstance(manifest.layout, PackedLayout):
            _look_at_packed(found, usable, report)
        else:
            _look_at_files(
                manifest, real.sources(manifest, found, usable), cache_root, jobs, report
            )
        _judge_equal(by_split.values(), report)
    return report


def _listed(manifest: Manifest, found: Places, split: str, report: Report) -> list[Clip]:
    """The samples of a split as far as its lists can be read; what is wrong goes to the report."""
    clips: list[Clip] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clips = layouts.clips(manifest, found, split)
            splits.check(manifest, split, clips)
            splits.class_names(manifest, clips)
            apart = [
                clip.name
                for clip in splits.with_validation(manifest, clips)
                if clip.part == "validation"
            ]
        except UserError as error:
            report.faults.append(str(error))
            apart = []
    report.notes += [str(warning.message) for warning in caught]
    if apart and not any(clip.part == "validation" for clip in clips):
        report.validation[split] = apart
        training = sum(clip.part == "train" for clip in clips)
        report.notes.append(
            f"{manifest.name}: split {split}: of {training} training samples {len(apart)} are set "
            f"apart for validation, {apart[0]} among them"
        )
    return clips


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


def _judge_equal(by_split: Iterable[list[Clip]], report: Report) -> None:
    """Which groups of equal samples are on both sides of test, or of different classes."""
    for clips in by_split:
        found = {clip.name: clip for clip in clips}
        for group in report.duplicates:
            known = [found[name] for name in group if name in found]
            if len({clip.part == "test" for clip in known}) > 1 and group not in report.crossing:
                report.crossing.append(group)
            if len({clip.labels for clip in known}) > 1 and group not in report.conflicting:
                report.conflicting.append(group)


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
        report.duplicates = [[f"train/{a:05}", f"test/{b:05}"] for a, b in pairs]


def _class_ranges(classes: list[dict[str, Any]]) -> str:
    table = pd.DataFrame(classes).drop(columns="class")
    ranges = ", ".join(
        f"{column} {table[column].min()} to {table[column].max()}" for column in table.columns
    )
    return f"{len(classes)} classes; samples a class: {ranges}"


def _indent(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
