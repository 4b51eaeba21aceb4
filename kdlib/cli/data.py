"""`python -m kdlib data ...`: what data sets are, getting, checking and preparing them."""

import json
import re
import shutil
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from kdlib.cli.chapters import of_each
from kdlib.data import archive, flow_cache, obtain, real, splits
from kdlib.data.cache import How, damaged, entry_count, frame_cache
from kdlib.data.disk import disk_errors
from kdlib.data.generated import store
from kdlib.data.manifest import Manifest, generated_names, load, names
from kdlib.data.verify import Report, verify
from kdlib.errors import UserError, unknown
from kdlib.runs.datasets import stored_side
from kdlib.study.chapter import Chapter, chapter_names
from kdlib.study.seal import write_text
from kdlib.study.setting import Setting

HELP = """\
data sets
  data                      get, verify and prepare DATASET, as `make data` does; or list them
  data list                 all data sets, and which of them are in DATA
  data show NAME            what it is, its terms, what to get and where to put it
  data fetch NAME           fetch what may be fetched into DATA/NAME; goes on where it ended
  data verify NAME          hold the files in DATA against the manifest; decodes every one
  data prepare NAME         decode into the clip cache what the chapters need; SIZE=64 for a size
  data cache                caches and their sizes; `cache check`, `cache remove FOLDER`
"""


def data(setting: Setting, words: list[str], size: str) -> int:
    """Run one data command; the exit status is 0 if all is well."""
    if not words:
        return everything(setting, size)
    command, *rest = words
    if command not in COMMANDS:
        raise unknown("data", command, COMMANDS)
    if command in ("list", "cache"):
        return COMMANDS[command](setting, rest, size)
    if len(rest) != 1:
        raise UserError(f"data {command}: name one data set, such as data {command} ucf101")
    return COMMANDS[command](setting, rest, size)


def everything(setting: Setting, size: str) -> int:
    """List the sets; or get, verify and prepare those of DATASET."""
    if not setting.roles:
        return _list(setting, [], size)
    status = 0
    for name in dict.fromkeys(setting.roles.values()):
        if load(name).downloads and not _found(load(name), setting):
            _fetch(setting, [name], size)
        # Files that cannot be decoded are left out; what else is wrong, preparing refuses.
        status = max(status, _verify(setting, [name], size), _prepare(setting, [name], size))
    return status


def _list(setting: Setting, words: list[str], size: str) -> int:
    if words:
        raise UserError(f"data list: unexpected {words[0]!r}")
    rows, faults = [], []
    for name in names() + generated_names():
        try:
            manifest = load(name)
        except UserError as error:
            faults.append(str(error))
            continue
        there = "–" if manifest.access == "made" else "yes" if _found(manifest, setting) else "no"
        rows.append(
            {
                "name": name,
                "what": manifest.title,
                "size": f"{sum(manifest.official.values()):,}" if manifest.official else "–",
                "classes": f"{manifest.class_count:,}",
                "access": manifest.access,
                "in DATA": there if setting.data or there == "–" else "?",
            }
        )
    aligned = ("left", "left", "right", "right", "left", "left")
    print(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True, colalign=aligned))
    print("\nopen: may be fetched; form: its owner gives it on request; made: generated here")
    for fault in faults:
        print(f"\nnot listed: {fault}")
    return int(bool(faults))


def _show(setting: Setting, words: list[str], size: str) -> int:
    manifest = load(words[0])
    facts = {
        "what": manifest.title,
        "home": manifest.homepage,
        "cite": manifest.citation,
        "terms": manifest.terms,
        "access": manifest.access,
        "classes": f"{manifest.class_count:,}",
        "official": ", ".join(f"{n:,} {part}" for part, n in manifest.official.items()),
        "splits": "; ".join(f"{k}: {splits.describe(v)}" for k, v in manifest.splits.items()),
        "fetched": ", ".join(d.path for d in manifest.downloads),
        "notes": manifest.notes,
        "to get": obtain.advice(manifest, _root(setting)) if manifest.access != "made" else "",
        "on disk": "" if manifest.access == "made" else _whereabouts(manifest, setting),
    }
    for title, text in facts.items():
        if text:
            filled = textwrap.fill(
                " ".join(text.split()), 92, initial_indent=" " * 10, subsequent_indent=" " * 10
            )
            print(f"{title:10}{filled.lstrip()}")
    return 0


def _fetch(setting: Setting, words: list[str], size: str) -> int:
    manifest = load(words[0])
    if not setting.data:
        raise UserError("DATA: name the folder to fetch into, as DATA=../data")
    for fetched in obtain.obtain(manifest, Path(setting.data)):
        print(f"{fetched.path}: {fetched.bytes:,} bytes, sha256 {fetched.sha256}")
    print(obtain.advice(manifest, Path(setting.data)))
    return 0


def _verify(setting: Setting, words: list[str], size: str) -> int:
    manifest = load(words[0])
    report = verify(manifest, _root(setting), setting.datasets.cache, jobs=setting.jobs)
    print(report.text())
    path = _write(report, setting)
    print(f"\nall of it: {path}")
    return 0 if report.whole else 1


def _write(report: Report, setting: Setting) -> Path:
    folder = setting.datasets.cache.parent / "verified"
    path = folder / f"{report.name}.json"
    classes = pd.DataFrame(report.classes).to_csv(index=False)
    with disk_errors(folder):
        write_text(path, json.dumps(report.as_dict(), indent=1))
        write_text(folder / f"{report.name}-classes.csv", classes)
    return path


def _prepare(setting: Setting, words: list[str], size: str) -> int:
    manifest, root, cache = load(words[0]), _root(setting), setting.datasets.cache
    name = manifest.name  # words[0] may be the path of a manifest
    found = real.places(manifest, root, cache)
    clips = real.present(manifest, found)
    sizes, left_out = _sizes(name, setting, size)
    print(f"{name}: {splits.describe(Counter(clip.part for clip in clips))}")
    for pixels in sorted(sizes):
        side = stored_side(pixels, manifest.media)
        made = frame_cache(
            cache,
            name,
            real.sources(manifest, found, clips),
            How(side, side, manifest.frames),
            jobs=setting.jobs,
        )
        gigabytes = made.lengths.sum() * side * side * 3 / 1e9
        print(
            f"{name} for clips of {pixels} px: {len(made.names)} files, {made.lengths.sum():,} "
            f"frames of {side}x{side}, {gigabytes:.2f} GB in {made.folder}"
        )
        for file, reason in made.undecodable.items():
            print(f"  left out: {file}: {reason}")
    return int(bool(left_out))


def _sizes(name: str, setting: Setting, size: str) -> tuple[set[int], list[str]]:
    """The clip sizes asked for, or those that the chapters have of this data set.

    And the chapters that cannot be opened, whose sizes nobody can name.
    """
    if size:
        if not re.fullmatch("[0-9]{1,9}", size) or int(size) < 8:
            raise UserError(
                f"SIZE: side of clips in pixels, a whole number from 8 up, not {size!r}"
            )
        return {int(size)}, []
    setting = replace(setting, dataset=name)
    found, left_out = of_each(chapter_names(), lambda one: Chapter(one, setting).specs())
    sizes = {spec.data.size for specs in found.values() for spec in specs if spec.data.name == name}
    if not sizes:
        raise UserError(
            f"SIZE: no chapter reads {name} in profile {setting.profile}; name a size, as SIZE=64"
        )
    return sizes, left_out


def _cache(setting: Setting, words: list[str], size: str) -> int:
    root = setting.datasets.cache
    folders = _cache_folders(root)
    if words[:1] == ["remove"]:
        return _remove(root, folders, words[1:])
    if words not in ([], ["check"]):
        raise UserError(
            "data cache: say `data cache`, `data cache check` or `data cache remove FOLDER`"
        )
    status, rows = 0, []
    for name, folder in folders.items():
        row = {
            "folder": name,
            "MB": round(_bytes(folder) / 1e6, 1),
            "files": "–",
            "left out": "–",
            "with flow": "–",
        }
        if name.startswith("frames/"):
            files, left_out = entry_count(folder)
            row |= {"files": str(files), "left out": str(left_out)}
            row["with flow"] = str(flow_cache.entry_count(folder))
        if words and (check := _CHECKS.get(name.split("/")[0])):
            found = check(folder)
            row["damaged"] = str(len(found))
            status = status or int(bool(found))
        rows.append(row)
    if not rows:
        print(f"nothing is cached in {root}")
        return 0
    table = pd.DataFrame(rows).fillna("–")
    aligned = ("left", *["right"] * (len(table.columns) - 1))
    print(table.to_markdown(index=False, colalign=aligned))
    print(f"\n{table['MB'].sum() / 1e3:.2f} GB in {root}")
    if status:
        print("a damaged folder: what is damaged is made again when it is needed")
    return status


def frames_damaged(folder: Path) -> list[str]:
    """What is damaged of a frame cache and of the flow in it, in words."""
    found = damaged(folder)
    if found == ["how.json"]:  # without which nobody knows how large its frames are
        return found
    of_flow = [f"flow of {key or 'a video'}" for key in flow_cache.damaged(folder)]
    return [key or "a line of its journal" for key in found] + of_flow


# By the folder below the cache: how one of its folders is checked, giving what is damaged in it.
_CHECKS: Mapping[str, Callable[[Path], list[str]]] = {
    "frames": frames_damaged,
    "generated": store.damaged,
    "unpacked": archive.damaged,
}


def _cache_folders(root: Path) -> dict[str, Path]:
    """Everything cached, by path below the cache: frames by set and size, generated, unpacked."""
    patterns = ("frames/*/*", "generated/*", "unpacked/*")
    found = [path for pattern in patterns for path in sorted(root.glob(pattern)) if path.is_dir()]
    return {path.relative_to(root).as_posix(): path for path in found}


def _remove(root: Path, folders: Mapping[str, Path], words: list[str]) -> int:
    if len(words) != 1:
        raise UserError("data cache remove: name one folder of `data cache`, a data set, or all")
    wanted = words[0].strip("/")
    chosen = [
        folder
        for name, folder in folders.items()
        if wanted == "all" or name == wanted or f"/{wanted}/" in f"/{name}/"
    ]
    if not chosen:
        raise unknown("data cache remove", wanted, ["all", *folders])
    freed = sum(_bytes(folder) for folder in chosen)
    for folder in chosen:
        shutil.rmtree(folder)
    print(f"removed {len(chosen)} folders, {freed / 1e6:.1f} MB; they are made again when needed")
    return 0


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _root(setting: Setting) -> Path:
    return Path(setting.data or ".")


def _found(manifest: Manifest, setting: Setting) -> bool:
    return not _whereabouts(manifest, setting).startswith("not found")


def _whereabouts(manifest: Manifest, setting: Setting) -> str:
    """Where the set lies, or where it was looked for; an archive is not unpacked for that."""
    root = _root(setting)
    place = real.find(manifest, root)
    return str(place) if place else f"not found in {root / manifest.name} or {root}"


COMMANDS: Mapping[str, Callable[[Setting, list[str], str], int]] = {
    "list": _list,
    "show": _show,
    "fetch": _fetch,
    "verify": _verify,
    "prepare": _prepare,
    "cache": _cache,
}
