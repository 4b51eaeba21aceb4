"""What the artifacts of the pretext chapter say, computed from what was made."""

from functools import partial
from typing import Any

from book.pretext.measured import BASELINE
from book.pretext.printed import over_three_teachers
from book.pretext.regimes import GAINS
from book.pretext.teachers import teachers_reading
from kdlib.study.chapter import Records
from kdlib.study.readings import Pairs, Reading, difference, gains, level, power, span
from kdlib.study.regimes import regime_reading
from kdlib.study.search import search_reading

_TEACHERS = ("T1", "T2", "T3")


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


def taught(value: Any, records: Records, student: str, over: str) -> Reading:
    """Tables 1 to 4: students against their teachers; labels end with who it is."""
    groups = list(dict.fromkeys(label[:-1] for label in records))
    by_teacher: dict[str, Pairs] = {
        who: {
            " ".join(group): (records[(*group, student)], records[(*group, who)])
            for group in groups
            if (*group, who) in records
        }
        for who in _TEACHERS
    }
    said = "; ".join(
        f"over {who} {difference(pairs)}" for who, pairs in by_teacher.items() if pairs
    )
    levels = {" ".join(group): level(records[(*group, student)]) for group in groups}
    return Reading(
        f"The student, mean over {over}: {said}. Students lie at {span(levels, '%')}.",
        "A student sees the same labels as its teachers, for as long: what it has of them is seen "
        "beside labels alone (the table of ensembles). Where all students are alike, teachers make "
        "no difference.",
        power(by_teacher["T1"]),
    )


def tasks(value: Any, records: Records) -> Reading:
    """What each pre-training has learnt."""
    above = value.set_index("task")["answered %"] - value.set_index("task")["chance %"]
    levels = {task: level(group) for (task, part), group in records.items() if part == "fine-tuned"}
    return Reading(
        f"Above chance: {span(above.to_dict(), 'points')}. Fine-tuned: {span(levels, '%')}.",
        "A task may be solved by what the target has no use for: which way is up is seen by the "
        "sky. Or it may be too hard to be learnt in so few steps, and then nothing is passed on.",
        "Longer pre-training on more videos; three seeds of it, whose spread is in no interval.",
    )


def pretraining(value: Any, records: Records) -> Reading:
    """Fine-tuned against from random weights."""
    compared = {
        network: (records[network, "fine-tuned"], records[network, "random"])
        for network in dict.fromkeys(network for network, _ in records)
    }
    each = "; ".join(f"{name} {difference({name: pair})}" for name, pair in compared.items())
    return Reading(
        f"Fine-tuned less from random weights: {each}; mean over both {difference(compared)}.",
        "With few labels much depends on which clips have them and on the random weights: "
        "one seed says little. All fine-tunings of a network start from one pre-training.",
        power(compared),
    )


def distillation(value: Any, records: Records) -> Reading:
    """Students of one teacher against labels alone."""
    baseline = records[BASELINE]
    students = {
        label[0]: (group, baseline) for label, group in records.items() if label != BASELINE
    }
    return Reading(
        gains(students, "labels alone"),
        "A teacher saw no other labels than its student: what it can add is what it learnt before, "
        "and that soft targets teach more than hard ones. A student much smaller than what its "
        "teacher knows may learn little of it.",
        power(students),
    )


def ensembles(value: Any, records: Records) -> Reading:
    """Two teachers, one, and none."""
    baseline = records[BASELINE]
    students = {
        label[0]: (group, baseline)
        for label, group in records.items()
        if group is not baseline and records[label][0].spec.method.teachers
    }
    single = max(
        ("KD, teacher ShuffleNet",), ("KD, teacher R21D",), key=lambda k: level(records[k])
    )
    alone = {"": (records["AE-KD",], records[single])}
    return Reading(
        f"{gains(students, 'labels alone')} AE-KD over “{single[0]}”: {difference(alone)}.",
        "Both teachers saw the same labels; what they can add is what they learnt before. One that "
        "is better than the other may teach as well alone as with it.",
        power(students),
    )


def maps(value: Any, records: Records) -> Reading:
    """Figure 1 and its numbers."""
    names = ", ".join(label[0] for label in records)
    return Reading(
        f"Maps of {names}, each layer with each; CKA of 1 means that two layers find the same "
        "clips alike. The table of blocks has a number for each map.",
        "Layers of one stage have the same features but for a norm or a ReLU, so that blocks along "
        "the diagonal are to be expected in any network; blocks across stages are what is meant.",
        "Wider and deeper networks: the block structure is known from those with room to spare.",
    )


READINGS = {
    "pretext/table-1": partial(taught, student="ST", over="subsets and targets"),
    "pretext/table-2": partial(taught, student="S", over="networks and tasks"),
    "pretext/table-3": partial(taught, student="S", over="tasks"),
    "pretext/table-4": partial(taught, student="S", over="categories"),
    "pretext/tasks": tasks,
    "pretext/teachers": teachers_reading,
    "pretext/pretraining": pretraining,
    "pretext/distillation": distillation,
    "pretext/ensembles": ensembles,
    "pretext/figure-1": maps,
    "pretext/blocks": maps,
    "pretext/audit": audit,
    "pretext/benchmarks": benchmarks,
    "pretext/search": partial(
        search_reading,
        training="KD of both",
        why="Pre-training is worth most where labels are few; a teacher whose pre-training is "
        "worth nothing knows no more than its student's labels.",
    ),
}
REGIMES = partial(
    regime_reading,
    pairs=GAINS,
    why="Few labels leave most to what was learnt without them; with many, or after a short "
    "pre-training, teachers know little that the student does not.",
)
READINGS |= {"pretext/regimes": REGIMES, "pretext/regime-numbers": REGIMES}
