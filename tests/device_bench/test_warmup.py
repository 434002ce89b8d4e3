"""MSER-5: against worked examples, another formulation, and series whose warm-up is known."""

import numpy as np
import pytest

from device_bench.warmup import BATCH, marginal_errors, mser, ranks, truncation


def test_hand_computed_example() -> None:
    # 10 5 1 1 1 1: means of what is left 19/6, 9/5, 1, 1, 1, 1; sums of squares 413/6, 64/5, 0, ...
    errors = marginal_errors([10.0, 5.0, 1.0, 1.0, 1.0, 1.0])
    assert errors == pytest.approx([(129 - 361 / 6) / 36, (29 - 81 / 5) / 25, 0.0, 0.0, 0.0, 0.0])
    assert mser([10.0, 5.0, 1.0, 1.0, 1.0, 1.0], 3) == 2


def test_equals_the_definition() -> None:
    generator = np.random.RandomState(0)
    for count in (1, 2, 7, 40):
        values = generator.lognormal(16, 0.1, count)
        expected = [((values[d:] - values[d:].mean()) ** 2).sum() / (count - d) ** 2 for d in range(count)]
        assert marginal_errors(list(values)) == pytest.approx(expected, rel=1e-6, abs=1e-3)


def noise(count: int, seed: int) -> np.ndarray:
    """Latencies of about 14 ms with 2% of noise and a few inferences that were interrupted."""
    generator = np.random.RandomState(seed)
    series = 14e6 * np.exp(generator.normal(0, 0.02, count))
    series[generator.rand(count) < 0.02] *= 1.8
    return series


def ends(series: np.ndarray) -> tuple[int, bool]:
    return truncation([int(value) for value in series])


@pytest.mark.parametrize("count", [200, 1000])
def test_a_steady_series_is_hardly_cut_in_spite_of_interruptions(count: int) -> None:
    found = [ends(noise(count, seed)) for seed in range(50)]
    assert all(finished for _, finished in found)
    assert np.mean([dropped for dropped, _ in found]) < 0.1 * count


@pytest.mark.parametrize("count", [200, 1000])
def test_a_warm_up_at_the_start_is_dropped(count: int) -> None:
    found = []
    for seed in range(50):
        series = noise(count, seed)
        series[:30] *= 1.5
        found.append(ends(series))
    assert np.mean([finished for _, finished in found]) > 0.9
    assert all(30 <= dropped <= count // 2 for dropped, _ in found)


@pytest.mark.parametrize("count", [70, 200, 1000])
def test_a_series_that_never_settles_is_said_not_to(count: int) -> None:
    drifting = [ends(noise(count, seed) * np.linspace(1.3, 1.0, count))[1] for seed in range(50)]
    stepping = [ends(noise(count, seed) * np.where(np.arange(count) < 0.6 * count, 1.3, 1.0))[1] for seed in range(50)]
    assert np.mean(drifting) < 0.1
    assert np.mean(stepping) < 0.1


def test_a_late_disturbance_that_changes_nothing_is_no_warm_up() -> None:
    series = np.full(1000, 43_000.0) + np.random.RandomState(0).normal(0, 50, 1000)
    series[700:760] *= 30
    dropped, finished = ends(series)
    assert finished
    assert dropped <= 500


@pytest.mark.parametrize("count", range(1, 3 * BATCH))
def test_short_series_keep_at_least_half(count: int) -> None:
    dropped, _ = ends(noise(count, count))
    assert 0 <= dropped <= count / 2


def test_ranks_equal_scipys() -> None:
    from scipy.stats import rankdata

    values = [3.0, 1.0, 2.0, 3.0, 3.0, -1.0]
    assert ranks(values) == list(rankdata(values))


def test_does_not_prefer_the_fast_part_of_recorded_noise(shared_data) -> None:
    """A fresh process each; the medians after the warm-up that was found against those after ten inferences."""
    trace = np.load(shared_data / "noise" / "litert_mobilenet_v1_float32_1thread.npz")["latency_ns"]
    found = [np.log(np.median(series[ends(series)[0] :]) / np.median(series[10:])) for series in trace]
    assert abs(np.mean(found)) < 0.004
