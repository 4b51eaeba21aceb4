import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from kdlib.errors import UserError
from kdlib.runs.store import RunStore, run_key

TEXTS = {"spec.json": "{}", "env.json": "{}", "metrics.jsonl": "", "result.json": "{}"}


def write(store, key="abc"):
    return store.write(
        key, texts=TEXTS, traces={"labels": np.arange(3)}, student={"w": torch.ones(2)}
    )


def test_what_is_written_is_found(store):
    write(store)
    record = store.find("abc")
    assert record.result == {}
    assert record.traces["labels"].tolist() == [0, 1, 2]
    assert store.find("other") is None


@pytest.mark.parametrize("name", ["result.json", "student.safetensors", "checksums.json"])
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
    sums.write_text(json.dumps({**json.loads(sums.read_text()), "../../secret": "0"}))
    assert store.find("abc") is None


def test_a_failed_write_leaves_nothing(store):
    with pytest.raises(AttributeError):
        store.write("abc", texts=TEXTS, traces={}, student={"w": "no tensor"})
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
        run_key(replace(make_spec(), start=make_spec(seed=1)), "cpu", data),
    }
    assert len(keys) == 6
    assert run_key(make_spec(), "cuda:1", data) == run_key(make_spec(), "cuda", data)
