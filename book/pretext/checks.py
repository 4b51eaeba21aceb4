"""The checks of the pretext chapter's `claims.toml`; those that count printed numbers alone stand
in `counted.py`."""

from collections.abc import Iterable

from book.pretext import maps, measured
from book.pretext.counted import (
    category_margins_are_as_stated,
    quoted_student_is_that_of_table_1,
    source_margins_are_as_stated,
    three_clips_are_best_in_print,
)
from book.pretext.runs import DIFFICULTIES, NETWORKS, R21D, ROLES_OF, SHUFFLENET, TASKS
from kdlib.study import tables
from kdlib.study.chapter import Chapter
from kdlib.study.checks import (
    Cell,
    Check,
    Finding,
    any_better,
    best,
    best_over,
    better,
    better_over,
    clustered,
)

__all__ = [
    "category_margins_are_as_stated",
    "quoted_student_is_that_of_table_1",
    "source_margins_are_as_stated",
    "three_clips_are_best_in_print",
]
ONE, TWO, THREE, FOUR = (f"pretext/table-{number}" for number in range(1, 5))
LEARNT, ENSEMBLES, FIGURE = "pretext/tasks", "pretext/ensembles", "pretext/figure-1"
PRETRAINED, DISTILLED = "pretext/pretraining", "pretext/distillation"
SUBSETS = ("10k", "30k", "50k", "100k")
SINGLE = (("KD, teacher ShuffleNet",), ("KD, teacher R21D",))

# Positive controls


def _learnt(task: str) -> Check:
    """The check that a pre-training answers more of its questions than a guess, over scenes."""

    def find(chapter: Chapter) -> Finding:
        (record,) = chapter.records(LEARNT)[task, "pre-trained"]
        scenes, answered, chance = measured.answers(record, chapter.setting)
        above = zip(scenes.tolist(), (100 * (answered - chance)).tolist(), strict=True)
        return clustered(above, "questions on held-out clips answered, less chance; n is of scenes")

    return Check(find, (LEARNT,))


rotnet_is_learnt, vcop_is_learnt, prp_is_learnt, rspnet_is_learnt, cvrl_is_learnt, tdl_is_learnt = (
    _learnt(task) for task in TASKS
)
pretraining_beats_scratch = better_over(
    [(PRETRAINED, (network, "fine-tuned")) for network in NETWORKS],
    [(PRETRAINED, (network, "random")) for network in NETWORKS],
    "fine-tuned after RSPNet against from scratch, mean over two networks",
)
single_teacher_beats_labels = any_better(DISTILLED, SINGLE, measured.BASELINE)

# Table 1


def _at(who: str, subsets: Iterable[str]) -> list[Cell]:
    return [(ONE, (role, subset, who)) for role in ROLES_OF for subset in subsets]


student_beats_both_teachers = best_over(
    _at("ST", SUBSETS),
    {who: _at(who, SUBSETS) for who in ("T1", "T2")},
    "the student, mean over four subsets and two targets,",
)
second_smallest_subset_is_best = best_over(
    _at("ST", SUBSETS[1:2]),
    {subset: _at("ST", [subset]) for subset in SUBSETS if subset != "30k"},
    "the student at 30k, mean over two targets,",
)
student_of_least_beats_teachers_of_most = best_over(
    _at("ST", SUBSETS[:1]),
    {f"{who} at 100k": _at(who, SUBSETS[3:]) for who in ("T1", "T2")},
    "the student at 10k, mean over two targets,",
)
rspnet_is_best_after_fine_tuning = best_over(
    [(LEARNT, ("RSPNet", "fine-tuned"))],
    {task: [(LEARNT, (task, "fine-tuned"))] for task in TASKS if task != "RSPNet"},
    "RSPNet",
)

# Table 2


def _difficulties(networks: Iterable[str], tasks: Iterable[str], compared: str) -> Check:
    """The check that students of three difficulties beat each of these."""

    def cells(who: str) -> list[Cell]:
        return [(TWO, (network, task, who)) for network in networks for task in tasks]

    return best_over(cells("S"), {who: cells(who) for who in ("T1", "T2", "T3")}, compared)


shufflenet_beats_three_complexities = _difficulties(
    (SHUFFLENET,), tuple(DIFFICULTIES), "ShuffleNet students, mean over three tasks,"
)
r21d_beats_three_complexities_of_prp = _difficulties((R21D,), ("PRP",), "the R21D student")
students_beat_complexities_on_both_networks = _difficulties(
    NETWORKS, tuple(DIFFICULTIES), "students, mean over three tasks and two networks,"
)
three_turns_beat_four = better(TWO, (R21D, "RotNet", "T2"), (R21D, "RotNet", "T3"))

# Tables 3 and 4

SOURCED = ("RotNet", "VCOP", "CVRL", "RSPNet")
student_beats_teachers_of_two_sources = best_over(
    [(THREE, (task, "S")) for task in SOURCED],
    {who: [(THREE, (task, who)) for task in SOURCED] for who in ("T1", "T2")},
    "students, mean over four tasks,",
)


def second_source_suits_non_contrastive(chapter: Chapter) -> Finding:
    """Table 3: what the second source gives RotNet and VCOP, less what it gives CVRL and RSPNet."""
    records = chapter.records(THREE)
    values: list[tuple[int, float]] = []
    for task, sign in zip(SOURCED, (1, 1, -1, -1), strict=True):
        second, first = records[task, "T2"], records[task, "T1"]
        gains = tables.accuracies(second) - tables.accuracies(first)
        # The mean over four tasks is half the difference of the means over two.
        values += zip(tables.seeds(first), (2 * sign * gains).tolist(), strict=True)
    return clustered(values, "second less first source: RotNet and VCOP less CVRL and RSPNet")


non_contrastive_pair_beats_prp = better_over(
    [(FOUR, ("Non-contrastive", "S"))],
    [(LEARNT, ("PRP", "fine-tuned"))],
    "the student of RotNet and VCOP against ShuffleNet fine-tuned after PRP",
)
contrastive_pair_beats_rspnet = better_over(
    [(FOUR, ("Contrastive", "S"))],
    [(LEARNT, ("RSPNet", "fine-tuned"))],
    "the student of CVRL and TDL against ShuffleNet fine-tuned after RSPNet",
)
two_tasks_beat_one_at_three_complexities = best_over(
    [(FOUR, ("Non-contrastive", "S"))],
    {task: [(TWO, (SHUFFLENET, task, "S"))] for task in ("RotNet", "VCOP")},
    "the student of RotNet and VCOP",
)

# Figure 1


def student_has_fewer_blocks(chapter: Chapter) -> Finding:
    """Figure 1: the score of blocks of the less blocky teacher, less the student's, by seed."""
    records, setting = chapter.records(FIGURE), chapter.setting
    *teachers, student = (
        [maps.blocks(record, setting) for record in records[name,]] for name in maps.NETWORKS
    )
    least = [min(scores) for scores in zip(*teachers, strict=True)]
    fewer = [one - other for one, other in zip(least, student, strict=True)]
    seeds = tables.seeds(records[maps.NETWORKS[-1],])
    compared = "the less blocky teacher against the student"
    return clustered(zip(seeds, fewer, strict=True), compared, "of the score of blocks")


# The ensemble

ensemble_beats_single_teacher = best(ENSEMBLES, ("AE-KD",), SINGLE)
ensemble_beats_labels = better(ENSEMBLES, ("AE-KD",), measured.BASELINE)
aekd_beats_average_of_losses = better(ENSEMBLES, ("AE-KD",), ("average of losses",))
aekd_beats_average_of_logits = better(ENSEMBLES, ("AE-KD",), ("average of logits",))
