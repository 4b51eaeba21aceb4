from types import SimpleNamespace

import pytest

from kdlib.analysis.statistics import Interval
from kdlib.errors import UserError
from kdlib.study.claims import Finding, check_all, read

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
    (result,) = check_all(file, SimpleNamespace(better=better), chapter(evidence))
    assert result.verdict == verdict
    assert result.as_dict()["finding"]["effect"]["high"] is None
    assert bool(result.reason) is not evidence


def test_a_check_that_cannot_be_made_is_inconclusive_with_its_reason(file):
    (result,) = check_all(file, SimpleNamespace(better=broken), chapter(True))
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
        check_all(file, SimpleNamespace(), chapter(True))
