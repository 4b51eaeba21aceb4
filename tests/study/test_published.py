import importlib
import re
import shutil

import pytest

from kdlib.errors import UserError
from kdlib.study import artifacts, published
from kdlib.study.published import read_table, telling_words
from kdlib.study.setting import ROOT

WHOLE = 'method,top-1 %\nKD,"80.1"\n\n"Cross\nKD",\n'


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The one published table of the chapter "some"."""
    monkeypatch.setattr(published, "ROOT", tmp_path)
    path = tmp_path / "book/some/published/table-1.csv"
    path.parent.mkdir(parents=True)
    path.write_text(WHOLE)
    return path


def test_a_table_is_text_with_its_gaps(table):
    found = published.published("some", "table-1")
    assert found.columns.tolist() == ["method", "top-1 %"]
    assert found.iloc[:, 0].tolist() == ["KD", "Cross\nKD"]
    assert found.iloc[0, 1] == "80.1"
    assert found.iloc[:, 1].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"80.1"', "80.1,3", "line 2: 3 cells, but 2 headings"),
        ('KD,"80.1"', "KD", "line 2: 1 cells, but 2 headings"),
        ('KD",', "KD,", "the row that begins in line 3: unexpected end of data"),
        ('"80.1"', '"80.1"x', "the row that begins in line 2: "),
        ("method", "top-1 %", "line 1: the heading 'top-1 %' stands twice"),
        (WHOLE, "", "it is empty"),
    ],
)
def test_a_faulty_table_is_one_line_with_file_and_place(table, old, new, message):
    text = WHOLE.replace(old, new)
    assert text != WHOLE
    table.write_text(text)
    for read in (read_table, artifacts.read):
        with pytest.raises(UserError, match=message) as caught:
            read(table)
        assert re.match(r"book/some/published/table-1\.csv", str(caught.value))
        assert "\n" not in str(caught.value)


def test_what_is_no_file_and_no_text_is_named(table):
    table.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"table-1\.csv: .*save it as UTF-8"):
        read_table(table)
    with pytest.raises(UserError, match=r"table-9\.csv: .*No such file"):
        published.published("some", "table-9")


@pytest.mark.parametrize("number", [float, int])
def test_a_word_for_a_number_is_found_where_it_is_printed(table, number):
    table.write_text(WHOLE.replace("80.1", "8o.1"))
    with (
        pytest.raises(UserError, match=r"line 2, top-1 %: '8o\.1' is no number"),
        telling_words("some"),
    ):
        number(published.published("some", "table-1").iloc[0, 1])


def test_a_word_is_found_within_its_cell_and_in_other_tables_of_the_chapter(table):
    table.write_text(WHOLE.replace("80.1", "61.9/8o.1 (↑x3)"))
    (table.parent.parent / "search.csv").write_text("testbed,gain\na,-\n")
    for word, place in (
        ("8o.1", r"published/table-1\.csv, line 2, top-1 %: '61\.9/8o\.1 \(↑x3\)'"),
        ("x3", r"published/table-1\.csv, line 2, top-1 %"),
        ("-", r"some/search\.csv, line 2, gain: '-'"),
    ):
        with pytest.raises(UserError, match=f"{place}.* is no number"), telling_words("some"):
            float(word)


@pytest.mark.parametrize(
    ("chapter", "name", "old", "new", "make"),
    [
        ("pretext", "table-1", "70.9/30.2", "70.9/3o.2", "printed.over_both_teachers"),
        ("pretext", "table-4", "61.1", "61,1", "printed.mixed_over_single"),
        ("masked", "table-14", "↑", "↑x", "printed.arrows"),
        ("masked", "table-10", "40.1", "4o.1", "printed.detection"),
    ],
)
def test_a_misprint_of_a_chapter_s_paper_is_named(
    tmp_path, monkeypatch, chapter, name, old, new, make
):
    shutil.copytree(
        ROOT / "book" / chapter / "published", tmp_path / "book" / chapter / "published"
    )
    path = tmp_path / "book" / chapter / f"published/{name}.csv"
    text = path.read_text()
    assert old in text
    new = f'"{new}"' if "," in new else new
    path.write_text(text.replace(old, new, 1))
    monkeypatch.setattr(published, "ROOT", tmp_path)
    module, function = make.split(".")
    make = getattr(importlib.import_module(f"book.{chapter}.{module}"), function)
    with (
        pytest.raises(UserError, match=rf"{name}\.csv, line \d+, .* is no number"),
        telling_words(chapter),
    ):
        make()


def test_half_a_cell_that_is_empty_is_not_looked_for_behind_a_bracket(table):
    table.write_text("method (T1),top-1 %\nKD (T2),61.9/\n")
    with (
        pytest.raises(UserError, match=r"line 2, top-1 %: '61\.9/' is no number"),
        telling_words("some"),
    ):
        float("")


def test_other_faults_are_left_as_they_are(table):
    for fault in (ValueError("could not convert string to float: 'of the code'"), KeyError("x")):
        with pytest.raises(type(fault)), telling_words("some"):
            raise fault
