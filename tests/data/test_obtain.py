import hashlib
import io
import json
import tarfile

import pytest

from kdlib.data.archive import LIST
from kdlib.data.manifest import Manifest
from kdlib.data.obtain import RECORD, advice, obtain
from kdlib.errors import UserError


def manifest(*downloads, **changes):
    values = {
        "name": "mine",
        "title": "Mine",
        "homepage": "https://example.org",
        "classes": ("jump", "wave"),
        "layout": {"kind": "folders"},
        "downloads": downloads,
    }
    return Manifest.model_validate({**values, **changes})


@pytest.fixture
def archive(server):
    """The server has a tar with train/jump/a.txt."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("train/jump/a.txt")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"hello"))
    server.content = packed.getvalue()
    return server


def test_what_is_fetched_is_unpacked_once(archive, tmp_path):
    m = manifest({"url": archive.url, "path": "set.tar", "unpack": True})
    obtain(m, tmp_path)
    file = tmp_path / "mine/train/jump/a.txt"
    assert file.read_text() == "hello"
    assert not (tmp_path / "mine" / LIST).exists()
    file.write_text("mine now")
    obtain(m, tmp_path)
    assert file.read_text() == "mine now"
    assert len(archive.asked) == 1


def test_a_checksum_is_recorded_at_the_first_fetch_and_held_against_the_next(server, tmp_path):
    m = manifest({"url": server.url, "path": "lists/a.csv"})
    (fetched,) = obtain(m, tmp_path)
    recorded = json.loads((tmp_path / "mine" / RECORD).read_text())
    assert recorded == {"lists/a.csv": hashlib.sha256(server.content).hexdigest()}
    assert fetched.sha256 == recorded["lists/a.csv"]
    (tmp_path / "mine/lists/a.csv").unlink()
    server.content = b"another file"
    with pytest.raises(UserError, match="sha256"):
        obtain(m, tmp_path)


def test_an_official_checksum_is_held_against_the_first_fetch(server, tmp_path):
    m = manifest({"url": server.url, "path": "a.csv", "checksum": "md5:" + "0" * 32})
    with pytest.raises(UserError, match="md5"):
        obtain(m, tmp_path)
    assert not (tmp_path / "mine/a.csv").exists()
    assert not (tmp_path / "mine" / RECORD).exists()


def test_an_archive_that_leads_outside_is_refused(server, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../evil.txt"))
    server.content = packed.getvalue()
    with pytest.raises(UserError, match="relative path"):
        obtain(manifest({"url": server.url, "path": "set.tar", "unpack": True}), tmp_path)
    assert not (tmp_path / "evil.txt").exists()


def test_a_set_on_request_says_what_to_get_and_where_to_put_it(tmp_path):
    m = manifest(obtain="Ask its owner\nfor clips.tar.")
    with pytest.raises(UserError, match=r"nothing of it can be fetched. Ask its owner for clips"):
        obtain(m, tmp_path)
    assert advice(m, tmp_path) == f"Ask its owner for clips.tar. Its place is {tmp_path / 'mine'}."
    assert "See https://example.org." in advice(manifest(), tmp_path)


def test_a_damaged_record_is_named(server, tmp_path):
    (tmp_path / "mine").mkdir()
    for content in ("{", "[]", '{"a": 1}'):
        (tmp_path / "mine" / RECORD).write_text(content)
        with pytest.raises(UserError, match=r"fetched\.json: no readable record"):
            obtain(manifest({"url": server.url, "path": "a.csv"}), tmp_path)


def test_all_that_is_written_lies_below_data_and_the_name(archive, tmp_path):
    downloads = [{"url": archive.url, "path": path, "unpack": True} for path in ("a.tar", "b/.c")]
    obtain(manifest(*downloads), tmp_path / "data")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert all(path.is_relative_to(tmp_path / "data/mine") for path in written)
