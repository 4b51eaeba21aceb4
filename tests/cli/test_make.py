"""What is written behind `make plan`, or before it, reaches Python as it was written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdlib import cli
from kdlib.cli import make
from kdlib.errors import UserError

ROOT = Path(__file__).parents[2]
# Without what a make hands to another make, such as the one that runs these tests.
BARE = {k: os.environ[k] for k in ("PATH", "HOME") if k in os.environ}

# In place of the interpreter of the project's own environment: tells how it was called.
STUB = f"""#!{sys.executable} -SE
import json, os, sys
given = {{k: v for k, v in os.environb.items() if k.startswith(b"KDLIB_")}}
given = {{os.fsdecode(k): os.fsdecode(v) for k, v in given.items()}}
print(json.dumps([sys.argv[1:], given]))
"""
HOSTILE = [
    "1;id>x", "`id>x`", "$(id>x)", "$(shell id>x)", "${shell id>x}", "|id>x", "&&id>x", "a\nid>x",
    "'; id>x; '", '"; id>x; "', "$(eval SEEDS=7)", ">x", "$(error stop)",
]  # fmt: skip
HONEST = [
    "/data/R&D clips", "it's", 'a "b" c', "$HOME/clips", "a$$b", "a$", "two  blanks", "a#b", "a\\b",
    "a\\", "-x", "--data", "a=b", "a:b", "100%", "*?[a]{b,c}", "~", "!1", "(a)", "käse", "a\udce9b",
]  # fmt: skip


@pytest.fixture
def project(tmp_path):
    """A folder with the Makefile and a stub for Python, set up already."""
    if not shutil.which("make"):
        pytest.skip("no make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "requirements-uv.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.write_text(STUB)
    python.chmod(0o755)
    (tmp_path / ".venv/ready").touch()
    return tmp_path


@pytest.fixture
def called(project):
    """Run make; the arguments and the KDLIB_ environment of each call of Python."""

    def run(*words, **environment):
        done = subprocess.run(
            ["make", *words], cwd=project, env=BARE | environment, capture_output=True, check=True
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.parametrize("value", HOSTILE + HONEST)
@pytest.mark.parametrize("place", ["behind", "before"])
def test_a_value_reaches_python_untouched_and_runs_nothing(called, project, value, place):
    before = set(project.iterdir())
    if place == "behind":
        ((words, environment),) = called("plan", f"DATA={value}")
    else:
        ((words, environment),) = called("plan", DATA=value)
    assert words == ["-m", "kdlib.cli.make", "plan"]
    assert make.arguments(environment) == [f"DATA={value}"]
    assert set(project.iterdir()) == before


def test_every_setting_is_handed_on_and_none_that_was_not_given(called):
    values = {name.upper(): f"value of {name}" for name in cli.SETTINGS}
    expected = [f"{name}={value}" for name, value in values.items()]
    assert make.arguments(called("plan", *expected)[0][1]) == expected
    assert make.arguments(called("plan", **values)[0][1]) == expected
    assert make.arguments(called("plan")[0][1]) == []
    # What stands behind the target counts, as it always does in make.
    assert make.arguments(called("plan", "SEEDS=5", SEEDS="3")[0][1]) == ["SEEDS=5"]


def test_unknown_names_are_refused_and_others_environment_is_not_read(called, project):
    for name in ("SEED", "GIVEN", "SETTINGS", "KDLIB_SEEDS", "name"):
        environment = called("plan", f"{name}=$(shell id>x)", "DEVICE=cuda")[0][1]
        with pytest.raises(UserError, match=f"setting: unknown value '{name}'"):
            make.arguments(environment)
    called("plan", "_=$(shell id>x)")
    assert not (project / "x").exists()
    with pytest.raises(UserError, match="Did you mean 'SEEDS'"):
        make.arguments(called("plan", "SEED=3")[0][1])
    with pytest.raises(UserError, match=r"seeds: .*in capitals, as SEEDS="):
        make.arguments(called("plan", "seeds=3")[0][1])
    assert make.arguments(called("plan", SEED="3")[0][1]) == []


def test_ways_of_calling_make(called, project):
    calls = called("-j2", "plan", "run", "SEEDS=3")
    assert sorted(words[-1] for words, _ in calls) == ["plan", "run"]
    assert all(make.arguments(environment) == ["SEEDS=3"] for _, environment in calls)
    done = subprocess.run(
        ["make", "-n", "plan", "DATA=;id"],
        cwd=project, env=BARE, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == ".venv/bin/python -m kdlib.cli.make plan\n"


def test_python_may_lie_in_a_folder_with_a_blank(project):
    (project / ".venv/ready").unlink()
    python = project / "my python"
    python.write_text('#!/bin/sh\necho "called: $1"\nexit 1\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "plan", f"PYTHON={python}"], cwd=project, env=BARE, capture_output=True, text=True
    )
    assert (
        done.stdout == "called: -c\nkdlib needs Python 3.11 or newer: make PYTHON=python3.12 ...\n"
    )
    assert done.returncode == 2


def test_whatever_the_set_up_installs_is_held_against_its_hash():
    steps = [
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if "pip install --quiet" in line
    ]
    assert len(steps) == 3
    assert all(
        "--require-hashes" in step or step.endswith("--no-deps --no-build-isolation -e .")
        for step in steps
    )


def test_main_runs_the_command_and_refuses_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "COMMANDS", {"plan": lambda given, words: print(given, words) or 7})
    monkeypatch.setattr("sys.argv", ["make.py", "plan"])
    for name in [name for name in os.environ if name.startswith("KDLIB_")]:
        monkeypatch.delenv(name)  # of `make test JOBS=4`
    monkeypatch.setenv("KDLIB_DATA", "-x y")
    assert make.main() == 7
    assert capsys.readouterr().out == "{'data': '-x y'} []\n"
    monkeypatch.setenv("KDLIB_GIVEN", "SEED")
    assert make.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("kdlib: setting: unknown value 'SEED'")
    assert error.count("\n") == 1
