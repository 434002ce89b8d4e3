"""The width multiplier at which a network costs what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from dsmobile.errors import SpecError

FARTHEST = 0.05
_NARROWEST, _WIDEST = 1e-3, 8.0


def nearest_alpha(counted: Callable[[float], int], wanted: int, kind: str, precision: float) -> tuple[float, int]:
    """The width multiplier at which a count comes nearest to the one wanted, by bisection.

    Args:
        counted: The count at a width multiplier; it grows with it, about as its square, and raises a SpecError where that is too narrow.
        wanted: The count wanted.
        kind: `same-macs` or `same-parameters`.
        precision: How much of itself the width multiplier may be away.

    Returns:
        The width multiplier, and the count there.

    Raises:
        SpecError: The nearest is farther than 5% away.
    """
    found: dict[float, int] = {}

    def reaches(width: float) -> bool:
        try:
            found[width] = counted(width)
        except SpecError:
            return False
        return found[width] >= wanted

    low, high = _NARROWEST, 1.0
    while not reaches(high) and high < _WIDEST:
        low, high = high, 2.0 * high
    likely = high * sqrt(wanted / max(found.get(high, wanted), 1))
    for guess in (0.97 * likely, 1.03 * likely):
        if low < guess < high:
            low, high = (low, guess) if reaches(guess) else (guess, high)
    while high - low > precision * high:
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    alpha, count = min(found.items(), key=lambda item: (abs(item[1] - wanted), item[0]), default=(0.0, 0))
    if abs(count - wanted) > FARTHEST * wanted:
        figure = "MACs" if kind == "same-macs" else "parameters"
        raise SpecError(f"no width of the twin has {wanted:,} {figure}: the nearest has {count:,}", "take a wider network, or --twin standard")
    return alpha, count
