"""What an architecture file says: one paper's table as frozen values.

A row is a registered block with scalar arguments and a number of repeats; there are no expressions and no graph language.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

Scalar = int | float | str | bool | tuple[int, int]
WIDENS = ("always", "never", "above 1")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        block: A name in `blocks.BLOCKS`.
        arguments: Its arguments, by name.
        repeats: How often it stands there; from the second time on with stride 1.
        widens: When the width multiplier acts on it: `always`, `never`, or `above 1`.
        deepens: Whether the depth multiplier acts on its repeats; on a row of the head it does not unless told.
        place: Its file and line, for errors.
    """

    block: str
    arguments: tuple[tuple[str, Scalar], ...]
    repeats: int = 1
    widens: str = "always"
    deepens: bool = True
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class AlphaRule:
    """How the width multiplier acts.

    Args:
        round_to: Filters become a multiple of this.
        minimum: Fewest filters.
        rounding: `nearest` (and never below 90% of the wanted width) or `down`.
        default: The width multiplier at which the network is the published one.
    """

    round_to: int = 1
    minimum: int = 1
    rounding: str = "nearest"
    default: float = 1.0

    def filters(self, filters: float, alpha: float) -> int:
        """Filters at the width multiplier `alpha`."""
        wanted = filters * alpha
        if self.rounding == "down":
            return int(wanted) // self.round_to * self.round_to
        rounded = max(self.minimum, int(wanted + self.round_to / 2) // self.round_to * self.round_to)
        return rounded + self.round_to if rounded < 0.9 * wanted else rounded


@dataclass(frozen=True)
class ArchitectureSpec:
    """What an architecture file says of one network.

    Args:
        name: The file's name without its ending, or its variant's.
        title: The paper's title.
        paper: Its identifier and the table.
        reference: Where the authors' own definition stands.
        resolution: Height and width of the input in pixels.
        channels: Channels of the input.
        scale: The input's range, `LOW..HIGH`; empty where the input is no image.
        classes: Classes of the head.
        alpha: How the width multiplier acts; None where it is refused.
        depth: What repeats are multiplied with, rounded up.
        body: The rows of the table.
        head: What follows the body.
        imagenet: The function in `keras.applications` that has ImageNet weights of this network, or empty.
        imagenet_arguments: What else that function is told.
        imagenet_alphas: The width multipliers that it has weights for.
        imagenet_resolutions: The resolutions that it has weights for; empty where they fit any.
        published: The paper's figures.
    """

    name: str
    title: str
    paper: str
    reference: str
    resolution: tuple[int, int]
    channels: int
    scale: str
    classes: int
    alpha: AlphaRule | None
    depth: float
    body: tuple[Row, ...]
    head: tuple[Row, ...]
    imagenet: str = ""
    imagenet_arguments: tuple[tuple[str, Scalar], ...] = ()
    imagenet_alphas: tuple[float, ...] = ()
    imagenet_resolutions: tuple[int, ...] = ()
    published: tuple[tuple[tuple[str, Any], ...], ...] = ()

    @property
    def default_alpha(self) -> float:
        """The width multiplier of the published network."""
        return self.alpha.default if self.alpha else 1.0

    def alpha_at(self, alpha: float | None) -> float:
        """The width multiplier asked for, or the published network's."""
        return self.default_alpha if alpha is None else alpha

    def sides_at(self, resolution: int | None) -> tuple[int, int]:
        """Height and width of the input at the resolution asked for, or the file's own."""
        return self.resolution if resolution is None else (resolution, resolution)

    @property
    def total_stride(self) -> int:
        """How many input pixels make one pixel of the last map, along the side that shrinks most."""
        totals = [1, 1]
        for row in self.body:
            stride = dict(row.arguments).get("stride", 1)
            sides = (stride, stride) if isinstance(stride, int) else stride
            if isinstance(sides, tuple):
                totals = [total * int(side) for total, side in zip(totals, sides, strict=True)]
        return max(totals)

    def repeats(self, row: Row) -> int:
        """How often a row stands there, at the depth multiplier."""
        return ceil(row.repeats * self.depth) if row.deepens else row.repeats

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        document = {"schema": "dsmobile.architecture/1", **asdict(self), "published": [dict(entry) for entry in self.published]}
        for row in (*document["body"], *document["head"]):
            del row["place"]
        plain: dict[str, Any] = json.loads(json.dumps(document))
        return plain
