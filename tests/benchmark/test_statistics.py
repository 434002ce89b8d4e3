"""The statistics against scipy, published tables, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from dsmobile.benchmark.result import Verdict
from dsmobile.benchmark.statistics import log_ratio, median_interval
from dsmobile.benchmark.verdict import verdict


@pytest.mark.parametrize(("count", "ranks"), [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (12, (3, 10)), (20, (6, 15)), (30, (10, 21)), (70, (27, 44))])
def test_median_interval_has_the_ranks_of_the_sign_test(count: int, ranks: tuple[int, int]) -> None:
    values = list(np.random.RandomState(0).permutation(np.arange(1, count + 1)))
    assert median_interval(values) == ranks


@pytest.mark.parametrize("count", [6, 7, 10, 33, 200, 1500])
def test_median_interval_is_the_narrowest_symmetric_one_that_reaches_95_percent(count: int) -> None:
    low, high = median_interval(list(range(1, count + 1)))
    assert low + high == count + 1
    assert stats.binom.cdf(high - 1, count, 0.5) - stats.binom.cdf(low - 1, count, 0.5) >= 0.95
    assert stats.binom.cdf(high - 2, count, 0.5) - stats.binom.cdf(low, count, 0.5) < 0.95


def test_median_interval_of_few_values_is_their_range() -> None:
    assert median_interval([3.0]) == (3.0, 3.0)
    assert median_interval([5.0, 1.0, 3.0]) == (1.0, 5.0)


def test_log_ratio_equals_scipys_paired_t_interval() -> None:
    generator = np.random.RandomState(1)
    a, b = generator.lognormal(1, 0.2, 11), generator.lognormal(0, 0.1, 11)
    expected = stats.ttest_rel(np.log(a), np.log(b)).confidence_interval(0.95)
    found = log_ratio(list(a), list(b))
    assert found.ratio == pytest.approx(stats.gmean(a / b))
    assert found.interval == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.blocks == 11


def test_swapping_the_two_inverts_the_ratio() -> None:
    a, b = [3.0, 3.3, 2.9], [1.0, 1.2, 1.1]
    one, other = log_ratio(a, b), log_ratio(b, a)
    assert one.ratio == pytest.approx(1 / other.ratio)
    assert one.interval == pytest.approx((1 / other.interval[1], 1 / other.interval[0]))
    assert one.minimum_detectable == pytest.approx(other.minimum_detectable)


def test_refuses_what_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two blocks"):
        log_ratio([1.0], [1.0])
    with pytest.raises(ValueError, match="argument"):
        log_ratio([1.0, 2.0], [1.0])


def simulate(true_ratio: float, blocks: int, runs: int = 2000, seed: int = 0):
    """Pairs of a slow machine's blocks: common noise of 6% and 2% of each process's own."""
    generator = np.random.RandomState(seed)
    for _ in range(runs):
        common = generator.normal(0, 0.06, blocks)
        a = np.exp(common + generator.normal(0, 0.02, blocks)) * true_ratio
        b = np.exp(common + generator.normal(0, 0.02, blocks))
        yield log_ratio(list(a), list(b))


@pytest.mark.parametrize("blocks", [3, 8, 20])
def test_the_interval_holds_the_truth_95_times_in_100(blocks: int) -> None:
    held = [found.interval[0] <= 1.07 <= found.interval[1] for found in simulate(1.07, blocks)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_equal_networks_get_a_false_verdict_5_times_in_100() -> None:
    verdicts = [verdict(found.interval) for found in simulate(1.0, 8)]
    assert np.mean([found is not Verdict.NO_DIFFERENCE_SHOWN for found in verdicts]) == pytest.approx(0.05, abs=0.015)


def test_the_minimum_detectable_difference_is_detected_90_times_in_100() -> None:
    typical = np.median([found.minimum_detectable for found in simulate(1.0, 12)])
    shown = [verdict(found.interval) is Verdict.FASTER for found in simulate(1.0 + typical, 12, seed=1)]
    assert np.mean(shown) == pytest.approx(0.90, abs=0.03)


def test_recorded_noise_gives_false_verdicts_as_often_as_promised(shared_data) -> None:
    """One network against itself: neighbouring processes of the recorded trace as blocks of eight."""
    trace = np.load(shared_data / "noise" / "litert_mobilenet_v1_float32_1thread.npz")["latency_ns"]
    medians = np.median(trace, axis=1)
    false = []
    for start in range(0, len(medians) - 16, 2):
        window = medians[start : start + 16].reshape(8, 2)
        swap = np.random.RandomState(start).rand(8) < 0.5  # the order within a block is drawn
        window[swap] = window[swap][:, ::-1]
        false.append(verdict(log_ratio(list(window[:, 0]), list(window[:, 1])).interval) is not Verdict.NO_DIFFERENCE_SHOWN)
    assert np.mean(false) < 0.12


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((1.01, 1.2), Verdict.FASTER),
        ((0.8, 0.99), Verdict.SLOWER),
        ((0.99, 1.01), Verdict.NO_DIFFERENCE_SHOWN),
        ((1.0, 1.2), Verdict.NO_DIFFERENCE_SHOWN),
    ],
)
def test_verdict_says_no_more_than_the_interval(interval, expected) -> None:
    assert verdict(interval) is expected
