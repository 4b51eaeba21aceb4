"""Whatever layout names a clip, the clip lies below the folder of its set, or is refused."""

import json
import typing

import pytest

from kdlib.data.manifest import Layout
from kdlib.errors import UserError

VIDEO = {"subset": "training", "annotations": [{"label": "jump"}]}
SPLITS = {"splits": {"one": {"train": 1}}}
# By layout: what it is, changes of the manifest, and a list file that names the clip {}.
NAMING = {
    "table": (
        {"table": "l", "label": "label"},
        SPLITS,
        lambda clip: f'path,label,one\n"{clip}",jump,train\n',
    ),
    "lists": ({"lists": {"one": {"train": "l"}}}, SPLITS, lambda clip: f"{clip}/jump/a.avi"),
    "class_lists": ({"lists": {"one": "l"}}, SPLITS, lambda clip: f"{clip} 1"),
    "kinetics": (
        {"lists": {"train": "l"}, "places": {"train": ("{id}.mp4",)}},
        {},
        lambda clip: f'label,youtube_id,time_start,time_end\njump,"{clip}",0,9\n',
    ),
    "something": (
        {"lists": {"train": "l"}},
        {},
        lambda clip: json.dumps([{"id": clip, "template": "Jumping"}]),
    ),
    "activitynet": (
        {"file": "l", "parts": {"train": "training"}},
        {"task": "multi-label"},
        lambda clip: json.dumps({"database": {clip: VIDEO}}),
    ),
    "ava": (
        {"lists": {"train": "l"}, "actions": "actions"},
        {"task": "detection"},
        lambda clip: f'"{clip}",1,0.1,0.1,0.9,0.9,1,0\n',
    ),
}
# These name no clips: they list folders, open files of the manifest, or make their clips.
OTHERS = {"folders", "packed", "generated"}
HOSTILE = ["../../x", "a/../../../x", "..\\..\\x", "a\\..\\..\\..\\x", "/x", "\\x", "C:/x", "C:\\x"]


@pytest.fixture
def named(lists):
    """The clips of a layout whose list names one clip."""
    lists.put("actions", 'item {\n name: "jump"\n id: 1\n}')

    def clips(kind, clip):
        layout, changes, content = NAMING[kind]
        lists.put("l", content(clip))
        return lists.clips({"kind": kind, **layout}, **{"classes": ("jump", "wave"), **changes})

    return clips


def test_every_layout_is_looked_at():
    kinds = {typing.get_args(m.model_fields["kind"].annotation)[0] for m in typing.get_args(Layout)}
    assert kinds == NAMING.keys() | OTHERS


@pytest.mark.parametrize("kind", NAMING)
def test_an_honest_name_is_a_clip(named, kind):
    clips = named(kind, "deep/a (1)")
    assert clips
    assert all("deep/a (1)" in clip.file for clip in clips)


@pytest.mark.parametrize("kind", NAMING)
@pytest.mark.parametrize("clip", HOSTILE)
def test_a_name_that_leads_outside_is_refused(named, kind, clip):
    try:
        clips = named(kind, clip)
    except UserError as error:
        assert "must be a relative path" in str(error)  # noqa: PT017
        return
    # Behind a folder or a prefix of the layout's own, what would be absolute is not.
    assert kind in ("activitynet", "class_lists")
    assert [c.file for c in clips if not c.file.startswith(("v_", "jump/", "wave/"))] == []
    assert ".." not in clips[0].file.replace("\\", "/").split("/")


@pytest.mark.parametrize("kind", ["something", "activitynet"])
@pytest.mark.parametrize("clip", ["a\0/b", "a\ud800/b"])
def test_a_name_that_no_disk_can_hold_is_refused(named, kind, clip):
    with pytest.raises(UserError, match=r"zero byte|surrogates|zero bytes"):
        named(kind, clip)


@pytest.mark.parametrize("label", ["../../x", "/x", "..\\x"])
def test_a_class_leads_to_no_list_outside(lists, label):
    layout = {"kind": "class_lists", "lists": {"one": "{class}"}}
    with pytest.raises(UserError, match=r"mine: layout: .* must be a relative path"):
        lists.clips(layout, classes=(label, "wave"), **SPLITS)
