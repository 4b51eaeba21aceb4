"""Optical flow of real clips on disk: computed once by TV-L1, then read out of one memory map.

    <root>/frames/<set>/<size>-<key>/tvl1-<version>/
        frames.bin      float16 flow (2, height, width), a row a frame of the frame cache above
        journal.jsonl   a line a video, as of the frame cache

A video's key is the SHA-256 of its frames and the row where they begin. What is damaged or was
interrupted is computed again. Rows of videos that nobody asked for are holes.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from tqdm import tqdm

from kdlib.data import journal
from kdlib.data.disk import disk_errors
from kdlib.data.journal import Entry
from kdlib.data.tvl1 import VERSION, tvl1
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.notes import note


def with_flow(folder: Path, parts: Mapping[str, Videos]) -> dict[str, Videos]:
    """These videos of a frame cache with their flow, in pixels of its frames.

    folder: of the frame cache. Flow of the last frame of a video, to no other, is 0. On a GPU where
    there is one. Raises UserError when the disk is full.
    """
    if not parts:
        return {}
    frames = next(iter(parts.values())).frames
    flows, row = _place(folder), _row(*frames.shape[1:3])
    wanted = _wanted(folder, parts)
    with disk_errors(folder):
        found = journal.find(flows, row, wanted, 1)
        if found.entries.keys() != wanted.keys():
            flows.mkdir(exist_ok=True)
            with FileLock(f"{flows}.lock"):
                found = _completed(flows, row, frames, wanted)
    flow = found.frames.view(np.float16)
    return {name: replace(videos, flow=flow) for name, videos in parts.items()}


def long_enough(name: str, parts: Mapping[str, Videos], frames: int) -> dict[str, Videos]:
    """The videos of a data set that have `frames` frames or more, as many as a clip spans.

    In a shorter one a clip goes round, and from its last frame to its first there is no flow. Those
    are named in one warning, with the classes that lose all they had in training. UserError where
    nothing is left of a part.
    """
    enough = {part: videos.lengths >= frames for part, videos in parts.items()}
    if empty := [part for part, long in enough.items() if not long.any()]:
        raise UserError(
            f"{name}: no {empty[0]} video has the {frames} frames of a clip with known flow; "
            "lower data.frames"
        )
    if all(long.all() for long in enough.values()):
        return dict(parts)
    kept = {part: videos.take(np.flatnonzero(enough[part])) for part, videos in parts.items()}
    short = [
        f"\n  {file}: {length}"
        for part, videos in parts.items()
        for file, length in zip(videos.factors["name"], videos.lengths, strict=True)
        if length < frames
    ]
    lost = sorted(_shown(parts["train"]) - _shown(kept["train"]))
    untrained = f", which is all there was of {', '.join(lost)} in training" if lost else ""
    warnings.warn(
        f"{name}: {len(short)} videos have fewer than the {frames} frames of a clip with known "
        f"flow, and are left out{untrained}:{''.join(short)}",
        stacklevel=2,
    )
    return kept


def _shown(videos: Videos) -> set[str]:
    """The classes that these videos show, one or several each."""
    if videos.labels.ndim == 1:
        return {videos.classes[k] for k in np.unique(videos.labels)}
    shown = videos.labels.reshape(-1, len(videos.classes)).any(0)
    return {videos.classes[k] for k in np.flatnonzero(shown)}


def damaged(folder: Path) -> list[str]:
    """The keys of the videos whose flow is not that which was written below a frame cache."""
    flows = _place(folder)
    if not flows.is_dir():
        return []
    stored = json.loads((folder / "how.json").read_bytes())
    return journal.all_damaged(flows, _row(stored["height"], stored["width"]))


def entry_count(folder: Path) -> int:
    """Of how many videos of a frame cache the flow is kept."""
    return len(journal.read(_place(folder))[0])


def _place(folder: Path) -> Path:
    return folder / f"tvl1-{VERSION}"


def _row(height: int, width: int) -> tuple[int, int, int]:
    """The bytes of a frame's flow, as the journal reads them."""
    return (2, height, 2 * width)


def _wanted(folder: Path, parts: Mapping[str, Videos]) -> dict[str, Entry]:
    """Where the frames of each video lie, by its key."""
    entries = {entry.start: entry for entry in journal.read(folder)[0].values() if entry.frames}
    starts = sorted({int(start) for videos in parts.values() for start in videos.starts})
    return {f"{entries[start].sha256}@{start}": entries[start] for start in starts}


def _completed(
    flows: Path, row: tuple[int, int, int], frames: np.ndarray, wanted: Mapping[str, Entry]
) -> journal.Found:
    """The flow of all that is wanted, after computing what is missing or damaged."""
    found = journal.find(flows, row, wanted, 1)
    if found.damaged:
        note(f"cache {flows}: damaged entries: {found.damaged}; computed again")
    journal.mend(flows)
    missing = {key: entry for key, entry in wanted.items() if key not in found.entries}
    size = int(np.prod(row))
    needed = sum(entry.frames for entry in missing.values()) * size
    free = shutil.disk_usage(flows).free
    if needed > free:
        raise UserError(
            f"STORE: optical flow takes {needed / 1e9:.1f} GB, and {flows} has room for "
            f"{free / 1e9:.1f} GB; name another STORE, a smaller size or fewer videos"
        )
    path = flows / "frames.bin"
    path.touch()
    progress = tqdm(total=len(missing), desc="optical flow", unit="file", mininterval=0.5)
    with path.open("r+b") as binary, (flows / "journal.jsonl").open("a") as lines, progress:
        for key, entry in missing.items():
            flow = _flow(frames[entry.start : entry.start + entry.frames])
            binary.seek(entry.start * size)
            binary.write(flow.data)
            binary.flush()
            lines.write(journal.line(key, entry._replace(sha256=journal.digest(flow))))
            lines.flush()
            progress.update()
    found = journal.find(flows, row, wanted, 1)
    if lost := wanted.keys() - found.entries.keys():
        raise UserError(
            f"STORE: the flow of {len(lost)} of {len(wanted)} videos in {flows} reads back "
            "otherwise; name a STORE on another disk"
        )
    return found


def _flow(frames: np.ndarray) -> np.ndarray:
    """Flow float16 (T, 2, H, W) of frames uint8 (T, H, W, 3), the last one 0."""
    height, width = frames.shape[1:3]
    flow = np.zeros((len(frames), 2, height, width), np.float16)
    if len(frames) > 1:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        flow[:-1] = tvl1(torch.from_numpy(np.array(frames)).to(device)).cpu().numpy()
    return flow
