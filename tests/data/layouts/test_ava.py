import pickle

import numpy as np
import pytest

from kdlib.data import layouts
from kdlib.data import real as module
from kdlib.data.layouts import Actor, Places
from kdlib.data.manifest import load

LAYOUT = {
    "kind": "ava",
    "lists": {"train": "a.csv"},
    "actions": "actions.pbtxt",
    "excluded": {"train": "excluded.csv"},
    "proposals": {"train": "boxes.pkl"},
}


@pytest.fixture
def ava(lists):
    lists.put("actions.pbtxt", 'item {\n name: "jump"\n id: 2\n}\nitem {\n name: "wave"\n id: 5\n}')
    lists.put("excluded.csv", "film,0905\n")
    boxes = {"film,0902": np.array([[0.1, 0.2, 0.5, 0.9, 0.75]])}
    lists.put("boxes.pkl", pickle.dumps(boxes))
    return lists


def test_a_keyframe_is_its_actors_with_what_is_evaluated(ava):
    rows = [
        "film,0902,0.1,0.2,0.5,0.9,2,0",
        "film,0902,0.1,0.2,0.5,0.9,5,0",
        "film,0902,0.6,0.2,0.9,0.9,5,1",
        "film,0902,0.0,0.0,0.1,0.1,77,2",  # an action that is not evaluated
        "film,0903,0.1,0.2,0.5,0.9,77,0",
        "film,0904,,,,,,",
        "film,0905,0.1,0.2,0.5,0.9,2,0",  # excluded
        "other,0000,0.1,0.2,0.5,0.9,2,0",
    ]
    ava.put("a.csv", "\n".join(rows))
    ava.put("clips/film.mkv", "")
    film, other = ava.clips(LAYOUT, task="detection")
    assert (film.name, film.group, film.file) == ("film,0902", "film", "film.mkv")
    assert film.span == (901.0, 903.0)
    assert film.actors == (
        Actor((0.1, 0.2, 0.5, 0.9), ("jump", "wave")),
        Actor((0.6, 0.2, 0.9, 0.9), ("wave",)),
    )
    assert film.labels == ("jump", "wave")
    np.testing.assert_allclose(film.proposals, [[0.1, 0.2, 0.5, 0.9, 0.75]], rtol=1e-6)
    assert (other.file, other.span, other.proposals) == ("other.mp4", (0.0, 1.0), ())
    found = module._proposals([film, other])
    np.testing.assert_allclose(found[:, 0, 4], [0.75, 0])


@pytest.mark.real
def test_the_official_list_of_actions(real):
    place = real / "annotations/ava"
    m = load("ava")
    layout = m.layout.model_copy(
        update={
            "lists": {"train": "ava_toy/ava_dataset/ava_sample.csv"},
            "actions": "ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt",
            "excluded": {},
            "proposals": {"train": "ava_toy/ava_dataset/ava_proposals_sample.pkl"},
        }
    )
    m = m.model_copy(update={"layout": layout})
    clips = layouts.clips(m, Places(place, (place, place.parent)), "v2.2")
    assert [c.name for c in clips] == ["0f39OWEqJ24,0902", "0f39OWEqJ24,0903", "_-Z6wFjXtGQ,0902"]
    # 12, 17 and 79 of the 80; three rows, one actor.
    assert clips[0].actors[0].labels == (
        "stand",
        "carry/hold (an object)",
        "talk to (e.g., self, a person, a group)",
    )
    assert all(set(c.labels) <= set(m.classes) for c in clips)
    assert [len(c.proposals) for c in clips] == [1, 1, 3]
