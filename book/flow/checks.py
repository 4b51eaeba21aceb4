"""The checks of the flow chapter's `claims.toml`."""

from typing import Any

from book.flow import audit, classes, streams
from book.flow.measured import D3D, FLOW, MARS, PIXELS
from book.flow.tables import counted
from kdlib.study import tables
from kdlib.study.chapter import Chapter
from kdlib.study.checks import Check, Finding, better, better_over, clustered

STUDENTS, PROBES, TEACHERS = "d3d/students", "d3d/probes", "d3d/teachers"
CHANGES, NON_LOCAL = "d3d/figure-3", "d3d/non-local"

# Positive controls


def _knows(kind: classes.Kind, ours: tuple[str], theirs: tuple[str]) -> Check:
    """The check that one network of the headline beats another on the classes of a kind."""

    def find(chapter: Chapter) -> Finding:
        records = chapter.records(STUDENTS)
        values = [
            (one.spec.seed, classes.of_kind(one, kind) - classes.of_kind(other, kind))
            for one, other in zip(records[ours], records[theirs], strict=True)
        ]
        return clustered(values, f"{ours[0]} against {theirs[0]}, classes told apart by {kind}")

    return Check(find, (STUDENTS,))


flow_knows_motion = _knows("motion", FLOW, PIXELS)
pixels_know_appearance = _knows("appearance", PIXELS, FLOW)


def _two_streams(chapter: Chapter) -> Finding:
    """Both together less the better one."""
    records = chapter.records(STUDENTS)
    both = streams.pairs(records[PIXELS], records[FLOW], chapter.setting)
    alone = {label[0]: [records[label]] for label in (PIXELS, FLOW)}
    best, found = tables.difference_to_best([both], alone)
    said = f"two streams against {best}, the better of {' and '.join(alone)}"
    return Finding.measured(found, said)


two_streams_beat_either = Check(_two_streams, (STUDENTS,))
probe_reads_what_was_learnt = better(
    PROBES, ("flow teacher", "frozen"), ("random weights", "frozen")
)

# What the paper says

distillation_helps = better(STUDENTS, D3D, PIXELS)
distillation_improves_decoded_flow = better(PROBES, ("D3D", "frozen"), ("S3D-G", "frozen"))
fine_tuning_improves_decoded_flow = better(PROBES, ("D3D", "fine-tuned"), ("D3D", "frozen"))


def more_classes_improve(chapter: Chapter) -> Finding:
    """Figure 3: classes that improve less those that degrade, by seed, as a share of all."""
    records = chapter.records(CHANGES)
    values = []
    for one, other in zip(records[D3D], records[PIXELS], strict=True):
        improved, degraded, same = classes.counts(classes.change([one], [other]))
        values.append((one.spec.seed, (improved - degraded) / (improved + degraded + same)))
    return clustered(values, "classes that improve less those that degrade", "of the classes")


def motion_gains_most(chapter: Chapter) -> Finding:
    """What distillation adds to classes told apart by motion, less what it adds to the others."""
    records = chapter.records(CHANGES)
    values = []
    for one, other in zip(records[D3D], records[PIXELS], strict=True):
        motion, appearance = (
            classes.of_kind(one, kind) - classes.of_kind(other, kind) for kind in classes.KINDS
        )
        values.append((one.spec.seed, motion - appearance))
    return clustered(values, "gain of classes told apart by motion less that of the others")


def one_network_is_as_good_as_two(chapter: Chapter) -> Finding:
    """D3D less the two streams."""
    records = chapter.records(STUDENTS)
    both = streams.pairs(records[PIXELS], records[FLOW], chapter.setting)
    found = tables.difference([records[D3D]], [both])
    return Finding.measured(found, "D3D against S3D-G and the flow teacher together")


def together_beats_alone(chapter: Chapter) -> Finding:
    """D3D with S3D-G less D3D."""
    records = chapter.records(STUDENTS)
    both = streams.pairs(records[D3D], records[PIXELS], chapter.setting)
    found = tables.difference([both], [records[D3D]])
    return Finding.measured(found, "D3D and S3D-G together against D3D")


# What the caption of Figure 3 alone decides


def _share_of(name: str) -> Check:
    """The check that a printed share is that of the printed count."""

    def find(chapter: Any) -> Finding:
        total, _ = counted()["in all"]
        count, share = counted()[name]
        verdict = "supported" if audit.share_is_right(name) else "contradicted"
        compared = f"the printed share less {count} / {total}"
        return Finding.counted(abs(share - 100 * count / total), "points", verdict, compared)

    return Check(find, ())


improved_share_is_right = _share_of("improved")
degraded_share_is_right = _share_of("degraded")

# The book's own comparisons

it_takes_flow = better(TEACHERS, ("D3D, teacher of flow",), ("D3D, teacher of pixels",))
logits_beat_features = better(STUDENTS, D3D, MARS)
non_local_helps = better_over(
    [(NON_LOCAL, ("NL S3D-G",)), (NON_LOCAL, ("NL D3D",))],
    [(NON_LOCAL, ("S3D-G",)), (NON_LOCAL, ("D3D",))],
    "with against without non-local blocks, mean of S3D-G and D3D",
)
distillation_helps_non_local = better(NON_LOCAL, ("NL D3D",), ("NL S3D-G",))
