"""From a spec to a Keras model, at any width multiplier, resolution, number of channels and classes, with its head or without."""

from __future__ import annotations

from typing import Any

from dsmobile.architectures.backend import require_keras
from dsmobile.architectures.blocks import BLOCKS
from dsmobile.architectures.blocks.pen import Pen
from dsmobile.architectures.blocks.registry import NEEDS_MAP, WIDENED
from dsmobile.architectures.spec import AlphaRule, ArchitectureSpec, Row
from dsmobile.errors import SpecError, UsageError

_LARGEST_RESOLUTION = 4096
_LARGEST_ALPHA = 8.0


def build(
    spec: ArchitectureSpec, *, alpha: float | None = None, resolution: int | None = None, channels: int | None = None,
    classes: int | None = None, top: bool = True, seed: int = 0,
) -> Any:  # fmt: skip
    """Builds the network with seeded random weights.

    Args:
        spec: The architecture.
        alpha: Width multiplier; None is the spec's.
        resolution: Height and width of the input in pixels; None is the spec's.
        channels: Channels of the input; None is the spec's.
        classes: Classes of the head; None is the spec's.
        top: Whether the head follows; without it the body's last map is the output.
        seed: Of the weights.

    Returns:
        A functional `keras.Model`; input (batch, height, width, channels), output (batch, classes), probabilities.

    Raises:
        SpecError: A value is out of range, or the shapes do not fit the strides.
        UsageError: `alpha` is given to an architecture without a rule for it.
        MissingExtraError: Keras is not installed.
    """
    alpha = _checked_alpha(spec, alpha)
    height, width = spec.sides_at(resolution)
    channels = spec.channels if channels is None else channels
    classes = spec.classes if classes is None else classes
    if resolution is not None and spec.resolution[0] != spec.resolution[1]:
        raise UsageError(f"{spec.name} takes {side_text(spec.resolution)}, and --resolution gives squares", "leave it away, or change its file")
    if resolution is not None and not spec.total_stride <= resolution <= _LARGEST_RESOLUTION:
        raise SpecError(
            f"resolution {resolution} is out of range for {spec.name}",
            f"give {spec.total_stride} to {_LARGEST_RESOLUTION} pixels: its strides make one pixel of {spec.total_stride}",
        )
    if not 1 <= classes <= 100_000:
        raise SpecError(f"{classes} classes are out of range", "give 1 to 100000 classes")
    if not 1 <= channels <= 1024:
        raise SpecError(f"{channels} channels are out of range", "give 1 to 1024 channels")
    require_keras()
    import keras

    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((height, width, channels), name="image")
    rule = spec.alpha or AlphaRule()
    pen = Pen("", classes, lambda wanted: AlphaRule(rule.round_to, rule.minimum).filters(wanted, 1.0))
    body = _written_out(spec, spec.body)
    for number, (row, arguments) in enumerate(body + (_written_out(spec, spec.head) if top else []), 1):
        for key in WIDENED:
            if key in arguments:
                arguments[key] = _filters(spec, row, int(arguments[key]), alpha)
        pen.name = f"{row.block}_{number}" if number <= len(body) else _head_name(spec, row, number - len(body))
        x = _with_row(pen, x, row, arguments)
    if top and len(x.shape) != 2:
        raise SpecError(
            f"{_where(pen, spec.head[-1])}: the classifier sees a map of {tuple(x.shape[1:-1])}", 'put { block = "global_average_pool" } before it'
        )
    try:
        return keras.Model(inputs, x, name=spec.name)
    except RecursionError as error:
        raise SpecError(f"{spec.name} is too deep for Keras", "lower the repeats") from error


def _with_row(pen: Pen, x: Any, row: Row, arguments: dict[str, Any]) -> Any:
    """The tensor behind one more row; what is wrong with it is said with its place in the file."""
    where = _where(pen, row)
    pen.layers += 1
    if len(x.shape) != 4 and row.block in NEEDS_MAP:
        raise SpecError(f"{where}: no map is left for it, but {tuple(x.shape[1:])} numbers", "put what pools or flattens behind it")
    try:
        after = BLOCKS[row.block](pen, x, **arguments)
    except SpecError as error:
        raise SpecError(f"{where}: {error.message}", error.advice) from error
    except ValueError as error:
        said = str(error).splitlines()[0].partition(" Received")[0]
        raise SpecError(
            f"{where} does not fit a map of {tuple(x.shape[1:])}: {said}", "raise the resolution, or change the strides and kernels"
        ) from error
    if 0 in after.shape[1:]:
        raise SpecError(f"{where}: nothing is left of the map behind it", "raise the resolution, or lower the strides")
    return after


def _where(pen: Pen, row: Row) -> str:
    return f"{row.place or 'the row'} ({pen.name})"


def head_layers(spec: ArchitectureSpec) -> tuple[str, ...]:
    """Names of the head's rows: a file of weights may lack them, or hold another number of classes."""
    return tuple(_head_name(spec, row, number) for number, (row, _) in enumerate(_written_out(spec, spec.head), 1))


def display_name(spec: ArchitectureSpec, *, alpha: float | None, resolution: int | None, channels: int | None = None, top: bool = True) -> str:
    """The name that artifacts carry: `mobilenet_v1`, or `mobilenet_v1_0.5_160` away from the defaults; `_1ch` and `_notop` behind it."""
    width, sides = spec.alpha_at(alpha), spec.sides_at(resolution)
    parts = [spec.name]
    if (width, sides) != (spec.default_alpha, spec.resolution):
        parts += [f"{width:g}", side_text(sides)] if spec.alpha else [side_text(sides)]
    if channels not in (None, spec.channels):
        parts.append(f"{channels}ch")
    return "_".join([*parts, *([] if top else ["notop"])])


def side_text(sides: tuple[int, int]) -> str:
    """`224`, or `49x10` where height and width differ."""
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}x{sides[1]}"


def _head_name(spec: ArchitectureSpec, row: Row, number: int) -> str:
    """A head's layers go by their block's name, numbered where it comes twice."""
    once = [other.block for other, _ in _written_out(spec, spec.head)].count(row.block) == 1
    inside = any(f"{other.block}_".startswith(f"{row.block}_") for other in spec.body)  # weights know the head by how names begin
    return row.block if once and not inside else f"head_{row.block}_{number}"


def _checked_alpha(spec: ArchitectureSpec, alpha: float | None) -> float:
    if alpha is None:
        return spec.default_alpha
    if spec.alpha is None:
        raise UsageError(f"{spec.name} has no rule for alpha", "leave --alpha away, or add an alpha table to its file")
    if not 0.0 < alpha <= _LARGEST_ALPHA:
        raise SpecError(
            f"alpha {alpha:g} is out of range",
            f"give a width multiplier above 0 and up to {_LARGEST_ALPHA:g}, such as 0.25, 0.5, 0.75 or 1",
        )
    return alpha


def _filters(spec: ArchitectureSpec, row: Row, filters: int, alpha: float) -> int:
    if spec.alpha is None or alpha == 1.0 or row.widens == "never" or (row.widens == "above 1" and alpha < 1.0):
        return filters
    scaled = spec.alpha.filters(filters, alpha)
    if scaled < spec.alpha.minimum:
        raise SpecError(f"alpha {alpha:g} leaves {scaled} of {filters} filters", f"give an alpha of at least {spec.alpha.minimum / filters:g}")
    return scaled


def _written_out(spec: ArchitectureSpec, rows: tuple[Row, ...]) -> list[tuple[Row, dict[str, Any]]]:
    """Rows with their repeats written out; a stride acts once."""
    written: list[tuple[Row, dict[str, Any]]] = []
    for row in rows:
        for turn in range(spec.repeats(row)):
            arguments: dict[str, Any] = dict(row.arguments)
            if turn and "stride" in arguments:
                arguments["stride"] = 1
            written.append((row, arguments))
    return written
