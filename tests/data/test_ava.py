import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.data import ava
from kdlib.errors import UserError


@pytest.fixture
def put(tmp_path):
    def write(content):
        path = tmp_path / "a.file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_actions_of_both_forms(put):
    old = 'item {\n  name: "bend/bow (at the waist)"\n  id: 3\n}\nitem { name: "x" id: 1 }'
    assert ava.read_actions(put(old)) == {1: "x", 3: "bend/bow (at the waist)"}
    new = 'label {\n  name: "dance"\n  label_id: 4\n  label_type: PERSON_MOVEMENT\n}'
    assert ava.read_actions(put(new)) == {4: "dance"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no actions"),
        ("item { id: 3 }", "without name and id: 'id: 3'"),
        ('item { name: "a" id: 1 } item { name: "b" id: 1 }', "id 1 stands twice"),
    ],
)
def test_a_wrong_list_of_actions(put, content, message):
    with pytest.raises(UserError, match=rf"a\.file: .*{message}"):
        ava.read_actions(put(content))


def test_two_people_in_one_box_are_two_actors(put):
    rows = "f,1,0,0,1,1,7,0\nf,0001,0,0,1,1,7,1\nf,1,0,0,1,1,8,1\n"
    found = ava.read_boxes(put(rows))
    assert found == {("f", 1): [((0, 0, 1, 1), (7,)), ((0, 0, 1, 1), (7, 8))]}


def test_a_keyframe_without_anybody_has_no_actors(put):
    assert ava.read_boxes(put("f,1\nf,2,,,,,,\n")) == {("f", 1): [], ("f", 2): []}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("f", "not a film and a second"),
        (",1", "not a film and a second"),
        ("f,soon,0,0,1,1,7,0", "'soon' is no time"),
        ("f,1,0,0,1,1,7", "7 values, not 8"),
        ("f,1,0,0,1,x,7,0", "0, 0, 1, x is no box"),
        ("f,1,0,0,1,nan,7,0", "not x1 < x2"),
        ("f,1,0.5,0,0.2,1,7,0", "not x1 < x2"),
        ("f,1,0,0,2,1,7,0", "not x1 < x2, y1 < y2 in 0..1"),
        ("f,1,0,0,1,1,seven,0", "'seven' is no id"),
    ],
)
def test_a_wrong_row_is_named(put, row, message):
    with pytest.raises(UserError, match=rf"a\.file, line 2: .*{message}"):
        ava.read_boxes(put(f"f,1,0,0,1,1,7,0\n{row}\n"))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.text(alphabet="f,01.9\n\r\"'x-", max_size=80) | st.text(max_size=80))
def test_any_rows_are_boxes_inside_or_a_user_error(put, content):
    refused, found = "", {}
    try:
        found = ava.read_boxes(put(content))
    except UserError as error:
        refused = str(error)
    assert not refused or "a.file" in refused
    for rows in found.values():
        for (x1, y1, x2, y2), actions in rows:
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1
            assert actions


def test_times(put):
    assert ava.read_times(put("f,0902\ng,3\n")) == {("f", 902), ("g", 3)}


def test_proposals(put):
    content = {
        "f,0902": np.array([[0, 0, 1, 1, 0.5]]),
        b"-g,h,3": np.array([[0, 0, 1, 1]], np.float32),
        "f,4": np.empty((0, 5)),
    }
    found = ava.read_proposals(put(pickle.dumps(content)))
    assert {key: boxes.tolist() for key, boxes in found.items()} == {
        ("f", 902): [[0, 0, 1, 1, 0.5]],
        ("-g,h", 3): [[0, 0, 1, 1, 1]],
        ("f", 4): [],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "no dict of boxes"),
        ({"f": np.zeros((1, 5))}, "'f': not a film and a second"),
        ({"f,1": np.zeros((1, 3))}, r"'f,1': no array of boxes"),
        ({"f,1": [1, 2]}, "'f,1': no array of boxes"),
        ({"f,1": np.full((1, 5), np.nan)}, r"must be in 0\.\.1"),
        ({"f,1": np.full((1, 5), 320.0)}, r"must be in 0\.\.1"),
    ],
)
def test_wrong_proposals_are_named(put, content, message):
    with pytest.raises(UserError, match=rf"a\.file.*{message}"):
        ava.read_proposals(put(pickle.dumps(content)))
