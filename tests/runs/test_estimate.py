"""Estimates, held against what 1,989 runs of the book at two profiles took on one machine.

`timings.csv`: a row a run, its size and its seconds of processor time.
"""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pandas as pd
import pytest

from kdlib.runs.estimate import Pace, on_reference, pace, reference_step
from kdlib.runs.plan import estimate_seconds, plan
from kdlib.runs.size import Size, size
from kdlib.runs.spec import MethodSpec

TIMINGS = pd.read_csv(Path(__file__).with_name("timings.csv"))
CHAPTERS = ("resolution", "adaptive", "flow", "masked", "pretext")
SMOKE, LAPTOP = (TIMINGS[TIMINGS.profile == name] for name in ("smoke", "laptop"))


def of(chapter):
    return LAPTOP[LAPTOP.chapter == chapter]


def after(*tables, speed=1.0):
    """The pace of a machine on which these runs have finished."""
    rows = [row for table in tables for row in table.itertuples()]
    return Pace(
        "cpu", speed,
        tuple((r.model, on_reference(Size(r.calls, r.macs), "cpu"), r.seconds) for r in rows),
    )  # fmt: skip


def share(known, table):
    """What is expected of all these runs, as a share of what they took."""
    expected = sum(known.expect(r.model, Size(r.calls, r.macs)) for r in table.itertuples())
    return expected / table.seconds.sum()


@pytest.mark.parametrize("before", [(), (SMOKE,), (SMOKE, SMOKE)])
@pytest.mark.parametrize(("first", "second"), list(permutations(CHAPTERS, 2)))
def test_the_second_chapter_is_within_30_percent_once_the_first_is_done(first, second, before):
    assert 0.7 < share(after(of(first), *before), of(second)) < 1.3


@pytest.mark.parametrize("before", [(), (SMOKE,)])
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_bare_machine_is_within_30_percent(chapter, before):
    assert 0.7 < share(after(*before), of(chapter)) < 1.3


@pytest.mark.parametrize("before", [(), (SMOKE,)])
def test_the_whole_book_is_within_15_percent(before):
    assert 0.85 < share(after(*before), LAPTOP) < 1.15


def test_a_machine_of_half_the_speed_takes_twice_as_long_once_it_is_known():
    slow = of("resolution").assign(seconds=of("resolution").seconds * 2)
    doubled = of("adaptive").assign(seconds=of("adaptive").seconds * 2)
    assert 0.7 < share(after(slow), doubled) < 1.3
    assert share(after(slow), of("adaptive")) > 1.5
    assert share(after(speed=2.0), of("adaptive")) > 1.5


def test_the_reference_step_is_short_and_leaves_the_random_numbers_alone():
    import torch

    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    assert 1e-4 < reference_step() < 1.0
    assert torch.equal(torch.rand(1), first)


@pytest.mark.slow
def test_a_finished_run_says_its_size_and_the_plan_learns_from_it(
    store, datasets, planned, make_spec
):
    from kdlib.runs.engine import run_all

    specs = [make_spec(seed=seed) for seed in range(3)]
    run_all(planned(*specs)[0], store, datasets, device="cpu", jobs=1)
    known = pace(store, "cpu")
    assert len(known.records) == 3
    assert pace(store, "cuda").records == ()
    costs = [store.find(path.name).result["cost"] for path in (store.root / "runs").iterdir()]
    assert {(c["calls"], c["macs"]) for c in costs} == {
        (size(make_spec()).calls, size(make_spec()).macs)
    }
    (run,), _ = plan([make_spec(seed=3)], store, "cpu", datasets.keys(specs))
    took = sorted(c["cpu_seconds"] for c in costs)
    assert took[0] <= run.seconds <= took[-1]
    assert estimate_seconds([run, run], jobs=2) == pytest.approx(run.seconds)
    assert estimate_seconds([run], jobs=8) == pytest.approx(run.seconds)
    assert estimate_seconds([], jobs=2) == 0


def test_longer_trainings_and_looks_are_larger(make_spec):
    assert size(make_spec(epochs=4)).macs > 1.5 * size(make_spec(epochs=2)).macs
    assert size(make_spec(epochs=4)).calls > 1.5 * size(make_spec(epochs=2)).calls
    taught = replace(make_spec(), method=MethodSpec("kd", (make_spec(),)))
    assert size(taught).macs > size(make_spec()).macs


@pytest.mark.parametrize(
    ("calls", "macs", "seconds"),
    # Steps that `benchmarks.gpu_step` timed on an H100: KD of ResNet56 -> ResNet20 at batch 64 and
    # 512, a SlowFast 4x16 at batch 32.
    [(620, 64 * 2.48e8, 0.0198), (620, 512 * 2.48e8, 0.0237), (1524, 32 * 8.01e10, 0.191)],
)
def test_a_step_on_a_gpu_takes_what_was_measured_within_a_factor_of_two(calls, macs, seconds):
    steps = 10_000
    expected = on_reference(Size(steps * calls, steps * macs), "cuda") / steps
    assert 0.5 < expected / seconds < 2
