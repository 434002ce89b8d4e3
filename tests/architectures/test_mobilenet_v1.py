"""MobileNetV1 against the paper's tables and against keras.applications."""

import numpy as np
import pytest

from dsmobile.architectures.builder import build
from dsmobile.architectures.cost import cost
from dsmobile.architectures.finding import spec_of
from dsmobile.architectures.initialisation import he_normal, settle
from dsmobile.architectures.twin import matching_alpha, standard_twin

SPEC = spec_of("mobilenet_v1")


def test_full_size_to_the_unit() -> None:
    counted = cost(build(SPEC))
    assert (counted.macs, counted.parameters) == (568_740_352, 4_253_864)
    assert counted.unknown == ()


@pytest.mark.parametrize("entry", SPEC.published, ids=lambda entry: f"{dict(entry)['alpha']}-{dict(entry)['resolution']}")
def test_published_rows(entry: tuple[tuple[str, float], ...]) -> None:
    published = dict(entry)
    model = build(SPEC, alpha=published["alpha"], resolution=int(published["resolution"]))
    counted = cost(model)
    assert round(counted.macs / 1e6) == pytest.approx(published["macs"] / 1e6, abs=1)
    without_normalization = counted.parameters - sum(call.parameters for call in counted.calls if call.kind == "BatchNormalization")
    assert without_normalization == pytest.approx(published["parameters"], abs=0.05e6)


@pytest.mark.parametrize(
    ("alpha", "resolution", "macs_millions", "parameters_millions"),
    [
        (0.75, 224, 325.40, 2.602),
        (0.5, 224, 149.50, 1.343),
        (0.25, 224, 41.03, 0.476),
        (1.0, 192, 418.12, 4.254),
        (1.0, 160, 290.68, 4.254),
    ],
)
def test_recomputed_tables_6_and_7(alpha: float, resolution: int, macs_millions: float, parameters_millions: float) -> None:
    counted = cost(build(SPEC, alpha=alpha, resolution=resolution))
    assert counted.macs / 1e6 == pytest.approx(macs_millions, rel=1e-3)
    assert counted.parameters / 1e6 == pytest.approx(parameters_millions, rel=1e-3)


def test_share_by_kind_of_layer_is_table_2() -> None:
    """The paper prints 1.19% for the first convolution; its rows then add up to 99.29%, with the digits turned (1.91%) to 100.01%."""
    counted = cost(build(SPEC))
    share = {
        "pointwise": sum(call.macs for call in counted.calls if call.name.endswith("_pw")) / counted.macs,
        "depthwise": sum(call.macs for call in counted.calls if call.kind == "DepthwiseConv2D") / counted.macs,
        "first": next(call.macs for call in counted.calls if call.kind == "Conv2D") / counted.macs,
        "dense": sum(call.macs for call in counted.calls if call.kind == "Dense") / counted.macs,
    }
    assert share == pytest.approx({"pointwise": 0.9486, "depthwise": 0.0306, "first": 0.0191, "dense": 0.0018}, abs=0.0005)


@pytest.mark.parametrize(("alpha", "resolution"), [(0.3, 97), (0.25, 128), (0.5, 161)])
def test_same_weights_in_same_outputs_out_as_keras_applications(alpha: float, resolution: int) -> None:
    import keras

    reference = keras.applications.MobileNet(input_shape=(resolution, resolution, 3), alpha=alpha, weights=None)
    images = np.random.default_rng(1).uniform(-1, 1, (2, resolution, resolution, 3)).astype(np.float32)
    he_normal(reference, 1)
    settle(reference, images)
    ours = build(SPEC, alpha=alpha, resolution=resolution)
    ours.set_weights([theirs.reshape(mine.shape) for theirs, mine in zip(reference.get_weights(), ours.get_weights(), strict=True)])
    assert ours.count_params() == reference.count_params()
    expected = reference.predict(images, verbose=0)
    assert expected.max() > 1.05 / 1000  # not the flat answer of a network that computes nothing
    np.testing.assert_allclose(ours.predict(images, verbose=0), expected, atol=1e-5)


def test_twin_to_the_unit() -> None:
    counted = cost(standard_twin(build(SPEC)).model)
    assert (counted.macs, counted.parameters) == (4_867_293_184, 29_306_056)


@pytest.mark.parametrize("kind", ["same-macs", "same-parameters"])
def test_matching_twin_costs_what_the_separable_network_costs(kind: str) -> None:
    size = {"resolution": 64, "classes": 10}
    wanted = cost(build(SPEC, **size))
    alpha = matching_alpha(SPEC, kind, alpha=1.0, **size)
    found = cost(standard_twin(build(SPEC, alpha=alpha, **size)).model)
    figure = "macs" if kind == "same-macs" else "parameters"
    assert getattr(found, figure) == pytest.approx(getattr(wanted, figure), rel=0.05)


def test_other_channels_and_classes() -> None:
    model = build(spec_of("mobilenet_v1"), alpha=0.25, resolution=96, classes=7)
    assert model.output_shape == (None, 7)


def test_random_logits_vary() -> None:
    import keras

    model = build(SPEC, alpha=0.25, resolution=96, classes=20)
    images = np.random.default_rng(0).uniform(-1, 1, (8, 96, 96, 3)).astype(np.float32)
    he_normal(model, 0)
    settle(model, images)
    logits = keras.Model(model.inputs, model.get_layer("classifier").output).predict(images, verbose=0)
    assert logits.std() >= 0.1
