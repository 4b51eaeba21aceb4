"""The studies of the masked chapter: its artifacts, and the runs that each is made of."""

from dataclasses import replace
from functools import partial

from book.masked import audit, figures, recipes, runs, tables
from book.masked.readings import READINGS
from book.masked.regimes import GAINS, cells
from book.masked.runs import PRINTED, ROLES_OF, TASKS, Runs
from kdlib.study.chapter import Study
from kdlib.study.regimes import regime_map, regime_table
from kdlib.study.search import kept
from kdlib.study.setting import Setting

PAPER = "mvd"
ROLES = tuple(ROLES_OF)


def studies(setting: Setting) -> list[Study]:
    """All artifacts of the chapter with their runs at this setting."""
    made = Runs(setting)
    found = [*_tables(made), *_figures(made), *_beyond(made), *_regimes(made)]
    return [replace(study, read=READINGS.get(study.artifact)) for study in found]


def _tables(made: Runs) -> list[Study]:
    """Tables 10 to 16."""
    seeds = made.setting.claimed
    return [
        Study(
            "mvd/table-10",
            "Action detection: ours beside the rows of ViT-B, cost counted at true size",
            tables.detection_table,
            runs.detections(made, seeds),
        ),
        Study(
            "mvd/table-11",
            "Features token by token, or where they are hidden; the video teacher's alone",
            partial(tables.beside_print, number="table-11", heading="training"),
            runs.token_by_token(made, seeds),
        ),
        Study(
            "mvd/table-12",
            "What the student starts from",
            partial(tables.beside_print, number="table-12", heading="start"),
            runs.initialisations(made, seeds),
        ),
        Study(
            "mvd/table-13",
            "Frames of a token of the video teacher",
            partial(tables.beside_print, number="table-13", heading="patch size"),
            runs.patch_sizes(made, seeds),
        ),
        Study(
            "mvd/table-14",
            "Pixels or features to predict, of pictures and of videos",
            tables.target_table,
            runs.targets(made, seeds),
        ),
        Study(
            "mvd/table-15", "Settings of the pre-training, of S, B, L, H", recipes.pretraining_table
        ),
        Study(
            "mvd/table-16", "Settings of the fine-tuning, of S, B, L, H", recipes.fine_tuning_table
        ),
    ]


def _figures(made: Runs) -> list[Study]:
    """Figures 4 to 6, and the numbers of the last two."""
    trained = runs.pretrained(made)
    names = [name for (name,) in trained]
    text = "How alike features are from frame to frame: "

    def similarity(artifact: str, title: str, shown: list[str]) -> Study:
        make = partial(figures.similarity_maps, setting=made.setting, names=shown)
        return Study(artifact, text + title, make, {(name,): trained[name,] for name in shown})

    return [
        Study(
            "mvd/figure-4",
            "Accuracy against the time of pre-training; beside each point its epochs",
            figures.accuracy_and_time,
            runs.lengths(made, made.setting.claimed),
        ),
        similarity("mvd/figure-5", "the two teachers", names[:2]),
        similarity("mvd/figure-6", "students", names[2:]),
        Study(
            "mvd/similarities",
            f"{text}all of them in numbers",
            partial(tables.similarity_table, setting=made.setting),
            trained,
        ),
    ]


def _beyond(made: Runs) -> list[Study]:
    """What the appendix lacks."""
    setting = made.setting
    return [
        Study(
            "mvd/learnt",
            "What each pre-training predicts of held-out clips, and what it must beat",
            partial(tables.learnt_table, setting=setting),
            runs.pretrained(made),
        ),
        Study(
            "mvd/starts",
            "All starts side by side; gains are over random weights",
            tables.start_table,
            runs.starts(made, setting.headline),
        ),
        Study(
            "mvd/actors",
            "Detectors, with the actors' boxes and with shuffled ones",
            partial(tables.actor_table, setting=setting),
            runs.detections(made, setting.claimed),
        ),
        Study("mvd/audit", "What text, tables and scripts say of each other", audit.table),
        Study("mvd/search", "How this testbed was chosen", partial(kept, chapter="masked")),
    ]


def _regimes(made: Runs) -> list[Study]:
    """Where MVD pays, a map a task; none of a real set, which has the clips that it has."""
    found = []
    axes = {"pairs": GAINS, "down": "labelled clips", "across": "epochs of the pre-training"}
    for role, prefix in zip(ROLES_OF, ("", "texture-"), strict=True):
        if role in made.setting.roles:
            continue
        text = f"Where MVD pays on {TASKS[role]} (for {PRINTED[role]}): gains of a distilled start"
        of_cells = cells(made, role, made.setting.claimed)
        found += [
            Study(f"mvd/{prefix}regimes", text, partial(regime_map, **axes), of_cells),
            Study(f"mvd/{prefix}regime-numbers", text, partial(regime_table, **axes), of_cells),
        ]
    return found
