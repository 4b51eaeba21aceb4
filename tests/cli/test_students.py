import json
import re

import pytest

from kdlib import cli
from kdlib.runs.engine import run_all
from tests.runs.conftest import *  # noqa: F403
from tests.runs.test_students import film


@pytest.fixture
def kdlib(tmp_path, capsys):
    """The command line with a store of its own: its exit status, output and errors."""

    def call(*words):
        status = cli.main([*words, f"STORE={tmp_path / 'store'}"])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def keys(store, planned, make_spec, datasets, capsys):
    """Of a teacher of twelve generated classes and its student."""
    teacher = make_spec()
    run_all(planned(make_spec(teacher=teacher))[0], store, datasets, device="cpu", jobs=1)
    capsys.readouterr()
    return sorted(path.name for path in (store.root / "runs").iterdir())


@pytest.mark.slow
def test_a_run_is_asked_and_taken_elsewhere(kdlib, keys, tmp_path, monkeypatch):
    video = str(film(tmp_path / "a=b.mp4", 1))
    status, table, _ = kdlib("classify", video, "--record", keys[0][:6])
    assert status == 0
    head, _, *rows = table.splitlines()
    assert head.split() == ["action", "probability"]
    assert len(rows) == 5
    shares = [float(re.search(r"([\d.]+) %$", row)[1]) for row in rows]
    assert shares == sorted(shares, reverse=True)

    status, said, _ = kdlib("classify", video, f"RECORD={keys[0]}", "--json")
    answer = json.loads(said)
    assert answer["run"] == keys[0]
    assert [f"{100 * a['probability']:.1f}" for a in answer["actions"]] == [f"{s}" for s in shares]

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    status, said, _ = kdlib("export", keys[0])
    assert (status, said.split(":")[0]) == (0, f"{keys[0]}.safetensors")
    assert kdlib("export", keys[0], "mine.safetensors")[0] == 0
    monkeypatch.setenv("KDLIB_STORE", str(tmp_path / "none"))
    assert cli.main(["classify", video, "--record", "mine.safetensors", "--json"]) == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_student_s_own_record_and_that_of_a_bare_backbone(kdlib, keys, tmp_path):
    video = str(film(tmp_path / "x.mp4", 1))
    answers = [json.loads(kdlib("classify", video, "--record", k, "--json")[1]) for k in keys]
    assert answers[0]["actions"] != answers[1]["actions"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify"], "classify: name one video, as"),
        (["classify", "a.mp4", "b.mp4", "--record", "x"], "classify: name one video"),
        (["classify", "a.mp4"], "classify: --record names a student"),
        (["classify", "a.mp4", "--record", "abc"], "record: no key in .* begins with 'abc'"),
        (["classify", "a.mp4", "--record", "no.safetensors"], "no.safetensors: .*No such file"),
        (["export"], "export: name a run and perhaps a file"),
        (["export", "abc"], "record: no key in .* begins with 'abc'"),
        (["plan", "--json"], "plan: --record and --json are of classify"),
        (["export", "abc", "--record", "x"], "export: --record and --json are of classify"),
    ],
)
def test_a_mistake_is_one_line(kdlib, words, message):
    status, out, error = kdlib(*words)
    assert (status, out) == (2, "")
    assert re.search(message, error)
    assert error.count("\n") == 1


@pytest.mark.slow
def test_what_is_no_video(kdlib, keys, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video")
    for name in ("x.mp4", "none.mp4", "."):
        status, out, error = kdlib("classify", str(tmp_path / name), "--record", keys[0])
        assert (status, out) == (2, "")
        assert error.startswith(f"kdlib: {tmp_path / name}: ")
        assert error.count("\n") == 1
    status, _, error = kdlib("export", keys[0], str(tmp_path / "x.mp4"))
    assert (status, error) == (2, "kdlib: file: a name that ends in .safetensors, not 'x.mp4'\n")
    assert (tmp_path / "x.mp4").read_bytes() == b"no video"
