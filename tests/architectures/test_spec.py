"""Architecture files that are wrong, each answered with file, line and a way out; and alpha's arithmetic."""

from pathlib import Path

import pytest

from dsmobile.architectures import spec
from dsmobile.architectures.builder import build
from dsmobile.architectures.spec import AlphaRule
from dsmobile.errors import SpecError, UsageError

GOOD = """
title = "small"
input = { resolution = 32, channels = 1, scale = "0..1" }
classes = 4
body = [
  { block = "conv", kernel = 3, stride = 2, filters = 8 },
  { block = "separable", kernel = 3, filters = 16, stride = 2, repeats = 2 },
]
head = [{ block = "global_average_pool" }, { block = "classifier" }]
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "net.toml"
    path.write_text(text)
    return path


def test_a_good_file_builds_and_its_stride_acts_once(tmp_path: Path) -> None:
    model = build(spec.read(_file(tmp_path, GOOD)))
    assert model.input_shape == (None, 32, 32, 1)
    assert model.output_shape == (None, 4)
    assert [layer.output.shape[1] for layer in model.layers if layer.name.endswith("_pw_relu")] == [8, 8]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('block = "separable"', 'block = "seperable"', ["line 7", "seperable", "Did you mean separable"]),
        ("filters = 16", "filterz = 16", ["line 7", "filterz", "filters"]),
        ("filters = 16", 'filters = "16"', ["line 7", "int"]),
        ("filters = 16", "filters = 0", ["line 7", "between"]),
        ("kernel = 3, filters = 16", "filters = 16", ["lacks 'kernel'"]),
        ("repeats = 2", "repeats = 1000000", ["repeats"]),
        ("classes = 4", "clases = 4", ["clases", "classes"]),
        ('scale = "0..1"', 'scale = "wide"', ["scale", "LOW..HIGH"]),
        ('{ block = "classifier" }', '{ block = "global_average_pool" }', ["classifier"]),
        ("body = [", "body = 3\nbodi = [", ["bodi"]),
        ('title = "small"', 'title = "small', ["TOML"]),
    ],
)
def test_wrong_files(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        spec.read(_file(tmp_path, GOOD.replace(old, new)))
    text = f"{caught.value.message} {caught.value.advice}"
    for word in words:
        assert word in text


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(SpecError, match="1 MiB"):
        spec.read(path)


def test_an_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        spec.find("mobilnet_v1")
    assert "Did you mean mobilenet_v1?" in caught.value.advice


@pytest.mark.parametrize("alpha", [0.0, -1.0, 9.0, float("nan"), float("inf")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(SpecError, match="alpha"):
        build(spec.read(spec.find("mobilenet_v1")), alpha=alpha)


def test_alpha_that_leaves_no_filters() -> None:
    with pytest.raises(SpecError, match="filters"):
        build(spec.read(spec.find("mobilenet_v1")), alpha=0.01)


@pytest.mark.parametrize("resolution", [0, -5, 31, 100_000])
def test_resolution_out_of_range(resolution: int) -> None:
    with pytest.raises(SpecError, match="resolution"):
        build(spec.read(spec.find("mobilenet_v1")), resolution=resolution)


def test_alpha_without_a_rule_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rule for alpha"):
        build(spec.read(_file(tmp_path, GOOD)), alpha=0.5)


@pytest.mark.parametrize(("filters", "alpha", "expected"), [(32, 0.75, 24), (32, 0.35, 16), (24, 0.35, 8), (16, 1.4, 24), (96, 1.4, 136)])
def test_rounding_to_eight_is_that_of_mobilenet_v2(filters: int, alpha: float, expected: int) -> None:
    """`_make_divisible` of tensorflow/models, research/slim/nets/mobilenet/conv_blocks.py, worked by hand."""
    assert AlphaRule(round_to=8, minimum=8).filters(filters, alpha) == expected


def test_a_spec_survives_json() -> None:
    import json

    read = spec.read(spec.find("mobilenet_v1"))
    assert json.loads(json.dumps(read.to_json()))["schema"] == "dsmobile.architecture/1"
