"""The runs of the pretext chapter's map: how many labels, and how much was learnt without them."""

from collections.abc import Sequence
from functools import partial

from book.pretext.runs import NETWORKS, SHUFFLENET, Pretraining, Runs
from kdlib.runs.spec import RunSpec

Cells = dict[tuple[int, int, str], tuple[RunSpec, ...]]

# What a cell of the map compares.
GAINS = {
    "AE-KD less labels alone": ("AE-KD", "labels"),
    "AE-KD less the best single teacher's student": ("AE-KD", "single"),
}


def regimes(runs: Runs, seeds: tuple[int, ...]) -> Cells:
    """By labelled clips, videos of the pre-training and name: labels, one teacher, both."""
    found = {}
    for clips in runs.scale.regimes[0]:
        for videos in runs.scale.regimes[1]:
            both = [Pretraining(network, "RSPNet", videos) for network in NETWORKS]
            makers = {
                "labels": partial(runs.direct, SHUFFLENET, clips=clips),
                "single": partial(_under, runs, both[1:], clips),
                "AE-KD": partial(_under, runs, both, clips),
            }
            for name, make in makers.items():
                found[clips, videos, name] = tuple(make(seed) for seed in seeds)
    return found


def _under(runs: Runs, teachers: Sequence[Pretraining], clips: int, seed: int) -> RunSpec:
    return runs.student(SHUFFLENET, teachers, seed, clips=clips)
