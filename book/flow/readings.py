"""What the artifacts of the flow chapter say, computed from what was made."""

from functools import partial
from typing import Any

from book.flow import classes
from book.flow.measured import GAINS, PIXELS
from book.flow.runs import WEIGHTS
from book.flow.tables import counted
from kdlib.study.chapter import Records
from kdlib.study.readings import Reading, difference, gains, level, power, span
from kdlib.study.regimes import regime_reading
from kdlib.study.search import search_reading


def probes(value: Any, records: Records) -> Reading:
    """How much of the error of no motion each decoder removes."""
    levels = {", ".join(label): level(group) for label, group in records.items()}
    compared = {"": (records["D3D", "frozen"], records["S3D-G", "frozen"])}
    return Reading(
        f"Of the error of no motion at all the decoders remove {span(levels, '%')}. D3D less "
        f"S3D-G, both frozen, of that error: {difference(compared)}.",
        "Layer 3A lies behind the first layers only, and a decoder with convolutions of its own "
        "can compute motion from whatever frames it is given. So a low error says that the motion "
        "is still there, not that the network uses it.",
        power(compared),
    )


def decoder(value: Any, records: Records) -> Reading:
    """Figure 4."""
    return Reading(
        "Each layer sees the maps of all layers before it, and the map at 3A itself.",
        "Each time step is decoded alone: what a decoder knows of motion it must find in the "
        "channels of one step, where the first, temporal layers have put it.",
    )


def class_levels(value: Any, records: Records) -> Reading:
    """Figure 2."""
    (group,) = records.values()
    found = classes.mean_by_class(group)
    said = f"Classes lie between {found.min():.0f} and {found.max():.0f} %"
    by_kind = {
        f"told apart by {kind}": sum(classes.of_kind(record, kind) for record in group) / len(group)
        for kind in classes.kinds(group[0])
    }
    tail = f"; on average {span(by_kind, '%')}" if by_kind else ""
    return Reading(
        f"{said}{tail}.",
        "A student of pixels can see motion only by comparing frames. What it has to compare is "
        "small, noisy and moved by the camera as well.",
        "More classes a kind: with six, one that is hard for another reason counts for much.",
    )


def class_changes(value: Any, records: Records) -> Reading:
    """Figure 3."""
    ours, theirs = records["D3D",], records["S3D-G",]
    found = classes.change(ours, theirs)
    improved, degraded, same = classes.counts(found)
    by_kind = {
        f"told apart by {kind}": found[classes.kinds(ours[0])[kind]].mean()
        for kind in classes.kinds(ours[0])
    }
    tail = f" Mean change: {span(by_kind, 'points')}." if by_kind else ""
    return Reading(
        f"{improved} classes improve, {degraded} degrade, {same} stay; the largest gain is "
        f"{found.max():+.1f} points, the largest loss {found.min():+.1f}.{tail}",
        "With few test videos a class some improve and some degrade by chance alone, as many of "
        "one as of the other. What chance does not do is to prefer one kind of class.",
        power({"": (ours, theirs)}),
    )


def students(value: Any, records: Records) -> Reading:
    """The headline."""
    compared = {
        label[0]: (group, records[PIXELS]) for label, group in records.items() if label != PIXELS
    }
    ways = {"": (records["D3D",], records["MARS",])}
    return Reading(
        f"{gains(compared, 'S3D-G')} D3D less MARS: {difference(ways)}.",
        "The teacher has no answer where only appearance tells classes apart. Its student is asked "
        "to repeat that too; so much depends on the weight.",
        power(compared),
    )


def teachers(value: Any, records: Records) -> Reading:
    """Whether it takes flow."""
    compared = {"": (records["D3D, teacher of flow",], records["D3D, teacher of pixels",])}
    over = {
        label[0]: (records[label], records[PIXELS]) for label in records if label[0][:4] == "D3D,"
    }
    return Reading(
        f"{gains(over, 'S3D-G')} A teacher of flow less one of pixels: {difference(compared)}.",
        "Of teachers that learnt from more clips than their student, one of pixels passes on these "
        "clips alone; one of flow passes on another look at them as well.",
        power(compared),
    )


def non_local(value: Any, records: Records) -> Reading:
    """Whether distillation and non-local blocks add up."""
    by_distillation = {
        "S3D-G": (records["D3D",], records["S3D-G",]),
        "NL S3D-G": (records["NL D3D",], records["NL S3D-G",]),
    }
    by_blocks = {
        "S3D-G": (records["NL S3D-G",], records["S3D-G",]),
        "D3D": (records["NL D3D",], records["D3D",]),
    }
    return Reading(
        f"Mean over both networks, by distillation: {difference(by_distillation)}; mean with and "
        f"without distillation, by non-local blocks: {difference(by_blocks)}.",
        "A non-local block starts as the identity and sees maps of few places here: 7 × 7 × 8 in "
        "the paper.",
        power(by_distillation),
    )


def leaderboard(value: Any, records: Records) -> Reading:
    """Quoted numbers."""
    return Reading(
        f"{len(value)} data sets. Of Kinetics-400 the smaller number is of the network alone, as "
        "it is remembered; of the others it is not known which is which.",
        "The paper's tables could not be read for this book, its supplement could. So these "
        "numbers are shown and held against nothing.",
    )


def audit(value: Any, records: Records) -> Reading:
    """The supplement's numbers."""
    total, _ = counted()["in all"]
    degraded, share = counted()["degraded"]
    decided = value[value["agrees"] != "–"]["agrees"]
    return Reading(
        f"Of {len(decided)} sentences that can be decided {int((decided == 'no').sum())} does not "
        f"agree with itself: {degraded} of {total} classes are not {share} %.",
        "A count was changed after its share was written, or the other way round.",
    )


READINGS = {
    "d3d/figure-1": probes,
    "d3d/probes": probes,
    "d3d/figure-2": class_levels,
    "d3d/figure-3": class_changes,
    "d3d/figure-4": decoder,
    "d3d/students": students,
    "d3d/teachers": teachers,
    "d3d/non-local": non_local,
    "d3d/leaderboard": leaderboard,
    "d3d/audit": audit,
    "d3d/search": partial(
        search_reading,
        training=f"D3D, weight {WEIGHTS['logits']:g}",
        why="With crisp labels a teacher says little of its student's clips that the labels do "
        "not. The weight says how much of its ignorance is passed on with its knowledge.",
    ),
}
REGIMES = partial(
    regime_reading,
    pairs={name: pair for name, pair in GAINS.items() if "two streams" not in pair},
    why="Where no class is told by its motion a teacher of flow has nothing to teach; with many "
    "clips a student finds the motion by itself. What two streams gain is about what there is to "
    "be had.",
)
READINGS |= {"d3d/regimes": REGIMES, "d3d/regime-numbers": REGIMES}
