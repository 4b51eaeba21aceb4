"""The videos of a DataSpec: generated once and cached, or read from files by a manifest."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from kdlib.data import folder
from kdlib.data import manifest as manifests
from kdlib.data.cache import file_hashes
from kdlib.data.generated import GENERATOR_VERSION, GeneratedSpec, videos
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.study.spec import DataSpec, RunSpec

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Datasets:
    """Where videos lie: `root` holds real sets, `cache` what was generated or decoded."""

    cache: Path
    root: Path | None = None
    jobs: int = 1

    def load(self, data: DataSpec) -> dict[str, Videos]:
        """The videos of every split, memory-mapped from the cache, which is filled if need be."""
        if not data.name.startswith("generated/"):
            # As much larger than a clip as the papers' 256 pixels are than their 224.
            side = round(data.size * 8 / 7)
            return folder.read(
                manifests.load(data.name),
                self._root(data.name),
                split=data.split,
                cache_root=self.cache,
                height=side,
                width=side,
                jobs=self.jobs,
            )
        return {split: self._generated(data, split, getattr(data, split)) for split in SPLITS}

    def key(self, name: str) -> str:
        """What the bytes of a data set depend on beside the DataSpec: its files and their parts."""
        if name.startswith("generated/"):
            return f"generator {GENERATOR_VERSION}"
        manifest, root = manifests.load(name), self._root(name)
        place = folder.locate(manifest, root, self.cache)
        clips = folder.list_clips(manifest, place, root)
        hashes = file_hashes({clip.name: place / clip.name for clip in clips}, self.cache)
        text = json.dumps([[*clip, hashes[clip.name]] for clip in clips])
        return hashlib.sha256(text.encode()).hexdigest()

    def _root(self, name: str) -> Path:
        if self.root is None:
            raise UserError(f"DATA: name the folder that holds {name}, as DATA=../shared/data")
        return self.root

    def keys(self, specs: Iterable[RunSpec]) -> dict[str, str]:
        """The key of each data set that these runs and their teachers use."""
        return {name: self.key(name) for name in sorted(_names(specs))}

    def _generated(self, data: DataSpec, split: str, count: int) -> Videos:
        spec = GeneratedSpec(
            data.name.removeprefix("generated/"),
            data.seed,
            frames=data.frames,
            size=data.size,
            domain=data.domain,
        )
        text = f"{GENERATOR_VERSION} {spec} {split} {count}"
        path = self.cache / "generated" / hashlib.sha256(text.encode()).hexdigest()[:24]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    _write(path, videos(spec, split, count))
        return _read(path)


def _names(specs: Iterable[RunSpec]) -> set[str]:
    names: set[str] = set()
    for spec in specs:
        names |= {spec.data.name} | _names(spec.method.teachers)
    return names


def _write(path: Path, made: Videos) -> None:
    temporary = Path(tempfile.mkdtemp(prefix="new-", dir=path.parent))
    try:
        np.save(temporary / "frames.npy", made.frames)
        known = {f"factor_{name}": values for name, values in made.factors.items()}
        np.savez(
            temporary / "known.npz",
            offsets=made.offsets,
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
        arrays["offsets"],
        arrays["labels"],
        arrays["groups"],
        tuple(arrays["classes"].tolist()),
        {n.removeprefix("factor_"): a for n, a in arrays.items() if n.startswith("factor_")},
    )
