"""An architecture file: one paper's table, read, checked and frozen.

A row is a registered block with scalar arguments and a number of repeats; there are no expressions and no graph language.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsmobile.architectures.blocks import BLOCKS, argument_types
from dsmobile.errors import SpecError, nearest
from dsmobile.files import recipes_folder

_LARGEST_BYTES = 1 << 20
_MOST_LAYERS = 2000
_KEYS = ("title", "paper", "input", "classes", "alpha", "body", "head", "weights", "published")
_INPUT_KEYS = ("resolution", "channels", "scale")
_ALPHA_KEYS = ("round_to", "minimum", "rounding", "widens")
_ROUNDINGS = ("nearest", "down")
_WEIGHTS_KEYS = ("imagenet", "alphas", "resolutions")
_PUBLISHED_KEYS = ("alpha", "resolution", "parameters", "macs", "top1", "deviation")

Scalar = int | float | str | bool


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        block: A name in `blocks.BLOCKS`.
        arguments: Its arguments, by name.
        repeats: How often it stands there; from the second time on with stride 1.
    """

    block: str
    arguments: tuple[tuple[str, Scalar], ...]
    repeats: int = 1


@dataclass(frozen=True)
class AlphaRule:
    """How the width multiplier acts.

    Args:
        round_to: Filters become a multiple of this.
        minimum: Fewest filters.
        rounding: `nearest` (and never below 90% of the wanted width) or `down`.
        widens: `all` convolutions.
    """

    round_to: int = 1
    minimum: int = 1
    rounding: str = "nearest"
    widens: str = "all"

    def filters(self, filters: int, alpha: float) -> int:
        """Filters at the width multiplier `alpha`."""
        wanted = filters * alpha
        if self.rounding == "down":
            return int(wanted) // self.round_to * self.round_to
        rounded = max(self.minimum, int(wanted + self.round_to / 2) // self.round_to * self.round_to)
        return rounded + self.round_to if rounded < 0.9 * wanted else rounded


@dataclass(frozen=True)
class ArchitectureSpec:
    """What an architecture file says.

    Args:
        name: The file's name without its ending.
        title: The paper's title.
        paper: Its identifier and the table.
        resolution: Height and width of the input in pixels.
        channels: Channels of the input.
        scale: The input's range, `LOW..HIGH`.
        classes: Classes of the head.
        alpha: How the width multiplier acts; None where it is refused.
        body: The rows of the table.
        head: What follows the body.
        imagenet: The function in `keras.applications` that has ImageNet weights of this network, or empty.
        imagenet_alphas: The width multipliers that it has weights for.
        imagenet_resolutions: The resolutions that it has weights for.
        published: The paper's figures.
    """

    name: str
    title: str
    paper: str
    resolution: int
    channels: int
    scale: str
    classes: int
    alpha: AlphaRule | None
    body: tuple[Row, ...]
    head: tuple[Row, ...]
    imagenet: str = ""
    imagenet_alphas: tuple[float, ...] = ()
    imagenet_resolutions: tuple[int, ...] = ()
    published: tuple[tuple[tuple[str, Any], ...], ...] = ()

    @property
    def total_stride(self) -> int:
        """How many input pixels make one pixel of the last map, along a side."""
        total = 1
        for row in self.body:
            total *= int(dict(row.arguments).get("stride", 1))
        return total

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        document = {"schema": "dsmobile.architecture/1", **asdict(self), "published": [dict(entry) for entry in self.published]}
        plain: dict[str, Any] = json.loads(json.dumps(document))
        return plain


def names() -> list[str]:
    """The architectures that come with dsmobile."""
    return sorted(path.stem for path in recipes_folder("models").glob("*.toml"))


def find(name: str) -> Path:
    """The file of an architecture that comes with dsmobile.

    Raises:
        SpecError: There is none of that name; its message names the nearest.
    """
    path = recipes_folder("models") / f"{name}.toml"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not path.is_file():
        raise SpecError(
            f"there is no architecture {name!r}",
            f"{nearest(name, names())} A file of your own is named by its path: ./{Path(name).name}.toml",
        )
    return path


def read(path: Path) -> ArchitectureSpec:
    """Reads an architecture file.

    Raises:
        SpecError: It cannot be read, has an unknown key or block, or a value of the wrong kind; the message names file and line.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise SpecError(f"{path} is larger than 1 MiB", "an architecture file is a table of rows; use `repeats` for equal ones")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(f"{path} does not exist", "give the path of an architecture file, or a name from `dsmobile models list`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}", "give a TOML file in UTF-8") from error
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpecError(f"{path} is not TOML: {error}", "compare it with models/mobilenet_v1.toml") from error
    return _Reader(path, text).spec(document)


@dataclass(frozen=True)
class _Reader:
    """Turns a TOML document into a spec; errors name the file and the line."""

    path: Path
    text: str

    def fail(self, message: str, advice: str, *words: str) -> SpecError:
        """An error at the first line that holds every one of `words`."""
        lines = [number for number, line in enumerate(self.text.splitlines(), 1) if words and all(word in line for word in words)]
        return SpecError(f"{self.path}{f', line {lines[0]}' if lines else ''}: {message}", advice)

    def known(self, table: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
        for key in table:
            if key not in allowed:
                raise self.fail(f"{where} has no key {key!r}", nearest(key, allowed), key)

    def table(self, document: dict[str, Any], key: str, allowed: tuple[str, ...]) -> dict[str, Any]:
        value = document.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(f"{key} is not a table", f"write {key} = {{ {allowed[0]} = ... }}", key)
        self.known(value, allowed, key)
        return value

    def whole(self, table: dict[str, Any], key: str, default: int, lowest: int, highest: int) -> int:
        value = table.get(key, default)
        if type(value) is not int or not lowest <= value <= highest:
            raise self.fail(f"{key} = {value!r} is not a whole number from {lowest} to {highest}", "correct the value", key)
        return value

    def choice(self, table: dict[str, Any], key: str, allowed: tuple[str, ...]) -> str:
        value = table.get(key, allowed[0])
        if value not in allowed:
            raise self.fail(f"{key} = {value!r} is not known", nearest(str(value), allowed), key)
        return str(value)

    def rows(self, document: dict[str, Any], key: str) -> tuple[Row, ...]:
        entries = document.get(key)
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            raise self.fail(f"{key} is missing or is no list of rows", f'write {key} = [ {{ block = "conv", ... }}, ... ]', key)
        return tuple(self.row(dict(entry)) for entry in entries)

    def row(self, entry: dict[str, Any]) -> Row:
        block = entry.pop("block", None)
        if block not in BLOCKS:
            raise self.fail(f"there is no block {block!r}", nearest(str(block), BLOCKS), str(block))
        repeats = self.whole(entry, "repeats", 1, 1, _MOST_LAYERS)
        entry.pop("repeats", None)
        types = argument_types(block)
        for name, value in entry.items():
            if name not in types:
                raise self.fail(f"the block {block!r} has no argument {name!r}", nearest(name, {*types, "block", "repeats"}), name, str(block))
            wanted = types[name].type
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise self.fail(f"{name} = {value!r} of the block {block!r} is not {wanted.__name__}", "correct the value", name, str(block))
            if isinstance(value, (int, float)) and not types[name].lowest <= value <= types[name].highest:
                raise self.fail(
                    f"{name} = {value!r} of the block {block!r} is not between {types[name].lowest} and {types[name].highest}",
                    "correct the value", name, str(block),
                )  # fmt: skip
        missing = [name for name, argument in types.items() if argument.required and name not in entry]
        if missing:
            raise self.fail(f"the block {block!r} lacks {missing[0]!r}", f"it takes {', '.join(types)}", str(block))
        return Row(str(block), tuple(sorted(entry.items())), repeats)

    def published(self, document: dict[str, Any]) -> tuple[tuple[tuple[str, Any], ...], ...]:
        entries = document.get("published", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.fail("published is no list of tables", "write [[published]]", "published")
        for entry in entries:
            self.known(entry, _PUBLISHED_KEYS, "published")
        return tuple(tuple(entry.items()) for entry in entries)

    def alpha(self, document: dict[str, Any]) -> AlphaRule | None:
        if "alpha" not in document:
            return None
        table = self.table(document, "alpha", _ALPHA_KEYS)
        return AlphaRule(
            round_to=self.whole(table, "round_to", 1, 1, 256),
            minimum=self.whole(table, "minimum", 1, 1, 4096),
            rounding=self.choice(table, "rounding", _ROUNDINGS),
            widens=self.choice(table, "widens", ("all",)),
        )

    def spec(self, document: dict[str, Any]) -> ArchitectureSpec:
        self.known(document, _KEYS, "an architecture file")
        image = self.table(document, "input", _INPUT_KEYS)
        weights = self.table(document, "weights", _WEIGHTS_KEYS)
        scale = image.get("scale", "-1..1")
        if not isinstance(scale, str) or not re.fullmatch(r"-?[0-9.]*[0-9]\.\.-?[0-9.]*[0-9]", scale):
            raise self.fail(f"scale = {scale!r} is not LOW..HIGH", 'write scale = "-1..1"', "scale")
        body, head = self.rows(document, "body"), self.rows(document, "head")
        layers = sum(row.repeats for row in body + head)
        if layers > _MOST_LAYERS:
            raise self.fail(f"{layers} blocks are more than {_MOST_LAYERS}", "lower the repeats", "repeats")
        if len([row for row in head if row.block == "classifier"]) != 1 or head[-1].block != "classifier":
            raise self.fail("the head does not end in one classifier", 'let it end in { block = "classifier" }', "head")
        for key in ("title", "paper"):
            if not isinstance(document.get(key, ""), str):
                raise self.fail(f"{key} is not a text", f'write {key} = "..."', key)
        return ArchitectureSpec(
            name=self.path.stem,
            title=document.get("title", self.path.stem),
            paper=document.get("paper", ""),
            resolution=self.whole(image, "resolution", 224, 1, 4096),
            channels=self.whole(image, "channels", 3, 1, 1024),
            scale=scale,
            classes=self.whole(document, "classes", 1000, 1, 100_000),
            alpha=self.alpha(document),
            body=body,
            head=head,
            imagenet=str(weights.get("imagenet", "")),
            imagenet_alphas=tuple(weights.get("alphas", ())),
            imagenet_resolutions=tuple(weights.get("resolutions", ())),
            published=self.published(document),
        )
