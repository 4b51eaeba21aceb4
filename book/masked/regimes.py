"""The runs of the masked chapter's maps of regimes."""

from dataclasses import replace
from functools import partial

from book.masked.runs import PIXELS, SCRATCH, Runs
from kdlib.runs.spec import RunSpec

# What a cell of the maps compares.
GAINS = {
    "MVD less from scratch": ("MVD", SCRATCH),
    "MVD less pixels": ("MVD", PIXELS),
}


def cells(
    runs: Runs, role: str, seeds: tuple[int, ...]
) -> dict[tuple[int, int, str], tuple[RunSpec, ...]]:
    """By labelled clips, epochs of the pre-training and name: from scratch, pixels, MVD."""
    found = {}
    for clips in runs.scale.regimes:
        for epochs in runs.scale.features:
            makers = {
                SCRATCH: runs.scratch,
                PIXELS: partial(runs.tuned, replace(runs.videomae, epochs=epochs)),
                "MVD": partial(runs.tuned, replace(runs.mvd, epochs=epochs)),
            }
            for name, make in makers.items():
                made = (make(seed, role=role, clips=clips) for seed in seeds)
                found[clips, epochs, name] = tuple(made)
    return found
