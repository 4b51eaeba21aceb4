"""Generated videos on disk: rendered once, then read from one memory map."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from filelock import FileLock

from kdlib.data.generated import GENERATOR_VERSION, GeneratedSpec, videos
from kdlib.data.videos import Videos

_FORMAT = 2


def stored_videos(
    root: Path, spec: GeneratedSpec, split: str, count: int, *, flow: bool = False
) -> Videos:
    """The first `count` clips of a split, memory-mapped from below `root`, made if need be."""
    text = f"{_FORMAT} {GENERATOR_VERSION} {spec} {split} {count}"
    path = root / hashlib.sha256(text.encode()).hexdigest()[:24]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _write(path, videos(spec, split, count))
    return _read(path)


def _write(path: Path, made: Videos) -> None:
    temporary = Path(tempfile.mkdtemp(prefix="new-", dir=path.parent))
    try:
        np.save(temporary / "frames.npy", made.frames)
        known = {f"factor_{name}": values for name, values in made.factors.items()}
        np.savez(
            temporary / "known.npz",
            starts=made.starts,
            lengths=made.lengths,
            labels=made.labels,
            groups=made.groups,
            classes=np.array(made.classes),
            **known,  # type: ignore[arg-type]
        )
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(path: Path) -> Videos:
    with np.load(path / "known.npz", allow_pickle=False) as known:
        arrays = dict(known)
    return Videos(
        np.load(path / "frames.npy", mmap_mode="r"),
        arrays["starts"],
        arrays["lengths"],
        arrays["labels"],
        arrays["groups"],
        tuple(arrays["classes"].tolist()),
        {n.removeprefix("factor_"): a for n, a in arrays.items() if n.startswith("factor_")},
    )
