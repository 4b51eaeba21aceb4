"""What a stranger's file of a student may hold: it is the student that was saved, or refused."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from kdlib.errors import UserError
from kdlib.runs.student_files import load_student, save_student
from tests.runs.test_students import student


def written(tmp_path, change=lambda said, state: None):
    """A good file after a change of what it says and of its weights."""
    good = save_student(student(), tmp_path / "good.safetensors")
    with safe_open(good, "pt") as file:
        said = json.loads(file.metadata()["kdlib"])
    state = load_file(good)
    text = change(said, state)
    save_file(state, tmp_path / "x.safetensors", {"kdlib": text or json.dumps(said)})
    return tmp_path / "x.safetensors"


def put(*path):
    """A change of what a file says: the last is set at the path of the others."""

    def change(said, state):
        *names, last, value = path
        for name in names:
            said = said[name]
        said[last] = value

    return change


def drop(said, state):
    del state["head.fc.bias"]


def reshape(said, state):
    state["head.fc.weight"] = torch.zeros(3, 17)


def flip(said, state):
    state["head.fc.weight"][0, 0] += 1


HOSTILE = [
    (put("architecture", "name", "tsnn"), "architecture: unknown value 'tsnn'.*mean 'tsn'"),
    (put("architecture", "name", "../tsn"), "architecture: unknown value"),
    (put("architecture", "name", "os:system"), "architecture: unknown value"),
    (put("architecture", "options", {"width": 10**9}), "architecture.width: 1000000000 is more"),
    (put("architecture", "options", {"width": "4"}), "tsn.width"),
    (put("architecture", "options", {"depth": 4}), "option of model tsn: unknown value 'depth'"),
    (put("architecture", "options", {"width": 8}), "not the weights of this tsn: .* is .*, not"),
    (put("architecture", {"name": "wrn", "options": {"depth": 7}}), "wrn.depth"),
    (put("classes", ["a"] * 2), "head.fc.weight is .3, 16., not .2, 16."),
    (put("classes", ["a\x1b[2J", "b", "c"]), "name of a class cannot be printed"),
    (put("classes", ["a" * 201, "b", "c"]), "at most 200 characters"),
    (put("classes", "abc"), "student.classes: "),
    (put("size", 10**6), "student.size: "),
    (put("size", 0), "student.size: "),
    (put("side", 8), "clips of 16 pixels are from videos of 8"),
    (put("sampling", "views", 10**6), "1000000 clips of 4 frames of 16 are too many"),
    (put("sampling", "kind", "all"), "sampling.kind: unknown value 'all'"),
    (put("mean", [0.5, 0.5, 0.5]), "normalised by .0.5, 0.5, 0.5."),
    (put("format", 2), "student.format: "),
    (put("more", 1), "student.more: "),
    (drop, "head.fc.bias is missing"),
    (reshape, "head.fc.weight is .3, 17., not .3, 16."),
    (flip, "what it says or its weights do not match their checksum"),
    (put("classes", ["b", "a", "c"]), "what it says or its weights do not match"),
    (put("provenance", {"key": "another"}), "what it says or its weights do not match"),
    (lambda said, state: "[" * 100_000, "no file of a student: "),
    (lambda said, state: "no json", "no file of a student: "),
    (lambda said, state: "3", "student: "),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE, ids=[text for _, text in HOSTILE])
def test_a_file_that_says_what_cannot_be_is_refused(change, message, tmp_path):
    path = written(tmp_path, change)
    with pytest.raises(UserError, match=message) as error:
        load_student(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{path}: ")


def test_other_files_are_refused(tmp_path):
    good = save_student(student(), tmp_path / "good.safetensors").read_bytes()
    long = struct.pack("<Q", 2**40)
    contents = [b"", b"abc", long, long + good[8:], good[:-1], good[:40], b"\0" * 64, good + b"x"]
    for content in contents:
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="no file of a student: ") as error:
            load_student(tmp_path / "x.safetensors")
        assert "\n" not in str(error.value)
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="says nothing of a student"):
        load_student(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not a plain file"):
        load_student(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        load_student(tmp_path / "none.safetensors")


def test_bytes_of_a_file_changed_at_random_never_give_another_student(tmp_path):
    good = save_student(student(), tmp_path / "good.safetensors")
    data, expected = good.read_bytes(), load_student(good)
    draw = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(data)
        content[draw.integers(len(data))] ^= 1 << draw.integers(8)
        (tmp_path / "x.safetensors").write_bytes(content)
        try:
            found = load_student(tmp_path / "x.safetensors")
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
            continue
        assert replace(found, network=expected.network) == expected
        state, theirs = expected.network.state_dict(), found.network.state_dict()
        assert all(torch.equal(state[name], theirs[name]) for name in state)
