import re

import pandas as pd

from kdlib.analysis.statistics import Interval
from kdlib.press import tables

CELL = Interval(80.4, 73.5, 87.3, 5, "t")


def headings(shown):
    """Of each row of headings the texts, with the columns that each spans."""
    rows = re.findall(r"<tr>(.*?)</tr>", re.search("<thead>(.*?)</thead>", shown)[1])
    found = [re.findall(r"<th([^>]*)>(.*?)</th>", row) for row in rows]
    return [
        [(text, int((re.findall(r'colspan="(\d+)"', how) or [1])[0])) for how, text in row]
        for row in found
    ]


def test_columns_stand_under_the_heading_of_their_group():
    value = pd.DataFrame({"name": ["x"], "A|p": [1], "A|q": [2], "n": [3], "B|p": [4]})
    assert headings(tables.table(value)) == [
        [("name", 1), ("A", 2), ("n", 1), ("B", 1)],
        [("p", 1), ("q", 1), ("p", 1)],
    ]


def test_without_groups_there_is_one_row_of_headings():
    assert headings(tables.table(pd.DataFrame({"a": [1], "b": [2]}))) == [[("a", 1), ("b", 1)]]


def test_deep_groups_are_named_in_one_heading():
    shown = tables.table(pd.DataFrame({"name": ["x"], "UCF101|Top-1|WRN": [1]}))
    assert headings(shown)[0] == [("name", 1), ("UCF101, Top-1", 1)]


def columns(part):
    return list(dict.fromkeys(re.findall('data-label="(.*?)"', part)))


def test_a_table_too_wide_for_a_page_becomes_several_with_the_same_names():
    cells = {f"{group}|{k}": [k] for group in "ABC" for k in range(5)}
    parts = tables.table(pd.DataFrame({"method": ["KD"], "type": ["Ours"], **cells}))
    found = [columns(part) for part in re.findall("<table.*?</table>", parts)]
    assert [len(names) for names in found] == [12, 7]
    assert all(names[:2] == ["method", "type"] for names in found)
    assert sorted(found[0][2:] + found[1][2:]) == sorted(n.replace("|", ", ") for n in cells)


def test_a_wide_table_without_groups_stays_whole():
    shown = tables.table(pd.DataFrame({str(k): [k] for k in range(20)}))
    assert shown.count("<table") == 1
    assert "kd-wide" in shown


def test_numbers_are_told_from_text():
    value = pd.DataFrame(
        {
            "name": ["a"],
            "interval": [CELL],
            "printed": ["84.20"],
            "missing": ["–"],
            "minutes": ["6.4"],
            "tiny": ["8.3e-08"],
            "share": ["10%"],
            "old": ["21.4 ± 5.0"],
            "elsewhere": ["+3.9 [-2.5, 11.6]"],
            "why": ["the paper rounds"],
        }
    )
    shown = tables.table(value)
    kinds = dict(re.findall('class="([a-z ]*)" data-label="(.*?)"', shown))
    numeric = re.findall('class="num" data-label="(.*?)"', shown)
    assert kinds
    assert numeric == ["interval", "printed", "minutes", "tiny", "share", "old", "elsewhere"]


def test_an_interval_may_wrap_before_its_bounds_only():
    shown = tables.table(pd.DataFrame({"a": [CELL], "b": ["see [the note] there"]}))
    assert '80.4 <span class="kd-bounds">[73.5, 87.3]</span>' in shown
    assert "see [the note] there" in shown


def test_cells_headings_and_labels_are_escaped():
    shown = tables.table(pd.DataFrame({"<a>|<b>": ["<c>"], '"d"': [None]}))
    assert not re.search("<[abc]>", shown)
    assert 'data-label="&quot;d&quot;"' in shown
    assert "–" in shown
