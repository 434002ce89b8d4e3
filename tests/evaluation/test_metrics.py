"""Metrics against numpy's sorting, published intervals, and the definition of SQNR."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dsmobile.evaluation.metrics import PROBABILITY_FLOOR, LogitSqnr, OutputKind, rank_of, top1, wilson_interval

SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=12).map(lambda values: np.array(values, np.float32))  # few values: many ties


@given(SCORES, st.integers(0, 11))
def test_the_rank_is_the_place_in_the_stable_descending_sort(scores: np.ndarray, label: int) -> None:
    assume(label < len(scores))
    order = np.argsort(-scores, kind="stable")
    assert order[rank_of(scores, label)] == label
    assert top1(scores) == order[0]
    assert (rank_of(scores, label) == 0) == (top1(scores) == label)


def test_of_equal_scores_the_lower_index_wins() -> None:
    assert [rank_of(np.zeros(4), label) for label in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [  # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_equals_newcombes_published_ones(successes: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(successes, count) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 2000), st.data())
def test_the_interval_solves_wilsons_equation(count: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, count))
    share = successes / count
    low, high = wilson_interval(successes, count)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    for end in (low, high):
        if 1e-9 < end < 1 - 1e-9:  # (share - p)^2 = z^2 p (1 - p) / n
            assert (share - end) ** 2 == pytest.approx(1.959963984540054**2 * end * (1 - end) / count, rel=1e-6)


def kinds(*samples: np.ndarray, known: bool | None = None) -> OutputKind:
    kind = OutputKind(known)
    for scores in samples:
        kind.add(scores)
    return kind


def softmax(logits: np.ndarray) -> np.ndarray:
    exponential = np.exp(logits - logits.max())
    return exponential / exponential.sum()


def sqnr(references: np.ndarray, others: np.ndarray, *, known: tuple[bool | None, bool | None] = (None, None)) -> float:
    total = LogitSqnr()
    for reference, other in zip(references, others, strict=True):
        total.add(reference, other)
    return total.value_db(kinds(*references, known=known[0]), kinds(*others, known=known[1]))


LOGITS = np.random.default_rng(3).normal(0, 4, (50, 10))
NOISY = LOGITS + np.random.default_rng(4).normal(0, 0.4, LOGITS.shape)


def test_sqnr_of_logits_is_its_definition() -> None:
    expected = 10 * math.log10(np.square(LOGITS).sum() / np.square(LOGITS - NOISY).sum())
    assert sqnr(LOGITS, NOISY) == pytest.approx(expected)
    assert expected == pytest.approx(20, abs=0.5)  # a tenth of the amplitude is 20 dB


def test_nothing_differs_is_infinite_and_no_signal_is_nan() -> None:
    assert sqnr(LOGITS, LOGITS) == math.inf
    assert math.isnan(sqnr(np.zeros((3, 4)), np.ones((3, 4)) * 5))


def test_a_softmax_hides_only_a_constant_of_each_sample() -> None:
    probabilities, noisy = np.array([softmax(row) for row in LOGITS]), np.array([softmax(row) for row in NOISY])
    centred, centred_noisy = LOGITS - LOGITS.mean(1, keepdims=True), NOISY - NOISY.mean(1, keepdims=True)
    expected = 10 * math.log10(np.square(centred).sum() / np.square(centred - centred_noisy).sum())
    for references, others in ((probabilities, noisy), (LOGITS, noisy), (probabilities, NOISY)):
        assert sqnr(references, others) == pytest.approx(expected)
    assert sqnr(LOGITS, probabilities) > 250  # equal but for rounding


def test_a_coarse_softmax_is_compared_where_it_sees_something() -> None:
    """Rounded to 1/256 as an int8 softmax: finer differences than the floor neither help nor harm."""
    probabilities = np.array([softmax(row) for row in LOGITS])
    coarse = np.round(probabilities * 256) / 256
    assert (coarse == 0).any()
    floored = np.log(np.maximum(probabilities, PROBABILITY_FLOOR))
    floored_coarse = np.log(np.maximum(coarse, PROBABILITY_FLOOR))
    signal, other = (values - values.mean(1, keepdims=True) for values in (floored, floored_coarse))
    expected = 10 * math.log10(np.square(signal).sum() / np.square(signal - other).sum())
    assert sqnr(probabilities, coarse) == pytest.approx(expected)
    assert sqnr(LOGITS, coarse) == pytest.approx(expected)
    assert expected > 15


def test_what_outputs_are_is_seen_by_their_range_and_sum() -> None:
    probabilities = [softmax(row) for row in LOGITS]
    rounded = [np.round(row * 256) / 256 for row in probabilities]
    assert (kinds(*probabilities).probabilities, kinds(*probabilities).coarse) == (True, False)
    assert (kinds(*rounded).probabilities, kinds(*rounded).coarse) == (True, True)
    assert not kinds(*LOGITS).probabilities
    assert not kinds(*np.abs(LOGITS)).probabilities
    assert not kinds(*np.full((5, 10), 0.9)).probabilities  # independent scores, as of sigmoids
    assert not kinds().probabilities


def test_a_manifest_knows_better() -> None:
    assert not kinds(*[softmax(row) for row in LOGITS], known=False).probabilities
    assert kinds(*LOGITS, known=True).probabilities
