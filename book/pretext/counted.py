"""The checks of `claims.toml` that need no run: the printed tables decide.

`checks.py` imports them. They have no spread: a sentence is borne out by the tables or it is not.
"""

from typing import Any

from book.pretext.printed import (
    numbers,
    over_mean_teacher,
    over_one_task,
    three_clips_over_more,
)
from kdlib.study.checks import Check, Finding

_ROUNDING = 0.051  # points: half of the last stated digit, and what floats leave


def _counted(value: float, holds: bool, compared: str) -> Finding:
    verdict = "supported" if holds else "contradicted"
    return Finding.counted(value, "points", verdict, compared)


def _source_margins(chapter: Any) -> Finding:
    """Table 3: how far the stated gains over the mean teacher are from those of the table."""
    over = over_mean_teacher()
    off = max(abs(over["RotNet"] - 20.5), abs(over["VCOP"] - 12.6))
    return _counted(off, off < _ROUNDING, "largest difference of a stated gain to that of Table 3")


def _category_margins(chapter: Any) -> Finding:
    """Table 4: how far the stated gains are from those over R21D after PRP, after RSPNet."""
    over = over_one_task("R21D")
    off = max(abs(over["contrastive"] - 39.2), abs(over["non-contrastive"] - 1.5))
    compared = "largest difference of a stated gain to Table 4 less R21D in the supporting tables"
    return _counted(off, off < _ROUNDING, compared)


def _quoted_student(chapter: Any) -> Finding:
    """Table 1: the student of teachers of 30k clips, as the comparison with others quotes it."""
    table, quoted = numbers("table-1"), numbers("benchmarks-compared")
    off = max(
        abs(quoted["RSPNet 30k KD", target, ""] - table["ST", "30k", target])
        for target in ("UCF101", "HMDB51")
    )
    return _counted(off, off < _ROUNDING, "largest difference of the quoted accuracies to Table 1")


def _three_clips(chapter: Any) -> Finding:
    """Table 2: VCOP of three clips over the better of four and five, for either network."""
    least = min(three_clips_over_more().values())
    compared = "three clips less the better of four and five, the smaller of two networks"
    return _counted(least, least >= 2 - _ROUNDING, compared)


source_margins_are_as_stated = Check(_source_margins, ())
category_margins_are_as_stated = Check(_category_margins, ())
quoted_student_is_that_of_table_1 = Check(_quoted_student, ())
three_clips_are_best_in_print = Check(_three_clips, ())
