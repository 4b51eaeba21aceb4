import pandas as pd

from kdlib.analysis.plots import panels
from kdlib.study.artifacts import write
from kdlib.study.seal import unseal


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


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        figure, axes = panels()
        axes[0, 0].plot([1, 2], label="x")
        axes[0, 0].legend()
        write(figure, tmp_path / name, {})
    for ending in ("svg", "png"):
        assert f"a.{ending}" in unseal(tmp_path / "a.json")["files"]
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
