"""The interval of paired shares against published ones, another way to compute it, and its coverage by enumeration."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmobile.evaluation.paired import paired_interval


@pytest.mark.parametrize(
    ("lost", "gained", "count", "confidence", "low", "high", "digits"),
    [
        # Fagerland, Lydersen, Laake, Statistics in Medicine 33 (2014), airway hyper-responsiveness, Tango's asymptotic score interval
        (1, 7, 21, 0.95, -0.517, -0.026, 3),
        # R's PropCIs: scoreci.mp(60, 20, 1000) and scoreci.mp(25, 28, 618, conf.level = 0.9), which is of (second - first) / n
        (20, 60, 1000, 0.95, -0.0584, -0.0231, 4),
        (28, 25, 618, 0.90, -0.0148, 0.0247, 4),
    ],
)
def test_the_interval_equals_published_ones(lost: int, gained: int, count: int, confidence: float, low: float, high: float, digits: int) -> None:
    assert paired_interval(lost, gained, count, confidence) == (
        pytest.approx(low, abs=0.51 * 10**-digits),
        pytest.approx(high, abs=0.51 * 10**-digits),
    )


@given(st.integers(1, 100_000))
def test_files_that_never_differ_may_still_differ(count: int) -> None:
    """Where nothing is discordant Tango's equation is n d² = z² d (1 - d)."""
    z = 1.959963984540054
    low, high = paired_interval(0, 0, count)
    assert high == pytest.approx(z * z / (count + z * z))
    assert low == -high


COUNTS = st.integers(1, 3000).flatmap(lambda count: st.tuples(st.integers(0, count), st.integers(0, count), st.just(count)))


@given(COUNTS.filter(lambda counts: counts[0] + counts[1] <= counts[2]))
def test_the_interval_holds_the_estimate_and_mirrors(counts: tuple[int, int, int]) -> None:
    lost, gained, count = counts
    low, high = paired_interval(lost, gained, count)
    assert -1 <= low <= (lost - gained) / count <= high <= 1
    assert low < high
    assert paired_interval(gained, lost, count) == (-high, -low)
    wide = paired_interval(lost, gained, count, 0.99)
    assert wide[0] <= low
    assert high <= wide[1]


@pytest.mark.parametrize(("lost", "gained", "count"), [(8, 8, 400), (3, 0, 50), (30, 11, 200), (0, 5, 40), (1, 1, 3)])
def test_its_ends_solve_the_score_equation_of_the_likelihood(lost: int, gained: int, count: int) -> None:
    """The other rate is found here by maximizing the multinomial likelihood under the drop, not by Tango's quadratic."""
    from scipy.optimize import minimize_scalar

    for drop in paired_interval(lost, gained, count):

        def surprise(rate: float, drop: float = drop) -> float:
            cells = (rate + drop, rate, 1 - 2 * rate - drop)
            return -sum(seen * math.log(max(cell, 1e-300)) for seen, cell in zip((lost, gained, count - lost - gained), cells, strict=True))

        found = minimize_scalar(surprise, bounds=(max(0.0, -drop), (1 - drop) / 2), method="bounded", options={"xatol": 1e-12})
        variance = count * (2 * found.x + drop - drop**2)
        assert abs(lost - gained - count * drop) / math.sqrt(variance) == pytest.approx(1.96, abs=2e-3)


INPUTS = 60


@cache
def ends() -> tuple[np.ndarray, np.ndarray]:
    """The interval of every outcome of 60 inputs, by lost and gained."""
    low, high = np.full((2, INPUTS + 1, INPUTS + 1), np.nan)
    for lost in range(INPUTS + 1):
        for gained in range(INPUTS + 1 - lost):
            low[lost, gained], high[lost, gained] = paired_interval(lost, gained, INPUTS)
    return low, high


@pytest.mark.parametrize("gained_rate", [0.0, 0.004, 0.02, 0.1, 0.3])
def test_the_upper_end_bounds_the_loss_in_95_of_100_cases(gained_rate: float) -> None:
    from scipy.stats import multinomial

    low, high = ends()
    grid = np.array([[(lost, gained) for gained in range(INPUTS + 1)] for lost in range(INPUTS + 1)])
    rest = INPUTS - grid.sum(-1)
    possible = rest >= 0
    for lost_rate in (0.0, 0.005, 0.01, 0.02, 0.04, 0.065, 0.1, 0.2, 0.4):
        cells = [lost_rate, gained_rate, 1 - lost_rate - gained_rate]
        chance = multinomial(INPUTS, cells).pmf(np.dstack([grid, rest])[possible])
        assert chance.sum() == pytest.approx(1)
        drop = lost_rate - gained_rate
        bounded, covered = high[possible] >= drop - 1e-12, (low[possible] <= drop + 1e-12) & (high[possible] >= drop - 1e-12)
        assert chance[bounded].sum() >= 0.95
        assert chance[covered].sum() >= 0.92  # a score interval is right on average, not everywhere


@pytest.mark.parametrize("counts", [(0, 0, 0), (-1, 0, 5), (0, -1, 5), (3, 3, 5)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="lost and"):
        paired_interval(*counts)
