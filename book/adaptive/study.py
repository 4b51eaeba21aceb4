"""The adaptive chapter (SAKD): its artifacts, how each is made, and the checks of its claims."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from book.adaptive import audit, figures, tables
from book.adaptive.runs import ABLATED, BASES, IMAGENET, VIDEO, Runs, controls, longer
from book.adaptive.tables import PUBLISHED, epoch_seconds, top1
from kdlib.analysis.statistics import Interval, mean_interval, verdict
from kdlib.methods.adaptive.interruption import drops, interruption_rate
from kdlib.runs.spec import RunSpec
from kdlib.study import tables as study_tables
from kdlib.study.chapter import Chapter, Study
from kdlib.study.claims import Finding
from kdlib.study.setting import Setting

PAPER = "sakd"
ROLES = ("target", "image")
__all__ = ["PAPER", "PUBLISHED", "studies"]

RATES = {"Poly": "polynomial", "Linear": "linear", "Cosine": "cosine"}
SUPERVISORS = {"GT+Teac.": "both", "Teacher": "teacher", "GT": "labels"}
# Number, base method, option, and the option's value for a printed one.
ABLATIONS: tuple[tuple[int, str, str, Callable[[str], float | str]], ...] = (
    (6, "crosskd", "threshold", float),
    (7, "crosskd", "history", float),
    (8, "kd", "rate", RATES.__getitem__),
    (9, "crosskd", "rate", RATES.__getitem__),
    (10, "kd", "interval", int),
    (11, "crosskd", "interval", int),
    (12, "kd", "supervisor", SUPERVISORS.__getitem__),
    (13, "crosskd", "supervisor", SUPERVISORS.__getitem__),
    (14, "kd", "gamma", float),
    (15, "crosskd", "gamma", float),
)
DEFAULTS = {
    "threshold": 0.5, "history": 0.1, "rate": "polynomial", "interval": 5, "supervisor": "both",
    "gamma": 0.5,
}  # fmt: skip
TITLES = {
    6: "the interruption threshold η, with CrossKD",
    7: "the history weight λ, with CrossKD",
    8: "the interruption rate β(n), with KD",
    9: "the interruption rate β(n), with CrossKD",
    10: "the selection interval, with KD",
    11: "the selection interval, with CrossKD",
    12: "the supervisor, with KD",
    13: "the supervisor, with CrossKD",
    14: "the diversity weight γ, with KD",
    15: "the diversity weight γ, with CrossKD",
}


def studies(setting: Setting) -> list[Study]:
    """All artifacts of the chapter with their runs at this setting."""
    runs = Runs(setting)
    seeds = setting.seed_list(headline=True)
    strength = {
        name: (runs.ours("SlowFast", base, 0, interval=1),)
        for name, base in (("KD", "kd"), ("CrossKD", "crosskd"))
    }
    one = {"KD": strength["KD"]}
    return [
        Study(
            "sakd/table-01", "Data sets: counts of the manifests and as printed", tables.data_table
        ),
        Study("sakd/table-02", "Batch sizes, epochs: printed, here", partial(audit.recipes, runs)),
        Study(
            "sakd/table-03",
            "The paper's networks at true size, counted, and timed on one thread here",
            partial(tables.speed_table, videos=setting.profile != "smoke"),
        ),
        Study(
            "sakd/table-04",
            "Images, siblings of ResNet-34 and ResNet-18: six methods, vanilla and SAKD",
            partial(tables.method_table, pairs=(IMAGENET,), number=4, time="hrs"),
            _methods(runs, (IMAGENET,)),
        ),
        Study(
            "sakd/table-05",
            "Action recognition: six methods on three pairs of networks, vanilla and SAKD",
            partial(tables.method_table, pairs=VIDEO, number=5, time="min"),
            _methods(runs, VIDEO),
        ),
        Study(
            "sakd/controls",
            "SAKD with KD beside its controls; gains are over KD on all samples, paired by seed",
            tables.control_table,
            controls(runs, seeds),
        ),
        Study(
            "sakd/longer",
            "Selections around KD, every fifth epoch, after short and long trainings; "
            "bars are 95 % t intervals over seeds",
            figures.longer_training,
            longer(runs, seeds),
        ),
        *(
            Study(
                f"sakd/table-{number:02}",
                f"Ablation of {TITLES[number]}",
                partial(
                    tables.ablation_table, pairs=ABLATED, number=number, times=number in (10, 11)
                ),
                _ablation(runs, number, base, option, value),
            )
            for number, base, option, value in ABLATIONS
        ),
        Study("sakd/audit", "What the printed tables say of each other", audit.table),
        Study(
            "sakd/figure-1", "Three interruption rates β(n), cut at η = 0.5", figures.beta_curves
        ),
        Study(
            "sakd/figure-2",
            "Mean strength of the selected samples",
            figures.mean_strength,
            strength,
        ),
        Study(
            "sakd/figure-3",
            "Selected samples of each class, early, in the middle and late",
            partial(figures.selected_bars, setting),
            one,
        ),
        Study(
            "sakd/figure-4",
            "The six most selected classes, with the number of samples",
            partial(figures.most_selected, setting),
            one,
        ),
        Study(
            "sakd/figure-5",
            "Classes by the change of their number of selected samples",
            partial(figures.change_pies, setting),
            one,
        ),
        Study(
            "sakd/figure-6",
            "The six classes that changed most, with the change",
            partial(figures.most_changed, setting),
            one,
        ),
    ]


def _methods(runs: Runs, pairs: Iterable[str]) -> dict[str, tuple[RunSpec, ...]]:
    """The runs of Tables 4 and 5, by pair, method and type as printed, and of their controls."""
    seeds = runs.setting.seed_list(headline=False)
    found: dict[str, tuple[RunSpec, ...]] = {}
    for pair in pairs:
        found[f"{pair}|-|Teac."] = tuple(runs.direct(pair, seed, of="teacher") for seed in seeds)
        found[f"{pair}|-|Stud."] = tuple(runs.direct(pair, seed) for seed in seeds)
        for method, base in BASES.items():
            for kind, make in runs.kinds(pair, base).items():
                found[f"{pair}|{method}|{kind}"] = tuple(make(seed) for seed in seeds)
    return found


def _ablation(
    runs: Runs, number: int, base: str, option: str, value: Callable[[str], float | str]
) -> dict[str, tuple[RunSpec, ...]]:
    """The runs of one ablation, by pair and printed value; the default is shared by all."""
    found, seeds = {}, runs.setting.seed_list(headline=False)
    for printed in tables.published(number).iloc[:, 0]:
        given = value(printed)
        options = {} if given == DEFAULTS[option] else {option: given}
        for pair in ABLATED:
            found[f"{pair}|{printed}"] = tuple(
                runs.ours(pair, base, seed, **options) for seed in seeds
            )
    return found


# Checks of the claims in claims.toml


def _paired(differences: Iterable[float], compared: str, unit: str = "points") -> Finding:
    """A finding on the mean of differences, a t interval over them."""
    interval = mean_interval(np.array(list(differences)))
    return Finding(interval, unit, verdict(interval), compared)


def _by_method(chapter: Chapter, artifact: str, ours: str, theirs: str) -> list[float]:
    """Top-1 of one type less another, a value a method and pair of networks."""
    records = chapter.records(artifact)
    labels = {label.rsplit("|", 1)[0] for label in records if label.split("|")[1] != "-"}
    return [
        top1(records[f"{label}|{ours}"]) - top1(records[f"{label}|{theirs}"])
        for label in sorted(labels)
    ]


def ours_beats_vanilla_on_images(chapter: Chapter) -> Finding:
    """Table 4: Ours less vanilla, over the six methods."""
    differences = _by_method(chapter, "sakd/table-04", "Ours", "Vani.")
    return _paired(differences, "Ours against vanilla, paired over six methods, one seed")


def ours_beats_starred_on_images(chapter: Chapter) -> Finding:
    """Table 4: Ours less Ours*, over the six methods."""
    differences = _by_method(chapter, "sakd/table-04", "Ours", "Ours*")
    return _paired(differences, "every epoch against every fifth, paired over six methods")


def ours_beats_vanilla_on_video(chapter: Chapter) -> Finding:
    """Table 5: Ours less vanilla, over six methods and three pairs."""
    differences = _by_method(chapter, "sakd/table-05", "Ours", "Vani.")
    return _paired(differences, "Ours against vanilla, over six methods and three pairs")


def starred_beats_vanilla_with_seeds(chapter: Chapter) -> Finding:
    """The controls' five seeds: Ours* less vanilla KD."""
    return _control(chapter, "Ours*", "KD, all samples")


def selection_beats_random(chapter: Chapter) -> Finding:
    """The controls: Ours* less the same with random samples."""
    return _control(chapter, "Ours*", "Ours*, random samples")


def ours_beats_same_steps(chapter: Chapter) -> Finding:
    """The controls: Ours less vanilla KD of as many steps."""
    return _control(chapter, "Ours", "KD, steps of Ours")


def _control(chapter: Chapter, ours: str, theirs: str) -> Finding:
    records = chapter.records("sakd/controls")
    gain = study_tables.gain(records[ours], records[theirs])
    return Finding(gain, "points", verdict(gain), f"{ours} against {theirs}, paired by seed")


def starred_is_much_cheaper(chapter: Chapter) -> Finding:
    """Table 5: 1 - seconds of Ours* over those of vanilla, selection included."""
    records = chapter.records("sakd/table-05")
    savings = [
        1
        - epoch_seconds(records[f"{p}|{m}|Ours*"][0]) / epoch_seconds(records[f"{p}|{m}|Vani."][0])
        for p in VIDEO
        for m in BASES
    ]
    compared = "share of vanilla's seconds an epoch that Ours* saves, selection included"
    return _paired(savings, compared, "of the time")


def _ablated(
    chapter: Chapter, numbers: Iterable[int], best: str, others: Iterable[str]
) -> list[float]:
    """Top-1 of one printed value less the mean of others, a value a table and pair."""
    found = []
    for number in numbers:
        records = chapter.records(f"sakd/table-{number:02}")
        rest = list(others)
        for pair in ABLATED:
            mean = np.mean([top1(records[f"{pair}|{value}"]) for value in rest])
            found.append(top1(records[f"{pair}|{best}"]) - float(mean))
    return found


def _others(number: int, best: str) -> list[str]:
    return [value for value in tables.published(number).iloc[:, 0] if value != best]


def eta_is_best_at_half(chapter: Chapter) -> Finding:
    """Table 6: eta 0.5 less the mean of the others, over four pairs."""
    differences = _ablated(chapter, [6], "0.5", _others(6, "0.5"))
    return _paired(differences, "η = 0.5 against the mean of the others, over four pairs")


def lambda_is_best_at_a_tenth(chapter: Chapter) -> Finding:
    """Table 7: lambda 0.1 less the mean of the others, over four pairs."""
    differences = _ablated(chapter, [7], "0.1", _others(7, "0.1"))
    return _paired(differences, "λ = 0.1 against the mean of the others, over four pairs")


def polynomial_is_best(chapter: Chapter) -> Finding:
    """Tables 8 and 9: polynomial less the mean of the other two."""
    differences = _ablated(chapter, [8, 9], "Poly", ("Linear", "Cosine"))
    return _paired(differences, "polynomial against the other two, over two methods and four pairs")


def shorter_intervals_are_better(chapter: Chapter) -> Finding:
    """Tables 10 and 11: interval 1 less interval 10."""
    differences = _ablated(chapter, [10, 11], "1", ["10"])
    return _paired(differences, "interval 1 against 10, over two methods and four pairs")


def longer_intervals_are_faster(chapter: Chapter) -> Finding:
    """Tables 10 and 11: 1 - seconds at interval 10 over those at 1."""
    savings = []
    for number in (10, 11):
        records = chapter.records(f"sakd/table-{number:02}")
        savings += [
            1 - epoch_seconds(records[f"{pair}|10"][0]) / epoch_seconds(records[f"{pair}|1"][0])
            for pair in ABLATED
        ]
    return _paired(
        savings, "share of the seconds an epoch saved from interval 1 to 10", "of the time"
    )


def teacher_beats_labels(chapter: Chapter) -> Finding:
    """Tables 12 and 13: the teacher alone less the labels alone."""
    differences = _ablated(chapter, [12, 13], "Teacher", ["GT"])
    return _paired(differences, "teacher alone against labels alone, two methods, four pairs")


def both_supervisors_are_best(chapter: Chapter) -> Finding:
    """Tables 12 and 13: both less the mean of either alone."""
    differences = _ablated(chapter, [12, 13], "GT+Teac.", ["Teacher", "GT"])
    return _paired(differences, "both against the mean of either alone, two methods, four pairs")


def gamma_is_best_at_half(chapter: Chapter) -> Finding:
    """Tables 14 and 15: gamma 0.5 less the mean of the others."""
    differences = _ablated(chapter, [14, 15], "0.5", _others(14, "0.5"))
    return _paired(differences, "γ = 0.5 against the mean of the others, two methods, four pairs")


def strength_rises(chapter: Chapter) -> Finding:
    """The controls' seeds of Ours: mean strength of the last third less that of the first."""
    rises = []
    for record in chapter.records("sakd/controls")["Ours"]:
        values = figures.strengths(record)
        third = max(1, len(values) // 3)
        rises.append(float(values[-third:].mean() - values[:third].mean()))
    return _paired(
        rises, "mean strength of the last third less the first, five seeds", "of strength"
    )


def slowfast_is_smallest(chapter: Chapter) -> Finding:
    """Table 3: parameters of SF4x16 over those of the smallest other video student, less 1."""
    sizes = tables.parameter_counts()
    others = sizes[["SwinT", "TPN-f8s8"]]
    more = float(sizes["SF4×16"] / others.min() - 1)
    name = "supported" if more < 0 else "contradicted"
    exact = Interval(more, more, more, 1, "counted")
    return Finding(
        exact, "relative parameters", name, f"SF4×16 against {others.idxmin()}, true size"
    )


def polynomial_drops_longest(chapter: Chapter) -> Finding:
    """Figure 1: epochs of 50 with dropout, polynomial less the longer of the other two."""
    epochs = {
        kind: sum(drops(interruption_rate(kind, n, 50), 0.5) for n in range(50))
        for kind in figures.RATES
    }
    more = float(epochs["polynomial"] - max(epochs["linear"], epochs["cosine"]))
    name = "supported" if more > 0 else "contradicted"
    exact = Interval(more, more, more, 1, "counted")
    return Finding(exact, "epochs of 50", name, "polynomial against linear and cosine, computed")


def rate_matters_more_on_images(chapter: Chapter) -> Finding:
    """Tables 8 and 9: range of top-1 over the three rates, images less videos, by base method."""
    differences = []
    for number in (8, 9):
        records = chapter.records(f"sakd/table-{number:02}")
        ranges = {
            pair: float(np.ptp([top1(records[f"{pair}|{rate}"]) for rate in RATES]))
            for pair in ABLATED
        }
        images = (ranges["ResNet"], ranges["WRN"])
        videos = (ranges["SlowFast"], ranges["VideoST"])
        differences += [image - video for image, video in zip(images, videos, strict=True)]
    return _paired(differences, "range over the three rates, image pairs less video pairs")


def strength_is_low_at_first(chapter: Chapter) -> Finding:
    """The controls' seeds of Ours: 0.5 less the mean strength over the first 35 of 50 epochs."""
    below = []
    for record in chapter.records("sakd/controls")["Ours"]:
        values = figures.strengths(record)
        below.append(0.5 - float(values[: max(1, round(0.7 * len(values)))].mean()))
    return _paired(below, "0.5 less the mean strength of the first 70 % of epochs", "of strength")


def few_samples_change(chapter: Chapter) -> Finding:
    """The controls' seeds of Ours: share of classes that change little, less one half.

    Five samples are 53 % of the 953 clips over 101 classes that the paper selects.
    """
    shares = []
    for record in chapter.records("sakd/controls")["Ours"]:
        counts = figures.by_class(chapter.setting, record)
        change = counts.diff(axis=1).iloc[:, 1:].abs().to_numpy()
        shares.append(float((change <= 5 * 101 / 953 * counts.to_numpy().mean()).mean()) - 0.5)
    compared = "share of classes that change by at most 53 % of the mean count, less one half"
    return _paired(shares, compared, "of the classes")


def size_is_as_printed(chapter: Chapter) -> Finding:
    """Table 3: the largest relative difference of parameters, counted."""
    printed = tables.published(3).set_index("Backbone")["Params (M)"].astype(float)
    largest = float((tables.parameter_counts().round(2) / printed - 1).abs().max())
    exact = Interval(largest, largest, largest, 1, "counted")
    name = "supported" if largest < 0.001 else "contradicted"
    return Finding(exact, "largest relative difference", name, "16 networks at true size, Table 3")
