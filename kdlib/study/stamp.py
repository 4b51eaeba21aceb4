"""Where numbers come from, in words: which data, which profile, how many seeds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kdlib.data import manifest
from kdlib.runs.spec import RunSpec
from kdlib.study.setting import Setting

NO_RUNS = "Published and counted; nothing was trained for it."


def data_text(specs: Iterable[RunSpec]) -> str:
    """The data of these runs: "generated clips", "real clips of a and real images of b".

    Data that networks were only pre-trained on are said where they are of another kind.
    """
    specs = list(specs)
    used = _kinds(spec.data.name for spec in specs)
    before = [kind for kind in _kinds(_pretraining(specs)) if kind not in used]
    tail = f", after pre-training on {_and(before)}" if before else ""
    return _and(used) + tail


def artifact_text(setting: Setting, runs: Mapping[Any, Sequence[RunSpec]]) -> str:
    """One line on an artifact of these runs by label: data, profile and seeds."""
    specs = [spec for group in runs.values() for spec in group]
    if not specs:
        return NO_RUNS
    low, high = min(map(len, runs.values())), max(map(len, runs.values()))
    seeds = ("" if low == high else f"{low} to ") + f"{high} seed{'s' * (high > 1)}"
    return f"From {data_text(specs)}; profile {setting.profile}, {seeds}.{setting.caution}"


def chapter_text(setting: Setting, specs: Iterable[RunSpec]) -> str:
    """One sentence on a chapter of these runs, for the head of its pages."""
    specs = list(specs)
    if not specs:
        return NO_RUNS
    return (
        f"Numbers from {data_text(specs)}, profile {setting.profile}, on {setting.device}."
        f"{setting.caution}"
    )


def command(setting: Setting, chapter: str) -> str:
    """The command that makes a chapter's artifacts at this setting; where data lie is left open."""
    parts = [f"make reproduce CHAPTERS={chapter}"]
    plain = {"profile": "laptop", "dataset": "generated", "seeds": 0, "device": "cpu"}
    for name, default in plain.items():
        if (value := getattr(setting, name)) != default:
            parts.append(f"{name.upper()}={value}")
    return " ".join(parts + ["DATA=..."] * bool(setting.roles))


def _kinds(names: Iterable[str]) -> list[str]:
    """What these data sets are, each once, in this order."""
    return list(dict.fromkeys(_kind(name) for name in dict.fromkeys(names)))


def _kind(name: str) -> str:
    media = {"videos": "clips", "images": "images"}[manifest.load(name).media]
    return f"generated {media}" if name.startswith("generated/") else f"real {media} of {name}"


def _pretraining(specs: Iterable[RunSpec]) -> Iterator[str]:
    for spec in dict.fromkeys(specs):
        if spec.start:
            yield spec.start.run.data.name
        yield from _pretraining(spec.needs)


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
