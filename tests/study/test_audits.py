import pytest

from kdlib.study.audits import points, sentence


@pytest.mark.parametrize(
    ("cases", "agrees"),
    [([True, 1], "yes"), ([False], "no"), ([True, False, True], "in 2 of 3"), ([], "–")],
)
def test_a_sentence_agrees_in_as_many_cases_as_hold(cases, agrees):
    row = sentence("said", "printed", iter(cases))
    assert row == {"what is said": "said", "what is printed": "printed", "agrees": agrees}


def test_points_have_their_sign_and_their_names():
    assert points({"VCOP": 9.34, "PRP": -0.06}) == "VCOP +9.3, PRP -0.1"
    assert points({("R21D", "PRP"): 1.005}, digits=2) == "R21D PRP +1.00"
