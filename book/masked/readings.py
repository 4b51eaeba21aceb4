"""What the artifacts of the masked chapter say, computed from what was made."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from book.masked.regimes import GAINS
from book.masked.runs import PIXELS, SCRATCH, TASKS
from kdlib.study.chapter import Records
from kdlib.study.readings import Pairs, Reading, difference, gains, level, power, span
from kdlib.study.regimes import regime_reading
from kdlib.study.search import search_reading

_OTHER_PRETRAINING = (
    "All fine-tunings of a row start from one pre-training: another draw of its random weights "
    "may move a row by as much as the intervals, which do not know of it."
)


def detection(value: Any, records: Records) -> Reading:
    """Table 10 and ours beside it."""
    pairs: Pairs = {
        f"extra labels {mark}": (records["MVD", mark], records["VideoMAE", mark])
        for mark in ("×", "✓")
    }
    over = {name: (group, records[SCRATCH, "×"]) for name, (group, _) in pairs.items()}
    return Reading(
        f"MVD less VideoMAE, mean of both rows: {difference(pairs)}. MVD less from scratch: "
        f"{difference(over)}. From scratch {level(records[SCRATCH, '×']):.1f} %.",
        "Actions of actors are motions here, seen in boxes of a few pixels. Counted parameters are "
        "those that are trained; fixed positions, which the paper may count, are not among them.",
        power(pairs),
    )


def by_task(value: Any, records: Records, ours: str, others: tuple[str, ...]) -> Reading:
    """Tables 11 to 13: one training against others, over both tasks."""
    said, pairs = [], {}
    for other in others:
        each: Pairs = {
            task: (records[role, ours], records[role, other]) for role, task in TASKS.items()
        }
        said.append(f"over “{other}” {difference(each)}")
        pairs |= {f"{other}, {task}": pair for task, pair in each.items()}
    levels = {f"{TASKS[role]}, {name}": level(group) for (role, name), group in records.items()}  # type: ignore[misc]
    return Reading(
        f"“{ours}”, mean of both tasks: {'; '.join(said)}. All rows: {span(levels, '%')}.",
        f"Printed differences are of one run each and mostly below a point. {_OTHER_PRETRAINING}",
        power(pairs),
    )


def targets(value: Any, records: Records) -> Reading:
    """Table 14."""
    names = {"image": "pictures", **TASKS}
    pairs: Pairs = {
        names[role]: (records[role, "features"], records[role, "pixels"]) for role in names
    }
    return Reading(
        gains(pairs, "masked pixels"),
        "Pixels are predicted four times as long as features, as in the paper; a teacher's own "
        "training is not among the features' epochs.",
        power(pairs),
    )


def starts(value: Any, records: Records) -> Reading:
    """All starts side by side."""
    said, pairs = [], {}
    for role, task in TASKS.items():
        scratch = records[role, SCRATCH]
        each: Pairs = {
            label[1]: (group, scratch)  # type: ignore[index]
            for label, group in records.items()
            if label[0] == role and label[1] != SCRATCH  # type: ignore[index]
        }
        said.append(f"{task.capitalize()}. {gains(each, 'random weights')}")
        pairs |= {f"{task}, {name}": pair for name, pair in each.items()}
    return Reading(
        " ".join(said),
        "A task of motion should gain by the video teacher, one of textures by the image teacher. "
        f"Where {PIXELS} do as well as features, the teachers were not needed. "
        + _OTHER_PRETRAINING,
        power(pairs),
    )


def times(value: Any, records: Records) -> Reading:
    """Figure 4."""
    said = []
    for role, task in TASKS.items():
        for name in (PIXELS, "MVD"):
            levels = {
                f"{label[2]} epochs": level(group)  # type: ignore[index]
                for label, group in records.items()
                if label[:2] == (role, name)  # type: ignore[index]
            }
            said.append(f"{task.capitalize()}, {name}: {span(levels, '%')}")
    return Reading(
        f"{'. '.join(said)}.",
        "On large networks two teachers are most of a step of MVD; on small ones its two decoders "
        "are. A curve that is flat says that the pre-training had converged, or taught nothing.",
        "Longer pre-training on more videos.",
    )


def learnt(value: Any, records: Records) -> Reading:
    """What each pre-training has learnt."""
    found = f"{len(records)} pre-trainings."
    if value is not None:
        below = value.set_index(value["pre-training"] + ", " + value["predicts"])
        found = f"Below the better of both: {span(below['below the better, %'].to_dict(), '%')}."
    return Reading(
        found,
        "A loss below that of the nearest place says that something was learnt, not that it is of "
        "use. Losses of features are in the teacher's own units: compare along a row only.",
        "Longer pre-training on more videos.",
    )


def actors(value: Any, records: Records) -> Reading:
    """Detectors, and what they do with the boxes of others."""
    scratch = records[SCRATCH, "×"]
    pairs: Pairs = {
        " ".join(label): (group, scratch)  # type: ignore[arg-type]
        for label, group in records.items()
        if group is not scratch
    }
    return Reading(
        gains(pairs, "random weights"),
        "With shuffled boxes what is left is guessing by what the whole clip shows.",
        power(pairs),
    )


def similarities(value: Any, records: Records) -> Reading:
    """Figures 5 and 6 and their numbers."""
    names = ", ".join(label[0] for label in records)  # type: ignore[index]
    cosines = _cosines(value)
    said = "; ".join(f"{name} {cosine:.3f}" for name, cosine in cosines.items()) or names
    return Reading(
        f"Mean cosine of two different times: {said}.",
        "Features have a large common part: fixed positions, which stay where they are, and the "
        "background. A cosine near 1 says how large that part is, not that motion is not seen.",
        "Several pre-trainings of each kind: scenes say how clips differ, not how networks do.",
    )


def _cosines(value: Any) -> dict[str, float]:
    """By network the mean cosine of different times, as a table or the maps of a figure show it."""
    if isinstance(value, pd.DataFrame):
        return value.set_index("network")["mean cosine"].to_dict()
    if not isinstance(value, Figure):
        return {}
    maps = {plot.get_title(): plot.images[0].get_array() for plot in value.axes if plot.images}
    return {
        name: float(shown[~np.eye(len(shown), dtype=bool)].mean()) for name, shown in maps.items()
    }


def settings(value: Any, records: Records) -> Reading:
    """Tables 15 and 16."""
    rows = value[value["as printed"].notna()]
    other = rows["released scripts, where they differ"].notna()
    return Reading(
        f"{(rows['as printed'] == 'yes').sum()} of {len(rows)} rows are as printed. The released "
        f"scripts differ in {int(other.sum())}: {', '.join(rows['config'][other])}.",
        "Rates are for a batch of 256 clips and grow with it, so a smaller batch at the same base "
        "rate is a smaller step.",
    )


def audit(value: Any, records: Records) -> Reading:
    """What the appendix says, and what its tables print."""
    borne_out, refuted = (int((value["agrees"] == word).sum()) for word in ("yes", "no"))
    return Reading(
        f"Of {len(value)} sentences the tables bear {borne_out} out, {refuted} not at all and "
        f"{len(value) - borne_out - refuted} in part.",
        "The sentences on differences all hold; what does not is what lies between tables. One "
        "student with two accuracies says how much a single printed run can be trusted.",
    )


READINGS = {
    "mvd/table-10": detection,
    "mvd/table-11": partial(
        by_task,
        ours="masked reconstruction ✓",
        others=("per-token distillation ×", "per-token distillation ✓"),
    ),
    "mvd/table-12": partial(
        by_task, ours="from scratch", others=("image teacher", "video teacher")
    ),
    "mvd/table-13": partial(by_task, ours="2×16×16", others=("4×16×16",)),
    "mvd/table-14": targets,
    "mvd/table-15": settings,
    "mvd/table-16": settings,
    "mvd/figure-4": times,
    "mvd/figure-5": similarities,
    "mvd/figure-6": similarities,
    "mvd/similarities": similarities,
    "mvd/actors": actors,
    "mvd/learnt": learnt,
    "mvd/starts": starts,
    "mvd/audit": audit,
    "mvd/search": partial(
        search_reading,
        training="masked pixels",
        why="At a low rate of fine-tuning a pre-trained network looks worse than it is. What is "
        "left may be of the pre-training: after about a thousand steps it knows what shades "
        "where, which is most of a frame and tells few classes apart.",
    ),
}
_REGIMES = partial(
    regime_reading,
    pairs=GAINS,
    why="Few labels leave most to what was learnt without them. After a short pre-training there "
    "is little of it, and teachers, trained as long in every cell, matter most.",
)
READINGS |= {
    f"mvd/{name}": _REGIMES
    for name in ("regimes", "regime-numbers", "texture-regimes", "texture-regime-numbers")
}
