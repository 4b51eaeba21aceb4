from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.data import splits
from kdlib.data.layouts import Places
from kdlib.data.layouts.kinetics import clips as read
from kdlib.data.manifest import load
from kdlib.errors import UserError

LAYOUT = {
    "kind": "kinetics",
    "lists": {"train": "a.csv"},
    "places": {"train": ("{label}/{id}_{start}_{end}.mp4", "{id}_{start}_{end}.mp4")},
}
HEAD = "label,youtube_id,time_start,time_end,split,is_cc\n"


def test_the_first_place_that_exists_counts(lists):
    lists.put("a.csv", HEAD + 'jump,-a,5,15,train,0\n"wave, both",_b,100,110,train,0\n')
    lists.put("clips/-a_000005_000015.mp4", "")
    jump, wave = lists.clips(LAYOUT)
    assert (jump.file, jump.name) == ("-a_000005_000015.mp4", "-a_000005_000015")
    assert jump.group == "-a"
    assert (wave.file, wave.labels) == ("wave, both/_b_000100_000110.mp4", ("wave, both",))


def test_a_subset_by_ids(lists):
    lists.put("a.csv", HEAD + "jump,a,5,15,train,0\nwave,b,1,11,train,0\n")
    lists.put("ids.txt", "b\nc\n")
    assert [c.group for c in lists.clips({**LAYOUT, "ids": {"train": "ids.txt"}})] == ["b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + "jump,a,five,15,train,0", "line 2: 'five' is no time in whole seconds"),
        (HEAD + "jump,a,5,-15,train,0", "line 2: '-15' is no time"),
        (HEAD + ",a,5,15,train,0", "line 2: no label or no youtube_id"),
        (HEAD + "../jump,a,5,15,train,0", "line 2: .*relative path"),
        (HEAD + "jump,a,5", "line 2: not 6 values"),
        ("label,youtube_id,time_start\njump,a,5", "column: unknown value 'time_end'"),
    ],
)
def test_a_wrong_row_is_named(lists, content, message):
    lists.put("a.csv", content)
    with pytest.raises(UserError, match=rf"a\.csv.*{message}"):
        lists.clips(LAYOUT)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.text(max_size=200).map(str.encode) | st.binary(max_size=200), head=st.booleans())
def test_any_text_is_clips_inside_or_a_user_error(any_lists, content, head):
    lists = any_lists()
    lists.put("a.csv", HEAD.encode() * head + content)
    clips = lists.clips_or_refused("a.csv", LAYOUT)
    assert all(".." not in c.file.split("/") and not c.file.startswith("/") for c in clips)


def official(real, tmp_path, name):
    """The official list of validation, the only one at hand, as the layout reads it."""
    (tmp_path / "annotations").mkdir()
    for place in ("kinetics/kinetics-400_val.csv", "mini_kinetics200/val_ytid_list.txt"):
        file = tmp_path / "annotations" / place.split("/")[1].replace("kinetics-400_", "")
        file.symlink_to(real / "annotations" / place)
    m = load(name)
    layout = m.layout.model_copy(update={"lists": {"test": "annotations/val.csv"}})
    return m, read(m, layout, Places(tmp_path, (tmp_path,)), "official")


@pytest.mark.real
def test_kinetics_400(real, tmp_path):
    m, clips = official(real, tmp_path, "kinetics400")
    assert len(clips) == m.splits["official"]["test"] == 19_906
    names = (real / "annotations/label_maps/kinetics/label_map_k400.txt").read_text().splitlines()
    # Sorted by name, the classes have the indices that everybody uses.
    assert splits.class_names(m, clips) == tuple(names)
    assert clips[0].file == "val/abseiling/0wR5jVB-WPk_000417_000427.mp4"


@pytest.mark.real
def test_mini_kinetics(real, tmp_path):
    m, clips = official(real, tmp_path, "mini_kinetics200")
    assert len(clips) == m.splits["official"]["test"] == 5000
    assert set(Counter(c.labels[0] for c in clips).values()) == {25}
    assert len(splits.class_names(m, clips)) == 200
    ids = (real / "annotations/mini_kinetics200/train_ytid_list.txt").read_text().split()
    assert len(set(ids)) == len(ids) == m.splits["official"]["train"]
