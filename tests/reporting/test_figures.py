import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmobile.reporting.figures import BYTES, COUNTS, NONE, TIMES, cost_units, estimate, percent, quantity, ratio, unit_for


@pytest.mark.parametrize(
    ("value", "units", "text"),
    [
        (13_700_000, TIMES, "13.7 ms"),
        (999, TIMES, "999 ns"),
        (1_500, TIMES, "1.50 µs"),
        (2_000_000_000, TIMES, "2.00 s"),
        (16_900_000, BYTES, "16.9 MB"),
        (53_936, BYTES, "53.9 kB"),
        (0, BYTES, "0 B"),
        (3_800_000, COUNTS, "3.80 M instr."),
        (None, BYTES, NONE),
        (math.nan, TIMES, NONE),
        (math.inf, TIMES, NONE),
    ],
)
def test_quantities(value, units, text):
    assert quantity(value, units) == text


def test_an_instruction_count_is_never_a_time():
    assert cost_units("instructions") is COUNTS
    assert cost_units("latency") is TIMES


def test_decimals_tell_the_ends_of_an_interval_apart():
    assert estimate(13.71e6, (13.66e6, 13.76e6), unit_for(13.71e6, TIMES)) == ("13.71 ms", "13.66 to 13.76 ms")
    assert estimate(114e6, (112e6, 116e6), unit_for(114e6, TIMES)) == ("114 ms", "112 to 116 ms")
    assert ratio(8.558, (8.21, 8.9)) == ("8.56×", "8.21 to 8.90×")


def test_what_is_not_finite_is_a_dash():
    assert ratio(math.nan, (math.nan, math.nan)) == (NONE, NONE)
    assert ratio(2.0, (1.0, math.inf)) == ("2.00×", NONE)
    assert percent(math.nan) == percent(None) == NONE


@pytest.mark.parametrize(("fraction", "text"), [(0.02, "2.0%"), (0.0996, "10%"), (0.97, "97%"), (1.0, "100%"), (0.0, "0.0%")])
def test_percentages(fraction, text):
    assert percent(fraction) == text


@given(st.floats(1.0, 1e11), st.floats(1e-4, 0.5))
def test_a_printed_estimate_lies_within_a_hundredth_of_the_truth(value, relative):
    unit = unit_for(value, TIMES)
    shown, interval = estimate(value, (value * (1 - relative), value * (1 + relative)), unit)
    assert float(shown.split()[0]) * unit.size == pytest.approx(value, rel=0.01)
    low, high = (float(end) for end in interval.removesuffix(unit.name).split(" to "))
    assert low <= float(shown.split()[0]) <= high
