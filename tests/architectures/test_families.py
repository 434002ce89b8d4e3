"""Every network that comes with dsmobile is its reference: `keras.applications` where it has the family, the published figures everywhere."""

from __future__ import annotations

import os
from math import floor, log10
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.architectures.builder import build
from dsmobile.architectures.cost import cost
from dsmobile.architectures.finding import names, spec_of
from dsmobile.architectures.twin import standard_twin

pytestmark = pytest.mark.long

# our name, the function in keras.applications, what else it is told
REFERENCES = [
    ("mobilenet_v1", "MobileNet", {}),
    ("mobilenet_v2", "MobileNetV2", {}),
    ("mobilenet_v3_large", "MobileNetV3Large", {"include_preprocessing": False}),
    ("mobilenet_v3_small", "MobileNetV3Small", {"include_preprocessing": False}),
    ("mobilenet_v3_large_minimalistic", "MobileNetV3Large", {"include_preprocessing": False, "minimalistic": True}),
    ("mobilenet_v3_small_minimalistic", "MobileNetV3Small", {"include_preprocessing": False, "minimalistic": True}),
    ("xception", "Xception", {}),
]
SIZES = {"xception": [(None, 71), (None, 96)]}
ALPHAS = [(0.35, 64), (0.5, 75), (0.75, 96), (1.4, 64)]
FULL = [(1.0, 224), (0.25, 160), (1.3, 193)]


def reference(function: str, arguments: dict[str, Any], alpha: float | None, side: int, *, top: bool = True) -> Any:
    import keras

    if alpha is not None:
        arguments = {**arguments, "alpha": alpha}
    return getattr(keras.applications, function)(weights=None, input_shape=(side, side, 3), include_top=top, **arguments)


def shaken(model: Any, seed: int = 1) -> Any:
    """Weights under which every layer matters: batch normalization too, variances kept positive."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        values = random.standard_normal(weight.shape).astype(np.float32) * 0.1
        name = weight.path.rsplit("/", 1)[-1]
        if name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            depthwise = "depthwise" in weight.path
            fan_in = np.prod(weight.shape[:-2]) if depthwise else np.prod(weight.shape[:-1])
            values *= 10 * np.sqrt(2.0 / fan_in)
        elif name in ("gamma", "moving_variance"):
            values = 1.0 + np.abs(values)
        weight.assign(values)
    return model


def copied(source: Any, target: Any) -> None:
    """Puts one model's weights into another by order; a dense layer's shape is that of a pointwise convolution's without its 1 x 1."""
    arrays = source.get_weights()
    ours = target.get_weights()
    assert len(arrays) == len(ours)
    for array, own in zip(arrays, ours, strict=True):
        assert [side for side in array.shape if side != 1] == [side for side in own.shape if side != 1]
    target.set_weights([array.reshape(own.shape) for array, own in zip(arrays, ours, strict=True)])


def same_network(name: str, function: str, arguments: dict[str, Any], alpha: float | None, side: int, *, top: bool = True) -> None:
    keras_model = shaken(reference(function, arguments, alpha, side, top=top))
    model = build(spec_of(name), alpha=alpha, resolution=side, top=top)
    assert model.count_params() == keras_model.count_params()
    copied(keras_model, model)
    images = np.random.default_rng(2).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
    wanted, got = np.asarray(keras_model(images)), np.asarray(model(images))
    assert wanted.std() > 1e-4
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(("name", "function", "arguments"), REFERENCES, ids=lambda value: value if isinstance(value, str) else "")
def test_same_weights_in_same_outputs_out(name: str, function: str, arguments: dict[str, Any]) -> None:
    for alpha, side in SIZES.get(name, ALPHAS[:2]):
        same_network(name, function, arguments, alpha, side)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "function", "arguments"), REFERENCES, ids=lambda value: value if isinstance(value, str) else "")
def test_same_weights_in_same_outputs_out_everywhere(name: str, function: str, arguments: dict[str, Any]) -> None:
    for alpha, side in SIZES.get(name, [*ALPHAS, *FULL]) + ([(None, 299)] if name == "xception" else []):
        same_network(name, function, arguments, alpha, side)


@pytest.mark.parametrize(("name", "function", "arguments"), REFERENCES, ids=lambda value: value if isinstance(value, str) else "")
def test_without_its_head_it_is_the_reference_without_its_top(name: str, function: str, arguments: dict[str, Any]) -> None:
    same_network(name, function, arguments, None if name == "xception" else 0.5, 71, top=False)


@pytest.mark.parametrize("name", [name for name, _, _ in REFERENCES if name != "xception"])
def test_parameters_at_every_alpha(name: str) -> None:
    """By count alone: the rounding of widths at alphas that nobody published too."""
    function, arguments = next((function, arguments) for ours, function, arguments in REFERENCES if ours == name)
    for alpha in (0.3, 0.6, 0.9, 1.1):
        assert build(spec_of(name), alpha=alpha, resolution=64).count_params() == reference(function, arguments, alpha, 64).count_params(), alpha


def rounds_to(count: float, published: float) -> bool:
    """Whether a count is the paper's figure to as many digits as the paper prints, the last one rounded or cut off; within a tenth anyhow."""
    digits = len(f"{published:.15g}".replace(".", "").rstrip("0").lstrip("0"))
    unit = 10 ** (floor(log10(published)) - digits + 1)
    return abs(count - published) < min(unit, 0.1 * published)


@pytest.mark.parametrize("name", names())
def test_the_published_figures(name: str) -> None:
    """Parameters as a paper may count them: all, those that are trained, or without batch normalization. A figure that does not hold says why."""
    spec = spec_of(name)
    assert spec.title and spec.paper and spec.reference.startswith("https://") and spec.published
    for entry in map(dict, spec.published):
        model = build(spec, alpha=entry["alpha"] if spec.alpha else None, resolution=entry.get("resolution"))
        trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
        bare = trained - sum(int(np.prod(weight.shape)) for weight in model.trainable_weights if weight.path.rsplit("/", 1)[-1] in ("gamma", "beta"))
        if "trainable_parameters" in entry:
            assert trained == entry["trainable_parameters"]
        wrong = []
        if "parameters" in entry and not any(rounds_to(count, entry["parameters"]) for count in (model.count_params(), trained, bare)):
            wrong.append(f"{model.count_params():,} parameters for {entry['parameters']:,}")
        if "macs" in entry and not (rounds_to(cost(model).macs, entry["macs"]) or abs(cost(model).macs / entry["macs"] - 1) < 0.005):
            wrong.append(f"{cost(model).macs:,} MACs for {entry['macs']:,}")
        assert not wrong or "deviation" in entry, f"{entry}: {wrong}"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mobilenet_v4_conv_small", 3_774_024), ("mobilenet_v4_conv_medium", 9_715_512), ("efficientnet_lite0", 4_652_008)],
)
def test_what_timm_counts(name: str, parameters: int) -> None:
    """timm's model cards: 3.77 M, 9.72 M and 4.65 M parameters, which PyTorch counts without running means and variances."""
    model = build(spec_of(name))
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters


def test_vww_is_the_trained_reference() -> None:
    from dsmobile.keras_files import load_keras_file

    shared = os.environ.get("DSMOBILE_SHARED_DATA")
    if not shared:
        pytest.skip("DSMOBILE_SHARED_DATA names no folder of real files")
    trained = load_keras_file(Path(shared) / "models" / "vww_96.h5")
    model = build(spec_of("vww"))
    copied(trained, model)
    images = np.random.default_rng(3).uniform(0, 1, (4, 96, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(model(images)), np.asarray(trained(images)), atol=1e-5)


# Rules by HOUSE's walk: a fused, b merged, c unpaired.
RULES = {
    "mobilenet_v1": (0, 13, 0),
    "ds_cnn": (0, 4, 0),
    "vww": (0, 13, 0),
    "xception": (0, 34, 0),
    "mobilenet_v2": (16, 1, 0),
    "efficientnet_lite0": (15, 1, 0),
    "mobilenet_v3_large": (14, 1, 0),
    "mobilenet_v3_small": (10, 0, 1),
    "mobilenet_v3_large_minimalistic": (14, 1, 0),
    "mobilenet_v3_small_minimalistic": (10, 1, 0),
    # 8 inverted bottlenecks; 3 extra depthwise, twice each, and one ConvNext-like
    "mobilenet_v4_conv_small": (8, 7, 0),
    # 13 extra depthwise, twice each; 4 ConvNext-like; 4 feed-forward have none
    "mobilenet_v4_conv_medium": (0, 30, 0),
}


@pytest.mark.parametrize("name", RULES)
def test_twins_by_the_rules(name: str) -> None:
    spec = spec_of(name)
    twin = standard_twin(build(spec, resolution=71 if name == "xception" else None if name == "ds_cnn" else 64))
    rules = [pair.rule for pair in twin.pairs]
    assert (rules.count("fused"), rules.count("merged"), rules.count("unpaired")) == RULES[name]
    left = [layer for layer in twin.model.layers if "Depthwise" in type(layer).__name__ or "Separable" in type(layer).__name__]
    assert not left
    assert twin.model.output_shape[-1] == spec.classes


def test_every_network_stands_in_a_test_of_its_twin() -> None:
    assert set(names()) - set(RULES) <= {f"efficientnet_lite{number}" for number in (1, 2, 3, 4)}
