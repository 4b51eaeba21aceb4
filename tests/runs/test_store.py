import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kdlib.errors import UserError
from kdlib.runs.engine import run_all
from kdlib.runs.estimate import pace
from kdlib.runs.spec import MethodSpec, Start
from kdlib.runs.store import RunStore, run_key

TEXTS = {"spec.json": "{}", "env.json": "{}", "metrics.jsonl": "", "result.json": "{}"}


def write(store, key="abc"):
    return store.write(
        key,
        texts=TEXTS,
        traces={"labels": np.arange(3)},
        student={"w": torch.ones(2)},
        own={"theta": torch.ones(1)},
    )


def test_what_is_written_is_found(store):
    write(store)
    record = store.find("abc")
    assert record.result == {}
    assert record.traces["labels"].tolist() == [0, 1, 2]
    assert store.find("other") is None


@pytest.mark.parametrize("name", ["result.json", "own.safetensors", "traces.npz", "checksums.json"])
@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_record_is_set_aside_and_others_are_untouched(store, capsys, name, damage):
    write(store, "bad")
    write(store, "good")
    file = store.root / "runs" / "bad" / name
    file.write_bytes(file.read_bytes()[:-1]) if damage == "truncate" else file.unlink()
    assert store.find("bad") is None
    assert "set aside a damaged record" in capsys.readouterr().err
    assert store.find("good") is not None
    assert len(list((store.root / "set-aside").iterdir())) == 1
    assert write(store, "bad") == store.find("bad")


def test_a_foreign_checksum_entry_cannot_leave_the_record(store):
    write(store)
    sums = store.root / "runs" / "abc" / "checksums.json"
    stored = json.loads(sums.read_text())
    stored["files"]["../../secret"] = "0"
    sums.write_text(json.dumps(stored))
    assert store.find("abc") is None


def test_a_failed_write_leaves_nothing(store):
    with pytest.raises(AttributeError):
        store.write("abc", texts=TEXTS, traces={}, student={"w": "no tensor"}, own={})
    assert store.find("abc") is None
    assert list((store.root / "temporary").iterdir()) == []


def test_an_unwritable_store_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="STORE: cannot write"):
        RunStore(tmp_path / "file" / "store").check_writable()


def test_keys_follow_spec_device_data_and_teachers(make_spec):
    data = {"generated/detail12": "generator 1"}
    teacher = make_spec()
    keys = {
        run_key(make_spec(), "cpu", data),
        run_key(make_spec(), "cuda", data),
        run_key(make_spec(), "cpu", {"generated/detail12": "generator 2"}),
        run_key(make_spec(teacher=teacher), "cpu", data),
        run_key(make_spec(teacher=make_spec(seed=1)), "cpu", data),
        run_key(replace(make_spec(), start=Start(make_spec(seed=1), "backbone")), "cpu", data),
        run_key(replace(make_spec(), start=Start(make_spec(seed=1))), "cpu", data),
    }
    assert len(keys) == 7
    assert run_key(make_spec(), "cuda:1", data) == run_key(make_spec(), "cuda", data)


def test_the_record_of_another_key_is_set_aside(store, capsys):
    """As a copy of another run's folder would be."""
    write(store, "first")
    shutil.copytree(store.root / "runs" / "first", store.root / "runs" / "second")
    assert store.find("second") is None
    assert "it is the record of 'first'" in capsys.readouterr().err
    assert store.find("first") is not None


def test_a_dangling_link_is_set_aside(store):
    write(store, "good")
    (store.root / "runs" / "bad").symlink_to(store.root / "nowhere")
    assert store.find("bad") is None
    assert store.find("good") is not None


@pytest.mark.parametrize("name", ["x" * 250, "\udce9", "a b"])
def test_strange_names_in_a_store_are_set_aside(store, name):
    (store.root / "runs" / name).mkdir(parents=True)
    assert store.find(name) is None
    assert list((store.root / "runs").iterdir()) == []
    assert pace(store, "cpu").records == ()


@pytest.mark.parametrize("name", ["checksums.json", "result.json"])
def test_what_never_ends_is_not_read(store, name):
    write(store)
    file = store.root / "runs" / "abc" / name
    file.unlink()
    os.mkfifo(file)
    assert store.find("abc") is None


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", '"a"', '{"key": "abc", "files": [1]}', "é"])
def test_checksums_that_are_none_set_a_record_aside(store, text):
    write(store)
    (store.root / "runs" / "abc" / "checksums.json").write_text(text, encoding="latin1")
    assert store.find("abc") is None


@pytest.mark.parametrize(
    "name", ["result.json", "student.safetensors", "own.safetensors", "traces.npz"]
)
def test_a_record_that_lacks_one_checksum_is_set_aside(store, name):
    write(store)
    sums = store.root / "runs" / "abc" / "checksums.json"
    stored = json.loads(sums.read_text())
    del stored["files"][name]
    sums.write_text(json.dumps(stored))
    assert store.find("abc") is None
    assert len(list((store.root / "set-aside").iterdir())) == 1


def test_two_that_find_a_damaged_record_set_it_aside_once(store, monkeypatch):
    write(store)
    (store.root / "runs" / "abc" / "result.json").unlink()
    fault, other = store.fault, RunStore(store.root)
    monkeypatch.setattr(store, "fault", lambda key: (fault(key), other.find(key))[0])
    assert store.find("abc") is None
    assert len(list((store.root / "set-aside").iterdir())) == 1


def test_a_record_of_another_version_says_nothing_about_the_pace(store):
    write(store)  # its result has no cost
    assert pace(store, "cpu").records == ()
    assert store.find("abc") is not None


def test_what_killed_processes_left_half_written_is_swept_and_nothing_else(store):
    dead, alive = "0" * 24, "1" * 24
    kept = [store.checkpoint(dead), store.checkpoint(dead).with_suffix(".damaged")]
    halves = []
    for key in (dead, alive):
        halves += [store.root / "temporary" / f"{key}ab_12cd3", store.root / f"checkpoints/{key}.7"]
        halves[-2].mkdir(parents=True)
    for path in (*kept, halves[1], halves[3]):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with store.lock(alive):
        store.sweep()
    assert [path.exists() for path in halves] == [False, False, True, True]
    assert all(path.exists() for path in kept)
    store.sweep()
    assert not any(path.exists() for path in halves)


@pytest.mark.slow
def test_what_is_a_method_s_own_is_loaded_again(store, make_spec, planned, datasets):
    """A record gives back the projectors of its method, not only the student."""
    teacher = make_spec()
    spec = replace(make_spec(teacher=teacher), method=MethodSpec("gkd", (teacher,)))
    keys = [run.key for run in planned(spec)[0]]
    run_all(planned(spec)[0], store, datasets, device="cpu", jobs=1)
    taught, learnt = map(store.find, keys)
    method = learnt.method([taught])
    own = load_file(learnt.path / "own.safetensors")
    assert set(own) == set(method.own_state())
    assert all(torch.equal(method.own_state()[name], value) for name, value in own.items())
    assert learnt.result["cost"]["own_parameters"] == sum(v.numel() for v in own.values())
    assert taught.result["cost"]["own_parameters"] == 0
