import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.errors import UserError

LAYOUT = {
    "kind": "activitynet",
    "file": "a.json",
    "parts": {"train": "training", "test": "validation"},
}


def video(subset, *labels):
    return {
        "subset": subset,
        "duration": 9.5,
        "annotations": [{"segment": [0.5, 4.0], "label": label} for label in labels],
    }


def put(lists, **videos):
    lists.put("a.json", json.dumps({"version": "1.3", "database": videos}))


def test_the_classes_of_a_video_are_those_of_its_segments(lists):
    put(
        lists,
        a=video("training", "wave", "jump", "wave"),
        b=video("validation", "jump"),
        c=video("testing"),
    )
    lists.put("clips/v_a.mkv", "")
    lists.put("clips/v_a.txt", "")
    a, b = lists.clips(LAYOUT, task="multi-label")
    assert (a.name, a.part, a.labels, a.file) == ("v_a", "train", ("wave", "jump"), "v_a.mkv")
    assert (b.part, b.labels, b.file) == ("test", ("jump",), "v_b.mp4")


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ({"a": {}}, "video 'a': no subset"),
        ({"a": 3}, "video 'a': no subset"),
        ({"a": video("training")}, "video 'a': no annotations with labels"),
        ({"a": video("training", "jump", 5)}, "video 'a': no annotations with labels"),
        ({"../../a": video("training", "jump")}, "relative path"),
    ],
)
def test_a_wrong_video_is_named(lists, videos, message):
    put(lists, **videos)
    with pytest.raises(UserError, match=rf"a\.json.*{message}"):
        lists.clips(LAYOUT, task="multi-label")


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "subset": st.sampled_from(["training", "validation", "x", 3, None]),
        "annotations": st.none()
        | st.lists(st.none() | st.dictionaries(st.just("label"), st.text() | st.none())),
    },
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(database=st.none() | st.dictionaries(st.text(max_size=9), FIELDS, max_size=3))
def test_any_database_is_clips_or_a_user_error(any_lists, database):
    lists = any_lists()
    lists.put("a.json", json.dumps({"database": database}))
    clips = lists.clips_or_refused("a.json", LAYOUT, task="multi-label")
    assert all(c.labels and ".." not in c.file.split("/") for c in clips)


@pytest.mark.real
def test_a_real_excerpt(real, lists):
    excerpt = json.loads((real / "annotations/ava_toy/eval_localization/gt.json").read_text())
    put(lists, **{name.removeprefix("v_"): fields for name, fields in excerpt.items()})
    clips = lists.clips(LAYOUT, task="multi-label")
    assert {c.name for c in clips} == set(excerpt)
    names = (real / "annotations/label_maps/activitynet/label_map.txt").read_text().splitlines()
    assert {label for c in clips for label in c.labels} <= set(names)
    assert len(set(names)) == 200
