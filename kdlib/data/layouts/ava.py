"""AVA: actors and their actions at single seconds of films; see `kdlib.data.manifest.AvaLayout`."""

import numpy as np

from kdlib.data import ava, listfiles
from kdlib.data.layouts import SUFFIXES, Actor, Clip, Places
from kdlib.data.listing import Listing
from kdlib.data.manifest import AvaLayout, Manifest


def clips(manifest: Manifest, layout: AvaLayout, places: Places, split: str) -> list[Clip]:
    """A sample a keyframe with an actor whose actions are among those that are evaluated."""
    actions = ava.read_actions(places.find(manifest, layout.actions))
    files = Listing(places.folder).by_stem(SUFFIXES["videos"])
    found = []
    for part, file in layout.lists.items():
        path = places.find(manifest, file)
        excluded = (
            ava.read_times(places.find(manifest, layout.excluded[part]))
            if part in layout.excluded
            else set()
        )
        proposals = (
            ava.read_proposals(places.find(manifest, layout.proposals[part]))
            if part in layout.proposals
            else {}
        )
        for (film, second), rows in ava.read_boxes(path).items():
            if (film, second) in excluded:
                continue
            # The lists name 80 actions; the benchmark evaluates those of its file of actions.
            named = [(row.box, [actions[a] for a in row.actions if a in actions]) for row in rows]
            actors = tuple(Actor(box, tuple(labels)) for box, labels in named if labels)
            if not actors:
                continue
            boxes = proposals.get((film, second), np.empty((0, 5), np.float32))
            found.append(
                Clip(
                    name=f"{film},{second:04}",
                    part=part,
                    labels=tuple(dict.fromkeys(x for actor in actors for x in actor.labels)),
                    group=film,
                    file=files.get(film, f"{listfiles.clip_path(str(path), film)}.mp4"),
                    span=_span(second, layout.seconds),
                    actors=actors,
                    proposals=tuple(map(tuple, boxes.tolist())),
                )
            )
    return found


def _span(second: int, seconds: float) -> tuple[float, float]:
    return max(0.0, second - seconds / 2), second + seconds / 2
