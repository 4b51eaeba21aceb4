import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.errors import UserError

LAYOUT = {"kind": "something", "lists": {"train": "a.json"}}


def test_the_template_without_brackets_is_the_class(lists):
    template = "Moving [something] and [something] closer to each other"
    item = {"id": "78687", "label": "moving a pen and a cup closer", "template": template}
    lists.put("a.json", json.dumps([item, {"id": 5, "template": "Showing [something]"}]))
    one, two = lists.clips(LAYOUT)
    assert one.labels == ("Moving something and something closer to each other",)
    assert (one.file, one.part, one.group) == ("78687.webm", "train", "78687.webm")
    assert (two.file, two.labels) == ("5.webm", ("Showing something",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not a list of clips"),
        ("[1", "no readable json"),
        ('[{"id": "1"}]', "item 0: no id and template"),
        ('[{"id": "../1", "template": "a"}]', "item 0: .*relative path"),
        ('[{"id": "1", "template": "[]"}]', "item 0: an empty template"),
        ("[" * 100_000, "no readable json"),
    ],
)
def test_a_wrong_file_is_named(lists, content, message):
    lists.put("a.json", content)
    with pytest.raises(UserError, match=rf"a\.json.*{message}"):
        lists.clips(LAYOUT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "template", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=JSON)
def test_any_json_is_clips_inside_or_a_user_error(any_lists, content):
    lists = any_lists()
    lists.put("a.json", json.dumps(content))
    clips = lists.clips_or_refused("a.json", LAYOUT)
    assert all(".." not in c.file.split("/") for c in clips)


@pytest.mark.real
def test_the_label_map_is_that_of_the_templates(real):
    names = (real / "annotations/label_maps/sthv2/label_map.txt").read_text().splitlines()
    # Sorted by name, the classes have the indices that everybody uses.
    assert names == sorted(names)
    assert len(names) == 174
    assert not any("[" in name for name in names)
