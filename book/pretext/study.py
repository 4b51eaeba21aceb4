"""The studies of the pretext chapter: its artifacts, and the runs that each is made of."""

from dataclasses import replace
from functools import partial

from book.pretext import audit, maps, measured, runs, tables, teachers
from book.pretext.readings import READINGS
from book.pretext.regimes import GAINS, regimes
from book.pretext.runs import SHUFFLENET, Runs
from kdlib.runs.spec import RunSpec
from kdlib.study.chapter import Study
from kdlib.study.regimes import regime_map, regime_table
from kdlib.study.search import kept
from kdlib.study.setting import Setting

PAPER = "pretext"
ROLES = ("target", "target2")


def studies(setting: Setting) -> list[Study]:
    """All artifacts of the chapter with their runs at this setting."""
    made = Runs(setting)
    found = [*_tables(made), *_maps(made), *_beyond(made)]
    return [replace(study, read=READINGS.get(study.artifact)) for study in found]


def _tables(made: Runs) -> list[Study]:
    """Tables 1 to 4, and what is printed beside them."""
    seeds = made.setting.claimed
    return [
        Study(
            "pretext/table-1",
            "Subsets of the pre-training: RSPNet teachers, and a ShuffleNet student of both",
            measured.subset_table,
            runs.subsets(made, seeds),
        ),
        Study(
            "pretext/table-2",
            "Three difficulties of one task as teachers",
            measured.difficulty_table,
            runs.difficulties(made, seeds),
        ),
        Study(
            "pretext/table-3",
            "Teachers of two sources, R(2+1)D",
            measured.source_table,
            runs.sources(made, seeds),
        ),
        Study(
            "pretext/table-4",
            "Teachers of two tasks, ShuffleNet",
            measured.category_table,
            runs.categories(made, seeds),
        ),
        Study("pretext/benchmarks", "The supporting tables, as printed", tables.benchmarks),
        Study("pretext/audit", "What text and tables say of each other", audit.table),
    ]


def _maps(made: Runs) -> list[Study]:
    """Figure 1 and its numbers."""
    shown, setting = _shown(made), made.setting
    return [
        Study(
            "pretext/figure-1",
            "CKA of all layers of two teachers and their student, on test clips",
            partial(maps.figure, setting=setting),
            shown,
        ),
        Study(
            "pretext/blocks",
            "How much of a block structure each network's map has",
            partial(maps.block_table, setting=setting),
            shown,
        ),
    ]


def _shown(made: Runs) -> dict[tuple[str], tuple[RunSpec, ...]]:
    """The networks of Figure 1: those of the usual subset."""
    both = [made.default(network, "RSPNet") for network in runs.NETWORKS]
    makers = {
        "R21D teacher": partial(made.tuned, both[1]),
        "ShuffleNet teacher": partial(made.tuned, both[0]),
        "ShuffleNet student": partial(made.student, SHUFFLENET, both),
    }
    return {(name,): tuple(make(s) for s in made.setting.claimed) for name, make in makers.items()}


def _beyond(made: Runs) -> list[Study]:
    """What the paper lacks."""
    seeds = made.setting.claimed
    axes = {"pairs": GAINS, "down": "labelled clips", "across": "videos of the pre-training"}
    found = [
        Study(
            "pretext/tasks",
            "What ShuffleNet learnt: its own questions on held-out clips, and the target",
            partial(measured.task_table, setting=made.setting),
            runs.tasks(made, seeds),
        ),
        Study(
            "pretext/teachers",
            "What the teachers of Tables 1 to 4 learnt: their own questions on held-out clips",
            partial(teachers.teacher_table, setting=made.setting),
            teachers.pretrainings(made),
        ),
        Study(
            "pretext/pretraining",
            "What the pre-training is worth: fine-tuned, and from random weights",
            measured.pretraining_table,
            runs.pretrained(made),
        ),
        Study(
            "pretext/distillation",
            "What one teacher is worth: its student; gains are over labels alone",
            measured.ensemble_table,
            runs.distilled(made),
        ),
        Study(
            "pretext/ensembles",
            "Two teachers beside one and none; gains are over labels alone",
            measured.ensemble_table,
            runs.ensembles(made, made.setting.headline),
        ),
        Study("pretext/search", "How this testbed was chosen", partial(kept, chapter="pretext")),
    ]
    if "target" not in made.setting.roles:  # a real set has the clips that it has
        text = "Where an ensemble pays: gain over labels alone, and over one teacher"
        cells = regimes(made, seeds)
        found += [
            Study("pretext/regimes", text, partial(regime_map, **axes), cells),
            Study("pretext/regime-numbers", text, partial(regime_table, **axes), cells),
        ]
    return found
