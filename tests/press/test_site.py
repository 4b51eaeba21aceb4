import html.parser
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pybtex.database import parse_file

from kdlib.press import site
from kdlib.press.notebooks import ROOT
from kdlib.study.claims import VERDICTS

STAMP = "Numbers from profile <smoke> on generated clips"
ZETA = "Numbers from real clips of <a set>"
CHIP = '<span class="verdict verdict-contradicted">contradicted</span>'
TABLE = f'<table class="dataframe"><tr><td>KD</td><td>{CHIP}</td></tr></table>'
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def notebook(path: Path, title: str, *outputs: nbformat.NotebookNode) -> Path:
    cells = [
        new_markdown_cell(f"# {title}\n\nWith $x^2$."),
        new_code_cell('chapter = open_chapter("zeta")'),
        new_code_cell("f()", outputs=list(outputs)),
    ]
    language = {"name": "python", "pygments_lexer": "ipython3"}
    nbformat.write(new_notebook(cells=cells, metadata={"language_info": language}), path)
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> tuple[Path, dict[str, list[Path]]]:
    """A book of two chapters, in an order that is not the alphabet's, one of them not executed."""
    folder = tmp_path_factory.mktemp("sources")
    book = folder / "book"
    book.mkdir()
    (book / "_site").symlink_to(ROOT / "book" / "_site")
    (book / "index.md").write_text("# The book\n")
    for name in ("references.md", "references.bib"):
        shutil.copy(ROOT / "book" / name, book)
    for order, name in enumerate(["zeta", "alpha"]):
        (book / name).mkdir()
        (book / name / "index.md").write_text(
            f"---\norder: {order}\n---\n\n# Chapter {name}\n\n$$\\tau^2$$\n\n---\n\nEnd.\n"
        )
    shown = new_output("display_data", data={"text/html": TABLE})
    raised = new_output(
        "error", ename="ValueError", evalue="too bad", traceback=["ValueError: too bad"]
    )
    executed = [
        notebook(folder / "01-lesson.ipynb", "A lesson", shown),
        notebook(folder / "02-broken.failed.ipynb", "A broken lesson", raised),
    ]
    return book, {"zeta": executed}


@pytest.fixture(scope="module")
def built(sources, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("built") / "site"
    return build(sources, output).parent


def build(sources: tuple[Path, dict[str, list[Path]]], output: Path, stamp: str = STAMP) -> Path:
    return site.build(
        *sources,
        output,
        title="A title",
        stamp=stamp,
        stamps={"zeta": ZETA},
        extra_pages={"claims": "# Claims\n\nAll of them.\n"},
        attached={"artifacts/z/table.csv": b"a,b\n"},
        strict=True,
    )


def pages(built: Path) -> list[Path]:
    return [page for page in built.rglob("*.html") if "_static" not in page.parts]


def loads(page: Path) -> Iterator[str]:
    """What the page loads when it is opened: links to follow are not among it."""
    found: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            values = dict(attrs)
            if tag == "link" and values.get("rel") in {"prev", "next", "index", "search"}:
                return
            if values.get(LOADED.get(tag, "")):
                found.append(values[LOADED[tag]])

    Parser().feed(page.read_text())
    yield from found


@pytest.mark.slow
def test_every_page_loads_local_files_only_and_they_exist(built):
    assert len(pages(built)) >= 6
    for page in pages(built):
        names = list(loads(page))
        assert any(name.split("?")[0].endswith("kd.css") for name in names)
        for name in names:
            assert not re.match(r"(https?:)?//", name), (page, name)
            assert (page.parent / name.split("?")[0]).exists(), (page, name)


def test_style_sheets_load_nothing_from_a_network(built):
    sheets = list(built.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text()), sheet


def test_math_is_drawn_by_a_local_mathjax(built):
    for page in ("zeta/index.html", "zeta/01-lesson.html"):
        text = (built / page).read_text()
        assert re.search(r'class="math', text)
        assert "_static/mathjax.js" in text
    assert (built / "_static" / "mathjax.js").stat().st_size > 1_000_000


def test_tables_and_verdicts_arrive_and_are_styled(built):
    assert TABLE in (built / "zeta" / "01-lesson.html").read_text()
    style = (built / "_static" / "artifacts.css").read_text()
    for verdict in VERDICTS:
        assert f".verdict-{verdict.replace(' ', '-')} {{" in style


def test_how_a_lesson_opens_is_one_line_until_it_is_unfolded(built):
    text = (built / "zeta/01-lesson.html").read_text()
    (folded,) = re.findall(r'<details class="[^"]*hide.*?</details>', text, re.DOTALL)
    assert "How the chapter is opened" in folded.partition("</summary>")[0]
    assert "open_chapter" in folded.partition("</summary>")[2]


def test_every_paper_is_a_link_to_it(built):
    entries = parse_file(ROOT / "book/references.bib").entries
    text = (built / "references.html").read_text()
    papers = re.findall(r'<div class="citation" id="[^"]*">(.*?)</div>', text, re.DOTALL)
    assert len(papers) == len(entries)
    assert [paper for paper in papers if 'href="https://' not in paper] == []
    (link,) = re.findall(r'href="([^"]*references\.bib)"', text)
    assert parse_file(built / link).entries.keys() == entries.keys()


def test_every_page_says_where_its_numbers_are_from(built):
    for page in pages(built):
        whole = "Numbers from profile &lt;smoke&gt; on generated clips" in page.read_text()
        own = "Numbers from real clips of &lt;a set&gt;" in page.read_text()
        assert (own, whole) == (("zeta" in page.parts), ("zeta" not in page.parts)), page


def test_chapters_stand_in_their_order_after_the_generated_pages(built, sources):
    assert site.ordered(sources[0], ["beta", "alpha", "zeta"]) == ["zeta", "alpha", "beta"]
    text = (built / "index.html").read_text()
    places = [text.index(name) for name in ("claims.html", "zeta/index.html", "alpha/index.html")]
    assert places == sorted(places)


def test_a_failed_notebook_has_a_page_with_its_error(built):
    assert "too bad" in (built / "zeta" / "02-broken.html").read_text()


def test_attached_files_lie_in_the_site(built):
    assert (built / "artifacts/z/table.csv").read_bytes() == b"a,b\n"


def test_a_chapter_without_executed_notebooks_says_so(built):
    assert "were not run" in (built / "alpha" / "index.html").read_text()
    assert "were not run" not in (built / "zeta" / "index.html").read_text()


def test_no_path_of_the_machine_is_published(built, sources):
    for page in built.rglob("*.*"):
        if page.suffix in {".html", ".ipynb", ".md", ".js"}:
            assert str(sources[0].parent) not in page.read_text()


@pytest.fixture
def copy(sources, tmp_path, monkeypatch):
    """A site that a stand-in for Sphinx built, and the calls of it."""
    calls = []

    def stand_in(work, *rest):
        calls.append(rest)
        (work / "html/zeta").mkdir(parents=True)
        for name in ("index.html", "zeta/index.html"):
            (work / "html" / name).write_text("a page")

    monkeypatch.setattr(site, "_sphinx", stand_in)
    build(sources, tmp_path / "copy")
    return tmp_path / "copy", calls


def test_sphinx_runs_on_changed_content_only(sources, copy):
    output, calls = copy
    build(sources, output)
    assert len(calls) == 1
    build(sources, output, stamp="another")
    assert len(calls) == 2


@pytest.mark.parametrize(
    "name", ["index.html", "zeta/index.html", "artifacts/z/table.csv", ".key.json"]
)
@pytest.mark.parametrize("text", ["edited", "", None])
def test_an_edited_truncated_or_deleted_page_is_built_again(sources, copy, name, text):
    output, calls = copy
    if text is None:
        (output / name).unlink()
    else:
        (output / name).write_text(text)
    build(sources, output)
    assert len(calls) == 2
    assert (output / "zeta/index.html").read_text() == "a page"
    build(sources, output)
    assert len(calls) == 2


def test_a_failing_build_says_why_and_keeps_the_old_site(built, sources, tmp_path):
    output = tmp_path / "site"
    output.mkdir()
    (output / "index.html").write_text("the old site")
    book = tmp_path / "book"
    (book / "_site" / "static").mkdir(parents=True)
    (book / "_site" / "conf.py").write_text("raise RuntimeError('the reason')")
    (book / "index.md").write_text("# The book\n")
    with pytest.raises(site.SiteFailed, match="not built: RuntimeError: the reason; all that"):
        site.build(book, {}, output, title="t", stamp="s")
    assert (output / "index.html").read_text() == "the old site"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_notebooks_of_an_unknown_chapter_are_refused(sources, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        site.build(sources[0], {"nowhere": []}, tmp_path / "site", title="t", stamp="s")


def test_a_sphinx_that_is_killed_is_one_line(sources, tmp_path, monkeypatch):
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    book = tmp_path / "book"
    (book / "_site" / "static").mkdir(parents=True)
    (book / "_site" / "conf.py").write_text(stop)
    (book / "index.md").write_text("# The book\n")
    with pytest.raises(site.SiteFailed, match="Sphinx was killed by SIGKILL") as caught:
        site.build(book, {}, tmp_path / "site", title="t", stamp="s")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book", "site.log"]


@pytest.mark.parametrize("text", [b"---\norder: [\n---\n", b"---\n- a\n---\n", b"\xff\xfe"])
def test_a_page_whose_front_matter_is_none_comes_last(tmp_path, text):
    for name, content in (("bad", text), ("good", b"---\norder: 1\n---\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.md").write_bytes(content)
    assert site.ordered(tmp_path, ["bad", "good"]) == ["good", "bad"]


def test_a_page_that_is_no_text_is_named(sources, tmp_path):
    book = tmp_path / "book"
    shutil.copytree(sources[0], book, symlinks=True)
    (book / "zeta" / "index.md").write_bytes(b"\xff")
    with pytest.raises(site.SiteFailed, match=r"zeta/index\.md: .*save it as UTF-8"):
        site.build(book, {}, tmp_path / "site", title="t", stamp="s")
