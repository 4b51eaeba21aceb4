from types import ModuleType, SimpleNamespace

import pytest

from kdlib.analysis.statistics import Interval
from kdlib.errors import UserError
from kdlib.study import claims
from kdlib.study.claims import Finding, above_zero, check_all, checks_of, read

TOML = """
[[claim]]
id = "p/one"
text = "A is better than B"
source = "Table 1"
check = "better"
"""


def better(chapter):
    return Finding(Interval(2.0, 1.0, float("inf"), 5, "t"), "points", "supported", "A against B")


def broken(chapter):
    raise UserError("its runs failed")


def checks(**functions):
    """A `checks.py` that defines these."""
    module = ModuleType("checks")
    for name, function in functions.items():
        function.__module__ = module.__name__
        setattr(module, name, function)
    return module


def chapter(evidence):
    scale = SimpleNamespace(evidence=evidence)
    return SimpleNamespace(setting=SimpleNamespace(scale=scale, profile="some"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(TOML)
    return path


@pytest.mark.parametrize(("evidence", "verdict"), [(True, "supported"), (False, "inconclusive")])
def test_a_verdict_needs_a_profile_with_evidence(file, evidence, verdict):
    (result,) = check_all(file, checks(better=better), chapter(evidence))
    assert result.verdict == verdict
    assert result.as_dict()["finding"]["effect"]["high"] is None
    assert bool(result.reason) is not evidence


def test_a_check_that_cannot_be_made_is_inconclusive_with_its_reason(file):
    (result,) = check_all(file, checks(better=broken), chapter(True))
    assert (result.verdict, result.reason, result.finding) == (
        "inconclusive", "its runs failed", None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("check = ", "chekc = ", "claim 1: (check|chekc)"),
        ('"better"', "3", "claim 1: check"),
        ("[[claim]]", "[[claim", "claims.toml"),
    ],
)
def test_a_faulty_file_is_named_with_its_entry(file, old, new, message):
    file.write_text(TOML.replace(old, new))
    with pytest.raises(UserError, match=message):
        read(file)


def test_a_missing_function_is_named(file):
    with pytest.raises(UserError, match="no function 'better'"):
        check_all(file, checks(), chapter(True))


def test_helpers_and_imported_names_are_no_checks():
    module = checks(better=better, _helper=broken)
    module.above_zero, module.Finding = above_zero, Finding
    module.made_by_another = claims.better("p/table", "ours", "theirs")
    assert checks_of(module).keys() == {"better", "made_by_another"}


def test_better_is_paired_by_seed():
    def runs(*scores):
        return [
            SimpleNamespace(spec=SimpleNamespace(seed=seed), result={"last": {"score": score}})
            for seed, score in enumerate(scores)
        ]

    records = {("a", 1): runs(0.6, 0.7, 0.81), "b": runs(0.5, 0.6, 0.7)}
    chapter = SimpleNamespace(records={"p/table": records}.__getitem__)
    found = claims.better("p/table", ("a", 1), "b")(chapter)
    assert found.effect.estimate == pytest.approx(31 / 3)
    assert (found.verdict, found.unit, found.effect.n) == ("supported", "points", 3)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [([1, 2, 3, 2], "supported"), ([-1, -2, -3, -2], "contradicted"), ([9], "inconclusive")],
)
def test_differences_above_zero_support_a_sentence(differences, verdict):
    assert above_zero(differences, "a against b").verdict == verdict


def test_what_is_counted_has_no_spread():
    found = Finding.counted(3, "parameters", "contradicted", "a and b")
    effect = found.effect
    assert (effect.low, effect.high, effect.n, effect.method) == (3, 3, 1, "counted")
