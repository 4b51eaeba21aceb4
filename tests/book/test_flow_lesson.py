"""The lesson of the flow chapter: what it computes is what its text says."""

import json

import numpy as np
import pytest

from book.flow import lesson
from kdlib.study.setting import ROOT

FOLDER = ROOT / "book" / "flow"


@pytest.fixture(scope="module")
def notebook():
    """What the notebook defines."""
    cells = json.loads((FOLDER / "01-seeing-motion.ipynb").read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = {"lesson": lesson, "np": np}
    for wanted in ("def gradients(", "def lucas_kanade("):
        (source,) = (s for s in sources if wanted in s)
        body = source[source.index("def ") :].split("\n\n\n")[0]
        exec(body, names)
    return names


def test_only_the_motion_across_stripes_can_be_known(notebook):
    move = np.array([1.2, 0.4])
    found, eigenvalues = notebook["lucas_kanade"](lesson.behind_hole(move, [30, 100]))
    np.testing.assert_allclose(found, move, atol=0.1)
    assert eigenvalues[0] > 0.1 * eigenvalues[1]
    across = np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)])
    found, eigenvalues = notebook["lucas_kanade"](lesson.behind_hole(move, [30]))
    np.testing.assert_allclose(found, (move @ across) * across, atol=0.1)
    assert eigenvalues[0] < 1e-6 * eigenvalues[1]


def test_a_probe_needs_what_is_there_and_the_means_to_read_it():
    table = lesson.by_probe((0, 500)).set_index("probe")
    still = table.loc["always the mean", "two frames"]
    assert table.loc["linear", "two frames"] > 0.95 * still
    assert table.loc["500 hidden units", "two frames"] < 0.8 * still
    assert table["one frame"].min() > 0.95 * still
    assert table.loc["linear", "a network of noisy flow"] < 0.5 * still


def test_clips_of_the_lesson_move_as_they_say():
    shown = lesson.moving("right", "left")
    for name, sign in (("right", 1), ("left", -1)):
        frames, flow = shown[name]
        assert frames.shape == (lesson.FRAMES, lesson.SIZE, lesson.SIZE, 3)
        assert flow.shape == (lesson.FRAMES - 1, 2, lesson.SIZE, lesson.SIZE)
        over_ground = sign * (flow[5, 0] - np.median(flow[5, 0]))
        assert over_ground.max() > 1.5
        assert over_ground.min() > -0.1
    assert lesson.coloured(shown["right"][1]).shape == (11, 64, 64, 3)
    assert lesson.wheel()[0, 32, 32].min() > 240, "no motion is white"
