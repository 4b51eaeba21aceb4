import time

import pytest

from kdlib.data import patterns
from kdlib.errors import UserError


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"^(day\d+)_", "day3_a.mp4", "day3"),
        (r"^(.+?)/(.+)_\1_", "wave/film_wave_f.avi", "film"),  # HMDB51's
        (r"^day\d+", "day3_a.mp4", "day3"),
        (r"^(x)?day", "day3", None),
        (r"^night", "day3", None),
    ],
)
def test_what_the_last_group_finds(pattern, text, expected):
    assert patterns.found("here", "layout.group", pattern, text) == expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"^(a|a)+$", "a" * 40 + "b"), (r"^(.*?,){25}P", "a," * 60)],
)
def test_a_search_without_end_is_ended(pattern, text):
    start = time.process_time()
    with pytest.raises(UserError, match=r"list.txt, line 3: layout.group searches .* repeats"):
        patterns.found("list.txt, line 3", "layout.group", pattern, text)
    assert time.process_time() - start < 3


def test_the_textbook_case():
    assert patterns.found("here", "layout.group", "^(a+)+$", "a" * 100 + "b") is None
