"""Damaged and hostile inputs to everything here that reads a file, a value or a cache.

    python -m benchmarks.fuzz [--inputs 10000] [--seed 0] [--only pickle]

Each input is a whole one with a few bytes changed, cut, repeated or replaced by words that hurt.
What is read may be refused by a UserError of one line, or be read. A fault is all else: another
exception, more than `SECONDS`, more than `GIGABYTES`, a file written elsewhere, a death, and a
result that differs from the whole one where checksums promise that it cannot. The same seed gives
the same inputs; a fault is told with its number.
"""

import argparse
import faulthandler
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.errors import UserError

SECONDS, GIGABYTES = 20, 4
WORDS = (
    *(b"..", b"/", b"../../x", b"/dev/zero", b"\0", b"\n", b"\r\n", b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"nan", b"-1", b"1e999", b"9" * 30, b"0x10", b"1_0", b"\xef\xbc\x93", b"null", b"true"),
    *(b"[", b"{", b"]", b"}", b'"', b"'", b"<<", b"&a [*a]", b"!!python/object:os.system", b": "),
    *(b"[" * 3000, b"a" * 70_000, b"(" * 500, b"\xed\xb3\xa9", "ß→🙂".encode(), b"\x1b[2J"),
)
_CHANGING = ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "shutil.rmtree")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Target:
    """Something that reads.

    files: by their place in a folder, whole ones. read: reads them there. mutable: those that are
    changed, all by default. same: whether what was read of a changed one is that of the whole one.
    share: of the inputs, against 1 of others.
    """

    name: str
    files: Mapping[str, bytes]
    read: Callable[[Path], Any]
    mutable: tuple[str, ...] = ()
    same: Callable[[Any], bool] | None = None
    share: float = 1.0


@dataclass
class Found:
    """What became of the inputs of a target; faults by the number of the input."""

    name: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    faults: dict[int, str] = field(default_factory=dict)


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """A changed copy: one to four changes, most of them small."""
    data = bytearray(whole)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        at = draw.randrange(len(data) + 1)
        span = draw.choice((1, 1, 2, 4, 8, 64, 1 << 10))
        match draw.randrange(8):
            case 0 | 1 if data:
                data[min(at, len(data) - 1)] ^= 1 << draw.randrange(8)
            case 2:
                del data[at : at + span]
            case 3:
                del data[at:]
            case 4:
                data[at:at] = data[at : at + span] * draw.choice((1, 2, 50))
            case 5:
                data[at : at + span] = draw.randbytes(span)
            case 6:
                data[at : at + draw.choice((0, 1, 4))] = draw.choice(WORDS)
            case _:
                start = draw.randrange(len(data) + 1)
                data[at : at + span] = data[start : start + span]
    return bytes(data)


def attempt(target: Target, folder: Path, draw: random.Random) -> tuple[bool, str]:
    """Read one changed input in a fresh folder; whether it was refused, and its fault or ""."""
    shutil.rmtree(folder, ignore_errors=True)
    chosen = draw.choice(target.mutable or tuple(target.files))
    for name, content in target.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutated(content, draw) if name == chosen else content)
    try:
        found = target.read(folder)
    except UserError as error:
        lines = str(error).splitlines() or [""]
        return True, "" if len(lines) == 1 else f"UserError of {len(lines)} lines: {lines[0]}"
    except BaseException as error:
        frame = error.__traceback__
        while frame and frame.tb_next:
            frame = frame.tb_next
        place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
        said = " ".join(str(error).split())
        return False, f"{type(error).__name__} at {place}: {said[:200]}"
    if target.same and not target.same(found):
        return False, "read without a word, and wrong"
    return False, ""


def fuzz(target: Target, inputs: int, seed: int, *, seconds: float = SECONDS) -> Found:
    """Try so many inputs in processes of their own: one that dies is a fault, and another goes on.

    seconds: of the processor, after which an input counts as one that never ends; and as well after
    30 times as many by the clock.
    """
    found = Found(target.name, inputs)
    done = 0
    while done < inputs:
        done = _some(target, done, inputs, seed, found, seconds)
    return found


def _some(target: Target, first: int, inputs: int, seed: int, found: Found, seconds: float) -> int:
    """The inputs from `first` on, in one child; how many are done when it has ended."""
    read, write = os.pipe()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(read)
        with open(write, "w") as report, suppress(BaseException):
            _child(target, range(first, inputs), seed, folder, report, seconds)
        os._exit(0)
    os.close(write)
    done, started = first, time.perf_counter()
    with open(read) as report:
        for line in report:
            with suppress(ValueError):  # the last line of a child that died
                number, refused, took, fault = json.loads(line)
                done = number + 1
                found.refused += refused
                found.slowest = max(found.slowest, took)
                if fault:
                    found.faults[number] = fault
    _, status = os.waitpid(child, 0)
    found.seconds += time.perf_counter() - started
    shutil.rmtree(folder, ignore_errors=True)
    if done < inputs:
        found.faults[done] = f"its process died or never ended (wait status {status})"
        done += 1
    return done


def _child(
    target: Target, numbers: range, seed: int, folder: Path, report: Any, seconds: float
) -> None:
    cage, elsewhere = folder / "deep" / "cage", folder / "elsewhere"
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    Path(tempfile.tempdir).mkdir()
    elsewhere.mkdir()
    cage.parent.mkdir()
    os.chdir(elsewhere)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    limit = _mapped() + (GIGABYTES << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()  # a death is told by who forked us
    escapes: list[str] = []
    allowed = (str(cage), tempfile.tempdir, os.devnull)
    sys.addaudithook(lambda event, args: _watch(event, args, allowed, escapes))
    for number in numbers:
        # By the processor's clock, on busy machines too; by the wall's, if nothing ever comes.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        faulthandler.dump_traceback_later(30 * seconds, exit=True)
        draw = random.Random(f"{seed} {target.name} {number}")
        started = time.perf_counter()
        refused, fault = attempt(target, cage, draw)
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        escapes += os.listdir(elsewhere)
        if escapes:
            fault = f"it wrote {escapes[0]}"
            escapes.clear()
        print(json.dumps([number, refused, time.perf_counter() - started, fault]), file=report)
        report.flush()


def _watch(event: str, args: tuple[Any, ...], allowed: tuple[str, ...], escapes: list[str]) -> None:
    """Note what is made, written or removed outside the allowed places."""
    paths: tuple[Any, ...] = ()
    if (event == "open" and isinstance(args[2], int) and args[2] & _WRITING) or event in (
        "os.mkdir",
        "os.remove",
        "os.rmdir",
        "os.chmod",
        "os.truncate",
        "shutil.rmtree",
    ):
        paths = args[:1]
    elif event in ("os.rename", "os.link", "os.symlink"):
        paths = args[1:2] if event != "os.rename" else args[:2]
    elif event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"):
        escapes.append(f"{event} {args}")
    for path in paths:
        if isinstance(path, bytes | str | os.PathLike):
            place = os.path.realpath(os.fsdecode(path))
            relative = not os.path.isabs(os.fsdecode(path))  # to a descriptor, as rmtree's
            if not relative and not place.startswith(allowed):
                escapes.append(f"{event} {place!r}")


def _mapped() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 2 << 30


def run(targets: list[Target], inputs: int, seed: int) -> Iterator[Found]:
    """Share out the inputs among the targets, and try them one target after another."""
    whole = sum(target.share for target in targets)
    for target in targets:
        yield fuzz(target, max(1, round(inputs * target.share / whole)), seed)


def main() -> int:
    from benchmarks.fuzz_targets import targets

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="the targets whose names hold this")
    options = parser.parse_args()
    started, rows, faults = time.perf_counter(), [], 0
    chosen = [target for target in targets() if options.only in target.name]
    for found in run(chosen, options.inputs, options.seed):
        rows.append(
            {
                "what": found.name,
                "inputs": found.inputs,
                "refused": found.refused,
                "faults": len(found.faults),
                "s": round(found.seconds, 1),
                "slowest, ms": round(1000 * found.slowest),
            }
        )
        faults += len(found.faults)
        kinds = Counter(found.faults.values())
        for fault, count in kinds.most_common(8):
            number = next(n for n, said in found.faults.items() if said == fault)
            print(f"{found.name} {number} (and {count - 1} more): {fault}", flush=True)
    print(pd.DataFrame(rows).to_string(index=False))
    print(
        f"{sum(row['inputs'] for row in rows):,} inputs, {faults} faults, "
        f"{time.perf_counter() - started:.0f} s"
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
