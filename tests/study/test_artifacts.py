import math

import numpy as np
import pandas as pd

from kdlib.analysis.plots import panels
from kdlib.analysis.statistics import Interval, compare, mean_interval
from kdlib.study.artifacts import numbers, read, text, write
from kdlib.study.seal import unseal

TABLE = pd.DataFrame(
    {
        "model": ["a_b", "c"],
        "top-1 %": [Interval(80.44, 73.46, 87.31, 5, "t"), mean_interval([70.0])],
        "gain": [None, Interval(1.0, -1.0, 3.0, 5, "paired t")],
        "n": [5, 1],
        "MMACs": [4.73, 1234.5],
    }
)


def test_a_table_is_written_in_three_forms_with_its_provenance(tmp_path):
    table = pd.DataFrame({"model": ["a_b"], "top-1 %": [12.5]})
    write(table, tmp_path / "p" / "table-1", {"seeds": [0]})
    assert pd.read_csv(tmp_path / "p/table-1.csv").equals(table)
    assert "| a_b" in (tmp_path / "p/table-1.md").read_text()
    assert r"a\_b & 12.5" in (tmp_path / "p/table-1.tex").read_text()
    sealed = unseal(tmp_path / "p/table-1.json")
    assert sealed["seeds"] == [0]
    assert set(sealed["files"]) == {"table-1.csv", "table-1.md", "table-1.tex"}
    assert len(list((tmp_path / "p").iterdir())) == 4


def test_intervals_are_shown_rounded_and_kept_as_numbers(tmp_path):
    write(TABLE, tmp_path / "table", {})
    tex = (tmp_path / "table.tex").read_text()
    assert r"a\_b & 80.4 [73.5, 87.3] & – & 5 & 4.73 \\" in tex
    assert r"c & 70.0 & +1.0 [-1.0, 3.0] & 1 & 1,234.5 \\" in tex
    markdown = (tmp_path / "table.md").read_text().splitlines()[2]
    assert [cell.strip() for cell in markdown.split("|")[1:-1]] == [
        "a_b", "80.4 [73.5, 87.3]", "–", "5", "4.73",
    ]  # fmt: skip
    csv = pd.read_csv(tmp_path / "table.csv")
    assert list(csv) == [
        "model", "top-1 %", "top-1 % low", "top-1 % high", "gain", "gain low", "gain high", "n",
        "MMACs",
    ]  # fmt: skip
    assert csv["top-1 %"].tolist() == [80.44, 70]
    assert csv["top-1 % low"][0] == 73.46
    assert csv[["top-1 % low", "top-1 % high"]].isna().all(axis=1).tolist() == [False, True]
    assert csv["gain"].dtype.kind == "f"


def test_a_written_csv_reads_as_it_was_shown(tmp_path):
    write(TABLE, tmp_path / "table", {})
    shown = TABLE.map(text)
    shown["MMACs"] = ["4.73", "1234.5"]  # a number that is no interval stays as it is written
    pd.testing.assert_frame_equal(read(tmp_path / "table.csv"), shown)


def test_a_csv_of_texts_reads_as_it_is(tmp_path):
    (tmp_path / "old.csv").write_text('training,top-1 %,gain\nKD,"1.0 [0.5, 1.5]",–\n')
    assert read(tmp_path / "old.csv").iloc[0].tolist() == ["KD", "1.0 [0.5, 1.5]", "–"]


def test_cells():
    assert [text(x) for x in (None, math.nan, np.float64(1234.5), 7, "a", compare([1]).effect)] == [
        "–", "–", "1,234.5", "7", "a", "+1.0",
    ]  # fmt: skip
    assert numbers(pd.DataFrame({"a": [1]})).equals(pd.DataFrame({"a": [1]}))


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        figure, axes = panels()
        axes[0, 0].plot([1, 2], label="x")
        axes[0, 0].legend()
        write(figure, tmp_path / name, {})
    for ending in ("svg", "png"):
        assert f"a.{ending}" in unseal(tmp_path / "a.json")["files"]
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
