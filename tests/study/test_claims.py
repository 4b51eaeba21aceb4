from types import ModuleType

import pytest

from kdlib.analysis.statistics import compare
from kdlib.errors import UserError
from kdlib.study import checks as makers
from kdlib.study.checks import Finding, clustered
from kdlib.study.claims import Entry, check_all, checks_of, control_table, judged, read

TOML = """
[[claim]]
id = "p/one"
text = "A is better than B"
source = "Table 1"
check = "better"
requires = ["p/there"]

[[control]]
id = "p/there"
text = "There is something"
check = "there"

[[comparison]]
id = "p/own"
text = "C is better than B"
check = "better"
"""


def finding(*values):
    return Finding.measured(compare(values), "A against B")


UP, DOWN, OPEN = finding(1.0, 1.1, 0.9), finding(-1.0, -1.1, -0.9), finding(1.0, -1.0, 0.5)


def better(chapter):
    return UP


def broken(chapter):
    raise UserError("its runs failed")


def module(**functions):
    """A `checks.py` that defines these."""
    made = ModuleType("checks")
    for name, function in functions.items():
        function.__module__ = made.__name__
        setattr(made, name, function)
    return made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(TOML)
    return path


def entries(*kinds, requires=()):
    """Entries of these kinds, the controls of which come first; claims require these."""
    return [
        Entry(kind, f"p/{n}", "A text", "check", "", () if kind == "control" else requires)
        for n, kind in enumerate(kinds)
    ]


# The file


def test_a_file_has_three_kinds_of_entries_controls_first(file):
    found = read(file)
    assert [(entry.kind, entry.id) for entry in found] == [
        ("control", "p/there"), ("claim", "p/one"), ("comparison", "p/own"),
    ]  # fmt: skip
    assert found[1].requires == ("p/there",)
    assert found[2].source == "this book"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("check = ", "chekc = ", "control 1: (check|chekc)"),
        ('"better"', "3", "claim 1: check"),
        ("[[claim]]", "[[claim", "claims.toml"),
        ("[[claim]]", "[[claims]]", "entry: unknown value 'claims'.*Did you mean 'claim'"),
        ("[[control]]", "[control]", r"an entry begins with \[\[control\]\]"),
        ('["p/there"]', '["p/their"]', "p/one: requires: unknown value 'p/their'.*'p/there'"),
        ('["p/there"]', '["p/own"]', "p/one: requires: unknown value 'p/own'"),
        ('"p/own"', '"p/one"', "'p/one' stands twice"),
        ('check = "there"', 'check = "there"\nrequires = ["p/there"]', "a control requires"),
    ],
)
def test_a_faulty_file_is_named_with_its_entry(file, old, new, message):
    file.write_text(TOML.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        read(file)
    assert "\n" not in str(caught.value)


def test_text_that_is_none_is_refused_in_one_line(file):
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"claims.toml of .*utf-8"):
        read(file)


# Verdicts


@pytest.mark.parametrize(("evidence", "verdict"), [(True, "supported"), (False, "inconclusive")])
def test_a_verdict_needs_a_profile_with_evidence(file, chapter, evidence, verdict):
    checks = module(better=better, there=lambda chapter: UP)
    results = check_all(read(file), checks, chapter({}, evidence=evidence))
    assert {result.verdict for result in results} == {verdict}
    assert {bool(result.reason) for result in results} == {not evidence}


def test_a_check_that_cannot_be_made_is_inconclusive_with_its_reason(file, chapter):
    checks = module(better=broken, there=lambda chapter: UP)
    _, result, _ = check_all(read(file), checks, chapter({}))
    assert (result.verdict, result.reason, result.finding) == (
        "inconclusive", "its runs failed", None,
    )  # fmt: skip
    assert result.as_dict()["finding"] is None


@pytest.mark.parametrize("control", [DOWN, OPEN, "its runs failed"])
@pytest.mark.parametrize("found", [UP, DOWN, OPEN])
@pytest.mark.parametrize("kind", ["claim", "comparison"])
def test_what_requires_a_failing_control_is_not_testable(kind, control, found):
    said = entries("control", "control", kind, requires=("p/1", "p/0"))
    results = judged(said, {"p/0": UP, "p/1": control, "p/2": found})
    assert results[2].verdict == "not testable here"
    assert results[2].reason == "it requires p/1, which does not hold"
    assert results[2].finding is found
    assert results[2].as_dict()["raw"] == found.verdict


def test_what_requires_no_failing_control_is_tested():
    said = entries("control", "claim") + entries("control", "control", "claim", requires=("p/1",))
    said = [said[0], said[3], said[4]]
    results = judged(said, {"p/0": DOWN, "p/1": UP, "p/2": DOWN})
    assert [result.verdict for result in results] == ["contradicted", "supported", "contradicted"]


def test_the_corrected_p_decides_but_not_on_controls():
    # One of ten at p = .03: .3 corrected.
    close = finding(1.0, 0.3, 0.9, 0.2, 1.5)
    none = finding(1.0, -1.1, 0.4, -0.2, 0.01)
    assert close.verdict == "supported"
    assert 0.02 < close.p < 0.05
    said = entries("control", *["claim"] * 9, "comparison")
    results = judged(said, {"p/0": close, **{e.id: none for e in said[1:]}, "p/10": close})
    assert (results[0].verdict, results[0].p_corrected) == ("supported", None)
    assert results[10].verdict == "inconclusive"
    assert results[10].reason == "not after correction"
    assert results[10].p_corrected == pytest.approx(10 * close.p)
    assert results[10].as_dict()["raw"] == "supported"
    # Alone it is what it was.
    assert judged(said[10:], {"p/10": close})[0].verdict == "supported"


def test_what_was_counted_or_has_too_few_seeds_is_no_part_of_the_family():
    counted = Finding.counted(3, "", "contradicted", "")
    few = finding(1.0, 1.0)
    results = judged(entries(*["claim"] * 3), {"p/0": UP, "p/1": counted, "p/2": few})
    assert results[0].p_corrected == UP.p
    assert [r.verdict for r in results] == ["supported", "contradicted", "inconclusive"]
    assert [r.p_corrected for r in results[1:]] == [None, None]


def test_plain_data_says_it_all():
    results = judged(entries("claim", "claim"), {"p/0": UP, "p/1": finding(1.0)})
    said, alone = (result.as_dict() for result in results)
    assert said["verdict"] == said["raw"] == "supported"
    assert (said["kind"], said["requires"], said["reason"]) == ("claim", [], "")
    assert said["p"] == said["p_corrected"] == UP.p
    assert said["smallest"] == UP.smallest
    assert said["finding"]["effect"]["n"] == 3
    assert (alone["finding"]["effect"]["high"], alone["smallest"]) == (None, None)


def test_the_table_of_controls_says_what_rests_on_them():
    said = entries("control", "control", "claim", "comparison", requires=("p/1",))
    table = control_table(judged(said[:2], {"p/0": UP, "p/1": DOWN}), said)
    assert table["holds"].tolist() == ["yes", "no"]
    assert table["rests on it"].tolist() == ["", "2, 3"]
    assert table["effect"][1] == DOWN.effect
    assert table["n"].tolist() == [3, 3]
    none = control_table(judged(said[:1], {"p/0": "its runs failed"}), said)
    assert none["holds"].tolist() == ["no"]
    assert none["effect"].isna().all()


# Checks


def test_a_missing_function_is_named(file, chapter):
    with pytest.raises(UserError, match="no function 'there'"):
        check_all(read(file), module(better=better), chapter({}))


def test_helpers_and_imported_names_are_no_checks():
    made = module(better=better, _helper=broken)
    made.clustered, made.Finding = clustered, Finding
    made.made_by_another = makers.better("p/table", "ours", "theirs")
    assert checks_of(made).keys() == {"better", "made_by_another"}
