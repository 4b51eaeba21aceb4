import numpy as np
import pandas as pd

from kdlib.analysis.plots import error_bars, layer_maps
from kdlib.analysis.statistics import Interval, mean_interval


def test_error_bars_reach_from_the_estimate_to_the_ends_that_are_known():
    bars = error_bars([Interval(5.0, 4.0, 7.0, 3, "t"), mean_interval([9.0])])
    assert np.array_equal(bars, [[1, 0], [2, 0]])


def frame(rows, columns, value=0.5):
    values = np.full((rows, columns), value)
    return pd.DataFrame(values, [f"a{i}" for i in range(rows)], [f"b{i}" for i in range(columns)])


def test_maps_of_layers_share_a_scale_and_names_are_thinned():
    maps = {"one": frame(40, 40), "cross": frame(40, 3, -0.25)}
    figure = layer_maps(maps)
    figure.draw_without_rendering()
    first, second, bar = figure.axes
    assert [axes.get_title() for axes in (first, second)] == ["one", "cross"]
    for axes in (first, second):
        assert axes.images[0].get_clim() == (-0.25, 1)
        assert axes.images[0].origin == "lower"
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert len(labels) == 12
        assert (labels[0], labels[-1]) == ("a0", "a39")
    assert [label.get_text() for label in second.get_xticklabels()] == ["b0", "b1", "b2"]
    assert bar.get_ylabel() == "CKA"


def test_a_map_without_negative_values_is_scaled_from_0_to_1_and_what_is_not_known_is_hatched():
    values = frame(4, 4).rename(index={"a3": ""}).rename_axis(index="teacher", columns="student")
    values.iloc[1] = np.nan
    (axes, *_) = layer_maps({"a": values}).axes
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.images[0].get_array().mask.sum() == 4
    assert axes.patch.get_hatch()
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("teacher", "student")
    assert axes.get_yticklabels()[-1].get_text() == "(all)"


def test_more_maps_than_a_row_holds_leave_empty_places():
    figure = layer_maps({str(i): frame(3, 3) for i in range(4)}, columns=3)
    assert [axes.axison for axes in figure.axes[:6]] == [True] * 4 + [False] * 2
