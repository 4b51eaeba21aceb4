"""The checks of the claims in SAKD's `claims.toml`."""

from collections.abc import Callable

import numpy as np

from book.adaptive import figures, sizes
from book.adaptive.ablations import RATES, default, tables_of, values
from book.adaptive.runs import ABLATED, BASES, VIDEO
from book.adaptive.tables import epoch_seconds, published, top1
from kdlib.methods.adaptive.interruption import drops, interruption_rate
from kdlib.runs.store import RunRecord
from kdlib.study.chapter import Chapter, Records
from kdlib.study.claims import Check, Finding, above_zero, better


def _table(chapter: Chapter, number: int) -> Records:
    return chapter.records(f"sakd/table-{number:02}")


# Tables 4 and 5, and the controls


def _by_method(number: int, ours: str, theirs: str, compared: str) -> Check:
    """The check that a type of row beats another, over methods and pairs of networks."""

    def check(chapter: Chapter) -> Finding:
        records = _table(chapter, number)
        groups = sorted({(pair, method) for pair, method, _ in records if method in BASES})
        gains = [top1(records[*group, ours]) - top1(records[*group, theirs]) for group in groups]
        return above_zero(gains, compared)

    return check


def _saved(records: Records, cheap: tuple[str, ...], dear: tuple[str, ...]) -> float:
    """The share of the seconds an epoch that one training saves of another's."""
    return 1 - epoch_seconds(records[cheap][0]) / epoch_seconds(records[dear][0])


ours_beats_vanilla_on_images = _by_method(
    4, "Ours", "Vani.", "Ours against vanilla, paired over six methods, one seed"
)
ours_beats_starred_on_images = _by_method(
    4, "Ours", "Ours*", "every epoch against every fifth, paired over six methods"
)
ours_beats_vanilla_on_video = _by_method(
    5, "Ours", "Vani.", "Ours against vanilla, over six methods and three pairs"
)
starred_beats_vanilla_with_seeds = better("sakd/controls", "Ours*", "KD, all samples")
selection_beats_random = better("sakd/controls", "Ours*", "Ours*, random samples")
ours_beats_same_steps = better("sakd/controls", "Ours", "KD, steps of Ours")


def starred_is_much_cheaper(chapter: Chapter) -> Finding:
    """Table 5: 1 - seconds of Ours* over those of vanilla, selection included."""
    records = _table(chapter, 5)
    savings = [
        _saved(records, (pair, method, "Ours*"), (pair, method, "Vani."))
        for pair in VIDEO
        for method in BASES
    ]
    compared = "share of vanilla's seconds an epoch that Ours* saves, selection included"
    return above_zero(savings, compared, "of the time")


# The ablations, Tables 6 to 15


def _ablated(option: str, compared: str, best: str = "", *others: str) -> Check:
    """The check that a printed value of an option beats the mean of others, by table and pair.

    Without values, that its default beats all others.
    """

    def check(chapter: Chapter) -> Finding:
        gains = []
        for number in tables_of(option):
            records, good = _table(chapter, number), best or default(number)
            bad = others or [printed for printed in values(number) if printed != good]
            for pair in ABLATED:
                mean = np.mean([top1(records[pair, printed]) for printed in bad])
                gains.append(top1(records[pair, good]) - float(mean))
        return above_zero(gains, compared)

    return check


eta_is_best_at_half = _ablated(
    "threshold", "η = 0.5 against the mean of the others, over four pairs"
)
lambda_is_best_at_a_tenth = _ablated(
    "history", "λ = 0.1 against the mean of the others, over four pairs"
)
polynomial_is_best = _ablated(
    "rate", "polynomial against the other two, over two methods and four pairs"
)
shorter_intervals_are_better = _ablated(
    "interval", "interval 1 against 10, over two methods and four pairs", "1", "10"
)
teacher_beats_labels = _ablated(
    "supervisor", "teacher alone against labels alone, two methods, four pairs", "Teacher", "GT"
)
both_supervisors_are_best = _ablated(
    "supervisor", "both against the mean of either alone, two methods, four pairs"
)
gamma_is_best_at_half = _ablated(
    "gamma", "γ = 0.5 against the mean of the others, two methods, four pairs"
)


def longer_intervals_are_faster(chapter: Chapter) -> Finding:
    """Tables 10 and 11: 1 - seconds at interval 10 over those at 1."""
    by_table = [_table(chapter, number) for number in tables_of("interval")]
    savings = [_saved(records, (p, "10"), (p, "1")) for records in by_table for p in ABLATED]
    compared = "share of the seconds an epoch saved from interval 1 to 10"
    return above_zero(savings, compared, "of the time")


def rate_matters_more_on_images(chapter: Chapter) -> Finding:
    """Tables 8 and 9: range of top-1 over the three rates, images less videos, by base method."""
    differences = []
    for number in tables_of("rate"):
        records = _table(chapter, number)
        ranges = {
            pair: float(np.ptp([top1(records[pair, rate]) for rate in RATES])) for pair in ABLATED
        }
        for image, video in (("ResNet", "SlowFast"), ("WRN", "VideoST")):
            differences.append(ranges[image] - ranges[video])
    return above_zero(differences, "range over the three rates, image pairs less video pairs")


# Strengths and selections, Figures 2 and 5


def _of_ours(chapter: Chapter, value: Callable[[RunRecord], float]) -> list[float]:
    """A value of each seed of Ours among the controls."""
    return [value(record) for record in chapter.records("sakd/controls")["Ours"]]


def strength_rises(chapter: Chapter) -> Finding:
    """The controls' seeds of Ours: mean strength of the last third less that of the first."""

    def rise(record: RunRecord) -> float:
        strengths = figures.strengths(record)
        third = max(1, len(strengths) // 3)
        return float(strengths[-third:].mean() - strengths[:third].mean())

    compared = "mean strength of the last third less the first, five seeds"
    return above_zero(_of_ours(chapter, rise), compared, "of strength")


def strength_is_low_at_first(chapter: Chapter) -> Finding:
    """The controls' seeds of Ours: 0.5 less the mean strength over the first 35 of 50 epochs."""

    def below(record: RunRecord) -> float:
        strengths = figures.strengths(record)
        return 0.5 - float(strengths[: max(1, round(0.7 * len(strengths)))].mean())

    compared = "0.5 less the mean strength of the first 70 % of epochs"
    return above_zero(_of_ours(chapter, below), compared, "of strength")


def few_samples_change(chapter: Chapter) -> Finding:
    """The controls' seeds of Ours: share of classes that change little, less one half.

    Five samples are 53 % of the 953 clips over 101 classes that the paper selects.
    """

    def share(record: RunRecord) -> float:
        counts = figures.by_class(chapter.setting, record)
        change = counts.diff(axis=1).iloc[:, 1:].abs().to_numpy()
        return float((change <= 5 * 101 / 953 * counts.to_numpy().mean()).mean()) - 0.5

    compared = "share of classes that change by at most 53 % of the mean count, less one half"
    return above_zero(_of_ours(chapter, share), compared, "of the classes")


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
