"""The resolution chapter (ResKD): which runs each artifact needs, and how it is made of them."""

from dataclasses import replace
from functools import partial

from book.resolution import figures, regimes, tables
from book.resolution.readings import READINGS
from book.resolution.runs import Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.chapter import Study
from kdlib.study.search import kept
from kdlib.study.setting import Setting

PAPER = "reskd"
ROLES = ("target",)


def studies(setting: Setting) -> list[Study]:
    """All artifacts of the chapter with their runs at this setting."""
    runs = Runs(setting)
    found = [
        *_what_to_distil(runs),
        *_at_each_resolution(runs),
        Study(
            "reskd/backbones",
            "Other pairs of networks",
            tables.backbone_table,
            _backbones(runs),
        ),
        *regimes.studies(runs),
        Study("reskd/search", "How this testbed was chosen", partial(kept, chapter="resolution")),
        Study(
            "reskd/true-size",
            "The paper's own networks: parameters and cost",
            tables.true_size_table,
        ),
    ]
    return [replace(study, read=READINGS.get(study.artifact)) for study in found]


def _what_to_distil(runs: Runs) -> list[Study]:
    """The headline comparisons, all of one pair of networks at one low resolution."""
    seeds, few = runs.setting.headline, runs.setting.claimed
    teacher = tuple(runs.teacher(s) for s in seeds)
    direct = tuple(runs.direct(s) for s in seeds)
    feature = tuple(runs.distilled(s) for s in seeds)
    return [
        Study(
            "reskd/figure-5",
            "What feature, logit and pixel-level logit KD ask the student to imitate, on one clip",
            partial(figures.supervision_signals, runs.setting),
            {"teacher": teacher[:1], "student": feature[:1]},
        ),
        Study(
            "reskd/recipes",
            "The published recipes and ours for the paper profile",
            tables.recipe_table,
        ),
        Study(
            "reskd/targets",
            "What to distil: a low-resolution student under three targets, and its controls",
            tables.target_table,
            {
                "teacher": teacher,
                tables.LOW_TEACHER: tuple(runs.low_teacher(s) for s in seeds),
                "direct": direct,
                "direct, twice the epochs": tuple(runs.direct(s, times=2) for s in seeds),
                "feature KD": feature,
                "logit KD": tuple(runs.distilled(s, target="logit") for s in seeds),
                "pixel-level logit KD": tuple(runs.distilled(s, target="pixel") for s in seeds),
            },
        ),
        Study(
            "reskd/common-start",
            "A teacher that started from the student's weights, or from others",
            partial(tables.gain_table, heading="feature KD from a teacher of"),
            {
                "direct": direct[: len(few)],
                "common start": feature[: len(few)],
                "other start": tuple(runs.distilled(s, teacher=runs.stranger(s)) for s in few),
            },
        ),
        Study(
            "reskd/batchnorm",
            "The teacher's batch norm: batch statistics (unfrozen) or running ones (frozen)",
            partial(tables.gain_table, heading="teacher's batch norm"),
            {
                "direct": direct,
                "unfrozen": feature,
                "frozen": tuple(runs.distilled(s, teacher_batchnorm="running") for s in seeds),
            },
        ),
    ]


def _at_each_resolution(runs: Runs) -> list[Study]:
    """The students of several resolutions, as a table and as a figure."""
    by_resolution = {
        (kind, pixels): tuple(make(seed, resolution=pixels) for seed in runs.setting.claimed)
        for pixels in runs.scale.sweep
        for kind, make in (("direct", runs.direct), ("KD", runs.distilled))
    }
    return [
        Study(
            "reskd/resolutions",
            "Accuracy and cost at each resolution, with and without distillation",
            tables.resolution_table,
            by_resolution,
        ),
        Study(
            "reskd/resolution-sweep",
            "Accuracy against the cost of one clip",
            figures.resolution_sweep,
            by_resolution,
        ),
    ]


def _backbones(runs: Runs) -> dict[tuple[str, str], tuple[RunSpec, ...]]:
    """Teacher, student and KD student of each pair of networks."""
    found = {}
    for name, pair in runs.backbones().items():
        makers = {
            "teacher": partial(runs.teacher, pair=pair),
            "direct": partial(runs.direct, pair=pair),
            "KD": partial(runs.distilled, pair=pair, target=pair.target),
        }
        for kind, make in makers.items():
            found[name, kind] = tuple(make(seed) for seed in runs.setting.others)
    return found
