"""Whether a runtime's optimised kernels compute what the file says: the same pictures through the same file with every optimisation off.

Integer kernels may round a value the other way, and a deep network carries that on, so that "equal" needs a measure. The network itself gives
one: how far the answer of the unoptimised graph moves where every byte of its picture moves by one level.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np

PICTURES = 4
ENOUGH_S = 2.0

Run = Callable[[Any], Sequence[Any]]


def compare(optimised: Run, open_unoptimised: Callable[[], Run], draw: Callable[[int, bool], Any]) -> Dict[str, Any]:
    """Runs a few pictures through both graphs.

    Args:
        optimised: From an input to all outputs: what is measured.
        open_unoptimised: Opens the same file without any optimisation and returns the same.
        draw: From a picture's number, and whether its bytes are moved by one level, to an input.

    Returns:
        Fields of a `records.Unoptimised`; where anything fails, why.
    """
    started = time.perf_counter_ns()
    answers: List[Tuple[Any, Any, Any]] = []
    outputs: List[Dict[str, Any]] = []
    error = ""
    try:
        unoptimised = open_unoptimised()
        while not answers or (len(answers) < PICTURES and time.perf_counter_ns() - started < ENOUGH_S * 1e9):
            still, moved = draw(len(answers), False), draw(len(answers), True)
            answers.append((optimised(still), unoptimised(still), unoptimised(moved)))
        outputs = [_deviation([(one[index], two[index], three[index]) for one, two, three in answers]) for index in range(len(answers[0][0]))]
    except Exception as failure:  # noqa: BLE001 - whatever a stranger's model makes a runtime raise
        error = _one_line("%s: %s" % (type(failure).__name__, failure))
    return {"pictures": len(answers), "outputs": outputs, "error": error, "wall_ns": time.perf_counter_ns() - started}


def _deviation(group: Sequence[Tuple[Any, Any, Any]]) -> Dict[str, Any]:
    """Of one output, all its pictures together: root mean squares."""
    plains = [np.asarray(plain, np.float64) for _, plain, _ in group if _is_numeric(plain)]
    magnitude = _rms([plain[np.isfinite(plain)] for plain in plains])
    difference = [_difference(fast, plain) for fast, plain, _ in group]
    sensitivity = [_difference(moved, plain) for _, plain, moved in group]
    return {"difference": _rms_or_none(difference), "sensitivity": _rms_or_none(sensitivity), "magnitude": magnitude}


def _difference(one: Any, other: Any) -> Any:
    """One array less another; None where they cannot be subtracted, or a number faces what is not finite."""
    if not (_is_numeric(one) and _is_numeric(other)) or np.shape(one) != np.shape(other):
        return None
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    finite = np.isfinite(other)
    if not np.array_equal(np.isfinite(one), finite):
        return None
    with np.errstate(over="ignore"):
        difference = one[finite] - other[finite]
    return difference if np.isfinite(difference).all() else None


def _is_numeric(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def _rms_or_none(arrays: Sequence[Any]) -> Any:
    return None if any(array is None for array in arrays) else _rms(arrays)


def _rms(arrays: Sequence[Any]) -> float:
    """Scaled by the largest value, so that no square overflows."""
    numbers = np.concatenate([np.ravel(array) for array in arrays]) if arrays else np.zeros(0)
    largest = float(np.abs(numbers).max()) if numbers.size else 0.0
    return largest * float(np.sqrt(np.mean(np.square(numbers / largest)))) if largest else 0.0


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
