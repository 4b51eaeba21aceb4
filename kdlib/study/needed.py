"""Which runs of a store some plan asks for: what may be removed is what none does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kdlib.runs.spec import RunSpec
from kdlib.runs.store import run_key
from kdlib.study.chapter import Chapter
from kdlib.study.setting import NoPlan, Setting

DEVICES = ("cpu", "cuda")


def needed(
    chapters: Iterable[str], profiles: Sequence[str], setting: Setting
) -> dict[str, set[str]]:
    """By chapter, the keys of all runs of its plans, with those that they need.

    On either device; with the profile's seeds and with those of the setting; on generated data and
    on those of the setting. A chapter that lacks a profile plans nothing there; UserError for one
    that cannot be opened, whose runs nobody can name.
    """
    found: dict[str, set[str]] = {}
    for name in chapters:
        keys: set[str] = set()
        for chosen in _settings(profiles, setting):
            try:
                chapter = Chapter(name, chosen)
            except NoPlan:
                continue
            specs = set(_all(chapter.specs()))
            data = chosen.datasets.keys(specs)
            keys |= {run_key(spec, device, data) for spec in specs for device in DEVICES}
        found[name] = keys
    return found


def _settings(profiles: Sequence[str], setting: Setting) -> Iterator[Setting]:
    for profile in profiles:
        for dataset in dict.fromkeys(("generated", setting.dataset)):
            for seeds in {0, setting.seeds}:
                yield replace(setting, profile=profile, dataset=dataset, seeds=seeds)


def _all(specs: Iterable[RunSpec]) -> Iterator[RunSpec]:
    for spec in specs:
        yield spec
        yield from _all(spec.needs)
