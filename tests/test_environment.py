"""The lock, environment.yml, CITATION.cff and pyproject.toml say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
INSTALLER = (ROOT / "requirements-uv.lock").read_text()
DIRECT = [
    Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
]
PYTHONS = ("3.11", "3.12", "3.13")
# A line of the lock: name==version, perhaps a marker, a backslash; its hashes follow.
ENTRY = re.compile(r"^([A-Za-z0-9][^\s=]*)==(\S+)(?: ; (.+?))? \\\n((?: {4}--hash=.*\n)+)", re.M)


def entries(lock=LOCK):
    return ENTRY.findall(lock)


@pytest.mark.parametrize("lock", [LOCK, INSTALLER])
def test_every_entry_has_a_hash(lock):
    starts = [line for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert len(starts) == len(entries(lock)) > 0
    for name, _, _, hashes in entries(lock):
        for line in hashes.splitlines():
            assert re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?", line), (name, line)


@pytest.mark.parametrize("lock", [LOCK, INSTALLER])
def test_lock_is_free_of_hosts_and_options(lock):
    """It then installs from whatever index the reader's pip is set to."""
    for line in lock.splitlines():
        assert "://" not in line, line
        assert line.startswith("    --hash=") or not line.lstrip().startswith("-"), line
        if not line.lstrip().startswith("#"):
            assert " @ " not in line, line


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_each_direct_dependency_once(python, platform):
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "platform_machine": "x86_64" if platform == "linux" else "arm64",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
    }
    pinned: dict[str, list[str]] = {}
    for name, version, marker, _ in entries():
        if not marker or Marker(marker).evaluate(machine):
            pinned.setdefault(canonicalize_name(name), []).append(version)
    assert {name: found for name, found in pinned.items() if len(found) > 1} == {}
    for wanted in DIRECT:
        versions = pinned.get(canonicalize_name(wanted.name), [])
        assert len(versions) == 1, f"{wanted.name} is not in the lock: lock again"
        assert wanted.specifier.contains(versions[0], prereleases=True), (str(wanted), versions)


def test_conda_environment_installs_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock"]}
    python = next(line for line in conda if line.startswith("python "))
    supported = SpecifierSet(python.removeprefix("python "))
    assert all(version in supported for version in PYTHONS)
    assert "3.14" not in supported
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert str(supported).endswith(f">={oldest}")
    assert f"--python-version {oldest} " in LOCK.splitlines()[1]


def test_citation_and_license_are_in_step():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
