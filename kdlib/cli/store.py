"""`python -m kdlib store ...`: how large the store is, whether it is whole, and tidying it up."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import Timeout

from kdlib.cli.chapters import of_each
from kdlib.cli.data import frames_damaged
from kdlib.data.generated import store as generated
from kdlib.errors import UserError, unknown
from kdlib.press.summary import clock
from kdlib.runs.store import RunStore
from kdlib.study.chapter import chapter_names
from kdlib.study.needed import needed
from kdlib.study.setting import PROFILES, Setting

HELP = """\
the store
  store [show]     what it holds: runs by the chapters that ask for them, and by none; caches
  store check      hold every record, checkpoint and cache against its checksums
  store prune      say what no plan needs: runs, checkpoints, what was set aside, lock files
  store prune yes  remove it

A plan is that of any chapter in any profile, on the CPU or a GPU: PROFILE=smoke,laptop chooses.
SEEDS, and DATASET with DATA, add what they ask for. Runs on real data are kept unless DATASET
names their set.
"""
NOBODY = "no plan"


def store(setting: Setting, profiles: Sequence[str], words: Sequence[str]) -> int:
    """Run one command on the store; the exit status is 0 if all is well."""
    command, *rest = words or ["show"]
    if command not in COMMANDS:
        raise unknown("store", command, COMMANDS)
    if rest and (command, rest) != ("prune", ["yes"]):
        raise UserError(f"store {command}: unexpected {rest[0]!r}")
    for profile in profiles:
        replace(setting, profile=profile)  # UserError for one that there is not
    return COMMANDS[command](setting, profiles or list(PROFILES), bool(rest))


def _show(setting: Setting, profiles: Sequence[str], yes: bool) -> int:
    runs, root = setting.run_store, setting.run_store.root
    found, left_out = of_each(chapter_names(), lambda name: needed([name], profiles, setting))
    plans = {name: keys for of_one in found.values() for name, keys in of_one.items()}
    held = {path.name: _bytes(path) for path in _folders(root, "runs")}
    askers = {key: [name for name, keys in plans.items() if key in keys] for key in held}
    rows = []
    for what in dict.fromkeys([*plans, "several chapters", NOBODY]):
        sizes = [held[key] for key, names in askers.items() if _asker(names) == what]
        rows.append(_row(f"runs of {what}", sizes))
    rows.append(_row("checkpoints", map(_bytes, root.glob("checkpoints/*"))))
    rows.append(_row("set aside", map(_bytes, root.glob("set-aside/*"))))
    for kind in ("frames", "generated", "unpacked"):
        folders = _caches(setting.datasets.cache, kind)
        rows.append(_row(f"cache of {kind} clips", map(_bytes, folders)))
    print(pd.DataFrame(rows).to_markdown(index=False, colalign=("left", "right", "right")))
    print(f"\n{sum(row['MB'] for row in rows):,.1f} MB in {runs.root}")
    print(f"plans: {', '.join(profiles)}; `store prune` says what can be removed")
    if left_out:
        print(f"runs of {', '.join(left_out)}, which cannot be opened, are among those of {NOBODY}")
    return int(bool(left_out))


def _asker(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "several chapters" if names else NOBODY


def _row(what: str, sizes: Iterable[int]) -> dict[str, Any]:
    sizes = list(sizes)
    return {"what": what, "number": len(sizes), "MB": round(sum(sizes) / 1e6, 1)}


def _check(setting: Setting, profiles: Sequence[str], yes: bool) -> int:
    runs, root = setting.run_store, setting.run_store.root
    folders = {
        kind: [(path, test) for path in _caches(setting.datasets.cache, kind)]
        for kind, test in (("frames", frames_damaged), ("generated", generated.damaged))
    }
    faults: dict[str, list[str]] = {
        "records": _lines((p, runs.fault(p.name)) for p in sorted(root.glob("runs/*"))),
        "checkpoints": _lines(
            (p, runs.checkpoint_fault(p.stem)) for p in sorted(root.glob("checkpoints/*.pt"))
        ),
        **{
            f"{kind} caches": _lines((p, ", ".join(test(p))) for p, test in found)
            for kind, found in folders.items()
        },
    }
    counts = [len(list(root.glob("runs/*"))), len(list(root.glob("checkpoints/*.pt")))]
    counts += [len(found) for found in folders.values()]
    for (what, lines), count in zip(faults.items(), counts, strict=True):
        print(f"{what:17}{count:6} held against their checksums, {len(lines)} damaged")
        for line in lines:
            print(f"  {line}")
    if not any(faults.values()):
        return 0
    print("what is damaged is set aside when it is needed, and made again")
    return 1


def _lines(found: Iterable[tuple[Path, str | None]]) -> list[str]:
    return [f"{path}: {why}" for path, why in found if why]


def _prune(setting: Setting, profiles: Sequence[str], yes: bool) -> int:
    runs, root = setting.run_store, setting.run_store.root
    wanted = set().union(*needed(chapter_names(), profiles, setting).values())
    asked = {"generated", *setting.roles.values()}
    superfluous, kept = [], Counter[str]()
    for path in _folders(root, "runs"):
        data = _data_of(path)
        if path.name not in wanted and (not data or data.split("/")[0] in asked):
            superfluous.append(path)
        elif path.name not in wanted:
            kept[data] += 1
    aside = [*root.glob("set-aside/*"), *root.glob("checkpoints/*.damaged")]
    halves = [p for p in root.glob("checkpoints/*.pt") if p.stem not in wanted]
    locks = list(root.glob("locks/*.lock"))
    seconds = sum(map(_seconds, superfluous))
    _say("runs that no plan needs", superfluous, f", {clock(seconds)} of training")
    _say("checkpoints of such runs", halves)
    _say("set aside as damaged", aside)
    _say("lock files", locks)
    for data, count in kept.items():
        print(f"kept: {count} runs on {data}; DATASET={data} DATA=... looks at them too")
    if not yes:
        print("nothing was removed; `store prune yes` removes it")
        return 0
    runs.sweep()
    busy = sum(not _removed(runs, path.name.split(".")[0], path) for path in superfluous + halves)
    for path in aside:
        _remove(path)
    for lock in locks:
        busy += not _removed(runs, lock.stem, lock)
    print("removed" + f", but for {busy} that other processes are at" * bool(busy))
    return 0


def _say(what: str, paths: Sequence[Path], more: str = "") -> None:
    size = sum(map(_bytes, paths)) / 1e6
    print(f"{what:25}{len(paths):6}, {size:,.1f} MB{more if paths else ''}")


def _removed(runs: RunStore, key: str, path: Path) -> bool:
    """Whether it is removed: not while another process works on this key."""
    with suppress(Timeout), runs.lock(key).acquire(timeout=0):
        _remove(path)
        (runs.root / "locks" / f"{key}.lock").unlink(missing_ok=True)
        return True
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _folders(root: Path, name: str) -> list[Path]:
    return sorted(path for path in root.glob(f"{name}/*") if path.is_dir())


def _caches(root: Path, kind: str) -> list[Path]:
    pattern = "frames/*/*" if kind == "frames" else f"{kind}/*"
    return sorted(path for path in root.glob(pattern) if path.is_dir())


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _data_of(record: Path) -> str:
    """The data set of a run of any version; "" where that cannot be told."""
    found = _content(record / "spec.json").get("data")
    return str(found.get("name", "")) if isinstance(found, dict) else ""


def _seconds(record: Path) -> float:
    cost = _content(record / "result.json").get("cost")
    seconds = cost.get("seconds") if isinstance(cost, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _content(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


COMMANDS = {"show": _show, "check": _check, "prune": _prune}
