"""The command line: `python -m kdlib COMMAND`, which the Makefile only forwards to."""

import argparse
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdlib.errors import UserError, plain, unknown
from kdlib.notes import note_warning
from kdlib.runs.signals import as_interrupts

SETTINGS = {
    "profile": "how big: smoke (does it run?), laptop (default), gpu, paper",
    "chapters": "which chapters, comma-separated; all by default",
    "dataset": "generated (default), or real sets by role: jhmdb21, or target:jhmdb21",
    "data": "the folder that holds the real sets",
    "device": "cpu (default) or cuda",
    "jobs": "worker processes; as many as there are cores by default",
    "seeds": "seeds of every row; 0 (default) leaves them to the profile",
    "store": "where records and caches are kept; default $KDLIB_STORE, else .kdlib",
    "size": "side in pixels of the clips that `data prepare` makes room for",
    "results": "where artifacts, notebooks and the book go; default $KDLIB_RESULTS, else results",
}

DESCRIPTION = """\
A study book one can run: knowledge distillation for video action recognition.

commands
  plan        what a reproduction would train, and about how long it would take
  run         train what is missing, no notebooks and no book
  reproduce   train, execute the notebooks, build the book, report verdicts
  status      artifacts and runs that exist already
  explain ID  one artifact: its runs, their records and where they come from

  keep        copy results on real data to results/reference, to be committed and shown
  classify VIDEO --record KEY   which action is it? By the student of a run, or of a FILE
  export KEY [FILE]             that student as one file, for `classify` and kdlib.load_student
  store ...   the runs in STORE: show, check, prune; `store help` says more
  data ...    data sets: list, show, fetch, verify, prepare, cache; `data help` says more

settings, each as NAME=value or --name value
"""

EPILOG = """\
examples
  python -m kdlib plan CHAPTERS=resolution
  python -m kdlib reproduce PROFILE=smoke
  python -m kdlib reproduce DATASET=jhmdb21 DATA=../shared/data CHAPTERS=resolution
  python -m kdlib explain reskd/targets
  python -m kdlib classify clip.mp4 --record 3f2a --json
  python -m kdlib data verify jhmdb21 DATA=../shared/data
"""


def parser() -> argparse.ArgumentParser:
    """The parser; settings are checked by `setting`, not here, so that errors name the field."""
    made = argparse.ArgumentParser(
        "kdlib",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("command", metavar="COMMAND")
    made.add_argument("words", nargs="*", metavar="NAME=value", help=argparse.SUPPRESS)
    for name, text in SETTINGS.items():
        made.add_argument(f"--{name}", metavar="value", help=text)
    made.add_argument("--record", metavar="KEY", help="of classify: a run, or an exported file")
    made.add_argument("--json", action="store_true", help="of classify: JSON, not a table")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 only if all it was asked for was done."""
    options = parser().parse_intermixed_args(arguments)
    warnings.showwarning = note_warning  # type: ignore[assignment]
    try:
        if options.command not in COMMANDS:
            raise unknown("command", options.command, COMMANDS)
        given, words = _settings(options)
        if options.command != "classify" and {"record", "json"} & given.keys():
            raise UserError(
                f"{options.command}: --record and --json are of classify; leave them out"
            )
        with as_interrupts():
            return COMMANDS[options.command](given, words)
    except UserError as error:
        print(f"kdlib: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print(
            "kdlib: stopped; what was finished is kept, and the next call goes on", file=sys.stderr
        )
        return 128 + int(stop.args[0] if stop.args else signal.SIGINT)
    except OSError as error:
        print(f"kdlib: {plain(error)}", file=sys.stderr)
        return 1


def _settings(options: argparse.Namespace) -> tuple[dict[str, str], list[str]]:
    """The given settings by name, and the words that are no settings."""
    names = [*SETTINGS, "record"]
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.json:
        given["json"] = "yes"
    rest = []
    for word in options.words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():  # a path may have an equals sign
            rest.append(word)
        elif name.lower() not in names:
            raise unknown("setting", name, [setting.upper() for setting in SETTINGS])
        else:
            given[name.lower()] = value
    return given, rest


def _setting(given: dict[str, str]) -> Any:
    from kdlib.study.setting import Setting

    values: dict[str, Any] = {
        k: v for k, v in given.items() if k not in ("chapters", "size") and v != ""
    }
    for name in ("jobs", "seeds"):
        # Plain digits only: int() also takes 1_0 and the digits of other scripts.
        if re.fullmatch("[0-9]{1,9}", values.get(name, "")):
            values[name] = int(values[name])
    return Setting(**{"jobs": os.cpu_count() or 1, **values})


def _keep(given: dict[str, str], words: list[str]) -> int:
    from kdlib.press.reference import keep
    from kdlib.press.reproduce import open_chapters

    _no_words("keep", words)
    setting = _setting(given)
    chapters, left_out = open_chapters(_chapters(given), setting)
    print(f"kept in {keep(chapters, setting)}")
    return int(bool(left_out))


def _data(given: dict[str, str], words: list[str]) -> int:
    from kdlib.cli import data

    if words == ["help"]:
        print(data.HELP, end="")
        return 0
    if words[:1] == ["fetch"] and given.get("data"):
        Path(given["data"]).mkdir(parents=True, exist_ok=True)
    return data.data(_setting(given), words, given.get("size", ""))


def _store(given: dict[str, str], words: list[str]) -> int:
    from kdlib.cli import store

    if words == ["help"]:
        print(store.HELP, end="")
        return 0
    if given.get("chapters"):
        raise UserError("CHAPTERS: the store is that of all chapters; leave it out")
    profiles = [name for name in given.pop("profile", "").split(",") if name]
    return store.store(_setting(given), profiles, words)


def _chapters(given: dict[str, str]) -> list[str]:
    return [name for name in given.get("chapters", "").split(",") if name]


def _no_words(command: str, words: list[str]) -> None:
    if words:
        raise UserError(f"{command}: unexpected {words[0]!r}; settings are written NAME=value")


def _classify(given: dict[str, str], words: list[str]) -> int:
    from kdlib.cli.students import classify

    record, as_json = given.pop("record", ""), "json" in given
    setting = _setting({name: value for name, value in given.items() if name != "json"})
    return classify(setting.run_store, words, record, as_json, setting.device)


def _export(given: dict[str, str], words: list[str]) -> int:
    from kdlib.cli.students import export

    return export(_setting(given).run_store, words)


def _plan(given: dict[str, str], words: list[str]) -> int:
    from kdlib.press.reproduce import open_chapters, plan_text

    _no_words("plan", words)
    setting = _setting(given)
    chapters, left_out = open_chapters(_chapters(given), setting, to_train=True)
    print(plan_text(chapters, setting))
    return int(bool(left_out))


def _run(given: dict[str, str], words: list[str]) -> int:
    from kdlib.press.reproduce import open_chapters, todo
    from kdlib.runs.engine import run_all

    _no_words("run", words)
    setting = _setting(given)
    chapters, left_out = open_chapters(_chapters(given), setting, to_train=True)
    missing, found = todo(chapters, setting)
    outcome = run_all(
        missing, setting.run_store, setting.datasets, device=setting.device, jobs=setting.jobs
    )
    found += len(outcome.done) - len(outcome.trained)
    print(f"{found} found, {len(outcome.trained)} trained, {len(outcome.failed)} failed")
    return 1 if outcome.failed or left_out else 0


def _reproduce(given: dict[str, str], words: list[str]) -> int:
    from kdlib.press.reproduce import reproduce

    _no_words("reproduce", words)
    summary = reproduce(_chapters(given), _setting(given))
    print(f"\n{summary.text()}")
    return 1 if summary.failures else 0


def _status(given: dict[str, str], words: list[str]) -> int:
    from kdlib.press.status import status

    _no_words("status", words)
    print(status(_chapters(given), _setting(given)))
    return 0


def _explain(given: dict[str, str], words: list[str]) -> int:
    from kdlib.press.status import explain

    if len(words) != 1:
        raise UserError("explain: name one artifact, such as reskd/targets")
    print(explain(words[0], _setting(given)))
    return 0


COMMANDS = {
    "plan": _plan,
    "run": _run,
    "reproduce": _reproduce,
    "status": _status,
    "explain": _explain,
    "keep": _keep,
    "classify": _classify,
    "export": _export,
    "store": _store,
    "data": _data,
}
