import dataclasses
import json
import math
from pathlib import Path

import pytest

from kdlib.errors import UserError
from kdlib.runs.spec import DataSpec, MethodSpec, RunSpec, parse


def test_json_round_trip_keeps_the_digest(make_spec):
    spec = make_spec(teacher=make_spec(), weight=2.0)
    again = parse(RunSpec, json.loads(spec.to_json()))
    assert again == spec
    assert again.digest == spec.digest


def test_every_field_changes_the_digest(make_spec):
    spec = make_spec()
    others = [
        dataclasses.replace(spec, seed=1),
        dataclasses.replace(spec, precision="bf16-mixed"),
        dataclasses.replace(spec, data=dataclasses.replace(spec.data, size=24)),
        dataclasses.replace(spec, recipe=dataclasses.replace(spec.recipe, epochs=3)),
        make_spec(teacher=spec),
        make_spec(teacher=make_spec(seed=1)),
    ]
    assert len({s.digest for s in [spec, *others]}) == 7


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"size": math.nan}, "^size: .*got nan"),
        ({"size": Path("somewhere")}, "^size: .*got PosixPath"),
        ({"size": 10**30}, "^size: .*less than or equal to 10000"),
        ({"framse": 4}, "^framse: unknown field 'framse'.*Did you mean 'frames'"),
        ({"seed": 10**30}, "^seed: "),
        ({"split": "split1"}, "^data.split: of real sets only"),
        ({"overlap": math.inf}, "^overlap: .*finite"),
    ],
)
def test_made_in_code_a_spec_says_its_faults_in_one_line_too(fault, message):
    with pytest.raises(UserError, match=message) as caught:
        DataSpec("generated/detail12", **{"train": 32, **fault})
    assert "\n" not in str(caught.value)


def test_a_fault_by_position_and_within_an_option_are_named(make_spec):
    with pytest.raises(UserError, match=r"^data: .*instance of DataSpec, got None"):
        RunSpec(None, make_spec().model, make_spec().recipe)
    for value in (math.nan, Path("x"), [1], {"a": 1}):
        with pytest.raises(UserError, match=r"^options\.resolution") as caught:
            MethodSpec("resolution", (make_spec(),), {"resolution": value})
        assert "\n" not in str(caught.value)


def test_a_spec_that_is_nested_without_end_is_refused(make_spec):
    plain = json.loads(make_spec().to_json())
    nested = plain
    for _ in range(3000):
        nested = {**plain, "start": {"run": nested, "part": "all"}}
    with pytest.raises(UserError) as caught:
        parse(RunSpec, nested)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"framse": 4}, "data.framse: unknown field 'framse'.*Did you mean 'frames'"),
        ({"frames": 0}, "data.frames: .*greater than or equal to 1, got 0"),
        ({"sampling": "dens"}, "data.sampling: .*'segments' or 'dense'"),
        ({"size": "big"}, "data.size: .*integer.*got 'big'"),
    ],
)
def test_faults_are_named_in_one_line(fault, message):
    with pytest.raises(UserError, match=message) as caught:
        parse(DataSpec, {"name": "generated/detail12", **fault}, "data")
    assert "\n" not in str(caught.value)
