"""The pages of the API: which there are, and how the docstrings are made to read.

What Sphinx makes of them is looked at in tests/book/test_reproduction.py.
"""

import re

import pytest

from kdlib.press import library, site
from kdlib.press.notebooks import ROOT


def test_a_page_a_package_and_a_heading_a_module():
    pages = library.pages()
    packages = {path.parent.name for path in ROOT.glob("kdlib/*/__init__.py")}
    assert pages.keys() == {f"library/{name}" for name in packages - {"press", "cli"}}
    for page, text in pages.items():
        files = (ROOT / "kdlib" / page.removeprefix("library/")).rglob("*.py")
        wanted = {".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files}
        listed = re.findall(r"^\.\. automodule:: (.+)$", text, re.MULTILINE)
        assert sorted(listed) == sorted(name.removesuffix(".__init__") for name in wanted)


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("One line.\nAnother.", ["One line. Another."]),
        ("kd: a summary.", ["kd: a summary."]),
        (
            "All.\n\na, b: two\n    things.\n*more: the rest.",
            ["All.", r"- **a, b**: two things.", r"- **\*more**: the rest."],
        ),
        ("All.\nx: one.", ["All.", "- **x**: one."]),
        ("If so, ValueError.\n\nSource: a paper.", ["If so, ValueError.", "Source: a paper."]),
        ("By\n\n    |a_b| * `c`\n", ["By", ".. code-block:: text", "    |a_b| * `c`"]),
        ("The `spec_`s *all*, |x|, y_.", [r"The ``spec_``\ s \*all\*, \|x\|, y\_."]),
        ("", []),
    ],
)  # fmt: skip
def test_docstrings_read_well(docstring, expected):
    assert [line for line in library.restructured(docstring.split("\n")) if line] == expected


def test_the_code_is_part_of_what_a_site_is_made_of(tmp_path, monkeypatch):
    calls = []
    (tmp_path / "_site/static").mkdir(parents=True)
    for name in ("_site/conf.py", "index.md"):
        (tmp_path / name).write_text("# The book\n")

    def stand_in(work, *rest):
        calls.append(sorted(path.name for path in (work / "book").rglob("*.rst")))
        (work / "html").mkdir()
        (work / "html/index.html").write_text("a page")

    def build(with_library=True):
        site.build(tmp_path, {}, tmp_path / "out", title="", stamp="", with_library=with_library)

    monkeypatch.setattr(site, "_sphinx", stand_in)
    build()
    build()
    assert len(calls) == 1
    monkeypatch.setattr(library, "code", lambda: "other code")
    build()
    assert len(calls) == 2
    build(with_library=False)
    assert "losses.rst" in calls[0]
    assert calls[2] == []
