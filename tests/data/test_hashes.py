import hashlib
import os
import threading

import pytest

from kdlib.data import hashes
from kdlib.data.disk import disk_errors
from kdlib.data.hashes import file_hash, file_hashes
from kdlib.errors import UserError


@pytest.fixture
def files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 1000)
    return {name: tmp_path / name for name in "ab"}


@pytest.fixture
def read(monkeypatch):
    """The files that are read, as it happens."""
    names = []

    def count(path):
        names.append(path.name)
        return file_hash(path)

    monkeypatch.setattr(hashes, "file_hash", count)
    return names


def test_hashes_are_those_of_the_bytes(files, tmp_path):
    found = file_hashes(files, tmp_path / "memory.json")
    assert found == {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in files.items()}
    assert file_hash(files["a"], "md5") == hashlib.md5(b"a" * 1000).hexdigest()


def test_only_new_and_changed_files_are_read(files, tmp_path, read):
    memory = tmp_path / "memory.json"
    first = file_hashes({"a": files["a"]}, memory)
    assert file_hashes(files, memory)["a"] == first["a"]
    assert read == ["a", "b"]
    # Another name for the same file is no other file.
    assert file_hashes({"x": files["a"]}, memory) == {"x": first["a"]}
    assert read == ["a", "b"]
    files["b"].write_bytes(b"c" * 1000)
    os.utime(files["b"], ns=(1, 1))
    assert file_hashes(files, memory)["b"] == hashlib.sha256(b"c" * 1000).hexdigest()
    assert read == ["a", "b", "b"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_damaged_memory_is_made_again(files, tmp_path, damage):
    memory = tmp_path / "memory.json"
    expected = file_hashes(files, memory)
    memory.write_bytes(damage)
    assert file_hashes(files, memory) == expected


def test_several_at_once(files, tmp_path):
    memory, found = tmp_path / "memory.json", []
    threads = [
        threading.Thread(target=lambda: found.append(file_hashes(files, memory))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 8
    assert not list(tmp_path.glob("*.partial"))


def test_what_the_disk_refuses_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*Not a directory"), disk_errors(tmp_path):
        (tmp_path / "file" / "below").mkdir()
    with pytest.raises(UserError, match="no room left"), disk_errors(tmp_path):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="Input/output"), disk_errors(tmp_path):
        raise OSError(5, "Input/output error")
