"""Where the values of a TOML file stand."""

import tomllib
from pathlib import Path

import pytest

from dsmobile.architectures.toml_lines import line_numbers

ROOT = Path(__file__).parents[2]
TEXT = '''# a comment
title = "a # b ] }"  # another
x."y z".w = 3
body = [ # rows
  { block = "conv", kernel = [1, 2] },

  { block = "a", text = """one
  ]}"", two""" }, { block = 'it\\' },
]
[[published]]
alpha = 1
[[published]]
beta = 2.5
[variants.large]
body = [{ block="q" }]
[[variants.large.published]]
k = 3
[plain]
"quoted" = true'''
WHERE = {
    ("title",): 2,
    ("x", "y z", "w"): 3,
    ("body",): 4,
    ("body", 0): 5,
    ("body", 0, "kernel"): 5,
    ("body", 0, "kernel", 1): 5,
    ("body", 1): 7,
    ("body", 1, "text"): 7,
    ("body", 2): 8,
    ("published", 0, "alpha"): 11,
    ("published", 1): 12,
    ("published", 1, "beta"): 13,
    ("variants", "large", "body", 0, "block"): 15,
    ("variants", "large", "published", 0, "k"): 17,
    ("plain",): 18,
    ("plain", "quoted"): 19,
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_value_has_its_line(ending: str) -> None:
    tomllib.loads(TEXT)
    lines = line_numbers(TEXT.replace("\n", ending))
    assert {path: lines.get(path) for path in WHERE} == WHERE


def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(entry, (*path, key)) for key, entry in entries))


@pytest.mark.parametrize("file", [*sorted(ROOT.glob("*/*.toml")), ROOT / "pyproject.toml"], ids=lambda file: file.name)
def test_nothing_is_passed_over(file: Path) -> None:
    """Every value that tomllib finds has a line, and no line is for what is not there."""
    text = file.read_text(encoding="utf-8")
    found, wanted = set(line_numbers(text)), paths(tomllib.loads(text)) - {()}
    implied = {path[:length] for path in found for length in range(1, len(path))}
    assert found <= wanted <= found | implied
