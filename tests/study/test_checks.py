import pytest

from kdlib.study.checks import (
    Check,
    Finding,
    any_better,
    best,
    best_over,
    better,
    better_over,
    clustered,
    matters,
)


def runs(record, *rights):
    return [record(s, r, 1000) for s, r in enumerate(rights)]


def test_better_is_paired_by_seed_and_says_what_it_reads(record, chapter):
    records = {("a", 1): runs(record, 600, 700, 810), "b": runs(record, 500, 600, 700)}
    check = better("p/table", ("a", 1), "b")
    found = check(chapter(records))
    assert isinstance(check, Check)
    assert check.reads == ("p/table",)
    assert found.effect.estimate == pytest.approx(31 / 3)
    assert (found.verdict, found.unit, found.effect.n) == ("supported", "points", 3)
    assert found.compared == "a 1 against b, paired by seed"
    assert found.p < 0.01
    assert found.floor > 0
    assert 0 < found.smallest < 31 / 3


def test_over_several_trainings_a_seed_counts_once(record, chapter):
    records = {("x", "a"): runs(record, 600), ("x", "b"): runs(record, 500)}
    records |= {("y", "a"): runs(record, 600), ("y", "b"): runs(record, 500)}
    cells = [[("p/table", (pair, kind)) for pair in "xy"] for kind in "ab"]
    found = better_over(*cells, "a against b")(chapter(records))
    assert (found.effect.n, found.verdict, found.p) == (1, "inconclusive", None)


def test_together_is_not_better_than_either_where_one_alone_is_as_good(record, chapter):
    records = {
        "both": runs(record, 700, 705, 695),
        "one": runs(record, 702, 701, 699),
        "other": runs(record, 500, 505, 495),
    }
    found = best("p/table", "both", ("one", "other"))(chapter(records))
    assert found.verdict == "inconclusive"
    assert found.effect.estimate < 1
    assert found.compared == "both against one, the best of one, other"
    cells = {name: [("p/table", name)] for name in ("one", "other")}
    assert best_over([("p/table", "both")], cells, "both")(chapter(records)) == found


@pytest.mark.parametrize(
    ("rights", "verdict"),
    [((800, 805, 790), "supported"), ((500, 501, 502), "contradicted")],
)
def test_best_can_come_out_either_way(record, chapter, rights, verdict):
    records = {"a": runs(record, *rights), "b": runs(record, 700, 705, 695)}
    records["c"] = runs(record, 600, 610, 600)
    assert best("p/table", "a", ("b", "c"))(chapter(records)).verdict == verdict


def test_a_setting_matters_if_two_of_its_values_differ(record, chapter):
    records = {
        ("x", v): runs(record, *r) for v, r in {"a": (700, 705, 695), "b": (701, 704, 697)}.items()
    }
    cells = {value: [("p/table", ("x", value))] for value in "ab"}
    check = matters(cells, "top-1 by v")
    found = check(chapter(records))
    assert check.reads == ("p/table",)
    assert found.verdict == "inconclusive"
    records["x", "c"] = runs(record, 500, 505, 495)
    found = matters({**cells, "c": [("p/table", ("x", "c"))]}, "top-1 by v")(chapter(records))
    assert found.verdict == "supported"
    assert found.compared == "top-1 by v: b against c, the largest of all"
    assert found.effect.estimate == pytest.approx(20.07, abs=0.01)


def test_any_better_needs_one_that_is(record, chapter):
    records = {"a": runs(record, 800, 805, 790), "b": runs(record, 100, 105, 95)}
    records["c"] = runs(record, 600, 610, 600)
    found = any_better("p/table", ("a", "b"), "c")(chapter(records))
    assert found.verdict == "supported"
    assert found.effect.estimate == pytest.approx(59.5 / 3, abs=0.4)
    assert found.compared == "a, the best of a, b, against c"
    records["c"] = runs(record, 900, 910, 900)
    assert any_better("p/table", ("a", "b"), "c")(chapter(records)).verdict == "contradicted"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([(0, 1), (1, 2), (2, 3), (3, 2)], "supported"),
        ([(0, -1), (1, -2), (2, -3), (3, -2)], "contradicted"),
        ([(0, 9)], "inconclusive"),
        ([(0, 9), (0, 8), (0, 9), (0, 8)], "inconclusive"),
    ],
)
def test_values_above_zero_support_a_sentence(values, verdict):
    found = clustered(values, "a against b")
    assert found.verdict == verdict
    assert found.effect.n == len({seed for seed, _ in values})


def test_what_is_counted_has_no_spread():
    found = Finding.counted(3, "parameters", "contradicted", "a and b")
    effect = found.effect
    assert (effect.low, effect.high, effect.n, effect.method) == (3, 3, 1, "counted")
    assert (found.p, found.floor, found.smallest) == (None, None, None)
