"""Which runs are wanted, which are missing, in which order, and how long they may take."""

from collections.abc import Iterable, Mapping

from kdlib.runs.estimate import Pace, pace
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import RunStore, run_key
from kdlib.runs.worker import Planned


def plan(
    specs: Iterable[RunSpec], store: RunStore, device: str, data_keys: Mapping[str, str]
) -> tuple[list[Planned], int]:
    """The runs these specs still need, each after what it needs, and how many are in the store.

    A teacher or a start is wanted only where a missing run needs it. Every missing spec is
    rehearsed first, so that an impossible one is refused before anything trains.
    """
    missing: dict[str, Planned] = {}
    found: set[str] = set()
    speed: list[Pace] = []

    def visit(spec: RunSpec) -> str:
        key = run_key(spec, device, data_keys)
        if key in missing or key in found:
            return key
        if store.find(key) is not None:
            found.add(key)
            return key
        rehearse(spec)
        needs = tuple(visit(needed) for needed in spec.needs)
        speed[:] = speed or [pace(store, device)]
        missing[key] = Planned(spec, key, needs, speed[0].seconds(spec))
        return key

    wanted = {visit(spec) for spec in dict.fromkeys(specs)}
    return list(missing.values()), len(found & wanted)


def estimate_seconds(runs: Iterable[Planned], jobs: int) -> float:
    """Wall seconds of these runs in so many workers."""
    runs = list(runs)
    return sum(run.seconds for run in runs) / max(min(jobs, len(runs)), 1)
