"""The studies of the flow chapter: its artifacts, and the runs that each is made of."""

from dataclasses import replace
from functools import partial

from book.flow import audit, figures, measured, runs, tables
from book.flow.measured import GAINS
from book.flow.readings import READINGS
from book.flow.runs import Runs
from kdlib.study.chapter import Records, Study, Value
from kdlib.study.regimes import regime_map, regime_table
from kdlib.study.search import kept
from kdlib.study.setting import Setting

PAPER = "d3d"
ROLES = ("target",)
AXES = {"down": "% of classes by motion alone", "across": "training clips"}


def studies(setting: Setting) -> list[Study]:
    """All artifacts of the chapter with their runs at this setting."""
    made = Runs(setting)
    # A real set has the classes and clips that it has: the map is of generated ones.
    generated = Runs(setting, generated=True)
    found = [*_flow(made), *_classes(made), *_compared(made), *_printed(), *_map(generated)]
    return [replace(study, read=READINGS.get(study.artifact)) for study in found]


def _flow(made: Runs) -> list[Study]:
    """What a decoder reads of flow."""
    setting, probes = made.setting, runs.probes(made, made.setting.claimed)
    return [
        Study(
            "d3d/figure-1",
            "Flow of test clips: computed, and decoded from layer 3A",
            partial(figures.flow_pictures, setting=setting),
            {label: probes[label] for label in figures.DECODED.values()},
        ),
        Study(
            "d3d/probes",
            "Flow decoded from layer 3A: mean distance of its end points on test clips",
            partial(measured.probe_table, setting=setting),
            probes,
        ),
        Study(
            "d3d/figure-4",
            "The decoder of flow, drawn from the module itself",
            figures.decoder_drawing,
        ),
    ]


def _classes(made: Runs) -> list[Study]:
    """Accuracy by class."""
    found = runs.headline(made, made.headline)
    return [
        Study(
            "d3d/figure-2",
            "Accuracy of D3D by class",
            figures.class_bars,
            {("D3D",): found["D3D",]},
        ),
        Study(
            "d3d/figure-3",
            "What distillation adds to the accuracy of each class",
            figures.change_bars,
            {label: found[label] for label in (("D3D",), ("S3D-G",))},
        ),
    ]


def _compared(made: Runs) -> list[Study]:
    """Accuracy of networks."""
    setting = made.setting
    return [
        Study(
            "d3d/students",
            "Students of pixels, their teacher of flow, and networks judged together",
            partial(measured.headline_table, setting=setting),
            runs.headline(made, made.headline),
        ),
        Study(
            "d3d/teachers",
            "Is it the flow? D3D under a teacher of flow and under one of pixels",
            measured.teacher_table,
            runs.teachers(made, setting.claimed),
        ),
        Study(
            "d3d/non-local",
            "S3D-G and non-local S3D-G, with and without distillation",
            measured.non_local_table,
            runs.non_local(made, setting.claimed),
        ),
    ]


def _printed() -> list[Study]:
    """What needs no runs."""
    return [
        Study(
            "d3d/leaderboard",
            "What leaderboards quote of the paper: a secondary source, never compared",
            tables.leaderboard,
        ),
        Study("d3d/audit", "What the supplement says, and what follows from it", audit.table),
        Study("d3d/search", "How this testbed was chosen", partial(kept, chapter="flow")),
    ]


def _map(made: Runs) -> list[Study]:
    """Where distillation pays."""
    cells = runs.regimes(made, made.setting.claimed)
    text = "Where distilled motion pays: gain over S3D-G, beside both streams"

    def table(records: Records) -> Value:
        return regime_table(measured.with_streams(records, made.setting), GAINS, **AXES)

    def drawing(records: Records) -> Value:
        return regime_map(measured.with_streams(records, made.setting), GAINS, **AXES)

    return [
        Study("d3d/regimes", text, drawing, cells),
        Study("d3d/regime-numbers", text, table, cells),
    ]
