"""The adaptive chapter (SAKD): which runs each artifact needs, and how it is made of them."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from book.adaptive import ablations, audit, figures, sizes, tables
from book.adaptive.readings import READINGS
from book.adaptive.runs import (
    ABLATED,
    BASES,
    DECIDING,
    GAINS,
    IMAGENET,
    VIDEO,
    Runs,
    images,
    regimes,
    selections,
)
from kdlib.runs.spec import RunSpec
from kdlib.study.chapter import Study
from kdlib.study.regimes import regime_map, regime_table
from kdlib.study.search import kept
from kdlib.study.setting import Setting

PAPER = "sakd"
ROLES = ("target", "image")
FEWER = 4  # seeds of Tables 4 and 5 at most: means over six methods vary less than one method


def studies(setting: Setting) -> list[Study]:
    """All artifacts of the chapter with their runs at this setting."""
    runs = Runs(setting)
    found = [
        *_first_tables(runs),
        *_selections(runs),
        *_ablations(runs),
        Study("sakd/audit", "What the printed tables say of each other", audit.table),
        *_figures(runs),
    ]
    return [replace(study, read=READINGS.get(study.artifact)) for study in found]


def _first_tables(runs: Runs) -> list[Study]:
    """Tables 1 to 5."""
    return [
        Study(
            "sakd/table-01", "Data sets: counts of the manifests and as printed", tables.data_table
        ),
        Study("sakd/table-02", "Batch sizes, epochs: printed, here", partial(audit.recipes, runs)),
        Study(
            "sakd/table-03",
            "The paper's networks at true size, counted, and timed on one thread here",
            partial(sizes.speed_table, videos=runs.setting.profile != "smoke"),
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
            _methods(runs, VIDEO if runs.scale.others else DECIDING),
        ),
        Study(
            "sakd/images",
            "The plain effect on images, of more seeds; gains are over KD",
            tables.selection_table,
            images(runs, runs.setting.headline),
        ),
    ]


def _methods(runs: Runs, pairs: Iterable[str]) -> dict[tuple[str, str, str], tuple[RunSpec, ...]]:
    """The runs of Tables 4 and 5, by pair, method and type as printed."""
    found = {}
    for pair in pairs:
        seeds = _seeds(runs, pair)
        if not runs.setting.seeds:
            seeds = seeds[:FEWER]
        found[pair, "-", "Teac."] = tuple(runs.teacher(pair, seed) for seed in seeds)
        found[pair, "-", "Stud."] = tuple(runs.direct(pair, seed) for seed in seeds)
        for method, base in BASES.items():
            for kind, make in runs.kinds(pair, base).items():
                found[pair, method, kind] = tuple(make(seed) for seed in seeds)
    return found


def _seeds(runs: Runs, pair: str, deciding: tuple[str, ...] = DECIDING) -> tuple[int, ...]:
    """More for the pairs that sentences are decided by."""
    if pair in deciding:
        return runs.setting.headline
    return runs.setting.claimed if pair == IMAGENET else runs.setting.others


def _selections(runs: Runs) -> list[Study]:
    """What the paper lacks: other selections, and where selecting pays."""
    text = "Where selecting pays: SAKD with KD, every fifth epoch, against three controls"
    axes = {"pairs": GAINS, "down": "share selected", "across": "training clips of the student"}
    found = [
        Study(
            "sakd/selections",
            "SAKD with KD beside other selections; gains are over KD on all samples, by seed",
            tables.selection_table,
            selections(runs, runs.setting.headline),
        ),
        Study("sakd/search", "How this testbed was chosen", partial(kept, chapter="adaptive")),
    ]
    # A real set has the clips that it has.
    if "target" not in runs.setting.roles:
        cells = regimes(runs, runs.setting.claimed)
        found += [
            Study("sakd/regimes", text, partial(regime_map, **axes), cells),
            Study("sakd/regime-numbers", text, partial(regime_table, **axes), cells),
        ]
    return found


def _ablations(runs: Runs) -> list[Study]:
    """Tables 6 to 15."""
    return [
        Study(
            f"sakd/table-{number:02}",
            ablations.title(number),
            partial(
                tables.ablation_table, pairs=ABLATED, number=number, times=option == "interval"
            ),
            _ablation(runs, number, option, BASES[base]),
        )
        for number, (option, base) in ablations.ABLATIONS.items()
    ]


def _ablation(
    runs: Runs, number: int, option: str, base: str
) -> dict[tuple[str, str], tuple[RunSpec, ...]]:
    """The runs of one ablation, by pair and printed value; the default is shared by all."""
    found = {}
    deciding = ablations.deciding(option)
    for printed, value in ablations.values(number).items():
        options = {} if value == ablations.DEFAULTS[option] else {option: value}
        for pair in ABLATED if runs.scale.others else deciding:
            seeds = _seeds(runs, pair, deciding)
            # Five could not tell the two apart that the sentence is decided by.
            if option == "interval" and printed in ablations.ENDS and not runs.setting.seeds:
                seeds = tuple(range(2 * len(seeds)))
            specs = (runs.ours(pair, base, seed, **options) for seed in seeds)
            found[pair, printed] = tuple(specs)
    return found


def _figures(runs: Runs) -> list[Study]:
    """Figures 1 to 6."""
    strength = {
        name: (runs.ours("SlowFast", BASES[name], 0, interval=1),) for name in ("KD", "CrossKD")
    }
    of_one = {
        "Selected samples of each class, early, in the middle and late": figures.selected_bars,
        "The six most selected classes, with the number of samples": figures.most_selected,
        "Classes by the change of their number of selected samples": figures.change_pies,
        "The six classes that changed most, with the change": figures.most_changed,
    }
    return [
        Study(
            "sakd/figure-1", "Three interruption rates β(n), cut at η = 0.5", figures.beta_curves
        ),
        Study(
            "sakd/figure-2",
            "Mean strength of the selected samples",
            figures.mean_strength,
            strength,
        ),
        *(
            Study(
                f"sakd/figure-{number}",
                title,
                partial(make, runs.setting),
                {"KD": strength["KD"]},
            )
            for number, (title, make) in enumerate(of_one.items(), 3)
        ),
    ]
