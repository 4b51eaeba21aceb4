"""The setting of a reproduction: profile, data, seeds, device, and where things lie."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

from kdlib.data import manifest as manifests
from kdlib.errors import UserError, unknown
from kdlib.runs.datasets import Datasets
from kdlib.runs.store import RunStore
from kdlib.training.precision import check_device

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("pretrain", "target", "target2", "shifted", "image", "detection")


class NoPlan(UserError):
    """A chapter has no runs at this setting, such as a profile that it lacks."""


@dataclass(frozen=True)
class Profile:
    """How big everything is: never what is done.

    seeds: of the headline comparison, of other rows that a sentence rests on, and of all others;
        `SEEDS` overrides them all.
    evidence: whether its numbers may support or contradict a sentence.
    """

    name: str
    text: str
    headline_seeds: int
    claimed_seeds: int
    other_seeds: int
    evidence: bool = True


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke", "does every path run? Its numbers are no evidence", 2, 1, 1, evidence=False
        ),
        Profile("laptop", "micro models on a bare machine, within the hour", 5, 3, 1),
        Profile("gpu", "larger models on one GPU, about an hour", 5, 5, 5),
        Profile("paper", "the published recipe: planned and costed, many GPUs to run", 3, 3, 3),
    )
}


@cache
def default_role(name: str) -> str:
    """The role that a real set fills where none is named: image, detection or target."""
    manifest = manifests.load(name)
    if manifest.task == "detection":
        return "detection"
    return "image" if manifest.media == "images" else "target"


@dataclass(frozen=True)
class Setting:
    """What a user chose. Every field is checked when it is made; UserError names the field.

    dataset: "generated", or real sets by role ("target:jhmdb21"); a bare name fills `default_role`.
    data: the folder that holds real sets. seeds: 0 leaves them to the profile.
    store: the folder of records and caches, KDLIB_STORE or .kdlib by default. results: the folder
        of artifacts, notebooks and the book, KDLIB_RESULTS or results by default.
    """

    profile: str = "laptop"
    dataset: str = "generated"
    data: str = ""
    seeds: int = 0
    device: str = "cpu"
    jobs: int = 2
    store: str = field(default_factory=lambda: os.environ.get("KDLIB_STORE", ""))
    results: str = field(default_factory=lambda: os.environ.get("KDLIB_RESULTS", ""))

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise unknown("PROFILE", self.profile, PROFILES)
        for name, least, most in (("seeds", 0, 1000), ("jobs", 1, 1024)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"{name.upper()}: a whole number from {least} up, not {value!r}")
            if value > most:
                raise UserError(f"{name.upper()}: at most {most}, not {value}")
        check_device(self.device, "DEVICE")
        if self.roles and not self.data:
            raise UserError("DATA: name the folder that holds the data set, as DATA=../shared/data")
        if self.data and not Path(self.data).is_dir():
            raise UserError(f"DATA: there is no folder {self.data!r}")

    @property
    def roles(self) -> dict[str, str]:
        """The real data set of each role that has one."""
        if self.dataset == "generated":
            return {}
        roles = {}
        for part in self.dataset.split(","):
            role, _, name = part.rpartition(":")
            if name not in manifests.names():
                raise unknown("DATASET", name, ["generated", *manifests.names()])
            role = role or default_role(name)
            if role not in ROLES:
                raise unknown("DATASET role", role, ROLES)
            roles[role] = name
        return roles

    @property
    def scale(self) -> Profile:
        """The profile."""
        return PROFILES[self.profile]

    @property
    def headline(self) -> tuple[int, ...]:
        """The seeds of the headline comparison."""
        return tuple(range(self.seeds or self.scale.headline_seeds))

    @property
    def claimed(self) -> tuple[int, ...]:
        """The seeds of other rows that a sentence rests on."""
        return tuple(range(self.seeds or self.scale.claimed_seeds))

    @property
    def others(self) -> tuple[int, ...]:
        """The seeds of rows that decide nothing."""
        return tuple(range(self.seeds or self.scale.other_seeds))

    @property
    def data_name(self) -> str:
        """The folder name of these data under results/<profile>/."""
        return self.dataset.replace(",", "+").replace(":", "=")

    @property
    def folder(self) -> Path:
        """results/<profile>/<data>."""
        return Path(self.results or ROOT / "results").resolve() / self.profile / self.data_name

    @property
    def _store(self) -> Path:
        return Path(self.store or ROOT / ".kdlib").resolve()

    @property
    def run_store(self) -> RunStore:
        """The run records."""
        return RunStore(self._store)

    @property
    def datasets(self) -> Datasets:
        """The data sets."""
        root = Path(self.data).resolve() if self.data else None
        return Datasets(self._store / "cache", root, min(self.jobs, os.cpu_count() or 1))

    @property
    def caution(self) -> str:
        """What a stamp ends with where the profile is no evidence."""
        text = " These numbers are no evidence: only a check that all runs."
        return "" if self.scale.evidence else text

    @property
    def stamp(self) -> str:
        """One sentence for pages of several chapters, which may have read different data."""
        return (
            f"Profile {self.profile}, on {self.device}; each chapter says which data its numbers "
            f"are from.{self.caution}"
        )


T = TypeVar("T")


def scale_of(chapter: str, scales: Mapping[str, T], setting: Setting) -> T:
    """A chapter's own sizes at a profile; NoPlan for a profile that it lacks."""
    if setting.profile not in scales:
        raise NoPlan(
            f"PROFILE: the {chapter} chapter has no {setting.profile} profile; "
            "leave it out by CHAPTERS"
        )
    return scales[setting.profile]
