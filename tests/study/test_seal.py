import json
import os

import pytest

from kdlib.study.seal import checksum, seal, sha256, unseal, write_text


@pytest.fixture
def sealed(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/t.md").write_text("| a | b |")
    seal(tmp_path / "t.json", [tmp_path / "t.csv", tmp_path / "deep/t.md"], {"seeds": [0]})
    return tmp_path / "t.json"


def test_what_was_sealed_is_read_again(sealed):
    content = unseal(sealed)
    assert content["seeds"] == [0]
    assert set(content["files"]) == {"t.csv", "deep/t.md"}


@pytest.mark.parametrize("name", ["t.csv", "deep/t.md", "t.json"])
def test_one_changed_byte_or_a_lost_file_breaks_the_seal(sealed, name):
    path = sealed.parent / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        if whole[place : place + 1].isspace():  # between the values of a json it means nothing
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert unseal(sealed) is None, place
    path.unlink()
    assert unseal(sealed) is None


def test_a_truncated_seal_is_no_seal_and_no_error(sealed):
    whole = sealed.read_bytes()
    for length in range(len(whole)):
        sealed.write_bytes(whole[:length])
        assert unseal(sealed) is None


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", '{"checksum": 1}', '{"files": 3}', "[" * 100_000, "\ud800"]
)
def test_anything_else_is_no_seal_either(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text.encode(errors="surrogatepass"))
    assert unseal(tmp_path / "x.json") is None


def test_an_honest_checksum_over_files_that_are_none_is_no_seal(tmp_path):
    content = {"files": [1]}
    (tmp_path / "x.json").write_text(json.dumps({**content, "checksum": checksum(content)}))
    assert unseal(tmp_path / "x.json") is None


def test_the_order_of_keys_does_not_count():
    assert checksum({"a": 1, "b": [2]}) == checksum({"b": [2], "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 2})


@pytest.mark.parametrize("name", ["/dev/zero", "../outside", "fifo"])
def test_a_seal_reads_no_file_but_those_below_it(tmp_path, name):
    """Though its own checksum is right."""
    (tmp_path / "outside").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/fifo").symlink_to(tmp_path / "fifo")
    content = {"files": {name: sha256(b"x")}}
    path = tmp_path / "s/x.json"
    path.write_text(json.dumps({**content, "checksum": checksum(content)}))
    assert unseal(path) is None
    assert unseal(tmp_path / "fifo") is None


def test_what_cannot_be_written_leaves_nothing_and_not_the_old_file(tmp_path):
    path = tmp_path / "a.csv"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "x" * 100_000 + "\udce9")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert path.read_text() == "old"
