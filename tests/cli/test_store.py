"""What `store` shows, finds and removes: never what a plan asks for, never what is in use."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from kdlib import cli
from kdlib.cli import store as module
from kdlib.data.generated import GeneratedSpec
from kdlib.data.generated.store import stored_videos
from kdlib.errors import UserError
from kdlib.runs.store import RunStore, run_key
from kdlib.study.chapter import Chapter
from kdlib.study.needed import needed
from kdlib.study.setting import Setting
from kdlib.training import checkpoint

ONE, BOTH, OLD, REAL = (digit * 24 for digit in "1234")


@pytest.fixture
def runs(tmp_path):
    """A store with runs that one, two and no chapters ask for, and one on real data."""
    runs = RunStore(tmp_path / "store")
    for key in (ONE, BOTH, OLD, REAL):
        name = "jhmdb21" if key == REAL else "generated/mix12"
        texts = {
            "spec.json": json.dumps({"data": {"name": name}}),
            "result.json": json.dumps({"cost": {"seconds": 100.0}}),
        }
        texts |= {"env.json": "{}", "metrics.jsonl": ""}
        state = {"w": torch.ones(1000)}
        runs.write(key, texts=texts, traces={"a": np.arange(3)}, student=state, own=state)
        with runs.lock(key):
            pass
        checkpoint.save(runs.checkpoint(key), {"epoch": 1}, key)
    return runs


@pytest.fixture
def kdlib(runs, monkeypatch, capsys):
    plans = {"alpha": {ONE, BOTH}, "beta": {BOTH}}
    monkeypatch.setattr(module, "needed", lambda names, profiles, setting: plans)

    def run(*words):
        status = cli.main(["store", *words, f"STORE={runs.root}"])
        out = capsys.readouterr()
        return status, out.out + out.err

    return run


def keys(runs):
    return {path.name[0] for path in (runs.root / "runs").iterdir()}


def row(text, what):
    return next(line for line in text.splitlines() if what in line).split("|")[2:3]


def test_show_counts_by_who_asks_for_them(kdlib):
    status, text = kdlib()
    assert status == 0
    for what, count in (("alpha", 1), ("beta", 0), ("several chapters", 1), ("no plan", 2)):
        assert row(text, f"runs of {what} ") == [f"{count:9} "], what
    assert row(text, "checkpoints") == ["        4 "]


def test_show_goes_on_without_a_chapter_that_cannot_be_opened(kdlib, monkeypatch):
    def plans(names, profiles, setting):
        if "flow" in names:
            raise UserError("book/flow/study.py, line 3: ZeroDivisionError")
        return {"alpha": {ONE, BOTH}}

    monkeypatch.setattr(module, "needed", plans)
    status, text = kdlib("show")
    assert status == 1
    assert text.count("note: chapter flow is left out: book/flow/study.py, line 3") == 1
    assert row(text, "runs of alpha ") == ["        2 "]
    assert "runs of flow, which cannot be opened, are among those of no plan" in text


def test_prune_says_what_it_would_do_and_does_nothing(kdlib, runs):
    before = sorted(runs.root.rglob("*"))
    status, text = kdlib("prune")
    assert status == 0
    assert "runs that no plan needs       1, 0.0 MB, 1 min 40 s of training" in text
    assert "checkpoints of such runs      2" in text
    assert "kept: 1 runs on jhmdb21; DATASET=jhmdb21 DATA=... looks at them too" in text
    assert "nothing was removed" in text
    assert sorted(runs.root.rglob("*")) == before


def test_prune_removes_what_no_plan_asks_for_and_its_traces(kdlib, runs):
    (runs.root / "runs" / BOTH / "result.json").unlink()
    assert runs.find(BOTH) is None
    assert keys(runs) == {"1", "3", "4"}
    assert kdlib("prune", "yes")[0] == 0
    assert keys(runs) == {"1", "4"}
    assert list((runs.root / "locks").iterdir()) == []
    assert list((runs.root / "set-aside").iterdir()) == []
    assert {path.stem[0] for path in (runs.root / "checkpoints").iterdir()} == {"1", "2"}


def test_prune_leaves_what_another_process_is_at(kdlib, runs):
    with runs.lock(OLD):
        text = kdlib("prune", "yes")[1]
    assert "but for 3 that other processes are at" in text  # a record, a checkpoint, a lock
    assert "3" in keys(runs)
    kdlib("prune", "yes")
    assert keys(runs) == {"1", "2", "4"}


def test_prune_looks_at_a_real_set_that_is_named(kdlib, runs, tmp_path):
    status, _ = kdlib("prune", "yes", "DATASET=jhmdb21", f"DATA={tmp_path}")
    assert status == 0
    assert keys(runs) == {"1", "2"}


def test_prune_takes_no_link_for_a_folder(kdlib, runs, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    (runs.root / "runs" / ("5" * 24)).symlink_to(tmp_path / "precious")
    kdlib("prune", "yes")
    assert (tmp_path / "precious/file").exists()


def test_check_finds_every_damage(kdlib, runs):
    spec = GeneratedSpec("mix12", 0, frames=2, size=16)
    stored_videos(runs.root / "cache/generated", spec, "train", 4)
    status, text = kdlib("check")
    assert (status, text.count(" 0 damaged")) == (0, 4)
    (frames,) = (runs.root / "cache/generated").glob("*/frames.npy")
    result = runs.root / "runs" / ONE / "result.json"
    for path in (frames, result, runs.checkpoint(OLD)):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    shutil.copytree(runs.root / "runs" / BOTH, runs.root / "runs" / "copy")
    status, text = kdlib("check")
    assert status == 1
    assert f"{ONE}: result.json does not match its checksum" in text
    assert f"copy: it is the record of '{BOTH}'" in text
    assert f"{OLD}.pt: its content does not match its checksum" in text
    assert "frames.npy" in text
    assert keys(runs) == {"1", "2", "3", "4", "c"}, "it only looks"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shwo"], "store: unknown value 'shwo'.*Did you mean 'show'"),
        (["prune", "all"], "store prune: unexpected 'all'"),
        (["check", "yes"], "store check: unexpected 'yes'"),
        (["prune", "CHAPTERS=resolution"], "CHAPTERS: the store is that of all chapters"),
    ],
)
def test_a_users_mistake_is_one_line(kdlib, words, message):
    status, text = kdlib(*words)
    assert status == 2
    assert re.search(message, text)
    assert text.count("\n") == 1


def test_a_profile_that_there_is_not_is_refused(capsys, tmp_path):
    assert cli.main(["store", "prune", "PROFILE=smoke,laptap", f"STORE={tmp_path}"]) == 2
    assert "PROFILE: unknown value 'laptap'" in capsys.readouterr().err


def test_help(kdlib):
    assert kdlib("help")[1] == module.HELP


def test_what_plans_need_are_all_their_runs_on_both_devices(tmp_path):
    setting = Setting(profile="smoke", store=str(tmp_path))
    found = needed(["resolution"], ["smoke", "paper"], Setting(store=str(tmp_path), seeds=1))
    chapter = Chapter("resolution", setting)
    teachers = {need for spec in chapter.specs() for need in spec.needs}
    assert teachers
    for spec in [*chapter.specs(), *teachers]:
        for device in ("cpu", "cuda"):
            assert run_key(spec, device, chapter.data_keys) in found["resolution"]
    more = needed(["resolution"], ["smoke"], Setting(store=str(tmp_path), seeds=3))
    assert more["resolution"] > found["resolution"]


def test_nothing_is_removed_while_a_chapter_cannot_be_opened(runs, monkeypatch, capsys):
    from kdlib.study import chapter

    def load(name):
        raise ZeroDivisionError

    monkeypatch.setattr(chapter, "_load", load)
    assert cli.main(["store", "prune", "yes", f"STORE={runs.root}"]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert len(keys(runs)) == 4
