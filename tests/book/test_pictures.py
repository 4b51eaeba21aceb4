"""What a figure of a chapter must show, whatever its numbers: scales, places, colours, sizes."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

import book.adaptive.lesson as adaptive
import book.resolution.lesson as resolution
from book.resolution.figures import resolution_sweep, supervision_signals
from kdlib.analysis.plots import COLOURS
from kdlib.runs.spec import DataSpec
from tests.conftest import make_videos


def rendered(figure):
    """The figure with its canvas, drawn: texts have their places."""
    FigureCanvasAgg(figure).draw()
    return figure


def student(pixels, right):
    """A run of a student at this resolution, with as many of 100 test clips right."""
    traces = {"labels": np.zeros(100, int), "predicted_last": (np.arange(100) >= right).astype(int)}
    cost = {"gmacs": 1e-6 * pixels**2}
    spec = SimpleNamespace(data=SimpleNamespace(asked="classification"))
    result = {"cost": cost, "last": {"score": right / 100}}
    return SimpleNamespace(spec=spec, traces=traces, result=result)


@pytest.mark.parametrize("highest", [40, 100])
def test_the_axes_of_the_sweep_read_as_numbers_and_hold_all_that_is_written(highest):
    sizes, lowest = (16, 24, 32, 48), np.linspace(10, highest - 7, 4, dtype=int)
    records = {
        (kind, pixels): [student(pixels, right) for right in (first, first + 2, first + 4)]
        for kind, gained in (("direct", 0), ("KD", 3))
        for pixels, first in zip(sizes, lowest + gained, strict=True)
    }
    (axes,) = rendered(resolution_sweep(records)).axes
    labels = [
        label.get_text()
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    ]
    assert {"0.256", "2.3"} <= set(labels)
    assert not any("^" in label for label in labels)
    written = [child for child in axes.get_children() if isinstance(child, Annotation)]
    assert [each.get_text() for each in written] == [f"{pixels} px" for pixels in sizes]
    room = axes.get_window_extent()
    for each in written:
        box = each.get_window_extent()
        assert room.x0 <= box.x0 < box.x1 <= room.x1, each.get_text()
        assert room.y0 <= box.y0 < box.y1 <= room.y1, each.get_text()


def test_difficulty_is_shown_from_none_on(monkeypatch):
    points, difficulty = adaptive.cloud()
    assert difficulty.min() >= 0
    monkeypatch.setattr(adaptive, "cloud", lambda: (points, 0.2 + 0.8 * difficulty))
    plot, bar = rendered(adaptive.picks(0.5)).axes
    assert bar.get_ylabel() == "difficulty"
    assert bar.get_ylim()[0] == plot.collections[0].norm.vmin == 0


def test_resolutions_are_told_apart_by_the_colour_blind_too():
    (axes,) = resolution.spectra(make_videos(size=16), (8, 16), count=4).axes
    assert [line.get_color() for line in axes.lines] == COLOURS[:2]
    assert [line.get_label() for line in axes.lines] == ["16 px", "8 px"]


def test_the_student_s_map_is_shown_as_large_as_its_teacher_s(tiny):
    videos = make_videos(size=96)
    data = DataSpec("generated/mix12", train=8, frames=4, size=96)
    setting = SimpleNamespace(datasets=SimpleNamespace(load=lambda spec: {"test": videos}))
    traces = {"labels": videos.labels, "predicted_last": videos.labels}
    teacher, low = (
        SimpleNamespace(
            spec=SimpleNamespace(data=data),
            traces=traces,
            student=lambda: tiny().eval(),
            result={"input": [3, 4, pixels, pixels]},
        )
        for pixels in (96, 48)
    )
    records = {"teacher": [teacher], "student": [low]}
    axes = supervision_signals(setting, records).axes
    above, below = (axes[place].images[0].get_array().shape for place in (1, 5))
    assert above == below
    assert "(up from" in axes[5].get_title()
