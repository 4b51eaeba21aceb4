"""Getting a data set: fetch what may be fetched, and say exactly what to get by hand."""

import json
import os
import shutil
from pathlib import Path

from kdlib.data.archive import LIST, unpack
from kdlib.data.disk import disk_errors
from kdlib.data.fetch import Fetched, fetch
from kdlib.data.manifest import Download, Manifest
from kdlib.errors import UserError

RECORD = "fetched.json"


def obtain(manifest: Manifest, data_root: Path) -> list[Fetched]:
    """Fetch the downloads of a set into <data_root>/<name>, going on where an earlier call ended.

    A file without an official checksum has its SHA-256 recorded in `fetched.json` there at the
    first fetch, and is held against that later. UserError for a set given on request only.
    """
    if not manifest.downloads:
        raise UserError(
            f"{manifest.name}: nothing of it can be fetched. {advice(manifest, data_root)}"
        )
    place = data_root / manifest.name
    done = []
    with disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        for download in manifest.downloads:
            done.append(_fetch(download, place))
            if download.unpack:
                _unpack(place / download.path, place)
    return done


def advice(manifest: Manifest, data_root: Path) -> str:
    """What to get, and where to put it, in one paragraph."""
    text = " ".join(manifest.obtain.split())
    if not text and manifest.homepage:
        text = f"See {manifest.homepage}."
    return f"{text} Its place is {data_root / manifest.name}.".lstrip()


def _fetch(download: Download, place: Path) -> Fetched:
    record = place / RECORD
    known = _recorded(record)
    checksum = download.checksum
    if checksum is None and download.path in known:
        checksum = f"sha256:{known[download.path]}"
    fetched = fetch(download.url, place / download.path, bytes=download.bytes, checksum=checksum)
    if known.get(download.path) != fetched.sha256:
        temporary = record.with_suffix(".partial")
        temporary.write_text(json.dumps({**known, download.path: fetched.sha256}, indent=1))
        os.replace(temporary, record)
    return fetched


def _recorded(record: Path) -> dict[str, str]:
    """The checksums of earlier fetches by path; UserError if the record is damaged."""
    try:
        known = json.loads(record.read_text()) if record.exists() else {}
    except ValueError:
        known = None
    if not isinstance(known, dict) or not all(isinstance(x, str) for x in known.values()):
        raise UserError(f"{record}: no readable record of checksums; remove it to start anew")
    return known


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack into a folder that may hold other things; what is there already stays."""
    unpacked = archive.with_name(f".{archive.name}.unpacked")
    mark = archive.with_name(f".{archive.name}.done")
    if mark.exists():
        return
    unpack(archive, unpacked)
    folder.mkdir(parents=True, exist_ok=True)
    for child in sorted(unpacked.iterdir()):
        if child.name != LIST and not (folder / child.name).exists():
            os.replace(child, folder / child.name)
    shutil.rmtree(unpacked)
    mark.touch()
