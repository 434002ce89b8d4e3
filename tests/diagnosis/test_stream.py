"""The sums over a stream give the figures that their definitions give of all values at once."""

import numpy as np
import pytest

from dsmobile.diagnosis.stream import Difference, Stored
from dsmobile.exporters.parity import sqnr_db


def test_figures_are_those_of_all_values_at_once() -> None:
    random = np.random.default_rng(0)
    stored = Stored("int8", 0.05, -10)
    x = random.normal(1.0, 2.0, (6, 5, 4, 3)).astype(np.float32)
    xq = stored.real(stored.store(x)) + np.asarray([0.3, 0.0, -0.1], np.float32)
    difference = Difference(stored)
    for place in range(len(x)):
        difference.add(x[place : place + 1], xq[place : place + 1])
    found = difference.figures()
    shift = (xq - x).mean(axis=(0, 1, 2), dtype=np.float64)
    assert found["sqnr_db"] == pytest.approx(sqnr_db(x, xq), abs=1e-6)
    assert found["mean_shift"] == pytest.approx(np.abs(shift).max() / x.std(), rel=1e-4)
    assert found["mean_share"] == pytest.approx(np.square(shift).mean() / np.square(xq.astype(np.float64) - x).mean(), rel=1e-4)
    low, high = 0.05 * (-128 + 10), 0.05 * (127 + 10)
    assert (found["stored_low"], found["stored_high"]) == pytest.approx((low, high))
    assert found["saturation"] == pytest.approx(float(((x < low - 0.0505) | (x > high + 0.0505)).mean()))
    widths = x.max(axis=(0, 1, 2)) - x.min(axis=(0, 1, 2))
    assert found["activation_spread"] == pytest.approx(widths.max() / np.median(widths), rel=1e-5)


def test_equal_streams_have_no_noise() -> None:
    difference = Difference(Stored("float32"))
    x = np.ones((1, 4), np.float32)
    difference.add(x, x)
    found = difference.figures()
    assert found["sqnr_db"] is None
    assert found["mean_share"] == 0.0
    assert found["range_use"] is None


def test_the_use_of_a_range() -> None:
    """Half of the range, and values beyond it, which use no more than all of it."""
    stored = Stored("int8", 2 / 255, 0)
    difference = Difference(stored)
    difference.add(np.asarray([[0.0, 1.0]], np.float32), np.asarray([[0.0, 1.0]], np.float32))
    assert difference.figures()["range_use"] == pytest.approx(0.5, abs=0.01)
    difference.add(np.asarray([[-9.0, 9.0]], np.float32), np.asarray([[-1.0, 1.0]], np.float32))
    assert difference.figures()["range_use"] == pytest.approx(1.0)
    assert difference.figures()["saturation"] == 0.5
