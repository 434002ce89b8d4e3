"""An architecture file, read and checked; every error names the file, the line, and what would be right."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from dsmobile.architectures.aliases import called_here
from dsmobile.architectures.blocks import BLOCKS, argument_types
from dsmobile.architectures.spec import WIDENS, AlphaRule, ArchitectureSpec, Row, Scalar
from dsmobile.architectures.toml_lines import line_numbers
from dsmobile.architectures.toml_values import as_toml, cut, is_scale, most_key_parts, rather
from dsmobile.errors import SpecError, nearest

_LARGEST_BYTES = 128 << 10
_MOST_KEY_PARTS = 30
_MOST_LAYERS = 2000
_KEYS = (
    "title", "paper", "reference", "input", "classes", "alpha", "depth", "defaults", "body", "head", "weights", "published", "variants"
)  # fmt: skip
_INPUT_KEYS = ("resolution", "channels", "scale")
_ALPHA_KEYS = ("round_to", "minimum", "rounding", "default", "widens")
_ROUNDINGS = ("nearest", "down")
_WEIGHTS_KEYS = ("imagenet", "arguments", "alphas", "resolutions")
_PUBLISHED_KEYS = ("alpha", "resolution", "parameters", "trainable_parameters", "macs", "top1", "source", "deviation")
_ROW_KEYS = ("block", "repeats", "widens", "deepens")
_LARGEST_DEPTH = 16.0
_CLASSIFIERS = ("classifier", "convolutional_classifier")


def read(path: Path, variant: str | None = None) -> ArchitectureSpec:
    """Reads an architecture file.

    Args:
        path: The file.
        variant: Which of its variants; None where it has none, or one alone.

    Raises:
        SpecError: It cannot be read, has an unknown key or block, or a value of the wrong kind; the message names file and line.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise SpecError(f"{path} is larger than 128 KiB", "an architecture file is a table of rows; use `repeats` for equal ones")
        if not path.is_file():
            raise SpecError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}", "give the path of an architecture file")
        text = path.read_text(encoding="utf-8-sig")  # Windows editors begin files with a mark of the encoding
    except FileNotFoundError as error:
        raise SpecError(f"{path} does not exist", "give the path of an architecture file, or a name from `dsmobile models list`") from error
    except (OSError, ValueError) as error:  # a name that no file can have, or no UTF-8
        raise SpecError(f"{path} cannot be read: {error}", "give a TOML file in UTF-8") from error
    if most_key_parts(text) > _MOST_KEY_PARTS:  # the parser's time and memory grow with their square
        raise SpecError(f"{path} has a key of over {_MOST_KEY_PARTS} parts", "an architecture file is a table of rows")
    try:
        document, lines = tomllib.loads(text), line_numbers(text)
    except (ValueError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        line = text.splitlines()[min(int(found[1]), text.count("\n") + 1) - 1].strip()[:80] if found else ""
        raise SpecError(
            f"{path} is not TOML: {error}{f': {line}' if line else ''}",
            "look there and a line above: a row is one line, rows end in commas, texts stand in straight quotes, true and false are small",
        ) from error
    return _Reader(path, lines).spec(document, variant)


Where = tuple[str | int, ...]


@dataclass
class _Reader:
    """Turns a TOML document into a spec; errors name the file and the line."""

    path: Path
    lines: dict[Where, int]
    at: dict[str, Where] = field(default_factory=dict)  # where a key of a variant stands

    def fail(self, message: str, advice: str, *where: str | int) -> SpecError:
        """An error at the line of a value, or of what holds it."""
        place = self.place(where)
        while place and place not in self.lines:
            inside = [line for path, line in self.lines.items() if path[: len(place)] == place]  # a table that only its parts name
            if inside:
                self.lines[place] = min(inside)
                break
            place = place[:-1]
        line = self.lines.get(place)
        return SpecError(f"{self.path}{f', line {line}' if line else ''}: {message}", advice)

    def line(self, where: Where) -> int:
        """The line of a row."""
        return self.lines.get(self.place(where), 0)

    def place(self, where: Where) -> Where:
        """Where a value of the network stands in the file: its variant's, where that has one of its own."""
        return (*self.at.get(str(where[0]), where[:1]), *where[1:]) if where else ()

    def known(self, table: dict[str, Any], allowed: tuple[str, ...], what: str, *where: str | int) -> None:
        for key in table:
            if key not in allowed:
                raise self.fail(f"{what} has no key {cut(key)!r}", called_here(key, allowed), *where, key)

    def table(self, document: dict[str, Any], key: str, allowed: tuple[str, ...]) -> dict[str, Any]:
        value = document.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(f"{key} is not a table", f"write {key} = {{ {allowed[0]} = ... }}", key)
        self.known(value, allowed, key, key)
        return value

    def whole(self, value: Any, what: str, lowest: int, highest: int, *where: str | int) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise self.fail(f"{what} = {as_toml(value)} is not a whole number from {lowest} to {highest}", rather(value), *where)
        return value

    def number(self, value: Any, what: str, highest: float, *where: str | int) -> float:
        if type(value) not in (int, float) or not 0 < value <= highest:
            raise self.fail(f"{what} = {as_toml(value)} is not a number above 0 and up to {highest:g}", rather(value), *where)
        return float(value)

    def choice(self, value: Any, what: str, allowed: tuple[str, ...], *where: str | int) -> str:
        if value not in allowed:
            raise self.fail(f"{what} = {as_toml(value)} is not known", nearest(str(value), allowed), *where)
        return str(value)

    def text(self, document: dict[str, Any], key: str, default: str) -> str:
        value = document.get(key, default)
        if not isinstance(value, str):
            raise self.fail(f"{key} is not a text", f'write {key} = "..."', key)
        return value

    def rows(self, document: dict[str, Any], key: str, defaults: dict[str, Any]) -> tuple[Row, ...]:
        entries = document.get(key)
        strayed = sorted(line for path, line in self.lines.items() if len(path) > 1 and path[-1] == key and path[0] != "variants")
        if entries is None and strayed:
            place = f"{self.path}, line {strayed[0]}"
            raise SpecError(
                f"{place}: {key} belongs to the [table] that begins above it", "move the tables, such as [[published]], to the file's end"
            )
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            raise self.fail(f"{key} is missing or is no list of rows", f'write {key} = [ {{ block = "conv", ... }}, ... ]', key)
        return tuple(self.row(entry, defaults, key, number) for number, entry in enumerate(entries))

    def row(self, entry: dict[str, Any], defaults: dict[str, Any], *where: str | int) -> Row:
        block = entry.get("block")
        if not isinstance(block, str) or block not in BLOCKS:
            said = f"there is no block {as_toml(block)}" if "block" in entry else "a row has no block"
            raise self.fail(said, called_here(str(block or entry.get("type")), BLOCKS), *where, "block")
        types = argument_types(block)
        arguments: dict[str, Scalar] = {name: value for name, value in defaults.items() if name in types}
        for name, value in entry.items():
            if name in _ROW_KEYS:
                continue
            if name not in types:
                raise self.fail(f"the block {block!r} has no argument {cut(name)!r}", called_here(name, {*types, *_ROW_KEYS}), *where, name)
            arguments[name] = self.argument(name, value, types[name], f" of the block {block!r}", *where, name)
        missing = [name for name, argument in types.items() if argument.required and name not in arguments]
        if missing:
            raise self.fail(f"the block {block!r} lacks {missing[0]!r}", f"it takes {', '.join(types)}", *where)
        deepens = entry.get("deepens", where[0] == "body")
        if type(deepens) is not bool:
            raise self.fail(f"deepens = {as_toml(deepens)} is neither true nor false", "write it without quotes", *where, "deepens")
        return Row(
            str(block),
            tuple(sorted(arguments.items())),
            self.whole(entry.get("repeats", 1), "repeats", 1, _MOST_LAYERS, *where, "repeats"),
            self.choice(entry.get("widens", "always"), "widens", WIDENS, *where, "widens"),
            deepens,
            f"{self.path}, line {self.line(where)}",
        )

    def argument(self, name: str, value: Any, kind: Any, of: str, *where: str | int) -> Scalar:
        problem = kind.problem(value)
        if problem:
            advice = called_here(str(value), kind.choices) if kind.choices else rather(value)
            raise self.fail(f"{name} = {as_toml(value)}{of} {problem}", advice, *where)
        plain: Scalar = (value[0], value[1]) if isinstance(value, list) else value
        return plain

    def defaults(self, document: dict[str, Any]) -> dict[str, Any]:
        """Arguments for every block that takes them and does not say otherwise."""
        known = {name: argument for block in BLOCKS for name, argument in argument_types(block).items()}
        table = self.table(document, "defaults", tuple(sorted(known)))
        return {name: self.argument(name, value, known[name], "", "defaults", name) for name, value in table.items()}

    def published(self, document: dict[str, Any]) -> tuple[tuple[tuple[str, Any], ...], ...]:
        entries = document.get("published", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.fail("published is no list of tables", "write [[published]]", "published")
        for number, entry in enumerate(entries):
            self.known(entry, _PUBLISHED_KEYS, "published", "published", number)
            for key, value in entry.items():
                words, sides = key in ("source", "deviation"), key == "resolution" and isinstance(value, list) and [*map(type, value)] == [int, int]
                fits = isinstance(value, str) if words else type(value) in (int, float) and 0 < value < 1e15
                if not sides and not fits:
                    advice = "give a text" if words else rather(value)
                    raise self.fail(f"published {key} = {as_toml(value)} is of the wrong kind", advice, "published", number, key)
        return tuple(tuple(entry.items()) for entry in entries)

    def alpha(self, document: dict[str, Any]) -> AlphaRule | None:
        if "alpha" not in document:
            return None
        table = self.table(document, "alpha", _ALPHA_KEYS)
        self.choice(table.get("widens", "all"), "widens", ("all",), "alpha", "widens")
        return AlphaRule(
            round_to=self.whole(table.get("round_to", 1), "round_to", 1, 256, "alpha", "round_to"),
            minimum=self.whole(table.get("minimum", 1), "minimum", 1, 4096, "alpha", "minimum"),
            rounding=self.choice(table.get("rounding", "nearest"), "rounding", _ROUNDINGS, "alpha", "rounding"),
            default=self.number(table.get("default", 1.0), "default", 8.0, "alpha", "default"),
        )

    def resolution(self, image: dict[str, Any]) -> tuple[int, int]:
        value = image.get("resolution", 224)
        sides = value if isinstance(value, list) and len(value) == 2 else [value, value]
        height, width = (self.whole(side, "resolution", 1, 4096, "input", "resolution") for side in sides)
        return height, width

    def of_variant(self, document: dict[str, Any], variant: str | None) -> dict[str, Any]:
        """The document as one of its variants has it: a variant's tables are laid over the file's, its lists and values replace them."""
        variants = document.pop("variants", {})
        if not isinstance(variants, dict) or not all(isinstance(table, dict) for table in variants.values()):
            raise self.fail("variants is not a table of tables", "write [variants.NAME] above what the variant has", "variants")
        for name in variants:
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
                raise self.fail(f"{name!r} cannot name a variant", "take letters, digits, _ . and -", "variants", name)
        if not variants and variant is None:
            return document
        if variant not in variants:
            known = ", ".join(variants) or "none"
            raise SpecError(
                f"{self.path} has no variant {variant!r}" if variant else f"{self.path} describes several networks",
                f"its variants: {known}" + (f"; name one as {self.path}:{next(iter(variants))}" if variants else ": give the file alone"),
            )
        name = str(variant)
        for key, value in variants[name].items():
            self.at[key] = ("variants", name, key)
            both = isinstance(value, dict) and isinstance(document.get(key), dict)
            document[key] = {**document[key], **value} if both else value
        self.known(variants[name], tuple(key for key in _KEYS if key != "variants"), f"the variant {name}", "variants", name)
        return document

    def spec(self, document: dict[str, Any], variant: str | None) -> ArchitectureSpec:
        self.known(document, _KEYS, "an architecture file")
        variants = document.get("variants")
        several = isinstance(variants, dict) and bool(variants)
        if isinstance(variants, dict) and variant is None and len(variants) == 1:
            variant = next(iter(variants))
        document = self.of_variant(document, variant)
        image = self.table(document, "input", _INPUT_KEYS)
        scale = image.get("scale", "-1..1")
        if not is_scale(scale):
            raise self.fail(
                f"scale = {as_toml(scale)} is not LOW..HIGH", 'write scale = "-1..1", or scale = "none" where the input is no image', "input", "scale"
            )
        defaults = self.defaults(document)
        body, head = self.rows(document, "body", defaults), self.rows(document, "head", defaults)
        depth = self.number(document.get("depth", 1.0), "depth", _LARGEST_DEPTH, "depth")
        layers = sum(ceil(row.repeats * depth) for row in body + head)
        if layers > _MOST_LAYERS:
            raise self.fail(f"{layers} blocks are more than {_MOST_LAYERS}", "lower the repeats", "body")
        for key, rows in (("body", body), ("head", head[:-1])):
            early = next((number for number, row in enumerate(rows) if row.block in _CLASSIFIERS), None)
            if early is not None:
                raise self.fail(f"a {rows[early].block} stands before the end", "let it be the head's last row", key, early)
        if head[-1].block not in _CLASSIFIERS or head[-1].repeats != 1:
            raise self.fail("the head does not end in one classifier", 'let it end in { block = "classifier" }', "head", len(head) - 1)
        name = (variant or self.path.stem) if several else self.path.stem
        weights = self.table(document, "weights", _WEIGHTS_KEYS)
        return ArchitectureSpec(
            name=name,
            title=self.text(document, "title", name),
            paper=self.text(document, "paper", ""),
            reference=self.text(document, "reference", ""),
            resolution=self.resolution(image),
            channels=self.whole(image.get("channels", 3), "channels", 1, 1024, "input", "channels"),
            scale="" if scale == "none" else scale,
            classes=self.whole(document.get("classes", 1000), "classes", 1, 100_000, "classes"),
            alpha=self.alpha(document),
            depth=depth,
            body=body,
            head=head,
            published=self.published(document),
            **self.weights(weights),
        )

    def weights(self, table: dict[str, Any]) -> dict[str, Any]:
        """Where Keras has ImageNet weights of the network."""
        arguments = table.get("arguments", {})
        if not isinstance(table.get("imagenet", ""), str) or not isinstance(arguments, dict):
            raise self.fail("imagenet is no name, or arguments no table", 'write imagenet = "MobileNet"', "weights")
        for key, value in arguments.items():
            if type(value) not in (bool, int, float, str) or (isinstance(value, int) and value.bit_length() > 32):
                raise self.fail(f"{cut(key)} = {as_toml(value)} is no argument of a function", "give a number, a text, true or false", "weights")
        for key in ("alphas", "resolutions"):
            if not isinstance(table.get(key, []), list) or not all(type(value) in (int, float) for value in table.get(key, [])):
                raise self.fail(f"{key} is no list of numbers", f"write {key} = [1.0]", "weights", key)
        return {
            "imagenet": table.get("imagenet", ""),
            "imagenet_arguments": tuple(sorted(arguments.items())),
            "imagenet_alphas": tuple(table.get("alphas", ())),
            "imagenet_resolutions": tuple(table.get("resolutions", ())),
        }
