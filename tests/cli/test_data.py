"""`python -m kdlib data ...`, as a user calls it."""

import json
import re
import shutil
import zipfile

import pytest

from kdlib import cli
from kdlib.cli import data as data
from kdlib.data.archive import unpack
from kdlib.data.generated import GeneratedSpec
from kdlib.data.generated.store import stored_videos
from kdlib.errors import UserError
from kdlib.runs.datasets import Datasets
from kdlib.runs.spec import DataSpec
from kdlib.study.chapter import Chapter
from kdlib.study.setting import ROOT
from tests.runs.test_full_disk import full
from tests.runs.test_students import film


@pytest.fixture
def kdlib(small_set, capsys):
    """Run a data command where data_manifests/ holds one small set of images; status and text."""

    def run(*words):
        where = [f"DATA={small_set / 'data'}", f"STORE={small_set / 'store'}"]
        status = cli.main(["data", *words, *where])
        return status, "".join(capsys.readouterr())

    return run


def test_list_and_show(kdlib):
    status, text = kdlib("list")
    assert status == 0
    assert re.search(r"mine +\| Waving and jumping .* form +\| yes", text)
    assert kdlib() == (status, text)
    status, text = kdlib("show", "mine")
    assert status == 0
    for part in ("terms     Mine.", "all: 12 train, 4 test", "Film it yourself. Its place is"):
        assert part in text


def test_verify_prepare_and_the_cache(kdlib, tmp_path):
    status, text = kdlib("verify", "mine")
    assert status == 0
    assert "| all     | train  |         12 |" in text
    report = json.loads((tmp_path / "store/verified/mine.json").read_text())
    assert report["whole"]
    assert (tmp_path / "store/verified/mine-classes.csv").read_text().startswith("class,all train")

    status, text = kdlib("prepare", "mine", "SIZE=16")
    assert status == 0
    assert "mine for clips of 16 px: 16 files, 16 frames of 16x16" in text
    assert "preparing 16 files at 16x16: about" in text
    status, text = kdlib("prepare", "mine", "SIZE=16")
    assert "preparing" not in text

    status, text = kdlib("cache")
    assert re.search(r"frames/mine/16x16-\w+ +\| +[0-9.]+ \| +16 \| +0 \| +0 \|", text)
    assert kdlib("cache", "check")[0] == 0
    (binary,) = (tmp_path / "store/cache/frames/mine").glob("16x16-*/frames.bin")
    content = bytearray(binary.read_bytes())
    content[5] ^= 1
    binary.write_bytes(content)
    status, text = kdlib("cache", "check")
    assert status == 1
    assert "a damaged folder" in text
    status, text = kdlib("cache", "remove", "mine")
    assert status == 0
    assert "removed 2 folders" in text
    assert "nothing is cached" in kdlib("cache")[1]


def test_generated_caches_are_checked_too(kdlib, tmp_path):
    root = tmp_path / "store/cache/generated"
    for seed in (0, 1):
        stored_videos(root, GeneratedSpec("mix12", seed, frames=2, size=16), "train", 4)
    status, text = kdlib("cache", "check")
    assert status == 0
    assert len(re.findall(r"generated/\w+ .*\| +0 \|", text)) == 2
    folder = next(path for path in sorted(root.iterdir()) if path.is_dir())
    content = (folder / "frames.npy").read_bytes()
    (folder / "frames.npy").write_bytes(content[:-1])
    status, text = kdlib("cache", "check")
    assert status == 1
    assert re.search(rf"generated/{folder.name} .*\| +1 \|", text)
    assert "a damaged folder" in text


def test_damaged_flow_is_named_by_both_commands(kdlib, tmp_path, capsys):
    store = tmp_path / "store"
    known = DataSpec("mine", frames=1, size=16, known=("flow",))
    Datasets(store / "cache", tmp_path / "data").load(known)

    def check_store():
        status = cli.main(["store", "check", f"STORE={store}"])
        return status, "".join(capsys.readouterr())

    assert kdlib("cache", "check")[0] == check_store()[0] == 0
    (binary,) = (store / "cache/frames/mine").glob("*/tvl1-*/frames.bin")
    folder = binary.parents[1]
    content = bytearray(binary.read_bytes())
    content[5] ^= 1
    binary.write_bytes(content)
    status, text = kdlib("cache", "check")
    assert status == 1
    assert re.search(rf"frames/mine/{folder.name} .*\| +1 \|\n", text)
    assert "a damaged folder" in text
    status, text = check_store()
    assert status == 1
    assert re.search(rf"  {folder}: flow of \w+@0\n", text)
    (folder / "how.json").write_text("")
    assert kdlib("cache", "check")[0] == check_store()[0] == 1


def test_a_journal_with_half_a_line_is_named_by_both_commands(kdlib, tmp_path, capsys):
    kdlib("prepare", "mine", "SIZE=16")
    (journal,) = (tmp_path / "store/cache/frames/mine").glob("*/journal.jsonl")
    journal.write_text(journal.read_text()[:-5])
    assert kdlib("cache", "check")[0] == 1
    assert cli.main(["store", "check", f"STORE={tmp_path / 'store'}"]) == 1
    assert f"{journal.parent}: a line of its journal" in capsys.readouterr().out


def test_an_unpacked_archive_is_checked_too(kdlib, tmp_path):
    place = tmp_path / "store/cache/unpacked/yours-1"
    with zipfile.ZipFile(tmp_path / "yours.zip", "w") as packed:
        packed.writestr("a.png", b"a picture")
    unpack(tmp_path / "yours.zip", place)
    assert kdlib("cache", "check")[0] == 0
    (place / "a.png").unlink()
    status, text = kdlib("cache", "check")
    assert status == 1
    assert re.search(r"unpacked/yours-1 .*\| +1 \|", text)


def test_a_disk_too_full_for_the_report_is_named(kdlib, tmp_path):
    assert kdlib("verify", "mine")[0] == 0
    report = tmp_path / "store/verified/mine.json"
    before = report.read_text()
    with full(64):
        status, text = kdlib("verify", "mine")
    assert status == 2
    assert f"kdlib: STORE: no room left in {report.parent} (File too large); free some" in text
    assert report.read_text() == before
    assert sorted(p.name for p in report.parent.iterdir()) == ["mine-classes.csv", "mine.json"]


def written(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["{outside}", "../../outside", "a/../../outside", "other"])
@pytest.mark.parametrize("command", ["fetch", "verify", "prepare"])
def test_a_manifest_s_name_leads_nowhere_else(kdlib, tmp_path, name, command):
    path = tmp_path / "evil.yaml"
    text = (tmp_path / "manifests/mine.yaml").read_text()
    download = "downloads: [{url: 'http://127.0.0.1:9/', path: .bashrc}]\n"
    name = name.format(outside=str(tmp_path / "outside").lower())
    path.write_text(text.replace("name: mine", f"name: {name}") + download)
    before = written(tmp_path)
    status, text = kdlib(command, str(path), *(["SIZE=16"] if command == "prepare" else []))
    assert status == 2
    assert "line 1: name: " in text
    assert text.count("\n") == 1
    assert written(tmp_path) == before


def test_a_manifest_of_one_s_own_is_used_by_its_path(kdlib, tmp_path):
    path = tmp_path / "elsewhere/mine.yaml"
    path.parent.mkdir()
    (tmp_path / "manifests/mine.yaml").rename(path)
    before = written(tmp_path)
    assert kdlib("verify", str(path))[0] == 0
    status, text = kdlib("prepare", str(path), "SIZE=16")
    assert status == 0
    assert "mine for clips of 16 px: 16 files" in text
    new = written(tmp_path) - before
    assert new
    assert all(place.is_relative_to(tmp_path / "store") for place in new)


def test_a_bad_file_is_named_and_stops_neither_check_nor_preparation(kdlib, tmp_path):
    (tmp_path / "data/mine/train/jump/0.png").write_bytes(b"no picture")
    status, text = kdlib("DATASET=mine", "SIZE=16")
    assert status == 1
    assert "undecodable: 1" in text
    assert "NOT whole" in text
    assert "mine: 10 train, 2 validation, 4 test" in text
    assert "mine for clips of 16 px: 15 files" in text
    assert "left out: train/jump/0.png: no image that is read" in text


def test_a_broken_manifest_hides_no_other_set(kdlib, tmp_path):
    for name, content in (("a", "? [1]\n: x"), ("b", "a: " + "[" * 50_000), ("c", "name: d")):
        (tmp_path / f"manifests/{name}.yaml").write_text(content)
    status, text = kdlib("list")
    assert status == 1
    assert re.search(r"mine +\| Waving and jumping", text)
    assert len(re.findall(r"not listed: manifest .*/[abc]\.yaml", text)) == 3


def test_a_set_without_a_home_is_shown_without_one(kdlib, tmp_path):
    path = tmp_path / "manifests/mine.yaml"
    text = path.read_text().replace("homepage: https://example.org\n", "")
    path.write_text(text.replace("obtain: Film it yourself.\n", ""))
    status, text = kdlib("show", "mine")
    assert status == 0
    assert "to get    Its place is" in text


def test_what_can_be_fetched_is_fetched_listed_and_checked(kdlib, tmp_path):
    status, text = kdlib("fetch", "mine")
    assert status == 2
    assert "nothing of it can be fetched. Film it yourself." in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lits"], "data: unknown value 'lits'.*Did you mean 'list'"),
        (["verify"], "data verify: name one data set"),
        (["verify", "a", "b"], "data verify: name one data set"),
        (["show", "mien"], "data set: unknown value 'mien'.*Did you mean 'mine'"),
        (["list", "x"], "data list: unexpected 'x'"),
        (["prepare", "mine", "SIZE=big"], "SIZE: side of clips in pixels.*not 'big'"),
        (["prepare", "mine", "SIZE=²"], "SIZE: side of clips in pixels.*not '²'"),
        (["cache", "chek"], "data cache: say"),
        (["cache", "remove"], "data cache remove: name one folder"),
        (["cache", "remove", "yours"], "data cache remove: unknown value 'yours'"),
    ],
)
def test_a_users_mistake_is_one_line(kdlib, words, message):
    status, text = kdlib(*words)
    assert status == 2
    assert re.search(message, text)
    assert text.count("\n") == 1


def test_a_set_is_prepared_at_the_sizes_that_chapters_read(kdlib, monkeypatch):
    status, text = kdlib("prepare", "mine")
    assert status == 0
    assert "mine for clips of 16 px" in text
    monkeypatch.setattr(data, "chapter_names", lambda: ["resolution"])
    status, text = kdlib("prepare", "mine")
    assert status == 2
    assert "SIZE: no chapter reads mine in profile laptop; name a size, as SIZE=64" in text


def test_a_chapter_that_cannot_be_opened_stops_no_preparation(kdlib, monkeypatch):
    def chapter(name, setting):
        if name == "flow":
            raise UserError("book/flow/study.py, line 3: ZeroDivisionError")
        return Chapter(name, setting)

    monkeypatch.setattr(data, "Chapter", chapter)
    status, text = kdlib("prepare", "mine")
    assert status == 1
    assert text.count("note: chapter flow is left out: book/flow/study.py, line 3") == 1
    assert "mine for clips of 16 px" in text
    monkeypatch.setattr(data, "chapter_names", lambda: ["flow"])
    status, text = kdlib("prepare", "mine")
    assert (status, text) == (2, "kdlib: book/flow/study.py, line 3: ZeroDivisionError\n")


def test_chapters_that_lack_a_profile_stop_no_preparation(kdlib, tmp_path):
    status, text = kdlib("prepare", "mine", "PROFILE=paper")
    assert status == 2
    assert "SIZE: no chapter reads mine in profile paper" in text
    for manifest in (ROOT / "data_manifests").glob("*.yaml"):  # which the published recipes name
        shutil.copy(manifest, tmp_path / "manifests")
    (tmp_path / "manifests/films.yaml").write_text(
        "name: films\ntitle: Films\nclasses: [jump, wave]\nlayout: {kind: folders}\n"
    )
    for seed, name in enumerate(("train/jump", "train/wave", "validation/jump", "test/wave")):
        film(tmp_path / f"data/films/{name}/0.mp4", seed, frames=2)
    status, text = kdlib("prepare", "films", "PROFILE=paper")
    assert status == 0
    assert "left out" not in text
    assert "films for clips of 224 px: 4 files" in text


def test_help(kdlib):
    status, text = kdlib("help")
    assert status == 0
    for command in ("list", "show", "fetch", "verify", "prepare", "cache"):
        assert f"data {command}" in text
