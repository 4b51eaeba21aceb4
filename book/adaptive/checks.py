"""The checks of SAKD's `claims.toml`.

Methods and pairs of networks share the seed's clips, and often its teacher: effects are averaged
over them within a seed, and n counts seeds.
"""

from collections.abc import Callable

import numpy as np

from book.adaptive import figures, sizes
from book.adaptive.ablations import ENDS, RATES, deciding, default, tables_of, tested_in, values
from book.adaptive.runs import BASES, DECIDING, DECIDING_RATE, IMAGENET
from book.adaptive.tables import epoch_seconds, published
from kdlib.methods.adaptive.interruption import drops, interruption_rate
from kdlib.runs.store import RunRecord
from kdlib.study import tables
from kdlib.study.chapter import Chapter, Records
from kdlib.study.checks import (
    Cell,
    Check,
    Finding,
    best_over,
    better,
    better_over,
    clustered,
    matters,
)

SELECTIONS = "sakd/selections"

# Positive controls

teacher_beats_student = better(SELECTIONS, "teacher", "student, labels alone")
kd_beats_labels = better(SELECTIONS, "KD, all samples", "student, labels alone")
pretraining_beats_scratch = better(SELECTIONS, "KD, all samples", "KD, all samples, from scratch")
teacher_beats_student_on_images = better("sakd/images", "teacher", "student, labels alone")
kd_beats_labels_on_images = better("sakd/images", "KD, all samples", "student, labels alone")

# Tables 4 and 5, and the selections


def _name(number: int) -> str:
    return f"sakd/table-{number:02}"


def _by_method(number: int, pairs: tuple[str, ...], ours: str, theirs: str, compared: str) -> Check:
    """The check that a type of row beats another, over methods and pairs of networks."""
    groups = [(pair, method) for pair in pairs for method in BASES]
    return better_over(
        [(_name(number), (*group, ours)) for group in groups],
        [(_name(number), (*group, theirs)) for group in groups],
        compared,
    )


def _saved(cheap: RunRecord, dear: RunRecord) -> float:
    """The share of the seconds an epoch that one training saves of another's."""
    return 1 - epoch_seconds(cheap) / epoch_seconds(dear)


def _savings(records: Records, cheap: tuple, dear: tuple) -> list[tuple[int, float]]:
    """What one training saves of another, by seed."""
    pairs = zip(records[cheap], records[dear], strict=True)
    return [(ours.spec.seed, _saved(ours, theirs)) for ours, theirs in pairs]


ours_beats_vanilla_on_images = _by_method(
    4, (IMAGENET,), "Ours", "Vani.", "Ours against vanilla, mean over six methods"
)
ours_beats_starred_on_images = _by_method(
    4, (IMAGENET,), "Ours", "Ours*", "every epoch against every fifth, mean over six methods"
)
ours_beats_vanilla_on_video = _by_method(
    5, DECIDING, "Ours", "Vani.", "Ours against vanilla, SlowFast, mean over six methods"
)
starred_beats_vanilla_with_seeds = better(SELECTIONS, "Ours*", "KD, all samples")
selection_beats_random = better(SELECTIONS, "Ours*", "Ours*, random samples")
ours_beats_same_steps = better(SELECTIONS, "Ours", "KD, steps of Ours")


def starred_is_much_cheaper(chapter: Chapter) -> Finding:
    """Table 5: 1 - seconds of Ours* over those of vanilla, selection included."""
    records = chapter.records(_name(5))
    savings = [
        saved
        for pair in DECIDING
        for method in BASES
        for saved in _savings(records, (pair, method, "Ours*"), (pair, method, "Vani."))
    ]
    compared = "share of vanilla's seconds an epoch that Ours* saves, selection included"
    return clustered(savings, compared, "of the time")


# The ablations, Tables 6 to 15


def _cells(option: str, printed: str) -> list[Cell]:
    """A printed value of an option in all its tables, by pair of networks."""
    pairs = deciding(option)
    return [(_name(number), (pair, printed)) for number in tested_in(option) for pair in pairs]


def _default_is_best(option: str, symbol: str) -> Check:
    """The check that an option's default beats each other printed value."""
    number = tables_of(option)[0]
    good = default(number)
    others = {name: _cells(option, name) for name in values(number) if name != good}
    over = f"mean over {len(_cells(option, good))} trainings of a seed"
    return best_over(_cells(option, good), others, f"{symbol}{good} ({over})")


def _value_beats(option: str, good: str, bad: str, compared: str) -> Check:
    """The check that one printed value of an option beats another."""
    return better_over(_cells(option, good), _cells(option, bad), compared)


def _option_matters(option: str, symbol: str) -> Check:
    """The check that the printed values of an option differ at all."""
    names = values(tables_of(option)[0])
    return matters({name: _cells(option, name) for name in names}, f"top-1 by {symbol}")


eta_matters = _option_matters("threshold", "η")
lambda_matters = _option_matters("history", "λ")
rate_matters = _option_matters("rate", "β(n)")
gamma_matters = _option_matters("gamma", "γ")
eta_is_best_at_half = _default_is_best("threshold", "η = ")
lambda_is_best_at_a_tenth = _default_is_best("history", "λ = ")
polynomial_is_best = _default_is_best("rate", "")
both_supervisors_are_best = _default_is_best("supervisor", "")
gamma_is_best_at_half = _default_is_best("gamma", "γ = ")
shorter_intervals_are_better = _value_beats(
    "interval", *ENDS, "interval 1 against 10, mean over two methods"
)
teacher_beats_labels = _value_beats(
    "supervisor", "Teacher", "GT", "teacher alone against labels alone, with KD"
)


def longer_intervals_are_faster(chapter: Chapter) -> Finding:
    """Tables 10 and 11: 1 - seconds at interval 10 over those at 1."""
    by_table = [chapter.records(_name(number)) for number in tables_of("interval")]
    savings = [
        saved
        for records in by_table
        for pair in DECIDING
        for saved in _savings(records, *((pair, end) for end in reversed(ENDS)))
    ]
    compared = "share of the seconds an epoch saved from interval 1 to 10"
    return clustered(savings, compared, "of the time")


def rate_matters_more_on_images(chapter: Chapter) -> Finding:
    """Tables 8 and 9: range of top-1 over the three rates, images less videos, by base method."""
    differences = []
    for number in tables_of("rate"):
        records = chapter.records(_name(number))
        ranges = {
            pair: np.ptp([tables.accuracies(records[pair, rate]) for rate in RATES], axis=0)
            for pair in DECIDING_RATE
        }
        video, image = DECIDING_RATE
        seeds = tables.seeds(records[image, next(iter(RATES))])
        differences += zip(seeds, map(float, ranges[image] - ranges[video]), strict=True)
    return clustered(differences, "range over the three rates, images less clips, two methods")


# Strengths and selections, Figures 2 and 5


def _of_ours(chapter: Chapter, value: Callable[[RunRecord], float]) -> list[tuple[int, float]]:
    """A value of each seed of Ours among the selections."""
    return [(record.spec.seed, value(record)) for record in chapter.records(SELECTIONS)["Ours"]]


def strength_rises(chapter: Chapter) -> Finding:
    """The seeds of Ours: mean strength of the last third less that of the first."""

    def rise(record: RunRecord) -> float:
        strengths = figures.strengths(record)
        third = max(1, len(strengths) // 3)
        return float(strengths[-third:].mean() - strengths[:third].mean())

    compared = "mean strength of the last third less the first"
    return clustered(_of_ours(chapter, rise), compared, "of strength")


def strength_is_low_at_first(chapter: Chapter) -> Finding:
    """The seeds of Ours: 0.5 less the mean strength over the first 35 of 50 epochs."""

    def below(record: RunRecord) -> float:
        strengths = figures.strengths(record)
        return 0.5 - float(strengths[: max(1, round(0.7 * len(strengths)))].mean())

    compared = "0.5 less the mean strength of the first 70 % of epochs"
    return clustered(_of_ours(chapter, below), compared, "of strength")


def few_samples_change(chapter: Chapter) -> Finding:
    """The seeds of Ours: share of classes that change little, less one half.

    Five samples are 53 % of the 953 clips over 101 classes that the paper selects.
    """

    def share(record: RunRecord) -> float:
        counts = figures.by_class(chapter.setting, record)
        change = counts.diff(axis=1).iloc[:, 1:].abs().to_numpy()
        return float((change <= 5 * 101 / 953 * counts.to_numpy().mean()).mean()) - 0.5

    compared = "share of classes that change by at most 53 % of the mean count, less one half"
    return clustered(_of_ours(chapter, share), compared, "of the classes")


# What is counted without a run


def polynomial_drops_longest(chapter: Chapter) -> Finding:
    """Figure 1: epochs of 50 with dropout, polynomial less the longer of the other two."""
    polynomial, *others = (
        sum(drops(interruption_rate(rate, n, 50), 0.5) for n in range(50))
        for rate in RATES.values()
    )
    more = float(polynomial - max(others))
    verdict = "supported" if more > 0 else "contradicted"
    compared = "polynomial against linear and cosine, computed"
    return Finding.counted(more, "epochs of 50", verdict, compared)


def slowfast_is_smallest(chapter: Chapter) -> Finding:
    """Table 3: parameters of SF4x16 over those of the smallest other video student, less 1."""
    counts = sizes.parameter_counts()
    others = counts[["SwinT", "TPN-f8s8"]]
    more = float(counts["SF4×16"] / others.min() - 1)
    verdict = "supported" if more < 0 else "contradicted"
    compared = f"SF4×16 against {others.idxmin()}, true size"
    return Finding.counted(more, "relative parameters", verdict, compared)


def size_is_as_printed(chapter: Chapter) -> Finding:
    """Table 3: the largest relative difference of parameters, counted."""
    printed = published(3).set_index("Backbone")["Params (M)"].astype(float)
    largest = float((sizes.parameter_counts().round(2) / printed - 1).abs().max())
    verdict = "supported" if largest < 0.001 else "contradicted"
    compared = "16 networks at true size, Table 3"
    return Finding.counted(largest, "largest relative difference", verdict, compared)
