"""From a spec to a Keras model, at any width multiplier, resolution, number of channels and classes."""

from __future__ import annotations

from typing import Any

from dsmobile.architectures.backend import require_keras
from dsmobile.architectures.blocks import BLOCKS
from dsmobile.architectures.spec import ArchitectureSpec, Row
from dsmobile.errors import SpecError, UsageError

_LARGEST_RESOLUTION = 2048
_LARGEST_ALPHA = 8.0
_MOST_PARAMETERS = 400_000_000


def build(spec: ArchitectureSpec, *, alpha: float | None = None, resolution: int | None = None, classes: int | None = None, seed: int = 0) -> Any:
    """Builds the network with seeded random weights.

    Args:
        spec: The architecture.
        alpha: Width multiplier; None is 1.
        resolution: Height and width of the input in pixels; None is the spec's.
        classes: Classes of the head; None is the spec's.
        seed: Of the weights.

    Returns:
        A functional `keras.Model`; input (batch, resolution, resolution, channels), output (batch, classes), probabilities.

    Raises:
        SpecError: A value is out of range, or the shapes do not fit the strides.
        UsageError: `alpha` is given to an architecture without a rule for it.
        MissingExtraError: Keras is not installed.
    """
    alpha = _checked_alpha(spec, alpha)
    resolution = spec.resolution if resolution is None else resolution
    classes = spec.classes if classes is None else classes
    smallest = max(spec.total_stride, 1)
    if not smallest <= resolution <= _LARGEST_RESOLUTION:
        raise SpecError(
            f"resolution {resolution} is out of range for {spec.name}",
            f"give {smallest} to {_LARGEST_RESOLUTION} pixels: its strides make one pixel of {smallest}",
        )
    if not 1 <= classes <= 100_000:
        raise SpecError(f"{classes} classes are out of range", "give 1 to 100000 classes")
    require_keras()
    import keras

    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((resolution, resolution, spec.channels), name="image")
    rows = _repeated(spec.body) + _repeated(spec.head)
    parameters = 0
    for number, (block, arguments) in enumerate(rows, 1):
        if "filters" in arguments:
            arguments["filters"] = _filters(spec, int(arguments["filters"]), alpha)
            parameters += int(arguments["filters"]) * int(x.shape[-1])
        if parameters > _MOST_PARAMETERS:
            raise SpecError(f"{spec.name} at alpha {alpha} has over {_MOST_PARAMETERS:,} parameters", "lower alpha or the filters")
        if block == "classifier":
            arguments["classes"] = classes
        name = block if number > len(rows) - len(spec.head) else f"{block}_{number}"
        try:
            x = BLOCKS[block](x, name, **arguments)
        except ValueError as error:
            raise SpecError(
                f"{spec.name}: row {number} ({block}) does not fit a map of {tuple(x.shape[1:])}: {str(error).splitlines()[0]}",
                "raise the resolution, or lower the strides and kernels",
            ) from error
        if 0 in x.shape[1:]:
            raise SpecError(f"{spec.name}: nothing is left of the map after row {number} ({block})", "raise the resolution, or lower the strides")
    return keras.Model(inputs, x, name=spec.name)


def display_name(spec: ArchitectureSpec, alpha: float | None, resolution: int | None) -> str:
    """The name that artifacts carry: `mobilenet_v1`, or `mobilenet_v1_0.5_160` away from the defaults."""
    width = 1.0 if alpha is None else alpha
    side = spec.resolution if resolution is None else resolution
    return spec.name if (width, side) == (1.0, spec.resolution) else f"{spec.name}_{width:g}_{side}"


def _checked_alpha(spec: ArchitectureSpec, alpha: float | None) -> float:
    if alpha is None:
        return 1.0
    if spec.alpha is None:
        raise UsageError(f"{spec.name} has no rule for alpha", "leave --alpha away, or add an [alpha] table to its file")
    if not 0.0 < alpha <= _LARGEST_ALPHA:
        raise SpecError(
            f"alpha {alpha:g} is out of range",
            f"give a width multiplier above 0 and up to {_LARGEST_ALPHA:g}, such as 0.25, 0.5, 0.75 or 1",
        )
    return alpha


def _filters(spec: ArchitectureSpec, filters: int, alpha: float) -> int:
    if spec.alpha is None or alpha == 1.0:
        return filters
    scaled = spec.alpha.filters(filters, alpha)
    if scaled < spec.alpha.minimum:
        raise SpecError(f"alpha {alpha:g} leaves {scaled} of {filters} filters", f"give an alpha of at least {spec.alpha.minimum / filters:g}")
    return scaled


def _repeated(rows: tuple[Row, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Rows with their repeats written out; a stride acts once."""
    written: list[tuple[str, dict[str, Any]]] = []
    for row in rows:
        for turn in range(row.repeats):
            arguments: dict[str, Any] = dict(row.arguments)
            if turn and "stride" in arguments:
                arguments["stride"] = 1
            written.append((row.block, arguments))
    return written
