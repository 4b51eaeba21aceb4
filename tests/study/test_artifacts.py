import json

import pandas as pd

from kdlib.analysis.plots import panels
from kdlib.study.artifacts import write


def test_a_table_is_written_in_three_forms_with_its_provenance(tmp_path):
    table = pd.DataFrame({"model": ["a_b"], "top-1 %": [12.5]})
    write(table, tmp_path / "p" / "table-1", {"seeds": [0]})
    assert pd.read_csv(tmp_path / "p/table-1.csv").equals(table)
    assert "| a_b" in (tmp_path / "p/table-1.md").read_text()
    assert r"a\_b & 12.5" in (tmp_path / "p/table-1.tex").read_text()
    assert json.loads((tmp_path / "p/table-1.json").read_text()) == {"seeds": [0]}
    assert len(list((tmp_path / "p").iterdir())) == 4


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        figure, axes = panels()
        axes[0, 0].plot([1, 2], label="x")
        axes[0, 0].legend()
        write(figure, tmp_path / name, {})
    for ending in ("svg", "png"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
