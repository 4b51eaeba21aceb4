"""The checks of the masked chapter's `claims.toml`."""

from typing import Any

import numpy as np

from book.masked import figures, measured, printed
from book.masked.runs import (
    AS_PIXELS,
    FROM_BOTH,
    FROM_IMAGE,
    FROM_VIDEO,
    PIXELS,
    ROLES_OF,
    SCRATCH,
)
from kdlib.study import tables
from kdlib.study.chapter import Chapter
from kdlib.study.checks import (
    Check,
    Finding,
    best_over,
    better,
    better_over,
    clustered,
)

DETECTION, TOKENS, INITS, PATCHES, TARGETS = (f"mvd/table-{number}" for number in range(10, 15))
TIME, TEACHERS, STUDENTS = "mvd/figure-4", "mvd/figure-5", "mvd/figure-6"
LEARNT, STARTS, ACTORS = "mvd/learnt", "mvd/starts", "mvd/actors"
MOTION, TEXTURE = ROLES_OF
_ROUNDING = 0.051  # points: half of the last printed digit, and what floats leave

# Positive controls


def _learnt(name: str, what: str) -> Check:
    """The check that all predictions of a pre-training beat mean and neighbour, over scenes."""

    def find(chapter: Chapter) -> Finding:
        records = chapter.records(LEARNT)
        found = measured.errors(records, name, chapter.setting)
        below = np.min([measured.margins(each) for each in found.values()], axis=0)
        compared = (
            f"{what} on held-out clips, below the better of mean and neighbour; n is of scenes"
        )
        return clustered(enumerate(below.tolist()), compared, "% of the loss")

    return Check(find, (LEARNT,))


image_teacher_predicts = _learnt("image teacher", "loss of masked pixels of pictures")
video_teacher_predicts = _learnt("video teacher", "loss of masked pixels of videos")
student_predicts = _learnt(
    "student of both", "loss of masked features, the worse of two teachers',"
)


def _both(name: str) -> list[tuple[str, tuple[str, str]]]:
    return [(STARTS, (role, name)) for role in ROLES_OF]


pretraining_beats_scratch = better_over(
    _both(PIXELS),
    _both(AS_PIXELS),
    "fine-tuned after masked pixels against the same network from scratch, two tasks",
)


def _less_alike(ours: tuple[str, str], theirs: tuple[str, str]) -> Check:
    """The check that pre-training sets the frames of `ours` further apart than those of `theirs`,
    over scenes: networks with random weights already differ, by their positions."""
    pair = ours, theirs

    def find(chapter: Chapter) -> Finding:
        nearer, theirs_nearer = (
            measured.learnt_between_frames(
                chapter.records(artifact)[name,][0],
                chapter.setting,
            )
            for artifact, name in pair
        )
        compared = (
            f"mean cosine between frames, {theirs[1]} less {ours[1]}, each less that of the same "
            "network before training; n is of scenes"
        )
        return clustered(enumerate((theirs_nearer - nearer).tolist()), compared, "of the cosine")

    return Check(find, tuple(dict.fromkeys(artifact for artifact, _ in pair)))


video_teacher_differs_more = _less_alike((TEACHERS, "video teacher"), (TEACHERS, "image teacher"))


def _boxes_matter(chapter: Chapter) -> Finding:
    """The detector after MVD: frame mAP less that with the boxes of other actors."""
    group = chapter.records(ACTORS)["MVD", "×"]
    wrong = [measured.shuffled(record, chapter.setting) for record in group]
    differences = (tables.accuracies(group) - wrong).tolist()
    compared = "the detector after MVD against itself with shuffled boxes"
    return clustered(zip(tables.seeds(group), differences, strict=True), compared)


boxes_matter = Check(_boxes_matter, (ACTORS,))

# Table 10

pretraining_detects_better = better(DETECTION, ("VideoMAE", "×"), (SCRATCH, "×"))
mvd_detects_better = better(DETECTION, ("MVD", "×"), ("VideoMAE", "×"))
mvd_detects_better_after_labels = better(DETECTION, ("MVD", "✓"), ("VideoMAE", "✓"))

# Tables 11 to 13


def _on_both(artifact: str, name: str) -> list[tuple[str, tuple[str, str]]]:
    return [(artifact, (role, name)) for role in ROLES_OF]


_RECONSTRUCTED = _on_both(TOKENS, "masked reconstruction ✓")
reconstruction_beats_full_input = better_over(
    _RECONSTRUCTED,
    _on_both(TOKENS, "per-token distillation ×"),
    "masked reconstruction against token by token, all of the input, two tasks",
)
reconstruction_beats_masked_input = better_over(
    _RECONSTRUCTED,
    _on_both(TOKENS, "per-token distillation ✓"),
    "masked reconstruction against token by token, masked input, two tasks",
)
scratch_beats_teachers_weights = best_over(
    [(INITS, (MOTION, "from scratch"))],
    {f"{who} teacher": [(INITS, (MOTION, f"{who} teacher"))] for who in ("image", "video")},
    "a student from scratch, on motion,",
)
two_frames_beat_four = better_over(
    _on_both(PATCHES, "2×16×16"), _on_both(PATCHES, "4×16×16"), "two frames against four, two tasks"
)

# Table 14

features_beat_pixels_of_images = better(TARGETS, ("image", "features"), ("image", "pixels"))
features_beat_pixels_of_videos = better_over(
    _on_both(TARGETS, "features"), _on_both(TARGETS, "pixels"), "features against pixels, two tasks"
)


def videos_gain_more_than_images(chapter: Chapter) -> Finding:
    """Table 14: what features gain over pixels on videos, mean of two tasks, less on pictures."""
    records = chapter.records(TARGETS)
    gains = {
        role: tables.accuracies(records[role, "features"])
        - tables.accuracies(records[role, "pixels"])
        for role in ("image", *ROLES_OF)
    }
    more = (gains[MOTION] + gains[TEXTURE]) / 2 - gains["image"]
    seeds = tables.seeds(records["image", "features"])
    compared = "gain of features over pixels, mean of two video tasks less pictures"
    return clustered(zip(seeds, more.tolist(), strict=True), compared)


# Figures 4 to 6


def mvd_is_better_in_less_time(chapter: Chapter) -> Finding:
    """Figure 4: the longest MVD that takes less time than the longest VideoMAE, teachers included,
    against it, on two tasks. Contradicted if none is faster."""
    records = chapter.records(TIME)
    spent = figures.seconds(records)
    longest = max((n for name, n in spent if name == PIXELS), key=int)
    limit = spent[PIXELS, longest]
    faster = [n for name, n in spent if name == "MVD with teachers" and spent[name, n] < limit]
    if not faster:
        least = min(value for (name, _), value in spent.items() if name == "MVD with teachers")
        return Finding.counted(
            limit - least, "s", "contradicted", "the longest VideoMAE less the shortest MVD"
        )
    chosen = max(faster, key=int)
    found = tables.difference(
        [records[role, "MVD", chosen] for role in ROLES_OF],
        [records[role, PIXELS, longest] for role in ROLES_OF],
    )
    less = limit - spent["MVD with teachers", chosen]
    return Finding.measured(
        found, f"MVD of {chosen} epochs, {less:.0f} s less, against pixels of {longest}, two tasks"
    )


student_differs_more_than_image_teacher = _less_alike(
    (STUDENTS, "student of the image teacher"), (TEACHERS, "image teacher")
)
student_of_video_differs_more = _less_alike(
    (STUDENTS, "student of the video teacher"), (STUDENTS, "student of the image teacher")
)
video_teacher_suits_motion = better(STARTS, (MOTION, FROM_VIDEO), (MOTION, FROM_IMAGE))

# What the printed tables decide


def _counted(value: float, holds: bool, compared: str) -> Finding:
    verdict = "supported" if holds else "contradicted"
    return Finding.counted(value, "points", verdict, compared)


def _margins(chapter: Any) -> Finding:
    """Table 10: how far the three stated gains are from those of the table."""
    over = printed.over_videomae()
    stated = {("L", "×"): 3.4, ("L", "✓"): 1.7, ("H", "✓"): 1.6}
    off = max(abs(over[row] - value) for row, value in stated.items())
    return _counted(off, off < _ROUNDING, "largest difference of a stated gain to that of Table 10")


def _arrows(chapter: Any) -> Finding:
    """Table 14: how far the gains behind the arrows are from the accuracies' differences."""
    gains = printed.gains_of_features()
    off = max(abs(gains[data] - value) for data, value in printed.arrows().items())
    return _counted(
        off, off < _ROUNDING, "largest difference of an arrow to the accuracies beside it"
    )


def _one_value(chapter: Any) -> Finding:
    """Tables 12 and 14: how far the two accuracies of the default student are apart."""
    off = max(abs(a - b) for a, b in (v.values() for v in printed.one_student().values()))
    compared = "ViT-B of two ViT-B teachers, 400 epochs: Table 12 against Table 14"
    return _counted(off, off < _ROUNDING, compared)


margins_of_detection_are_as_stated = Check(_margins, ())
arrows_are_differences = Check(_arrows, ())
default_student_has_one_accuracy = Check(_one_value, ())

# The book's own comparisons

two_teachers_beat_one = best_over(
    _both(FROM_BOTH),
    {FROM_IMAGE: _both(FROM_IMAGE), FROM_VIDEO: _both(FROM_VIDEO)},
    "MVD of both teachers, two tasks,",
)
mvd_beats_scratch = better_over(_both(FROM_BOTH), _both(SCRATCH), "MVD against scratch, two tasks")
mvd_beats_its_teachers = best_over(
    _both(FROM_BOTH),
    {f"the {who} teacher": _both(f"the {who} teacher") for who in ("image", "video")},
    "MVD, fine-tuned, against its teachers, fine-tuned, two tasks,",
)
image_teacher_suits_texture = better(STARTS, (TEXTURE, FROM_IMAGE), (TEXTURE, FROM_VIDEO))
