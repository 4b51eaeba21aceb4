"""What the artifacts of the resolution chapter say, computed from their records."""

from functools import partial
from typing import Any

from book.resolution.regimes import GAINS
from book.resolution.tables import LOW_TEACHER
from kdlib.study import readings
from kdlib.study.chapter import Records
from kdlib.study.readings import Pairs, Reading, gains, power
from kdlib.study.regimes import regime_reading
from kdlib.study.search import search_reading

SAME_START = (
    "All rows of a seed share start, clips and order, so what differs between them is the training."
)


def targets(value: Any, records: Records) -> Reading:
    """The headline comparison."""
    pairs = over_direct(records)
    return Reading(
        gains(pairs, "direct training"),
        "A target can help only where the teacher knows what the labels do not say and the low "
        "resolution still carries it. A gain no larger than that of twice the epochs may be time, "
        f"not teaching. {SAME_START}",
        power(pairs),
    )


def one_choice(value: Any, records: Records, why: str) -> Reading:
    """A table of feature KD with one choice made one way or the other."""
    first, second = (name for name in records if name != "direct")
    pairs: Pairs = {f"{first} less {second}": (records[first], records[second])}
    return Reading(
        f"{gains(over_direct(records), 'direct training')} {first} less {second}: "
        f"{readings.difference(pairs)}.",
        why,
        power(pairs),
    )


def by_resolution(value: Any, records: Records) -> Reading:
    """The students of several resolutions."""
    sizes = {pixels: group for (kind, pixels), group in records.items() if kind == "direct"}
    pairs: Pairs = {f"{p} px": (records["KD", p], group) for p, group in sizes.items()}
    means = {f"{p} px": readings.level(group) for p, group in sizes.items()}
    return Reading(
        f"Labels alone reach {readings.span(means, '%')}. "
        f"{gains(pairs, 'direct training at the same resolution')}",
        "Distillation across resolutions has room only where detail is partly lost: where nothing "
        "is lost it is self-distillation, where all is lost the student cannot follow. Training "
        "from few clips bends both ends.",
        power(pairs),
    )


def backbones(value: Any, records: Records) -> Reading:
    """Several pairs of networks."""
    names = dict.fromkeys(pair for pair, _ in records)
    pairs: Pairs = {name: (records[name, "KD"], records[name, "direct"]) for name in names}
    ahead: Pairs = {name: (records[name, "teacher"], records[name, "direct"]) for name in names}
    return Reading(
        f"{gains(pairs, 'direct training of the same network')} Their teachers: "
        f"{gains(ahead, 'the student on labels alone')}",
        "Where a teacher is hardly ahead of its student, there is little that could be handed on, "
        "whatever the network.",
        power(pairs),
    )


def supervision(value: Any, records: Records) -> Reading:
    """Figure 5."""
    pairs: Pairs = {"the teacher": (records["teacher"], records["student"])}
    return Reading(
        f"For the seed of this clip: {gains(pairs, 'the distilled student')}",
        "Where the student's places light up as the teacher's do, the target was learnt. Bright "
        "places of the teacher alone are detail that the student's pixels do not hold, or that it "
        "has not learnt to read.",
        "One clip is an illustration, no measurement; the tables below average over the test set.",
    )


def true_size(value: Any, records: Records) -> Reading:
    """Counts of the paper's own networks."""
    ratio = value.set_index("network")["times cheaper"]
    return Reading(
        f"At half the side a network is {readings.span(dict(ratio), 'times')} cheaper.",
        "Cost follows the number of pixels, a quarter here; maps that are rounded up and layers "
        "that do not depend on the size keep the saving from exactly four.",
    )


def recipes(value: Any, records: Records) -> Reading:
    """Printed settings beside those of the paper profile."""
    differ = value[value["agree"] != "yes"]
    named = "; ".join(f"{row.training}, {row.field}" for row in differ.itertuples())
    return Reading(
        f"{len(value) - len(differ)} of {len(value)} settings agree."
        + (f" These differ: {named}." * bool(named)),
        "A difference is a choice that the appendix leaves open, or that our networks need.",
    )


def over_direct(records: Records) -> Pairs:
    """Each training of the student beside that on labels alone."""
    direct, others = records["direct"], ("teacher", LOW_TEACHER, "direct")
    return {name: (group, direct) for name, group in records.items() if name not in others}


REGIMES = partial(
    regime_reading,
    pairs=GAINS,
    why="There is most to hand on where the resolution hides much and the labels are few. In the "
    "last column the student has all of the teacher's clips, in fewer epochs than the teacher: "
    "what is left of the gain is not due to more clips.",
)
READINGS = {
    "reskd/figure-5": supervision,
    "reskd/recipes": recipes,
    "reskd/targets": targets,
    "reskd/common-start": partial(
        one_choice,
        why="Feature KD compares channel by channel. With a common start channels may still mean "
        "the same to teacher and student; from another start the student must first permute its "
        "own. If both rows agree, training has moved the channels too far for the start to matter.",
    ),
    "reskd/batchnorm": partial(
        one_choice,
        why="Batch statistics make the teacher's targets depend on the other clips of the batch, "
        "running ones do not. The two differ most in small batches and where the student's clips "
        "are not those that the teacher's statistics were gathered on.",
    ),
    "reskd/resolutions": by_resolution,
    "reskd/resolution-sweep": by_resolution,
    "reskd/backbones": backbones,
    "reskd/regimes": REGIMES,
    "reskd/regime-numbers": REGIMES,
    "reskd/search": partial(
        search_reading,
        training="pixel KD, weight 12",
        why="A teacher of the same clips carries the noise of the same labels, and labels that "
        "are crisp leave a soft one less to add.",
    ),
    "reskd/true-size": true_size,
}
