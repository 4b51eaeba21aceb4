"""What the artifacts of the adaptive chapter say, computed from their records."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from book.adaptive import figures
from book.adaptive.ablations import ABLATIONS, RATES, default
from book.adaptive.runs import GAINS
from kdlib.methods.adaptive.interruption import interruption_rate
from kdlib.runs.store import RunRecord
from kdlib.study.chapter import Records
from kdlib.study.readings import (
    Pairs,
    Reading,
    best_value,
    difference,
    gains,
    level,
    power,
    span,
)
from kdlib.study.regimes import regime_reading
from kdlib.study.search import search_reading


def selections(value: Any, records: Records) -> Reading:
    """SAKD with KD beside other selections."""
    baseline = records["KD, all samples"]
    trained = {n: g for n, g in records.items() if n != "teacher" and g is not baseline}
    pairs: Pairs = {name: (group, baseline) for name, group in trained.items()}
    controls: Pairs = {
        name: (records["Ours*"], records[name])
        for name in ("student, labels alone", "Ours*, random samples", "KD, steps of Ours")
    }
    against = "; ".join(
        f"over {name} {difference({name: pair})}" for name, pair in controls.items()
    )
    return Reading(
        f"{gains(pairs, 'KD on all samples')} Ours*, every fifth epoch: {against}.",
        "A selected tenth makes a tenth of the steps. If random samples do as well, it is the "
        "number of steps that counts and not which clips are taken; if labels alone beat KD, there "
        "is no teaching that a selection could make better.",
        power(pairs),
    )


def images(value: Any, records: Records) -> Reading:
    """The plain effect on images."""
    labels = records["student, labels alone"]
    pairs: Pairs = {name: (records[name], labels) for name in ("teacher", "KD, all samples")}
    return Reading(
        gains(pairs, "labels alone"),
        "These networks start from random weights and are trained on few images for few steps: "
        "seeds differ by many points, and it takes several of them to see what a teacher adds.",
        power(pairs),
    )


def methods(value: Any, records: Records) -> Reading:
    """Tables 4 and 5: six base methods, vanilla and SAKD."""
    deciding = _with_most_seeds(records)
    names = [n for n in dict.fromkeys(k[:2] for k in records) if n[0] in deciding and n[1] != "-"]
    starred: Pairs = _each(records, names, "Ours*", "Vani.")
    every: Pairs = _each(records, names, "Ours", "Vani.")
    plain: Pairs = {
        " ".join(name): (records[(*name, "Vani.")], records[name[0], "-", "Stud."])
        for name in names
    }
    ahead = {name: (records[name, "-", "Teac."], records[name, "-", "Stud."]) for name in deciding}
    means = "; ".join(
        f"{name} {difference(pairs)}, ahead in {_ahead(pairs)} of {len(pairs)}"
        for name, pairs in (("Ours*", starred), ("Ours", every))
    )
    return Reading(
        f"{_named(deciding, records)}, mean over the methods. Over vanilla: {means}. Vanilla "
        f"distillation over labels alone: {difference(plain)}. The teacher over its student: "
        f"{difference(ahead)}.",
        "All rows of a seed share one teacher and its test clips, so they rise and fall together "
        "and are averaged within the seed. Where vanilla does not gain over labels alone, the "
        "temperature or the teacher does not fit, and SAKD has nothing to make faster.",
        power(starred),
    )


def _with_most_seeds(records: Records) -> list[str]:
    """The pairs of networks that sentences are decided by: those of the most seeds."""
    most = max(map(len, records.values()))
    return list(dict.fromkeys(label[0] for label, group in records.items() if len(group) == most))


def _named(pairs: list[str], records: Records) -> str:
    """The pairs, and that the others have fewer seeds where they do."""
    others = {label[0] for label in records} - set(pairs)
    return " and ".join(filter(None, [", ".join(pairs[:-1]), pairs[-1]])) + (
        " (the others have fewer seeds)" * bool(others)
    )


def _each(records: Records, names: Any, ours: str, theirs: str) -> Pairs:
    return {" ".join(n): (records[(*n, ours)], records[(*n, theirs)]) for n in names}


def _ahead(pairs: Pairs) -> int:
    return sum(level(a) > level(b) for a, b in pairs.values())


def ablation(value: Any, records: Records, number: int) -> Reading:
    """Tables 6 to 15, over the seeds that all rows have."""
    shown, deciding = default(number), _with_most_seeds(records)
    common = min(len(group) for label, group in records.items() if label[0] in deciding)
    records = {label: group[:common] for label, group in records.items()}
    printed = list(dict.fromkeys(label[1] for label in records))
    by_value = {one: [records[pair, one] for pair in deciding] for one in printed}
    pairs: Pairs = {
        f"{pair} {one}": (records[pair, shown], records[pair, one])
        for pair in deciding
        for one in printed
        if one != shown
    }
    return Reading(
        best_value(by_value, shown, _named(deciding, records)),
        WHY[ABLATIONS[number][0]],
        power(pairs),
    )


WHY = {
    "threshold": "A low η lets frames change places from early on, a high one goes on to drop them "
    "until little is left to judge a clip by. It changes what the difficulty sees, not what is "
    "trained on: a flat column means that the ranking of the clips hardly depends on it.",
    "history": "λ is how much of a sample's old strength is kept. A large one smooths over noisy "
    "difficulties, a small one follows the student; where strengths hardly change, neither shows.",
    "rate": "The three curves differ in when interruption grows, not in how far. They can differ "
    "in outcome only if the difficulty of a clip early in training matters.",
    "interval": "Selecting more often follows the student more closely and costs a pass over all "
    "clips each time. If a long interval does as well, the choice does not age.",
    "supervisor": "With labels alone the base method acts through the selection only; with the "
    "teacher alone all rests on what the teacher knows beyond the labels.",
    "gamma": "γ trades ease for variety. It can matter only if the easiest clips are alike, so "
    "that a selection by ease leaves parts of the data out.",
}


def strength(value: Any, records: Records) -> Reading:
    """Figure 2: the mean strength of the selected samples."""
    said = []
    for name, (record, *_) in records.items():
        found = figures.strengths(record)
        said.append(f"{name}: {found[0]:.2f} at the first selection, {found[-1]:.2f} at the last")
    return Reading(
        f"{'; '.join(said)}.",
        "The strength is 1 less the difficulty, averaged over time: it rises where the student "
        "comes to agree with labels and teacher on interrupted clips, and falls where interruption "
        "grows faster than the student learns.",
        "One seed each; the trend over evaluations is what can be read, not the level.",
    )


def of_classes(value: Any, records: Records) -> Reading:
    """Figures 3 to 6: what was selected early, in the middle and late."""
    record = next(iter(records.values()))[0]
    moments = figures.moments(record)
    first, last = next(iter(moments.values())), list(moments.values())[-1]
    kept = int((first & last).sum())
    return Reading(
        f"{int(first.sum())} of {len(first)} samples are selected at epoch {min(moments)}; "
        f"{kept} of them again at epoch {max(moments)}, where chance would give "
        f"{_by_chance(first, last):.1f}. In all {_ever(record)} samples were selected at least "
        "once.",
        "A sample is selected again if it stays easy, and since having been selected makes it "
        "easier on paper; a student that learns changes which those are.",
        "Counts of one run with few samples a class: another seed shows other classes.",
    )


def _by_chance(first: np.ndarray, last: np.ndarray) -> float:
    """How many of two random selections of these sizes are in both."""
    return float(first.sum() * last.sum() / len(first))


def _ever(record: RunRecord) -> int:
    return int(record.traces["was_selected"].any(0).sum())


def beta(value: Any, records: Records) -> Reading:
    """Figure 1: the three interruption rates."""
    reach = {
        name: next(n for n in range(51) if interruption_rate(kind, n, 50) >= 0.5)
        for name, kind in RATES.items()
    }
    said = ", ".join(f"{name} at epoch {epoch}" for name, epoch in reach.items())
    return Reading(
        f"Of 50 epochs, β reaches η = 0.5: {said}.",
        "Until then frames are dropped, from then on they change places.",
    )


def data_sets(value: Any, records: Records) -> Reading:
    """Table 1."""
    printed = value[value["paper"] != "–"]
    differ = printed[printed["why they differ"] != ""]
    named = ", ".join(f"{row[0]} {row[1]}" for row in differ.itertuples(index=False))
    return Reading(
        f"{len(printed) - len(differ)} of {len(printed)} printed counts are those of the manifests."
        + (f" These differ: {named}." * bool(named)),
        "Clips of the web vanish, and papers round.",
    )


def recipes(value: Any, records: Records) -> Reading:
    """Table 2."""
    here = value[value["Model"].str.endswith(", here")]
    printed = len(value) - len(here)
    return Reading(
        f"{printed} printed rows, {len(here)} of ours, which train for "
        f"{' to '.join(dict.fromkeys(sorted(here['epochs'], key=int)))} epochs.",
        "Our networks and sets are small: the same number of epochs is far fewer steps.",
    )


def speeds(value: Any, records: Records) -> Reading:
    """Table 3."""
    sizes = dict(zip(value["network"], value["parameters (M)"].astype(float), strict=True))
    off = {
        name: abs(size / float(printed) - 1)
        for (name, size), printed in zip(sizes.items(), value["paper|Params (M)"], strict=True)
    }
    far = [name for name, share in off.items() if share > 0.01]
    return Reading(
        f"Our counts lie at {span(sizes, 'M parameters')}. {len(off) - len(far)} of {len(off)} are "
        "within 1 % of the printed ones." + (f" These are not: {', '.join(far)}." * bool(far)),
        "A count depends on the number of classes, on whether position tables count, and for "
        "FLOPs on what is left out; the last column names the convention that fits.",
    )


def audit(value: Any, records: Records) -> Reading:
    """What the printed tables say of each other."""
    tables = len(set(value["what"].str.extract(r"(Table \d+)")[0].dropna()))
    return Reading(
        f"{len(value)} cells or sentences are not borne out by the printed numbers themselves; "
        f"those that name a table are of {tables} tables.",
        "One setting that is printed with several values, each of a run of its own perhaps, tells "
        "how far single runs differ. Typing errors look the same.",
    )


REGIMES = partial(
    regime_reading,
    pairs=GAINS,
    why="A choice of samples can pay where there are many to choose from and few are taken; it "
    "costs where the few are seen too often, or where easy samples have little left to teach. "
    "Against KD of as much time the evaluations before each choice count as well.",
)
READINGS: dict[str, Callable[[Any, Records], Reading]] = {
    "sakd/table-01": data_sets,
    "sakd/table-02": recipes,
    "sakd/table-03": speeds,
    "sakd/table-04": methods,
    "sakd/table-05": methods,
    "sakd/images": images,
    "sakd/selections": selections,
    "sakd/regimes": REGIMES,
    "sakd/regime-numbers": REGIMES,
    "sakd/search": partial(
        search_reading,
        training="kd, T = 1",
        why="A soft label helps as far as it is a better estimate of the class probabilities than "
        "one drawn label is: it needs labels that are draws, and a teacher that has seen more of "
        "them.",
    ),
    "sakd/audit": audit,
    "sakd/figure-1": beta,
    "sakd/figure-2": strength,
    **{f"sakd/figure-{number}": of_classes for number in (3, 4, 5, 6)},
    **{f"sakd/table-{number:02}": partial(ablation, number=number) for number in ABLATIONS},
}
