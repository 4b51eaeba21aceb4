import io
import os
import stat
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data import archive as module
from kdlib.data.archive import LIST, damaged, unpack
from kdlib.errors import UserError


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    return info


def write_tar(path, names, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name in names:
            tar.addfile(member(name), io.BytesIO(b"good"))
    return path


def write_zip(path, names):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.writestr(zipfile.ZipInfo(name), b"good")
    return path


def files_below(folder):
    """The paths of all files but the list of what was unpacked."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != LIST)
    return {p.relative_to(folder).as_posix() for p in files}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_files_come_out_once(tmp_path, mode):
    names = ["clips/a b!(1).mp4", "clips/ä/[x]#.mp4"]
    path = tmp_path / "a.archive"
    write_zip(path, names) if mode == "zip" else write_tar(path, names, mode)
    target = unpack(path, tmp_path / "out")
    assert files_below(target) == set(names)
    assert (target / names[0]).read_bytes() == b"good"
    (target / "mark").touch()
    assert unpack(path, tmp_path / "out") == target
    assert (target / "mark").exists()


def lose(file):
    file.unlink()


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def change(file):
    """To another content of the same size."""
    time = file.stat().st_mtime_ns
    file.write_bytes(b"evil")
    os.utime(file, ns=(time, time + 1))


def become_a_folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("harm", [lose, cut, change, become_a_folder])
@pytest.mark.parametrize("name", ["clips/a.mp4", LIST])
def test_what_is_lost_or_changed_is_unpacked_again_and_told_in_one_line(
    tmp_path, capsys, name, harm
):
    names = ["clips/a.mp4", "clips/b.mp4"]
    path, place = write_tar(tmp_path / "a.tar", names), tmp_path / "below/out"
    unpack(path, place)
    (place / "mark").touch()
    assert damaged(unpack(path, place)) == []
    assert capsys.readouterr().err == ""
    harm(place / name)
    assert damaged(place) == [name]
    assert unpack(path, place) == place
    assert damaged(place) == []
    assert files_below(place) == set(names), "of the damaged folder nothing is left"
    assert all((place / name).read_bytes() == b"good" for name in names)
    assert {p.name for p in place.parent.iterdir()} == {"out", "out.lock"}
    told = f"kdlib: note: cache {place}: files lost or changed: 1, such as {name}; unpacked again"
    assert capsys.readouterr().err == f"{told}\n"


def test_a_folder_of_an_earlier_version_or_without_its_archive(tmp_path, capsys):
    """What lists nothing is taken for damaged; what then cannot be unpacked stays as it is."""
    path = write_tar(tmp_path / "a.tar", ["a.mp4"])
    place = unpack(path, tmp_path / "out")
    (place / LIST).unlink()
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="neither a tar nor a zip"):
        unpack(path, place)
    assert files_below(place) == {"a.mp4"}
    assert capsys.readouterr().err.count("unpacked again") == 1


@pytest.mark.parametrize(
    "evil",
    [
        member("/tmp/evil"),
        member("../evil"),
        member("clips/../../evil"),
        member("clips\\..\\..\\evil"),
        member("c:/evil"),
        member("clips/evil", tarfile.SYMTYPE, "/etc/passwd"),
        member("clips/evil", tarfile.LNKTYPE, "clips/good"),
        member("clips/evil", tarfile.FIFOTYPE),
        member("clips/good"),
        member("CLIPS/Good"),
    ],
    ids=lambda info: f"{info.type.decode()} {info.name}",
)
def test_archives_that_reach_outside_or_collide_are_refused(tmp_path, evil):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(member("clips/good"), io.BytesIO(b"good"))
        tar.addfile(evil, io.BytesIO(b"evil"))
    with pytest.raises(UserError, match=r"a\.tar: "):
        unpack(tmp_path / "a.tar", tmp_path / "below/out")
    assert files_below(tmp_path) == {"a.tar", "below/out.lock"}


def test_links_and_secrets_in_a_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("clips/evil")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    path = write_zip(tmp_path / "b.zip", ["a"])
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is encrypted"):
        unpack(path, tmp_path / "out")


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(10_000_000))
    with pytest.raises(UserError, match="packed 1000 times over"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    usage = module.shutil.disk_usage("/")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=3))
    with pytest.raises(UserError, match="larger than the room on the disk"):
        unpack(write_tar(tmp_path / "a.tar", ["a"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_damaged_archives_are_named(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    names = [f"clips/{i}" for i in range(50)]
    write_zip(path, names) if kind == "zip" else write_tar(path, names, "w:gz")
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=rf"a\.{kind}: "):
            unpack(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "out.partial").exists()


def test_rar_files_are_told_how_to_unpack(tmp_path):
    (tmp_path / "UCF101.rar").write_bytes(b"Rar!\x1a\x07\x00")
    with pytest.raises(UserError, match=r"bsdtar -xf UCF101.rar -C "):
        unpack(tmp_path / "UCF101.rar", tmp_path / "out")
    (tmp_path / "text.tar").write_text("no archive")
    with pytest.raises(UserError, match="neither a tar nor a zip"):
        unpack(tmp_path / "text.tar", tmp_path / "out")


PART = st.one_of(st.sampled_from(["..", ".", "", "a", "A", "c:", "~"]), st.text(max_size=4))
NAMES = st.lists(st.lists(PART, min_size=1, max_size=4).map("/".join), max_size=5)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(deadline=None, max_examples=150)
@given(names=NAMES, write=st.sampled_from([write_tar, write_zip]))
def test_any_names_stay_inside_or_are_refused(tmp_path_factory, names, write):
    base = tmp_path_factory.mktemp("any")
    try:
        path = write(base / "archive", names)
    except (UnicodeEncodeError, ValueError):
        return  # no archive can hold such names
    inner = base / "one/two/three"
    try:
        target = unpack(path, inner / "out")
    except UserError:
        assert files_below(base) <= {"archive", "one/two/three/out.lock"}
    else:
        found = files_below(base) - {"archive", "one/two/three/out.lock"}
        assert {name for name in found if not name.startswith("one/two/three/out/")} == set()
        # In a zip a name ends at a zero byte, and one that ends in "/" is a folder.
        stated = [name.split("\0")[0] for name in names] if write is write_zip else []
        folders = sum(name.endswith("/") for name in stated)
        assert len(files_below(target)) == len(names) - folders


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=600), name=st.sampled_from(["a.tar", "a.zip", "a.rar"]))
def test_any_bytes_are_an_archive_or_refused(tmp_path_factory, content, name):
    base = tmp_path_factory.mktemp("any")
    (base / name).write_bytes(content)
    try:
        unpack(base / name, base / "out")
    except UserError:
        assert not (base / "out").exists()


@pytest.mark.parametrize("place", [-1, -5, 40])
def test_a_gzip_whose_own_checksum_is_wrong_is_refused(tmp_path, place):
    """Though all members are read: the checksum lies behind them."""
    path = write_tar(tmp_path / "a.tar.gz", ["set/a.png"], "w:gz")
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.tar\.gz: .+"):
        unpack(path, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_zip_that_points_before_its_beginning_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    write_zip(path, ["set/a.png"])
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06") + 16  # where the directory begins
    path.write_bytes(data[:at] + (1 << 31).to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(UserError, match=r"a\.zip: .+"):
        unpack(path, tmp_path / "set")
