"""AVA's files: the list of actions, boxes of actors by second of film, proposals of a detector."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdlib.data import listfiles, safe_pickle
from kdlib.errors import UserError

Key = tuple[str, int]  # a film and a second of it: a keyframe


class ActorRow(NamedTuple):
    """One actor of a keyframe: box x1, y1, x2, y2 in 0..1, and the ids of the actions."""

    box: tuple[float, float, float, float]
    actions: tuple[int, ...]


def read_actions(path: Path) -> dict[int, str]:
    """Names of actions by id, ascending: a pbtxt with blocks `item` (id) or `label` (label_id)."""
    found: dict[int, str] = {}
    for block in re.findall(r"\{([^{}]*)\}", listfiles.text(path)):
        name = re.search(r'\bname:\s*"([^"\n]+)"', block)
        number = re.search(r"\b(?:label_)?id:\s*([0-9]{1,6})\b", block)
        if not (name and number):
            raise UserError(f"{path}: a block without name and id: {' '.join(block.split())!r}")
        if int(number.group(1)) in found:
            raise UserError(f"{path}: id {number.group(1)} stands twice")
        found[int(number.group(1))] = name.group(1)
    if not found:
        raise UserError(f"{path}: no actions")
    return dict(sorted(found.items()))


def read_boxes(path: Path) -> dict[Key, list[ActorRow]]:
    """Actors by keyframe of a csv: film, second, x1, y1, x2, y2, action, person.

    Rows of one keyframe with one box and one person are one actor with several actions. A keyframe
    without anybody has a row of two, or empty fields, and no actors.
    """
    found: dict[Key, dict[tuple, set[int]]] = {}
    for number, row in listfiles.bare_rows(path):
        where = f"{path}, line {number}"
        actors = found.setdefault(_key(where, row), {})
        if not any(row[2:]):
            continue
        if len(row) != 8:
            raise UserError(f"{where}: {len(row)} values, not 8")
        box = _box(where, row[2:6])
        if not (row[6].isascii() and row[6].isdigit() and len(row[6]) <= 6):
            raise UserError(f"{where}: {row[6]!r} is no id of an action")
        actors.setdefault((row[7], box), set()).add(int(row[6]))
    return {
        key: [ActorRow(box, tuple(sorted(actions))) for (_, box), actions in actors.items()]
        for key, actors in found.items()
    }


def read_times(path: Path) -> set[Key]:
    """Keyframes of a csv of films and seconds: those that AVA excludes."""
    return {_key(f"{path}, line {number}", row) for number, row in listfiles.bare_rows(path)}


def read_proposals(path: Path) -> dict[Key, np.ndarray]:
    """Person boxes float32 (N, 5), x1, y1, x2, y2 in 0..1 and score, by keyframe, of a pickle.

    The pickle maps "film,second" to an array (N, 5), or (N, 4) without scores, which are then 1. It
    is read without running any of it.
    """
    content = safe_pickle.load(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: no dict of boxes")
    found = {}
    for name, boxes in content.items():
        text = name.decode("latin1") if isinstance(name, bytes) else str(name)
        key = _key(f"{path}, {text!r}", text.rsplit(",", 1))
        array = np.asarray(boxes, dtype=np.float32) if isinstance(boxes, np.ndarray) else None
        if array is None or array.ndim != 2 or array.shape[1] not in (4, 5):
            raise UserError(f"{path}, {text!r}: no array of boxes (N, 4) or (N, 5)")
        if not ((array >= 0) & (array <= 1)).all():
            raise UserError(f"{path}, {text!r}: boxes and scores must be in 0..1")
        if array.shape[1] == 4:
            array = np.concatenate([array, np.ones_like(array[:, :1])], axis=1)
        found[key] = array
    return found


def _key(where: str, row: list[str]) -> Key:
    if len(row) < 2 or not row[0]:
        raise UserError(f"{where}: not a film and a second of it")
    seconds = row[1].removesuffix(".0")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 6):
        raise UserError(f"{where}: {row[1]!r} is no time in whole seconds")
    return row[0], int(seconds)


def _box(where: str, texts: list[str]) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError as error:
        raise UserError(f"{where}: {', '.join(texts)} is no box") from error
    inside = all(math.isfinite(v) and 0 <= v <= 1 for v in (x1, y1, x2, y2))
    if not inside or x1 >= x2 or y1 >= y2:
        raise UserError(f"{where}: the box {', '.join(texts)} is not x1 < x2, y1 < y2 in 0..1")
    return x1, y1, x2, y2
