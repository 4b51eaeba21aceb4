"""What the paper's page says, and whether its printed tables bear it out.

Sentences stand here in our words. What is said "on" pre-training, complexity and other sources is
of the benchmark that the page on distillation belongs to, and of the supporting tables.
"""

from itertools import pairwise

import pandas as pd

from book.pretext.printed import (
    LEVELS,
    NETWORKS,
    SIZES,
    SOURCES,
    TARGETS,
    TASKS,
    mixed_over_single,
    numbers,
    other_source,
    over_both_teachers,
    over_mean_teacher,
    over_one_task,
    over_three_teachers,
    published,
    three_clips_over_more,
)
from kdlib.study.audits import Row, points, sentence
from kdlib.study.chapter import Records


def table(records: Records) -> pd.DataFrame:
    """A row a sentence, and one a setting that is printed with several values.

    Columns: what is said, what is printed, and whether it agrees: "yes", "no", or in how many of
    the cases that the sentence speaks of.
    """
    parts = (_sizes, _complexity, _sources, _categories, _benchmark, _several_values)
    return pd.DataFrame([row for part in parts for row in part()])


def _within(value: float, low: float, high: float) -> bool:
    """Whether it rounds to what was stated in whole points."""
    return low - 0.501 <= value <= high + 0.501


def _is(value: float, stated: float) -> bool:
    """Whether it rounds to what was stated to a tenth."""
    return abs(value - stated) < 0.051


def _sizes() -> list[Row]:
    """Table 1."""
    found, tasks, over = numbers("table-1"), numbers("benchmarks-tasks"), over_both_teachers()
    students = {target: [found["ST", size, target] for size in SIZES] for target in TARGETS}
    teachers = max(found[name, "100k", "UCF101"] for name in ("T1", "T2"))
    return [
        sentence(
            "Table 1: the student outperforms both teachers in all cases",
            f"{min(over.values()):+.1f} to {max(over.values()):+.1f} over the better one",
            (margin > 0 for margin in over.values()),
        ),
        sentence(
            "Table 1: it is best with teachers of 30k clips",
            "; ".join(f"{target} {', '.join(map(str, row))}" for target, row in students.items()),
            (SIZES[row.index(max(row))] == "30k" for row in students.values()),
        ),
        sentence(
            "Inference 1: distillation makes do with a smaller set for pre-training",
            f"UCF101: student of teachers of 10k {students['UCF101'][0]}, best teacher of 100k "
            f"{teachers}; the student on labels alone is not printed",
            [students["UCF101"][0] > teachers],
        ),
        sentence(
            "Section on subset size: fine-tuned, RSPNet is the best of all tasks",
            ", ".join(f"{network} {tasks[network, 'RSPNet', '']}" for network in NETWORKS),
            (max(TASKS, key=lambda t: tasks[network, t, ""]) == "RSPNet" for network in NETWORKS),
        ),
    ]


def _complexity() -> list[Row]:
    """Table 2."""
    over, levels, alone = over_three_teachers(), numbers("table-2"), numbers("benchmarks-tasks")
    tasks = tuple(dict.fromkeys(task for task, _ in over))
    known = {
        (task, network): [level for level in LEVELS if levels[level, task, network] == value]
        for task, network in over
        for value in [alone[network, task, ""]]
    }

    def of(network: str, *asked: str) -> dict[str, float]:
        return {task: over[task, network] for task in asked}

    return [
        sentence(
            "Section on complexity: the tasks are VCOP, PRP and RSPNet",
            f"Table 2 has {', '.join(tasks)}",
            (task in tasks for task in ("VCOP", "PRP", "RSPNet")),
        ),
        sentence(
            "Section on complexity: the teachers are the benchmark's models",
            "the accuracy by task is that of "
            + ", ".join(
                f"{' or '.join(found) or 'none'} ({task} {network})"
                for (task, network), found in known.items()
            ),
            known.values(),
        ),
        sentence(
            "Table 2: the R21D student of PRP outperforms its teachers",
            f"over the best of three: {points(of('R21D', 'PRP'))}",
            [over["PRP", "R21D"] > 0],
        ),
        sentence(
            "Table 2: the R21D students of VCOP and RotNet perform low",
            f"over the best of three: {points(of('R21D', 'VCOP', 'RotNet'))}",
            (margin < 0 for margin in of("R21D", "VCOP", "RotNet").values()),
        ),
        sentence(
            "Table 2: the ShuffleNet student outperforms its teachers for all tasks",
            f"over the best of three: {points(of('ShuffleNet', *tasks))}",
            (margin > 0 for margin in of("ShuffleNet", *tasks).values()),
        ),
        sentence(
            "Inference 2: different complexities help to learn complementary features",
            f"over the best of three: {points(over)}",
            (margin > 0 for margin in over.values()),
        ),
    ]


def _sources() -> list[Row]:
    """Table 3."""
    found, over = numbers("table-3"), over_mean_teacher()
    stated = {"RotNet": 20.5, "VCOP": 12.6}
    over_better = {
        task: found[task, "Student", ""] - max(found[task, source, ""] for source in SOURCES)
        for task in over
    }
    return [
        sentence(
            "Section on other sources: the tasks are RotNet and VCOP",
            f"Table 3 has {', '.join(over)}",
            (task in stated for task in over),
        ),
        sentence(
            "Table 3: students are 20.5 (RotNet) and 12.6 (VCOP) above the mean of their teachers",
            points({task: over[task] for task in stated}, digits=2),
            (_is(over[task], value) for task, value in stated.items()),
        ),
        sentence(
            "Inference 3: knowledge of different sources is complementary",
            f"over the better teacher: {points(over_better)}",
            (margin > 0 for margin in over_better.values()),
        ),
    ]


def _categories() -> list[Row]:
    """Table 4."""
    tasks, students, over = numbers("benchmarks-tasks"), numbers("table-4"), mixed_over_single()
    by_network = {network: over_one_task(network) for network in NETWORKS}
    stated = {"contrastive": 39.2, "non-contrastive": 1.5}
    over_better = {
        category: students[category, "ST", ""]
        - max(tasks["ShuffleNet", task, ""] for task in teachers)
        for category, *teachers, _ in published("table-4").itertuples(index=False)
    }
    return [
        sentence(
            "Table 4, R21D: students are 39.2 (contrastive) and 1.5 (non-contrastive) above one "
            "task of space and time",
            "; ".join(f"{network}: {points(each)}" for network, each in by_network.items()),
            (_is(by_network["R21D"][name], value) for name, value in stated.items()),
        ),
        sentence(
            "Section on categories: the network is R21D",
            "the caption of Table 4 says ShuffleNet, teachers and student",
            [False],
        ),
        sentence(
            "Table 4: two tasks teach more than the better one of them",
            f"over the better task (its teacher by the supporting tables): {points(over_better)}",
            (margin > 0 for margin in over_better.values()),
        ),
        sentence(
            "Inference 4: different tasks teach orthogonal features",
            "the student of RotNet and VCOP less that of one of them at three complexities "
            f"(Table 2): {points(over)}",
            (margin > 0 for margin in over.values()),
        ),
    ]


def _benchmark() -> list[Row]:
    """What the benchmark says of its own tables."""
    levels, epochs = numbers("table-2"), numbers("benchmarks-epochs")
    lost = levels["T2", "RotNet", "R21D"] - levels["T3", "RotNet", "R21D"]
    rise = {net: levels["T3", "PRP", net] - levels["T1", "PRP", net] for net in NETWORKS}
    more = {net: epochs["200", "30k", net] - epochs["200", "10k", net] for net in NETWORKS}
    longer = {
        (net, size): epochs["200", size, net] - epochs["100", size, net]
        for net in NETWORKS
        for size in SIZES
    }
    three, (larger, steps) = three_clips_over_more(), _by_size()
    other = other_source()
    flat = {(task, target): gain for task in other for target, gain in other[task].items()}
    spatial = {key: gain for key, gain in flat.items() if key[0] in ("RotNet", "VCOP")}
    contrastive = {key: gain for key, gain in flat.items() if key not in spatial}
    ranges = {"UCF101": (6, 9), "Diving48": (3, 6)}
    return [
        sentence(
            "On complexity: from three to four turns RotNet loses over 10 points on R21D",
            f"{-lost:+.1f}",
            [lost > 10],
        ),
        sentence(
            "On complexity: three clips are best for VCOP, by 2 to 3 points",
            f"over the best other: {points(three)}",
            (_within(margin, 2, 3) for margin in three.values()),
        ),
        sentence(
            "On complexity: more rates do not help a small network in PRP, but a larger one",
            f"two to four rates: {points(rise)}",
            [rise["ShuffleNet"] <= 0, rise["R21D"] > 0],
        ),
        sentence(
            "On pre-training: RSPNet gains 6 to 7 points from 10k to 30k clips",
            points(more),
            (_within(gain, 6, 7) for gain in more.values()),
        ),
        sentence(
            "On pre-training: after 100 epochs RSPNet gains less than 1.5 points",
            f"from 100 to 200: {min(longer.values()):+.1f} to {max(longer.values()):+.1f}",
            (gain < 1.5 for gain in longer.values()),
        ),
        sentence(
            "On pre-training: at 50k clips all tasks but PRP gain less than 2 points",
            f"from 30k to 50k, R21D, UCF101: {points(larger)}",
            (gain < 2 for gain in larger.values()),
        ),
        sentence(
            "On pre-training: as a rule accuracy rises with the number of clips",
            "10k to 30k to 50k, R21D, UCF101 and HMDB51, six tasks",
            steps,
        ),
        sentence(
            "On other sources: SSv2 is better than K400 for RotNet and VCOP, by 6 to 9 points on "
            "UCF101 and 3 to 6 on Diving48",
            points(spatial),
            (_within(gain, *ranges[target]) for (_, target), gain in spatial.items()),
        ),
        sentence(
            "On other sources: K400 is better than SSv2 for CVRL and RSPNet on both",
            points(contrastive),
            (gain < 0 for gain in contrastive.values()),
        ),
    ]


def _by_size() -> tuple[dict[str, float], list[bool]]:
    """What R21D gains on UCF101 from 30k to 50k, by task but PRP; and, for all tasks and both
    targets, whether each larger set is better than the last one."""
    by_target = [numbers(f"benchmarks-sizes-{target.lower()}") for target in TARGETS]
    ucf101 = by_target[0]
    larger = {t: ucf101["50k", t, ""] - ucf101["30k", t, ""] for t in TASKS if t != "PRP"}
    rises = [
        found[size, task, ""] < found[next_size, task, ""]
        for found in by_target
        for task in TASKS
        for size, next_size in pairwise(SIZES[:3])
    ]
    return larger, rises


def _several_values() -> list[Row]:
    """Settings that stand in several tables: those whose values differ, and how many do not."""
    several = {name: found for name, found in _values().items() if len(found) > 1}
    same = {name: len(set(found.values())) == 1 for name, found in several.items()}
    differing = [
        sentence(
            f"{name}: one setting, one value",
            ", ".join(f"{value} ({place})" for place, value in found.items()),
            [False],
        )
        for name, found in several.items()
        if not same[name]
    ]
    count = sentence(
        "A setting that stands in several tables has one value",
        f"{len(several)} settings stand in two tables or more",
        same.values(),
    )
    return [*differing, count]


def _values() -> dict[str, dict[str, float]]:
    """By setting, what each table that has it prints. Table 3 has teachers of 30k clips."""
    values: dict[str, dict[str, float]] = {}

    def add(task: str, network: str, clips: str, target: str, place: str, value: float) -> None:
        values.setdefault(f"{task}, {network}, {clips} of K400, {target}", {})[place] = value

    for (name, size, target), value in numbers("table-1").items():
        if name == "ST":
            add("RSPNet student", "ShuffleNet", size, target, "Table 1", value)
        else:
            add("RSPNet", {"T1": "ShuffleNet", "T2": "R21D"}[name], size, target, "Table 1", value)
    for (_, target, _), value in numbers("benchmarks-compared").items():
        add("RSPNet student", "ShuffleNet", "30k", target, "comparison with others", value)
    for (task, source, _), value in numbers("table-3").items():
        if source == "K400 (T1)":
            add(task, "R21D", "30k", "UCF101", "Table 3", value)
    for (network, task, _), value in numbers("benchmarks-tasks").items():
        add(task, network, "50k", "UCF101", "by task", value)
    for target in TARGETS:
        for (size, task, _), value in numbers(f"benchmarks-sizes-{target.lower()}").items():
            add(task, "R21D", size, target, "by number of clips", value)
    for (epochs, size, network), value in numbers("benchmarks-epochs").items():
        if epochs == "200":
            add("RSPNet", network, size, "UCF101", "after 200 epochs", value)
    return values
