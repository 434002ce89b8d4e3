import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmobile.reporting.drawing import round_ticks


@given(st.floats(1e-3, 1e6), st.floats(0.0, 12.0))
def test_every_axis_has_a_handful_of_ticks_inside_it(lowest, decades):
    low, high = lowest / 1.6, lowest * 10.0**decades * 1.6
    ticks = round_ticks(low, high)
    assert 2 <= len(ticks) <= 16
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(8.5, 190.0, [10, 20, 50, 100]), (27.0, 84.0, [30, 40, 50, 60, 70, 80]), (0.9, 1.1e6, [10.0**n for n in range(7)])]
)
def test_ticks_are_round(low, high, ticks):
    assert [math.isclose(tick, expected) for tick, expected in zip(round_ticks(low, high), ticks, strict=True)] == [True] * len(ticks)
