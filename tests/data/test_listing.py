import os

from av.format import ContainerFormat
from PIL import Image

from kdlib.data import images
from kdlib.data.decode import FORMATS
from kdlib.data.layouts import SUFFIXES
from kdlib.data.listing import Listing


def test_files_by_path_and_by_stem(tmp_path):
    for name in ("a.mp4", "b.MKV", "c.txt", "deep/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "e.mp4").mkdir()
    listing = Listing(tmp_path)
    assert [listing.has(p) for p in ("a.mp4", "deep/d.mp4")] == [True, True]
    assert not any(map(listing.has, ("e.mp4", "deep", "x.mp4", "no/x.mp4", "a.mp4/x")))
    assert listing.by_stem((".mp4", ".mkv")) == {"a": "a.mp4", "b": "b.MKV"}
    assert listing.by_stem((".mp4",), "deep") == {"d": "d.mp4"}


def test_a_folder_is_listed_once(tmp_path):
    listing = Listing(tmp_path)
    assert not listing.has("a")
    (tmp_path / "a").write_text("")
    assert not listing.has("a")
    assert Listing(tmp_path).has("a")


def test_what_cannot_be_read_is_there_and_hides_nothing(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "a").write_text("")
    listing = Listing(tmp_path)
    assert all(map(listing.has, ("loop", "lost", "pipe", "a")))
    assert not any(map(listing.has, ("folder", "link")))


def test_hidden_files_have_no_stem(tmp_path):
    for name in ("._a.mp4", "a.mp4"):
        (tmp_path / name).write_text("")
    assert Listing(tmp_path).by_stem((".mp4",)) == {"a": "a.mp4"}


def test_all_that_is_decoded_has_its_suffixes():
    """Those FFmpeg knows for the formats that are opened; sound alone is no video."""
    known = {
        f".{suffix}"
        for name in FORMATS.split(",")
        for suffix in ContainerFormat(name, "r").extensions
    }
    sound = {".m4a", ".m4b", ".mka", ".mks", ".ogg"}
    others = {".ism", ".mk3d", ".psp", ".isma", ".ismv", ".avif", ".heic", ".heif"}
    assert known - sound - others <= set(SUFFIXES["videos"])


def test_all_images_that_are_read_have_their_suffixes():
    """Those Pillow knows for the formats that are opened."""
    known = {s for s, name in Image.registered_extensions().items() if name in images.FORMATS}
    assert known
    assert known <= set(SUFFIXES["images"])
