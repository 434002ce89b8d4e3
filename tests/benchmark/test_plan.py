"""Order and pace."""

from collections import Counter
from itertools import islice

import pytest
from scipy import stats

from dsmobile.benchmark.plan import ENOUGH_BLOCKS, Cost, blocks_per_call, orders, pace


def test_every_block_holds_every_artifact_once_and_the_seed_decides_the_order() -> None:
    first = list(islice(orders(7, 5), 50))
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in first)
    assert first == list(islice(orders(7, 5), 50))
    assert first != list(islice(orders(8, 5), 50))


def test_every_order_is_equally_likely() -> None:
    counts = Counter(islice(orders(0, 3), 6000))
    assert len(counts) == 6
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


@pytest.mark.parametrize("budget_s", [10, 20, 60, 600])
@pytest.mark.parametrize("inference_s", [50e-6, 14e-3, 0.11])
@pytest.mark.parametrize("artifacts", [1, 2, 4, 8])
def test_eight_blocks_fit_wherever_they_can(budget_s: float, inference_s: float, artifacts: int) -> None:
    found = pace(budget_s, 0.3, [Cost(0.5, inference_s)] * artifacts)
    assert 0.2 <= found.measure_s <= 1.0
    assert 5 <= found.min_count <= 20
    assert found.block_s == pytest.approx(0.3 + artifacts * (0.5 + max(found.measure_s, found.min_count * inference_s)))
    least = 0.3 + artifacts * (0.5 + max(0.2, 5 * inference_s))
    if ENOUGH_BLOCKS * least <= budget_s:
        assert ENOUGH_BLOCKS * found.block_s <= budget_s * 1.001
    else:
        assert max(found.measure_s, found.min_count * inference_s) == pytest.approx(max(0.2, 5 * inference_s))


def test_a_roomy_budget_buys_blocks_not_longer_processes() -> None:
    assert pace(600, 0.3, [Cost(0.5, 0.01)]) == pace(60, 0.3, [Cost(0.5, 0.01)])


def test_calls_stay_short_and_within_the_budget() -> None:
    assert blocks_per_call(100.0, 10.0) == 1
    assert blocks_per_call(100.0, 0.5) == 8
    assert blocks_per_call(100.0, 0.001) == 16
    assert blocks_per_call(1.0, 0.5) == 2
