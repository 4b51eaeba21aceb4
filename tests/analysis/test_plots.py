import numpy as np

from kdlib.analysis.plots import error_bars
from kdlib.analysis.statistics import Interval, mean_interval


def test_error_bars_reach_from_the_estimate_to_the_ends_that_are_known():
    bars = error_bars([Interval(5.0, 4.0, 7.0, 3, "t"), mean_interval([9.0])])
    assert np.array_equal(bars, [[1, 0], [2, 0]])
