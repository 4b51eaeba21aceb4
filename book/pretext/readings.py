"""What the artifacts of the pretext chapter say, computed from what was made."""

from typing import Any

from book.pretext.printed import over_three_teachers
from kdlib.study.chapter import Records
from kdlib.study.readings import Reading


def audit(value: Any, records: Records) -> Reading:
    """What the page says, and what its tables print."""
    settings = value["what is said"].str.endswith("one setting, one value")
    sentences = value[~settings]["agrees"].iloc[:-1]  # the last row counts the settings
    borne_out, refuted = (int((sentences == word).sum()) for word in ("yes", "no"))
    below = [" of ".join(pair) for pair, margin in over_three_teachers().items() if margin < 0]
    return Reading(
        f"Of {len(sentences)} sentences the tables bear {borne_out} out, {refuted} not at all and "
        f"{len(sentences) - borne_out - refuted} in part. {int(settings.sum())} settings have "
        f"several values. In Table 2 these students are below their best teacher: "
        f"{' and '.join(below)}.",
        "The numbers of a text are of an earlier version of its tables perhaps. One setting with "
        "several values may be several runs: then their differences say how much a single printed "
        "run can be trusted.",
    )


def benchmarks(value: Any, records: Records) -> Reading:
    """The supporting tables."""
    by_task = value[value["table"] == "by task"].set_index("network")
    tasks = {column.split("|")[1]: column for column in by_task.columns if "|" in column}
    accuracies = by_task[list(tasks.values())].astype(float).set_axis(list(tasks), axis=1)
    order = accuracies.rank(axis=1)
    same = bool((order.loc["ShuffleNet"] == order.loc["R21D"]).all())
    apart = accuracies.loc["R21D"] - accuracies.loc["ShuffleNet"]
    return Reading(
        f"By task, 50k clips: from {accuracies.idxmin(axis=1).iloc[0]} to "
        f"{accuracies.idxmax(axis=1).iloc[0]}, in {'the same' if same else 'another'} order on "
        f"both networks. R21D is {apart.max():.1f} points above ShuffleNet after {apart.idxmax()}, "
        f"{apart.min():+.1f} after {apart.idxmin()}.",
        "None of these tables has the accuracy without pre-training: which task is worth more can "
        "be read from them, not what it is worth.",
    )


READINGS = {"pretext/audit": audit, "pretext/benchmarks": benchmarks}
