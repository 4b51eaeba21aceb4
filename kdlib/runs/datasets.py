"""The videos of a DataSpec: generated once and cached, or read from files by a manifest."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kdlib.data.manifest import load
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.runs.spec import DataSpec, RunSpec

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Datasets:
    """Where videos lie: `root` holds real sets, `cache` what was generated or decoded."""

    cache: Path
    root: Path | None = None
    jobs: int = 1

    def load(self, data: DataSpec) -> dict[str, Videos]:
        """The videos of every split, memory-mapped from the cache, which is filled if need be.

        A generated set lacks the splits of which no clip is asked for.
        """
        if data.generated:
            counts = {split: getattr(data, split) for split in SPLITS}
            return {s: self._generated(data, s, count) for s, count in counts.items() if count}
        from kdlib.data import real  # what a run does not read, its key does not depend on
        from kdlib.data.cache import How
        from kdlib.data.flow_cache import long_enough, with_flow

        manifest = load(data.name)
        side = stored_side(data.size, manifest.media)
        parts = real.read(
            manifest,
            self._root(data.name),
            split=data.split,
            cache_root=self.cache,
            height=side,
            width=side,
            jobs=self.jobs,
        )
        parts = {p: videos.balanced(getattr(data, p), data.seed) for p, videos in parts.items()}
        if "flow" not in data.known:
            return parts
        parts = long_enough(data.name, parts, data.span)
        return with_flow(How(side, side, manifest.frames).folder(self.cache, data.name), parts)

    def key(self, name: str, split: str | None = None) -> str:
        """What the bytes of a data set depend on beside the DataSpec: its files and their parts."""
        if name.startswith("generated/"):
            from kdlib.data.generated import GENERATOR_VERSION

            return f"generator {GENERATOR_VERSION}"
        from kdlib.data import real

        return real.content_key(load(name), self._root(name), self.cache, split)

    def _root(self, name: str) -> Path:
        if self.root is None:
            raise UserError(f"DATA: name the folder that holds {name}, as DATA=../shared/data")
        return self.root

    def keys(self, specs: Iterable[RunSpec]) -> dict[str, str]:
        """The key of each data set, by `DataSpec.source`, of these runs and all they need."""
        used = {data.source: data for data in _used(specs)}
        return {source: self.key(data.name, data.split) for source, data in used.items()}

    def _generated(self, data: DataSpec, split: str, count: int) -> Videos:
        from kdlib.data.generated import GeneratedSpec
        from kdlib.data.generated.store import stored_videos

        spec = GeneratedSpec(
            data.name.removeprefix("generated/"),
            data.seed,
            frames=data.length or data.span,
            size=data.size,
            domain=data.domain,
            overlap=data.overlap,
            label_noise=data.label_noise,
        )
        return stored_videos(
            self.cache / "generated", spec, split, count, flow="flow" in data.known
        )


def stored_side(size: int, media: str) -> int:
    """Side in pixels of stored frames for clips of `size`: videos have room for a moving crop."""
    # As much larger than a clip as the papers' 256 pixels are than their 224.
    return round(size * 8 / 7) if media == "videos" else size


def _used(specs: Iterable[RunSpec]) -> Iterator[DataSpec]:
    for spec in specs:
        yield spec.data
        yield from _used(spec.needs)
