"""The three networks, each from a random initialisation of its own: Keras's default."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dsmobile.architectures.builder import build
from dsmobile.architectures.cost import cost
from dsmobile.architectures.reading import read
from dsmobile.architectures.spec import ArchitectureSpec
from dsmobile.architectures.twin import matching_alpha, standard_twin

SEPARABLE, STANDARD, SAME_MACS = "separable", "standard", "same-macs"
NETWORKS = (SEPARABLE, STANDARD, SAME_MACS)


@dataclass(frozen=True)
class NetworkCost:
    """What one of the networks costs.

    Args:
        alpha: Its width multiplier.
        parameters: Keras's count, batch normalization included.
        macs: Multiply-accumulates of one inference.
    """

    alpha: float
    parameters: int
    macs: int


@cache
def architecture() -> ArchitectureSpec:
    """What digits.toml says."""
    return read(Path(__file__).resolve().parent.parent / "digits.toml")


@cache
def alpha_of(name: str) -> float:
    """The width multiplier of a network."""
    return matching_alpha(architecture(), SAME_MACS, alpha=None, resolution=None, classes=None) if name == SAME_MACS else 1.0


def network(name: str, seed: int) -> Any:
    """Builds one of `NETWORKS`.

    Args:
        name: Which.
        seed: Of its initialisation.

    Returns:
        A functional `keras.Model`; input (batch, 8, 8, 1), output (batch, 10), probabilities.
    """
    model = build(architecture(), alpha=alpha_of(name), seed=seed)
    return model if name == SEPARABLE else standard_twin(model).model


def network_cost(name: str) -> NetworkCost:
    """What one of `NETWORKS` costs."""
    counted = cost(network(name, 0))
    return NetworkCost(alpha_of(name), counted.parameters, counted.macs)
