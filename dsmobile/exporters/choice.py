"""Which of several plans is shipped: the plain one, unless another is better on inputs that were kept aside, beyond what chance does.

A pooled ratio of signal to noise hangs on the few inputs with the most noise; so candidates are compared input by input, in dB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.exporters.parity import sqnr_db

FEWEST = 3  # inputs from which a spread can be told; with fewer, every one must gain `CLEARLY_DB`
CLEARLY_DB = 1.0
CONFIDENCE = 0.95
PLAIN = "plain"
Floats = npt.NDArray[np.float32]


def choose(reference: Floats, answers: dict[str, Floats]) -> tuple[str, dict[str, dict[str, Any]]]:
    """Chooses by what the candidates give for inputs that took no part in making them.

    Args:
        reference: The network's logits, shape (count, numbers).
        answers: Each candidate's, by name; `plain` is among them.

    Returns:
        The name of the one to ship, and the figures of each: SQNR in dB, agreement of the top-1, and the mean gain over plain in dB, input by input.
    """
    noise = {name: _noise_db(reference, logits) for name, logits in answers.items()}
    figures: dict[str, dict[str, Any]] = {}
    chosen, most = PLAIN, 0.0
    for name, logits in answers.items():
        gain = noise[PLAIN] - noise[name]
        equal = np.array_equal(reference, logits)
        figures[name] = {
            "sqnr_db": None if equal else round(sqnr_db(reference, logits), 2),
            "top1_agreement": float((logits.argmax(1) == reference.argmax(1)).mean()),
            "gain_db": round(float(gain.mean()), 2),
        }
        if name != PLAIN and gain.mean() > most and _is_better(gain) and sqnr_db(reference, logits) >= sqnr_db(reference, answers[PLAIN]):
            chosen, most = name, float(gain.mean())
    return chosen, figures


def _noise_db(reference: Floats, logits: Floats) -> npt.NDArray[np.float64]:
    noise = np.square(reference.astype(np.float64) - logits).sum(axis=1)
    floor = 1e-12 * max(float(np.square(reference, dtype=np.float64).mean()), 1e-30)
    return np.asarray(10.0 * np.log10(noise + floor))


def _is_better(gain: npt.NDArray[np.float64]) -> bool:
    """Whether gains are above 0 beyond chance: a one-sided t test."""
    from scipy.stats import t

    if len(gain) < FEWEST:
        return bool((gain >= CLEARLY_DB).all())
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(gain.mean() > t.ppf(CONFIDENCE, len(gain) - 1) * error)
