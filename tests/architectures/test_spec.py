"""Architecture files that are wrong, each answered with file, line and a way out; and alpha's arithmetic."""

import os
from pathlib import Path
from typing import Any

import pytest

from dsmobile.architectures.builder import build, display_name
from dsmobile.architectures.finding import spec_of
from dsmobile.architectures.reading import read
from dsmobile.architectures.spec import AlphaRule
from dsmobile.errors import ModelError, SpecError, UsageError

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
    model = build(read(_file(tmp_path, GOOD)))
    assert model.input_shape == (None, 32, 32, 1)
    assert model.output_shape == (None, 4)
    assert [layer.output.shape[1] for layer in model.layers if layer.name.endswith("_pw_relu")] == [8, 8]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('block = "separable"', 'block = "seperable"', ["line 7", "seperable", "Did you mean separable"]),
        ("filters = 16", "filterz = 16", ["line 7", "filterz", "filters"]),
        ("filters = 16", 'filters = "16"', ["line 7", "filters = '16'", "whole number"]),
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
        read(_file(tmp_path, GOOD.replace(old, new)))
    text = f"{caught.value.message} {caught.value.advice}"
    for word in words:
        assert word in text


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(SpecError, match="128 KiB"):
        read(path)


def test_an_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        spec_of("mobilnet_v1")
    assert "Did you mean mobilenet_v1" in caught.value.advice


@pytest.mark.parametrize("alpha", [0.0, -1.0, 9.0, float("nan"), float("inf")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(SpecError, match="alpha"):
        build(spec_of("mobilenet_v1"), alpha=alpha)


def test_alpha_that_leaves_no_filters() -> None:
    with pytest.raises(SpecError, match="filters"):
        build(spec_of("mobilenet_v1"), alpha=0.01)


@pytest.mark.parametrize("resolution", [0, -5, 31, 100_000])
def test_resolution_out_of_range(resolution: int) -> None:
    with pytest.raises(SpecError, match="resolution"):
        build(spec_of("mobilenet_v1"), resolution=resolution)


def test_alpha_without_a_rule_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rule for alpha"):
        build(read(_file(tmp_path, GOOD)), alpha=0.5)


@pytest.mark.parametrize(("filters", "alpha", "expected"), [(32, 0.75, 24), (32, 0.35, 16), (24, 0.35, 8), (16, 1.4, 24), (96, 1.4, 136)])
def test_rounding_to_eight_is_that_of_mobilenet_v2(filters: int, alpha: float, expected: int) -> None:
    """`_make_divisible` of tensorflow/models, research/slim/nets/mobilenet/conv_blocks.py, worked by hand."""
    assert AlphaRule(round_to=8, minimum=8).filters(filters, alpha) == expected


def test_a_spec_survives_json() -> None:
    import json

    spec = spec_of("mobilenet_v1")
    assert json.loads(json.dumps(spec.to_json()))["schema"] == "dsmobile.architecture/1"


VARIANTS = """
input = { resolution = 32, channels = 1 }
alpha = { round_to = 8 }
head = [{ block = "global_average_pool" }, { block = "classifier" }]

[variants.big]
input = { resolution = 64 }
body = [{ block = "conv", kernel = 3, filters = 32 }]

[variants.small]
alpha = { default = 0.5 }
body = [
  { block = "conv", kernel = 3, filters = 16 },
]
"""


def test_a_variant_is_laid_over_its_file(tmp_path: Path) -> None:
    path = _file(tmp_path, VARIANTS)
    big, small = spec_of(f"{path}:big"), spec_of(f"{path}:small")
    assert (big.name, big.resolution, big.channels, big.default_alpha) == ("big", (64, 64), 1, 1.0)
    assert (small.resolution, small.default_alpha, small.alpha and small.alpha.round_to) == ((32, 32), 0.5, 8)


@pytest.mark.parametrize(
    ("old", "new", "variant", "words"),
    [
        ("", "", None, ["several networks", "big, small", ":big"]),
        ("", "", "smal", ["no variant 'smal'", "big, small"]),
        ("filters = 16", "filtres = 16", "small", ["line 13", "filtres", "filters"]),
        ("default = 0.5", "defualt = 0.5", "small", ["line 11", "defualt", "default"]),
        ("resolution = 64", "resolution = 0", "big", ["line 7", "resolution"]),
        ("[variants.big]", "[variants.big]\nbodi = 3", "big", ["line 7", "bodi"]),
    ],
)
def test_wrong_variants(tmp_path: Path, old: str, new: str, variant: str | None, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        read(_file(tmp_path, VARIANTS.replace(old, new)), variant)
    text = f"{caught.value.message} {caught.value.advice}"
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("filters = 16, stride = 2", 'filters = 16, stride = [2, 1, 1]', ["line 7", "stride", "[height, width]"]),
        ("filters = 16, stride = 2", 'filters = 16, stride = [2, 99]', ["line 7", "between 1 and 8"]),
        ("filters = 16, stride = 2", 'filters = 16, activation = "rellu"', ["line 7", "rellu", "Did you mean relu"]),
        ("filters = 16, stride = 2", 'filters = 16, widens = "sometimes"', ["line 7", "widens", "above 1"]),
        ("filters = 16, stride = 2", "filters = true", ["line 7", "whole number"]),
        ("filters = 16, stride = 2", "filters = 1e9", ["line 7", "whole number"]),
        ("resolution = 32", "resolution = [32]", ["resolution"]),
        ("classes = 4", "classes = 4\ndepth = nan", ["line 5", "depth"]),
        ("classes = 4", "classes = 4\ndepth = 1e9", ["line 5", "depth"]),
        ("classes = 4", 'classes = 4\ndefaults = { aktivation = "relu" }', ["line 5", "aktivation", "activation"]),
        ("classes = 4", "classes = 4\nweights = { imagenet = 3 }", ["line 5", "imagenet"]),
        ("classes = 4", 'classes = 4\npublished = [{ alpha = "1" }]', ["line 5", "wrong kind"]),
        ("classes = 4", "classes = 4\nvariants = 3", ["line 5", "variants"]),
        ("{ block = \"conv\", kernel = 3, stride = 2, filters = 8 }", "{ kernel = 3 }", ["line 6", "no block"]),
        ("filters = 16, stride = 2", 'filters = "16", stride = 2', ["line 7", "without quotes"]),
        ("filters = 16, stride = 2", "c = 16, stride = 2", ["line 7", "'c'", "it is called filters here"]),
        ("filters = 16, stride = 2", "filters = 16, s = 2", ["line 7", "it is called stride here"]),
        ('block = "separable"', 'block = "mbconv"', ["line 7", "it is called inverted_residual here"]),
        ('{ block = "separable"', '{ block = "classifier" }, { block = "separable"', ["line 7", "before the end"]),
        ('title = "small"', '[[published]]\nmacs = 3\ntitle = "small"', ["line 7", "body belongs to the [table]", "[[published]]"]),
        ("body = [", "[[published]]\nmacs = 3\nbody = [", ["line 7", "body belongs to the [table]"]),
        ("classes = 4", "classes = 4\npublished = [{ resolution = [1, 2, 3] }]", ["line 5", "resolution"]),
        ("filters = 8 },", "filters = 8 }", ["TOML", "rows end in commas"]),
        ("classes = 4", "classes = 4\n[variant.small]\nclasses = 3", ["line 5", "variant"]),
    ],
)  # fmt: skip
def test_more_wrong_files(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        read(_file(tmp_path, GOOD.replace(old, new)))
    text = f"{caught.value.message} {caught.value.advice}"
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('{ block = "conv", kernel = 3, stride = 2, filters = 8 }', '{ block = "conv", kernel = 3 }', ["line 6", "conv_1", "filters or expansion"]),
        ("kernel = 3, filters = 16, stride = 2", 'kernel = 31, filters = 16, padding = "valid"', ["line 7", "separable_2"]),
        ('head = [{ block = "global_average_pool" }, ', "head = [", ["global_average_pool"]),
        ('block = "conv", kernel = 3, stride = 2', 'block = "conv", kernel = 3, groups = 3', ["groups"]),
        ("filters = 16, stride = 2", "filters = 16, stride = [1, 2]", ["separable_2", "one stride"]),
        ("filters = 16, stride = 2", "filters = 16, stride = 2, dilation = 2", ["separable_2", "dilation"]),
        (
            "kernel = 3, stride = 2, filters = 8 }",
            'kernel = 31, filters = 65536 }, { block = "conv", kernel = 31, filters = 65536 }',
            ["400,000,000 parameters"],
        ),
        ('{ block = "global_average_pool" }', '{ block = "flatten" }, { block = "global_average_pool" }', ["line 9", "no map is left"]),
        ("repeats = 2", 'repeats = 2 }, { block = "max_pool", kernel = 9, stride = 8, padding = "valid"', ["line 7", "max_pool_4"]),
    ],
)
def test_files_that_do_not_build(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        build(read(_file(tmp_path, GOOD.replace(old, new))))
    text = f"{caught.value.message} {caught.value.advice}"
    assert all(word in text for word in words), text


def test_all_activations_and_paddings_build_and_run(tmp_path: Path) -> None:
    import numpy as np

    from dsmobile.architectures.blocks.registry import ACTIVATIONS, CHOICES

    rows = [f'{{ block = "conv", kernel = 3, filters = 4, activation = "{name}" }}' for name in ACTIVATIONS]
    rows += [f'{{ block = "depthwise", kernel = [3, 2], stride = 2, padding = "{name}" }}' for name in CHOICES["padding"]]
    text = GOOD[: GOOD.index("  { block")] + ",\n".join(rows) + GOOD[GOOD.index("\n]\nhead") :]
    model = build(read(_file(tmp_path, text)))
    assert np.isfinite(np.asarray(model(np.ones((1, 32, 32, 1), np.float32)))).all()


def test_a_mark_of_the_encoding_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read(path).classes == 4


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("folder", ["is a folder"]),
        ("folder/net", ["there is a file", "folder/net.toml"]),
        ("notes.txt", ["ends in .toml"]),
        ("folder/net:big", ["folder/net.toml:big"]),
        ("folder.toml", ["is a folder"]),
        ("nothing", ["no architecture 'nothing'", "ends in .toml"]),
        ("nothing.toml", ["does not exist"]),
        ("nothing.toml:big", ["does not exist"]),
        ("mobilenet_v3", ["mobilenet_v3_small"]),
    ],
)
def test_a_source_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "folder.toml"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder" / "net.toml").write_text(VARIANTS)
    (tmp_path / "notes.txt").write_text(GOOD)
    with pytest.raises(SpecError) as caught:
        spec_of(source)
    text = f"{caught.value.message} {caught.value.advice}"
    assert all(word in text for word in words), text


def test_a_variants_name_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot name a variant"):
        read(_file(tmp_path, VARIANTS.replace("[variants.big]", '[variants."my/net"]')))


def test_the_only_variant_goes_by_its_own_name(tmp_path: Path) -> None:
    text = VARIANTS[: VARIANTS.index("[variants.small]")]
    assert read(_file(tmp_path, text)).name == "big"


def test_where_a_row_stands_is_no_part_of_what_it_says(tmp_path: Path) -> None:
    first, second = read(_file(tmp_path, GOOD)), read(_file(tmp_path, "# moved down\n" + GOOD))
    assert first == second and first.to_json() == second.to_json()
    assert first.body[0].place.endswith("line 6") and second.body[0].place.endswith("line 7")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('block = "separable"', "block = []", ["line 7", "no block"]),
        ("classes = 4", f"classes = {'9' * 5000}", ["TOML"]),
        ("classes = 4", f"classes = 0x{'f' * 5000}", ["line 4", "20000 bits"]),
        ("classes = 4", "classes = 4\nweights = { arguments = { a = 1979-05-27 } }", ["line 5", "no argument"]),
        ("classes = 4", "classes = 4\nweights = { arguments = { a = { b = 1 } } }", ["line 5", "no argument"]),
        ("classes = 4", "classes = 4\npublished = [{ parameters = nan }]", ["line 5", "wrong kind"]),
        ("classes = 4", f"classes = 4\n{'a.' * 20_000}b = 1", ["over 30 parts"]),
        ("classes = 4", "classes = 4\n" + '"a".' * 20_000 + "b = 1", ["over 30 parts"]),
        ("classes = 4", f"classes = 4\n[{'a.' * 20_000}b]", ["over 30 parts"]),
        ('scale = "0..1"', 'scale = "1.2.3..4"', ["line 3", "LOW..HIGH"]),
        ('scale = "0..1"', 'scale = "5..1"', ["line 3", "LOW..HIGH"]),
        ('scale = "0..1"', 'scale = "0..0"', ["line 3", "LOW..HIGH"]),
        ('title = "small"', f'titl = "{"x" * 100_000}"', ["titl"]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_that_nobody_means(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        read(_file(tmp_path, GOOD.replace(old, new)))
    text = f"{caught.value.message} {caught.value.advice}"
    assert all(word in text for word in words), text
    assert len(text) < 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.toml")
    with pytest.raises(SpecError, match="no regular file"):
        read(tmp_path / "net.toml")


def test_a_network_too_deep_for_keras(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="layers"):
        build(read(_file(tmp_path, GOOD.replace("filters = 16, stride = 2, repeats = 2", "filters = 2, repeats = 400"))))


def test_a_twin_too_large_for_anything(tmp_path: Path) -> None:
    from dsmobile.architectures.twin import standard_twin

    rows = '{ block = "conv", kernel = 1, filters = 65536 }, { block = "depthwise", kernel = 31 }'
    text = GOOD[: GOOD.index("  { block")] + rows + GOOD[GOOD.index("\n]\nhead") :]
    with pytest.raises(ModelError, match="parameters"):
        standard_twin(build(read(_file(tmp_path, text))))


def test_squares_do_not_fit_a_network_that_is_none() -> None:
    with pytest.raises(UsageError, match="49x10"):
        build(spec_of("ds_cnn"), resolution=40)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"alpha": None, "resolution": None}, "mobilenet_v1"),
        ({"alpha": 1.0, "resolution": 224}, "mobilenet_v1"),
        ({"alpha": 0.5, "resolution": 160}, "mobilenet_v1_0.5_160"),
        ({"alpha": None, "resolution": None, "channels": 1, "top": False}, "mobilenet_v1_1ch_notop"),
    ],
)
def test_names_tell_networks_apart(options: dict[str, Any], name: str) -> None:
    assert display_name(spec_of("mobilenet_v1"), **options) == name
    assert display_name(spec_of("xception"), alpha=None, resolution=96) == "xception_96"
