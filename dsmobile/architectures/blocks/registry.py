"""What a block is: a registered function whose signature is its grammar.

A block takes a `Pen`, the tensor so far, and scalar arguments: a type, a default or none, the bounds in `LIMITS`, the words in `CHOICES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tensor = Any
Block = Callable[..., Tensor]
Size = int | tuple[int, int]  # one side for both, or (height, width)

BLOCKS: dict[str, Block] = {}
LIMITS: dict[str, tuple[float, float]] = {
    "kernel": (1, 31),
    "start_kernel": (0, 31),
    "middle_kernel": (0, 31),
    "stride": (1, 8),
    "dilation": (1, 32),
    "filters": (1, 65_536),
    "first_filters": (1, 65_536),
    "expansion": (0.05, 64),
    "reduction": (1, 64),
    "multiplier": (1, 64),
    "groups": (1, 65_536),
    "separables": (1, 64),
    "se": (0.0, 1.0),
    "rate": (0.0, 0.999),
}
ACTIVATIONS = ("relu6", "relu", "hard_swish", "swish", "gelu", "leaky_relu", "sigmoid", "hard_sigmoid", "tanh", "linear")
CHOICES: dict[str, tuple[str, ...]] = {
    "activation": ACTIVATIONS,
    "depthwise_activation": ACTIVATIONS,
    "se_activation": ACTIVATIONS,
    "se_gate": ("hard_sigmoid", "sigmoid"),
    "se_of": ("expansion", "input"),
    "padding": ("same", "valid", "below_right"),
    "output": ("softmax", "sigmoid", "linear"),
}
WIDENED = ("filters", "first_filters")  # what the width multiplier acts on
# Blocks that a flat row of numbers does not fit.
NEEDS_MAP: set[str] = set()
GIVEN = ("pen", "x")  # what the builder gives, not the file


@dataclass(frozen=True)
class Argument:
    """One argument of a block.

    Args:
        type: `int`, `float`, `str` or `bool`.
        pair: Whether it may be given for height and width apart.
        required: Whether it must be given.
        lowest: The least number.
        highest: The greatest number.
        choices: The words; empty where it is no word.
    """

    type: type
    pair: bool
    required: bool
    lowest: float
    highest: float
    choices: tuple[str, ...]

    def problem(self, value: Any) -> str:
        """What is wrong with a value, as the end of a sentence; empty where nothing is."""
        if self.pair and isinstance(value, (list, tuple)):
            if len(value) != 2:
                return "is not one whole number or two, [height, width]"
            return next(filter(None, (self.problem(side) for side in value)), "")
        if type(value) is not self.type and not (self.type is float and type(value) is int):
            words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
            return f"is not {words[self.type]}"
        if self.choices and value not in self.choices:
            return "is not known"
        if isinstance(value, (int, float)) and not self.lowest <= value <= self.highest:
            return f"is not between {self.lowest:g} and {self.highest:g}"
        return ""


def block(function: Block) -> Block:
    """Registers a block, which takes a map, under its function's name."""
    NEEDS_MAP.add(function.__name__)
    return on_any(function)


def on_any(function: Block) -> Block:
    """Registers a block that takes a flat row of numbers too."""
    BLOCKS[function.__name__] = function
    return function


def argument_types(name: str) -> dict[str, Argument]:
    """The arguments that a row with this block can have."""
    types = {"int": int, "float": float, "str": str, "bool": bool, "Size": int}
    return {
        parameter.name: Argument(
            types[str(parameter.annotation).partition(" |")[0]],
            str(parameter.annotation).startswith("Size"),
            parameter.default is inspect.Parameter.empty,
            *LIMITS.get(parameter.name, (-1e9, 1e9)),
            CHOICES.get(parameter.name, ()),
        )
        for parameter in inspect.signature(BLOCKS[name]).parameters.values()
        if parameter.name not in GIVEN
    }
