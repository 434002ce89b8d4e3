"""A correction is shipped where it gains on inputs kept aside, beyond chance, and not where one lucky input says so."""

import numpy as np
import pytest

from dsmobile.exporters.choice import choose


def _answers(gain_db: float, spread_db: float, count: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    reference = random.normal(size=(count, 50)).astype(np.float32)
    noise = random.normal(size=reference.shape)
    factor = 10 ** (-(gain_db + spread_db * random.normal(size=(count, 1))) / 20)
    fresh = random.normal(size=reference.shape)
    return reference, {"plain": (reference + 0.1 * noise).astype(np.float32), "bias": (reference + 0.1 * factor * fresh).astype(np.float32)}


@pytest.mark.parametrize(("gain_db", "least"), [(0.0, 0.0), (-2.0, 0.0), (3.0, 0.97)])
def test_how_often_a_correction_is_shipped(gain_db: float, least: float) -> None:
    """Twenty inputs of 3 dB spread: what gains nothing is shipped in about 5% of cases, what gains 3 dB nearly always."""
    shipped = np.mean([choose(*_answers(gain_db, 3.0, 20, seed))[0] == "bias" for seed in range(400)])
    assert shipped >= least
    if gain_db <= 0:
        assert shipped <= 0.08


def test_one_lucky_input_decides_nothing() -> None:
    reference, answers = _answers(0.0, 0.0, 20, 1)
    answers["plain"][3] += 2.0  # all of plain's noise is in one input
    shipped, figures = choose(reference, answers)
    assert figures["bias"]["sqnr_db"] > figures["plain"]["sqnr_db"] + 5
    assert shipped == "plain"


@pytest.mark.parametrize(("gain_db", "shipped"), [(6.0, "bias"), (0.2, "plain")])
def test_with_two_inputs_both_must_gain_clearly(gain_db: float, shipped: str) -> None:
    assert choose(*_answers(gain_db, 0.0, 2, 2))[0] == shipped


def test_equal_answers_have_no_ratio() -> None:
    reference, answers = _answers(0.0, 0.0, 5, 3)
    answers["bias"] = reference.copy()
    shipped, figures = choose(reference, answers)
    assert shipped == "bias"
    assert figures["bias"]["sqnr_db"] is None
