"""Unpacking tar and zip files of others: nothing outside the folder, nothing half, no bombs.

Among what was unpacked lies `.unpacked.json`, the size and the time of each file: by that, which
takes no reading, lost and changed files are found whenever the folder is asked for.
"""

import errno
import gzip
import json
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from filelock import FileLock
from tqdm import tqdm

from kdlib.data.manifest import inside
from kdlib.errors import UserError
from kdlib.notes import note

LIST = ".unpacked.json"
_CHUNK = 1 << 20
_MUCH = 200_000_000
# A member may be so many times as large as it is packed; what is small anyway does no harm.
_MOST_TIMES, _SMALL = 1000, 100_000_000


class _Member(NamedTuple):
    name: str
    size: int
    folder: bool
    content: IO[bytes] | None


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a tar (plain, gz, bz2, xz) or zip into the folder `target`, once; returns it.

    Where files of it are lost or changed since, it is unpacked again, which a note says.
    Only plain files and folders are unpacked. UserError, and no trace on disk, for links, devices,
    paths that leave the folder, names that collide, encrypted or damaged archives, and members that
    unpack to more than the disk holds or to absurdly more than they are packed to. Kinds that are
    not read (rar) are named with the command to unpack them by hand.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if target.is_dir():
            if not (faults := damaged(target)):
                return target
            note(
                f"cache {target}: files lost or changed: {len(faults)}, such as {faults[0]}; "
                "unpacked again"
            )
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _write_all(archive, partial)
            _write_list(partial)
            _put(partial, target)
        except (
            *(tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError),
            *(NotImplementedError, RuntimeError, UnicodeError, OverflowError),
            *(gzip.BadGzipFile, lzma.LZMAError),
            # A name that is a file and a folder at once.
            *(FileExistsError, NotADirectoryError, IsADirectoryError),
        ) as error:
            raise UserError(f"{archive}: {error or 'damaged'}") from error
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UserError(f"{archive}: {error.filename!r}: {error.strerror}") from error
            if error.filename is None and error.errno in (None, errno.EINVAL):
                raise UserError(f"{archive}: damaged ({error})") from error
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def damaged(folder: Path) -> list[str]:
    """The files of an unpacked archive that are lost or changed, by their sizes and times.

    What else lies there does not count. A list that cannot be read is named alone.
    """
    try:
        written = json.loads((folder / LIST).read_bytes())
        return [name for name, mark in written.items() if _mark(folder, name) != mark]
    except (OSError, ValueError, AttributeError, RecursionError):
        return [LIST]


def _write_list(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    (folder / LIST).write_text(json.dumps({name: _mark(folder, name) for name in names}))


def _mark(folder: Path, name: str) -> list[int] | None:
    """What tells a file from another under its name; None where there is none."""
    try:
        found = os.lstat(f"{folder}/{name}")
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _put(new: Path, place: Path) -> None:
    """Move a folder to its place, from where a damaged one moves away: others may be reading it."""
    old = place.with_name(f"{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.replace(old)
    new.replace(place)
    shutil.rmtree(old, ignore_errors=True)


def _write_all(archive: Path, folder: Path) -> None:
    seen: set[str] = set()
    room = shutil.disk_usage(folder).free
    size = archive.stat().st_size
    with tqdm(
        desc=f"unpacking {archive.name}", unit="B", unit_scale=True, disable=size < _MUCH
    ) as progress:
        for member in _members(archive, folder):
            name = _safe(archive, member.name)
            # Names that differ in case alone are one file on many disks.
            if not member.folder and name.lower() in seen:
                raise UserError(f"{archive}: {member.name!r} stands in it twice")
            seen.add(name.lower())
            path = folder / name
            if member.folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            if member.size > room:
                raise UserError(f"{archive}: {member.name!r} is larger than the room on the disk")
            path.parent.mkdir(parents=True, exist_ok=True)
            assert member.content is not None
            with path.open("xb") as file:
                room -= _copy(member, archive, file, progress)


def _copy(member: _Member, archive: Path, file: IO[bytes], progress: tqdm) -> int:
    assert member.content is not None
    written = 0
    while chunk := member.content.read(_CHUNK):
        written += len(chunk)
        if written > member.size:
            break
        file.write(chunk)
        progress.update(len(chunk))
    if written != member.size:
        raise UserError(f"{archive}: {member.name!r} has not the size it says")
    return written


def _safe(archive: Path, name: str) -> str:
    """The name below a folder, in plain form; UserError where it would be elsewhere."""
    try:
        if "\\" in name or "\0" in name or any(ord(letter) < 32 for letter in name):
            raise ValueError(f"{name!r} is no plain name")
        return Path(inside(name)).as_posix()
    except ValueError as error:
        raise UserError(f"{archive}: {error}") from error


def _members(archive: Path, folder: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    elif tarfile.is_tarfile(archive):
        yield from _tar_members(archive)
    elif archive.suffix.lower() in (".rar", ".7z"):
        raise UserError(
            f"{archive}: {archive.suffix} files are not read; unpack it by hand, for instance "
            f"bsdtar -xf {archive.name} -C {archive.parent}"
        )
    else:
        raise UserError(f"{archive}: neither a tar nor a zip file, or a damaged one")


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for info in tar:
            if not (info.isfile() or info.isdir()):
                raise UserError(f"{archive}: {info.name!r} is a link or a device")
            yield _Member(info.name, info.size, info.isdir(), tar.extractfile(info))
        # To its very end: there the packed file's own checksum lies.
        rest = 0
        while chunk := tar.fileobj.read(_CHUNK):  # type: ignore[union-attr]
            rest += len(chunk)
            if rest > _SMALL:
                raise UserError(f"{archive}: more than {_SMALL:,} bytes behind its end")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(f"{archive}: {info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise UserError(f"{archive}: {info.filename!r} is encrypted")
            if info.file_size > max(_SMALL, _MOST_TIMES * info.compress_size):
                raise UserError(f"{archive}: {info.filename!r} is packed {_MOST_TIMES} times over")
            # An empty name is refused by the reader of the names, which all of them meet.
            if info.filename and info.is_dir():
                yield _Member(info.filename, 0, True, None)
            else:
                with packed.open(info) as content:
                    yield _Member(info.filename, info.file_size, False, content)
