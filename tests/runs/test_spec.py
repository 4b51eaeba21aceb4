import dataclasses
import json

import pytest

from kdlib.errors import UserError
from kdlib.runs.spec import DataSpec, RunSpec, parse


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
