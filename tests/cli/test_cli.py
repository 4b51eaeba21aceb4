import os
import signal
import subprocess
import sys

import pytest

from kdlib import cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reprodcue"], "command: unknown value 'reprodcue'.*Did you mean 'reproduce'"),
        (["plan", "PROFLE=smoke"], "setting: unknown value 'PROFLE'.*Did you mean 'PROFILE'"),
        (["plan", "PROFILE=smok"], "PROFILE: unknown value 'smok'.*Did you mean 'smoke'"),
        (["plan", "--profile", "smok"], "PROFILE"),
        (["plan", "CHAPTERS=resolutoin"], "CHAPTERS: .*Did you mean 'resolution'"),
        (["plan", "JOBS=many"], "JOBS: a whole number from 1 up, not 'many'"),
        (["plan", "SEEDS=1_0"], "SEEDS: a whole number from 0 up, not '1_0'"),
        (["plan", "SEEDS=３"], "SEEDS: a whole number from 0 up, not '３'"),
        (["plan", "SEEDS=+3"], "SEEDS: a whole number from 0 up, not '\\+3'"),
        (["plan", "JOBS=" + "9" * 20], "JOBS: a whole number from 1 up"),
        (["plan", "smoke"], "plan: unexpected 'smoke'"),
        (["explain", "reskd/tragets"], "artifact: .*Did you mean 'reskd/targets'"),
        (
            ["plan", "PROFILE=paper", "CHAPTERS=adaptive"],
            "PROFILE: the adaptive chapter has no paper profile",
        ),
        (
            ["plan", "PROFILE=paper", "CHAPTERS=resolution"],
            "DATASET: the paper profile trains on real clips",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(capsys, arguments, message):
    import re

    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert error.startswith("kdlib: ")


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    for word in [*cli.COMMANDS, *cli.SETTINGS, "examples"]:
        assert word in text


@pytest.mark.slow
def test_plan_and_status_of_an_empty_store(capsys, tmp_path):
    where = [f"STORE={tmp_path / 's'}", f"RESULTS={tmp_path / 'r'}", "PROFILE=smoke"]
    assert cli.main(["plan", *where]) == 0
    out = capsys.readouterr().out
    assert "no evidence" in out
    assert "0 runs in the store" in out
    assert cli.main(["status", *where]) == 0
    assert "reskd/targets" in capsys.readouterr().out
    assert cli.main(["explain", "reskd/targets", *where]) == 0
    assert "missing" in capsys.readouterr().out


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "kdlib", "plan", "NO=1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_says_so_in_one_line(capsys, monkeypatch, number):
    """As by Ctrl-C, and not by dying where it stands."""

    def told(given, words):
        assert signal.getsignal(number) != signal.SIG_DFL, "all tests would end here"
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    monkeypatch.setitem(cli.COMMANDS, "plan", told)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        assert cli.main(["plan"]) == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    error = capsys.readouterr().err
    assert error == "kdlib: stopped; what was finished is kept, and the next call goes on\n"
