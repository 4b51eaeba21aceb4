"""What was searched, as a table: means, gains over the testbed's own baseline, spreads."""

from types import SimpleNamespace

import pandas as pd
import pytest

from kdlib.errors import UserError
from kdlib.study import published
from kdlib.study import search as module
from kdlib.study.search import BASELINE, search, search_reading

SCORES = {
    ("a", "kd"): (0.70, 0.80, 0.90),
    ("a", BASELINE): (0.60, 0.60, 0.90),
    ("b", BASELINE): (0.10, 0.20, 0.30),
}


@pytest.fixture
def setting(monkeypatch):
    """A setting whose store has these runs already; `("b", "failed")` has none."""
    candidates = {
        label: tuple(SimpleNamespace(key=(*label, n)) for n in range(3))
        for label in (*SCORES, ("b", "failed"))
    }
    records = {
        (*label, n): SimpleNamespace(result={"last": {"score": score}})
        for label, scores in SCORES.items()
        for n, score in enumerate(scores)
    }
    monkeypatch.setattr(module, "plan", lambda *_: ([], len(records)))
    monkeypatch.setattr(module, "run_all", lambda *_, **__: None)
    monkeypatch.setattr(module, "run_key", lambda spec, *_: spec.key)
    datasets = SimpleNamespace(keys=lambda specs: {})
    store = SimpleNamespace(find=records.get)
    return candidates, SimpleNamespace(datasets=datasets, run_store=store, device="cpu", jobs=1)


def test_gains_are_over_the_baseline_of_the_same_testbed_by_seed(setting):
    table = search(*setting).set_index(["testbed", "training"])
    assert list(table.index) == list(SCORES), "what lacks a run is left out"
    kd = table.loc["a", "kd"]
    # Gains of 10, 20 and 0 points.
    assert (kd["top-1 %"], kd["sd"], kd["gain"], kd["sd of the gain"], kd["n"]) == (
        80,
        10,
        10,
        10,
        3,
    )
    assert table.loc[("a", BASELINE), "gain"] != table.loc[("a", BASELINE), "gain"]  # none
    assert table.loc[("b", BASELINE), "top-1 %"] == 20


def test_a_word_for_a_number_is_named_with_its_line(tmp_path, monkeypatch):
    for place in (module, published):
        monkeypatch.setattr(place, "ROOT", tmp_path)
    path = tmp_path / "book/some/search.csv"
    path.parent.mkdir(parents=True)
    path.write_text("testbed,training,gain,n\na,kd,1.0,3\na,labels alone,,3\n")
    kept = module.kept({}, "some")
    assert (kept["gain"][0], kept["n"][0], kept["n"].dtype.kind) == (1.0, 3, "i")
    assert kept["gain"].isna().tolist() == [False, True]
    path.write_text(path.read_text().replace("1.0", "l.0"))
    with (
        pytest.raises(UserError, match=r"search\.csv, line 2, gain: 'l\.0' is no number"),
        published.telling_words("some"),
    ):
        module.kept({}, "some")


def test_the_reading_names_the_testbeds_of_the_least_and_the_largest_gain():
    rows = [("a", "kd", 1.0), ("b", "kd", -2.0), ("c", "kd", 3.0), ("d", "other", 9.0)]
    table = pd.DataFrame(rows, columns=["testbed", "training", "gain"])
    found = search_reading(table, {}, "kd", "why").found
    assert found == "The gain of “kd” goes from -2.0 points (b) to +3.0 (c)."
