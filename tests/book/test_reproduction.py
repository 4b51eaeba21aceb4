"""A smoke reproduction of the whole book from end to end, in a process of its own."""

import json
import re
import subprocess
import sys

import pytest

from kdlib.study.chapter import Chapter, chapter_names
from kdlib.study.claims import read
from kdlib.study.setting import ROOT, Setting

TABLE, FIGURE = {"csv", "md", "tex", "json"}, {"svg", "png", "json"}


def reproduce(**where):
    """What a reproduction of the book prints and warns of, in another folder than the project's."""
    command = [
        sys.executable, "-m", "kdlib", "reproduce", "PROFILE=smoke", "JOBS=2",
        *(f"{key.upper()}={folder}" for key, folder in where.items()),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=where["store"])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_smoke_reproduction_from_end_to_end(tmp_path):
    where = {"store": str(tmp_path), "results": str(tmp_path / "results")}
    _, warned = reproduce(**where)
    assert "WARNING" not in warned, "of Sphinx"
    setting = Setting(profile="smoke", **where)
    for name in chapter_names():
        looked_at(Chapter(name, setting))
    the_library_reads_well(setting.folder / "book")
    # A second time nothing is trained, executed or written.
    before = times(setting.folder)
    assert "trained    0 runs" in reproduce(**where)[0]
    assert times(setting.folder) == before


def looked_at(chapter):
    """Every artifact, sentence, page and record of a chapter is there; nothing is decided."""
    name, folder = chapter.name, chapter.setting.folder
    for artifact in chapter.studies:
        files = list(folder.glob(f"{artifact}.*"))
        assert {path.suffix[1:] for path in files} in (TABLE, FIGURE), artifact
        assert all(path.stat().st_size for path in files)
    # Every claim was checked, and none is decided by a profile that is no evidence.
    checked = json.loads((chapter.folder / "claims.json").read_text())
    wanted = [claim.id for claim in read(ROOT / "book" / name / "claims.toml")]
    assert [claim["id"] for claim in checked] == wanted
    assert {claim["verdict"] for claim in checked} == {"inconclusive"}
    pages = [path.read_text() for path in (folder / "book" / name).glob("[0-9]*.html")]
    assert len(pages) == len(list((ROOT / "book" / name).glob("*.ipynb")))
    assert not any('class="dataframe"' in page for page in pages), "a table without its frame"
    assert all("no evidence" in page and 'class="kd-failure"' not in page for page in pages)
    assert all(chapter.setting.run_store.find(chapter.key(spec)) for spec in chapter.specs())


def the_library_reads_well(book):
    """Docstrings, signatures and options of methods, and no place of this machine."""
    page = (book / "library/losses.html").read_text()
    assert 'id="kdlib.losses.kd.kd_loss"' in page
    assert "<strong>temperature</strong>: above 0" in page
    methods = (book / "library/methods.html").read_text()
    assert "FieldInfo" not in methods
    assert "Alias for field" not in methods
    kd = re.search(r'id="kdlib.methods.kd.Know.*?</dt>', methods, re.DOTALL)[0]
    options = "*,label_weight:float=0.1,weight:float=0.9,temperature:float=4.0"
    assert options in re.sub(r"<[^>]+>|\s+", "", kd)
    assert 'href="library/losses.html"' in (book / "index.html").read_text()
    for html in book.glob("library/*.html"):
        assert str(ROOT) not in html.read_text(), html
