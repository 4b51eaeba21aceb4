import hashlib
import json
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.data import fetch as module
from kdlib.data.fetch import fetch
from kdlib.errors import UserError

CONTENT = np.random.default_rng(0).bytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data/set.tar"


def left(target):
    """What lies beside the target, but for its lock."""
    return {p.name for p in target.parent.iterdir()} - {"set.tar", "set.tar.lock"}


@pytest.mark.parametrize("checksum", [None, f"sha256:{SHA256}", f"md5:{MD5}"])
def test_a_file_is_fetched_once(server, target, checksum):
    first = fetch(server.url, target, bytes=len(CONTENT), checksum=checksum)
    assert target.read_bytes() == CONTENT
    assert (first.bytes, first.sha256, first.already) == (len(CONTENT), SHA256, False)
    assert left(target) == set()
    second = fetch(server.url, target, bytes=len(CONTENT), checksum=checksum)
    assert second.already
    assert len(server.asked) == 1


def test_a_cut_connection_goes_on_from_there(server, target):
    server.cuts = [300_000, 100_000]
    fetch(server.url, target, checksum=f"sha256:{SHA256}")
    assert target.read_bytes() == CONTENT
    assert server.asked[0] is None
    assert server.asked[-1] == "bytes=400000-"


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, target):
    server.cuts = [200_000, 0, 0]
    with pytest.raises(UserError, match=r"200,000 bytes are kept, and the next call goes on"):
        fetch(server.url, target)
    assert not target.exists()
    asked = len(server.asked)
    assert fetch(server.url, target).sha256 == SHA256
    assert server.asked[asked:] == ["bytes=200000-"]


def test_a_server_without_ranges_starts_over(server, target):
    server.ranges, server.cuts = False, [300_000]
    assert fetch(server.url, target).sha256 == SHA256
    server.etag, server.cuts = "", [300_000]
    target.unlink()
    assert fetch(server.url, target).sha256 == SHA256


def test_a_file_that_changed_meanwhile_starts_over(server, target):
    server.cuts = [300_000, 0, 0]
    with pytest.raises(UserError, match="are kept"):
        fetch(server.url, target)
    server.content, server.etag = CONTENT[::-1], '"two"'
    fetch(server.url, target)
    assert target.read_bytes() == CONTENT[::-1]


def test_a_part_as_long_as_the_file_starts_over(server, target):
    target.parent.mkdir()
    target.with_name("set.tar.part").write_bytes(bytes(len(CONTENT)))
    mark = {"url": server.url, "version": server.etag}
    target.with_name("set.tar.part.json").write_text(json.dumps(mark))
    assert fetch(server.url, target).sha256 == SHA256


def test_a_part_of_another_url_or_with_a_broken_mark_starts_over(server, target):
    target.parent.mkdir()
    for mark in ('{"url": "http://other", "version": "x"}', "{", "[]"):
        target.unlink(missing_ok=True)
        target.with_name("set.tar.part").write_bytes(b"other")
        target.with_name("set.tar.part.json").write_text(mark)
        assert fetch(server.url, target).sha256 == SHA256


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"checksum": "sha256:" + "0" * 64}, f"its sha256 is {SHA256}, not 0000"),
        ({"checksum": "md5:" + "0" * 32}, f"its md5 is {MD5}, not 0000"),
        ({"bytes": 5}, "it has 700,000 bytes, not 5"),
    ],
)
def test_a_file_that_is_not_the_one_is_set_aside(server, target, wanted, message):
    with pytest.raises(UserError, match=rf"set.tar.damaged: {message}.*set aside"):
        fetch(server.url, target, **wanted)
    assert not target.exists()
    assert left(target) == {"set.tar.damaged", "set.tar.part.json"}
    target.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"set.tar: .*remove it, and it is fetched again"):
        fetch(server.url, target, **{**wanted, "bytes": 5})
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_what_the_server_refuses_is_one_line(server, target, status):
    server.status = status
    with pytest.raises(UserError, match=rf": {status} .*get it by hand and put it at .*set.tar$"):
        fetch(server.url, target)


def test_no_server_and_no_host_are_one_line(target, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match="no connection"):
        fetch(server.url, target)
    with pytest.raises(UserError, match="gopher://x"):
        fetch("gopher://x", target)


def test_redirects_are_followed_but_not_out_of_encryption(server, target, monkeypatch):
    server.location = server.url
    assert fetch(server.url.replace("/set", "/moved"), target).sha256 == SHA256

    class Answer:
        url = "http://plain.example"
        history = ()

    with pytest.raises(UserError, match="not encrypted"):
        module._refuse_downgrade("https://safe.example", Answer())


def test_no_room_is_said_before(server, target, monkeypatch):
    usage = module.shutil.disk_usage("/")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(UserError, match=r"700,000 bytes are still to come, .* has room for 10"):
        fetch(server.url, target)


def test_two_at_once_fetch_once(server, target):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(server.url, target))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f.sha256 for f in found] == [SHA256] * 3
    assert len(server.asked) == 1


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, 700_000), max_size=6), ranges=st.booleans())
def test_wherever_it_is_cut_the_bytes_are_the_same(server, target, cuts, ranges):
    target.unlink(missing_ok=True)
    server.cuts, server.ranges = list(cuts), ranges
    for _ in range(len(cuts) + 1):
        try:
            fetch(server.url, target)
            break
        except UserError:
            assert not target.exists()
    assert target.read_bytes() == CONTENT
