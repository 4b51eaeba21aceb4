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
