"""Networks that do not come with dsmobile, from their papers' tables by the page of the grammar alone."""

from __future__ import annotations

import importlib.util
import os
import re
from importlib.machinery import SourceFileLoader
from pathlib import Path

import numpy as np
import pytest

from dsmobile.architectures.builder import build, head_layers
from dsmobile.architectures.cost import cost
from dsmobile.architectures.reading import read
from dsmobile.keras_files import load_keras_file
from dsmobile.weights import fit, read_arrays

ROOT = Path(__file__).parents[2]
OTHERS = Path(__file__).parent / "others"
PAGE = (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["efficientnet_b0", "mnasnet_a1"])
def test_the_papers_figures(name: str) -> None:
    spec = read(OTHERS / f"{name}.toml")
    (published,) = map(dict, spec.published)
    model = build(spec)
    assert model.count_params() == pytest.approx(published["parameters"], rel=0.01)
    assert cost(model).macs == pytest.approx(published["macs"], rel=0.011)


@pytest.mark.parametrize("side", [64, 97])
def test_efficientnet_b0_is_that_of_keras(side: int) -> None:
    import keras

    theirs = keras.applications.EfficientNetB0(weights=None, input_shape=(side, side, 3))
    random = np.random.default_rng(1)
    for weight in theirs.weights:
        if weight.path.endswith("beta"):
            weight.assign(random.standard_normal(weight.shape) * 0.2)
    normalization = next(layer for layer in theirs.layers if isinstance(layer, keras.layers.Normalization))
    given = keras.Model(theirs.inputs, normalization.output)
    ours = build(read(OTHERS / "efficientnet_b0.toml"), resolution=side)
    arrays = [np.asarray(weight) for layer in theirs.layers if layer is not normalization for weight in layer.get_weights()]
    assert ours.count_params() == sum(array.size for array in arrays)
    ours.set_weights(arrays)
    images = random.uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    wanted = np.asarray(theirs(images))
    np.testing.assert_allclose(np.asarray(ours(np.asarray(given(images)))), wanted, rtol=1e-4, atol=1e-4 * wanted.max())


def test_mini_xception_is_the_trained_file() -> None:
    """58,423 parameters at 7 classes (arXiv:1710.07557's code); with the authors' gender weights, the authors' outputs."""
    spec = read(OTHERS / "mini_xception.toml")
    assert build(spec).count_params() == 58_423
    shared = os.environ.get("DSMOBILE_SHARED_DATA")
    if not shared:
        pytest.skip("DSMOBILE_SHARED_DATA names no folder of real files")
    file = Path(shared) / "models" / "mini_xception_gender.hdf5"
    ours, theirs = build(spec, classes=2), load_keras_file(file)
    assert fit(ours, read_arrays(file), file.name, head=head_layers(spec)).notes() == ()
    pictures = np.random.default_rng(1).uniform(-1, 1, (4, 64, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(ours(pictures)), np.asarray(theirs(pictures)), atol=1e-6)


def test_the_page_shows_a_network_that_builds(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    (tmp_path / "mine.toml").write_text(example[1])
    spec = read(tmp_path / "mine.toml")
    (published,) = map(dict, spec.published)
    model = build(spec)
    assert model.count_params() == pytest.approx(published["parameters"], rel=0.01)
    assert cost(model).macs == pytest.approx(published["macs"], rel=0.01)


def test_the_page_has_every_block_and_argument() -> None:
    loader = SourceFileLoader("blocks_table", str(ROOT / "scripts" / "blocks-table"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("blocks_table", loader))  # type: ignore[arg-type]
    loader.exec_module(module)
    for row in module.table():
        assert row in PAGE, f"run scripts/blocks-table: docs/architectures.md lacks\n{row}"


def _network(tmp_path: Path, body: str, *, head: str = '{ block = "global_average_pool" }, { block = "classifier" }', more: str = "") -> Path:
    path = tmp_path / "net.toml"
    path.write_text(f"input = {{ resolution = 32 }}\nclasses = 10\n{more}\nbody = [\n{body}\n]\nhead = [{head}]\n")
    return path


def test_a_sandglass_by_hand(tmp_path: Path) -> None:
    """Wide 16, reduced to 8: depthwise 9 x 16, pointwise 16 x 8 and 8 x 16, depthwise 9 x 16, four batch normalizations of 4 numbers a channel."""
    row = '{ block = "conv", kernel = 1, filters = 16 }, { block = "sandglass", kernel = 3, filters = 16, reduction = 2 }'
    model = build(read(_network(tmp_path, row)))
    inside = 9 * 16 + 16 * 8 + 8 * 16 + 9 * 16 + 4 * (16 + 8 + 16 + 16)
    assert model.count_params() == (3 * 16 + 4 * 16) + inside + (16 * 10 + 10)
    assert any(type(layer).__name__ == "Add" for layer in model.layers)


def test_a_spatially_separable_block_costs_two_k_for_k_squared(tmp_path: Path) -> None:
    rows = '{{ block = "conv", kernel = 1, filters = 24 }},\n{{ block = "{block}", kernel = 5, filters = 24 }}'
    macs = {}
    for block in ("conv", "spatially_separable"):
        model = build(read(_network(tmp_path, rows.format(block=block))))
        macs[block] = sum(call.macs for call in cost(model).calls if call.name.startswith(f"{block}_2"))
    assert macs["spatially_separable"] / macs["conv"] == 2 * 5 / 5**2


def test_depth_and_default_alpha(tmp_path: Path) -> None:
    row = '{ block = "conv", kernel = 3, filters = 20, repeats = 2 }, { block = "conv", kernel = 3, filters = 20, repeats = 2, deepens = false }'
    spec = read(_network(tmp_path, row, more="depth = 1.2\nalpha = { round_to = 4, minimum = 4, default = 0.5 }"))
    convolutions = [layer for layer in build(spec).layers if type(layer).__name__ == "Conv2D"]
    assert len(convolutions) == 3 + 2
    assert {layer.filters for layer in convolutions} == {12}  # 10 is as near to 8 as to 12, and 8 is below 90% of it
    assert {layer.filters for layer in build(spec, alpha=1.0).layers if type(layer).__name__ == "Conv2D"} == {20}


@pytest.mark.parametrize(("widens", "narrow", "wide"), [("always", 8, 32), ("never", 16, 16), ("above 1", 16, 32)])
def test_when_a_row_widens(tmp_path: Path, widens: str, narrow: int, wide: int) -> None:
    spec = read(_network(tmp_path, f'{{ block = "conv", kernel = 1, filters = 16, widens = "{widens}" }}', more="alpha = {}"))
    assert [build(spec, alpha=alpha).layers[1].filters for alpha in (0.5, 2.0)] == [narrow, wide]
