"""The fuzzer finds what it looks for; and a short form of `python -m benchmarks.fuzz`."""

import os
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz import Target, fuzz, mutated, run
from benchmarks.fuzz_targets import targets
from kdlib.errors import UserError


def traceback(folder):
    raise KeyError("x")


def refuse(folder):
    raise UserError("fine")


def hang(folder):
    while True:
        pass


def wait(folder):
    time.sleep(100)


def escape(folder):
    (folder.parent / "evil").write_text("x")


def litter(folder):
    Path("evil").write_text("x")


def die(folder):
    os.abort()


def swallow(folder):
    np.ones(1 << 33)


FAULTS = {
    traceback: "KeyError at .*test_fuzz.py:[0-9]+: 'x'",
    hang: "died or never ended",
    wait: "died or never ended",
    escape: "it wrote open '.*/deep/evil'",
    litter: "it wrote .*evil",
    die: "died or never ended",
    swallow: "MemoryError",
    len: "TypeError",
}


@pytest.mark.slow
@pytest.mark.parametrize("read", FAULTS)
def test_every_kind_of_fault_is_found(read):
    found = fuzz(Target("t", {"a": b"abc"}, read), 2, 0, seconds=0.1)
    assert found.faults.keys() == {0, 1}
    assert all(re.search(FAULTS[read], fault) for fault in found.faults.values())


def test_what_is_refused_or_read_is_no_fault_but_what_is_wrong_is():
    assert fuzz(Target("t", {"a": b"abc"}, refuse), 5, 0).refused == 5
    read = lambda folder: (folder / "a").read_bytes()  # noqa: E731
    assert fuzz(Target("t", {"a": b"abc"}, read), 5, 0).faults == {}
    wrong = fuzz(Target("t", {"a": b"abc"}, read, same=lambda x: x == b"abc"), 20, 0)
    assert set(wrong.faults.values()) == {"read without a word, and wrong"}


def test_the_same_seed_gives_the_same_inputs():
    whole = bytes(range(256))
    first, again = ([mutated(whole, random.Random(n)) for n in range(50)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 45
    assert mutated(b"", random.Random(0)) is not None


def test_each_whole_input_is_read(tmp_path):
    for target in targets():
        folder = tmp_path / target.name
        for name, content in target.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        found = target.read(folder)
        assert target.same is None or target.same(found), target.name


@pytest.mark.slow
def test_two_hundred_inputs_find_nothing():
    found = list(run(targets(), 200, int(os.environ.get("KDLIB_FUZZ_SEED", "1"))))
    assert {one.name: one.faults for one in found if one.faults} == {}
    assert sum(one.inputs for one in found) >= 190
    assert sum(one.refused for one in found) > 40
