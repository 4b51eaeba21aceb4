"""Fetching one file: resumable, checked while it streams, never half a file under its name."""

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock
from tqdm import tqdm

from kdlib.data.hashes import file_hash
from kdlib.errors import UserError

_CHUNK = 1 << 16
_TIMEOUT = (20, 60)
WAITS = (1.0, 5.0, 20.0)
"""Seconds before each new try after a connection broke off; progress starts the count anew."""


@dataclass(frozen=True)
class Fetched:
    """A file that is there: its size in bytes, its SHA-256, and whether it already was."""

    path: Path
    bytes: int
    sha256: str
    already: bool


class _Broken(Exception):
    """The connection ended before the file did."""


def fetch(
    url: str, target: Path, *, bytes: int | None = None, checksum: str | None = None
) -> Fetched:
    """Fetch `url` to `target`, going on where an earlier call was interrupted.

    bytes, checksum ("sha256:..." or "md5:..."): what the file must have; a file that has not is set
        aside as <target>.damaged. A target that is there and right is not fetched again.

    What has arrived lies in <target>.part, and is continued by a range request as long as the
    server says that its file is the same; a server without ranges starts over. UserError, in one
    line, for whatever the server, the network or the disk refuse.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.is_file():
            _check(target, bytes, checksum)
            return Fetched(target, target.stat().st_size, file_hash(target), True)
        part = target.with_name(f"{target.name}.part")
        _fetch_part(url, part, bytes)
        _check(part, bytes, checksum, aside=target.with_name(f"{target.name}.damaged"))
        os.replace(part, target)
        _mark(part).unlink(missing_ok=True)
        return Fetched(target, target.stat().st_size, file_hash(target), False)


def _fetch_part(url: str, part: Path, expected: int | None) -> None:
    waits = iter(WAITS)
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _stream(url, part, expected)
            return
        except (_Broken, requests.ConnectionError, requests.Timeout) as error:
            have = part.stat().st_size if part.exists() else 0
            if have > before:
                waits = iter(WAITS)
            wait = next(waits, None)
            if wait is None:
                raise UserError(
                    f"{url}: {_reason(error)}; {have:,} bytes are kept, and the next call goes on"
                ) from error
            time.sleep(wait)
        except requests.RequestException as error:
            raise UserError(f"{url}: {_reason(error)}") from error


def _stream(url: str, part: Path, expected: int | None) -> None:
    """One connection: append to the part what is missing, or start it anew."""
    have = part.stat().st_size if part.exists() else 0
    state = _read_mark(part) if have else {}
    if have and state.get("url") != url:
        have = 0
    headers = {"Accept-Encoding": "identity"}
    if have and state.get("version"):
        headers |= {"Range": f"bytes={have}-", "If-Range": state["version"]}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        _refuse_downgrade(url, answer)
        if answer.status_code == 416:
            # The part is as long as the file, or longer: it cannot be told, so start over.
            part.unlink()
            raise _Broken("the server has no more of it")
        if not answer.ok:
            raise UserError(
                f"{url}: {answer.status_code} {answer.reason}; get it by hand and put it at "
                f"{part.with_suffix('')}"
            )
        resumed = answer.status_code == 206 and _range_start(answer) == have
        if answer.status_code == 206 and not resumed:
            part.unlink()
            raise _Broken("the server sent another part than asked for")
        start = have if resumed else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        _room(part, url, (total or expected or 0) - start)
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        # A weak tag promises no equal bytes.
        _write_mark(part, {"url": url, "version": "" if version.startswith("W/") else version})
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                desc=part.with_suffix("").name,
                total=total or expected,
                initial=start,
                unit="B",
                unit_scale=True,
                mininterval=0.5,
            ) as progress,
        ):
            try:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    progress.update(len(chunk))
            except requests.RequestException as error:
                raise _Broken("the connection was cut") from error
        arrived = part.stat().st_size
        if total is not None and arrived < total:
            raise _Broken(f"the connection was cut after {arrived:,} of {total:,} bytes")


def _range_start(answer: requests.Response) -> int:
    """Where the part begins that the server sends, by its Content-Range; -1 if it does not say."""
    said = answer.headers.get("Content-Range", "")
    start = said.removeprefix("bytes ").split("-")[0]
    return int(start) if start.isdecimal() else -1


def _refuse_downgrade(url: str, answer: requests.Response) -> None:
    places = [urlsplit(url).scheme, *(urlsplit(r.url).scheme for r in answer.history)]
    if "https" in places and urlsplit(answer.url).scheme != "https":
        raise UserError(f"{url}: leads to {answer.url}, which is not encrypted")


def _room(part: Path, url: str, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise UserError(
            f"{url}: {needed:,} bytes are still to come, and {part.parent} has room for {free:,}"
        )


def _check(path: Path, bytes: int | None, checksum: str | None, aside: Path | None = None) -> None:
    """UserError if a file has not the size or checksum it must have; `aside` takes such a part."""
    fault = ""
    if bytes is not None and path.stat().st_size != bytes:
        fault = f"it has {path.stat().st_size:,} bytes, not {bytes:,}"
    elif checksum is not None:
        algorithm, _, wanted = checksum.partition(":")
        if algorithm not in hashlib.algorithms_available:
            raise UserError(f"checksum: {algorithm!r} is unknown; write sha256:... or md5:...")
        found = file_hash(path, algorithm)
        if found != wanted:
            fault = f"its {algorithm} is {found}, not {wanted}"
    if not fault:
        return
    if aside is None:
        raise UserError(f"{path}: {fault}; remove it, and it is fetched again")
    os.replace(path, aside)
    raise UserError(f"{aside}: {fault}; it is set aside and not used")


def _mark(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_mark(part: Path) -> dict[str, str]:
    try:
        content = json.loads(_mark(part).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_mark(part: Path, content: dict[str, str]) -> None:
    temporary = _mark(part).with_suffix(".partial")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, _mark(part))


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted; get the file by hand"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return " ".join(str(error).split()) or type(error).__name__
