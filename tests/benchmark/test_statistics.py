"""The statistics against scipy, published tables, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from dsmobile.benchmark.result import Verdict
from dsmobile.benchmark.statistics import PILOT_BLOCKS, PRECISION, far_out, log_ratio, median_interval, precise, unlike_ratio
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


def test_the_minimum_detectable_difference_is_detected_at_least_90_times_in_100() -> None:
    typical = np.median([found.minimum_detectable for found in simulate(1.0, 12)])
    shown = [verdict(found.interval) is Verdict.FASTER for found in simulate(1.0 + typical, 12, seed=1)]
    assert 0.90 <= np.mean(shown) <= 0.97


def sequential(numerator, denominator):
    """A run whose budget allows so many blocks: it ends when the ratio is precise, else at the last block."""
    for count in range(PILOT_BLOCKS, len(numerator)):
        if precise(numerator[:count], denominator[:count]):
            return log_ratio(numerator[:count], denominator[:count], pilot=PILOT_BLOCKS)
    return log_ratio(numerator, denominator)


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.10])
def test_stopping_keeps_the_error_rate_whatever_the_spread(spread: float) -> None:
    """40 blocks at most. Stopping on the ordinary t interval gives up to 7.3% false verdicts here (at a spread of 5%)."""
    generator = np.random.RandomState(0)
    runs = [sequential(list(np.exp(generator.normal(0, spread, 40))), [1.0] * 40) for _ in range(1000)]
    missed = np.mean([not run.interval[0] <= 1.0 <= run.interval[1] for run in runs])
    assert missed < 0.055 + 2 * np.sqrt(0.05 * 0.95 / 1000)


def test_a_run_that_stops_early_is_precise_and_at_least_eight_blocks_long() -> None:
    generator = np.random.RandomState(1)
    lengths = set()
    for _ in range(100):
        run = sequential(list(np.exp(generator.normal(0, 0.03, 60))), [1.0] * 60)
        lengths.add(run.blocks)
        assert run.blocks == 60 or (run.half_width < PRECISION and run.blocks >= 8)
    assert min(lengths) >= 8
    assert len(lengths) > 10


def test_steins_interval_is_the_textbooks() -> None:
    logs = np.random.RandomState(2).normal(0, [0.05] * 8 + [0.001] * 12)
    found = log_ratio(list(np.exp(logs)), [1.0] * 20, pilot=8)
    by_hand = stats.t.ppf(0.975, 7) * np.std(logs[:8], ddof=1) / np.sqrt(20)
    assert np.log(found.interval[1] / found.ratio) == pytest.approx(by_hand)
    assert log_ratio(list(np.exp(logs)), [1.0] * 20).half_width < found.half_width


def replays(shared_data, blocks: int = 40, count: int = 200):
    """Runs of one network against itself: neighbouring processes of the recorded trace as blocks, from every place of it."""
    medians = np.median(np.load(shared_data / "noise" / "litert_mobilenet_v1_float32_1thread.npz")["latency_ns"], axis=1)
    generator = np.random.RandomState(0)
    for start in np.linspace(0, len(medians), count, endpoint=False).astype(int):
        window = np.roll(medians, -start)[: 2 * blocks].reshape(blocks, 2)
        swap = generator.rand(blocks) < 0.5  # the order within a block is drawn
        window[swap] = window[swap][:, ::-1]
        yield list(window[:, 0]), list(window[:, 1])


@pytest.mark.parametrize("blocks", [8, 40, 100])
def test_recorded_noise_gives_no_more_false_verdicts_than_promised(shared_data, blocks: int) -> None:
    """At most 8% of 200 self-tests, of which 5% are promised and the rest is chance."""
    verdicts = [verdict(sequential(*medians).interval) for medians in replays(shared_data, blocks)]
    assert np.mean([found is not Verdict.NO_DIFFERENCE_SHOWN for found in verdicts]) <= 0.08


@pytest.mark.parametrize("blocks", [8, 40])
def test_recorded_noise_hides_no_difference_that_a_run_claims_to_show(shared_data, blocks: int) -> None:
    """Each run is repeated with the smallest difference that it claimed to be able to show: 90% must show it."""
    shown = []
    for one, other in replays(shared_data, blocks):
        claimed = 1.0 + sequential(one, other).minimum_detectable
        shown.append(verdict(sequential([value * claimed for value in one], other).interval) is Verdict.FASTER)
    assert np.mean(shown) >= 0.90


def test_two_runs_are_compared_by_welchs_t() -> None:
    generator = np.random.RandomState(3)
    a, b = np.exp(generator.normal(0.1, 0.05, 12)), np.exp(generator.normal(0, 0.01, 30))
    found = unlike_ratio(list(a), list(b))
    expected = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    assert np.log(found.interval) == pytest.approx([expected.low, expected.high])
    assert unlike_ratio([2.0, 2.0], [1.0, 1.0]).interval == pytest.approx((2.0, 2.0))
    with pytest.raises(ValueError, match="two"):
        unlike_ratio([1.0], [1.0, 2.0])


def test_what_lies_far_out_is_pointed_at() -> None:
    values = list(np.random.RandomState(4).normal(100, 1, 30))
    assert far_out(values) == []
    assert far_out([*values[:10], 150.0, *values[10:], 60.0]) == [10, 31]
    assert far_out([1.0, 1.0, 50.0]) == []
    assert far_out([5.0] * 20) == []


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
