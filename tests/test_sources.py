"""What SOURCE names, with its options and weights: a network, or one clear sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsmobile.architectures.builder import build
from dsmobile.architectures.finding import spec_of
from dsmobile.errors import DsmobileError, ModelError, SpecError, UsageError
from dsmobile.sources import SourceOptions, load

SMALL = {"alpha": 0.25, "resolution": 128}


def trained(path: Path, *, classes: int = 7, seed: int = 5) -> Path:
    """A file of a small MobileNetV1 with weights of its own."""
    model = build(spec_of("mobilenet_v1"), alpha=0.25, resolution=128, classes=classes, seed=seed)
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


@pytest.mark.parametrize("name", ["net.h5", "net.keras", "net.weights.h5"])
def test_weights_of_a_file(tmp_path: Path, name: str) -> None:
    file = trained(tmp_path / name)
    source = load("mobilenet_v1", SourceOptions(**SMALL, classes=7, weights=str(file)))
    wanted = build(spec_of("mobilenet_v1"), alpha=0.25, resolution=128, classes=7, seed=5)
    assert not source.random and source.notes == () and source.record["new"] == []
    for got, expected in zip(source.model.get_weights(), wanted.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_another_number_of_classes_keeps_the_body_and_says_that_the_head_is_new(tmp_path: Path) -> None:
    file = trained(tmp_path / "net.h5")
    source = load("mobilenet_v1", SourceOptions(**SMALL, classes=3, weights=str(file)))
    body = build(spec_of("mobilenet_v1"), alpha=0.25, resolution=128, classes=7, seed=5).get_weights()[:-2]
    for got, expected in zip(source.model.get_weights()[:-2], body, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert any("head is new" in note and "3 classes" in note for note in source.notes)
    assert len(source.record["new"]) == 2


def test_without_its_head(tmp_path: Path) -> None:
    source = load("mobilenet_v1", SourceOptions(**SMALL, top=False, weights=str(trained(tmp_path / "net.h5"))))
    assert source.model.output_shape == (None, 4, 4, 256)


def test_another_alpha_lists_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load("mobilenet_v1", SourceOptions(alpha=0.5, resolution=128, classes=7, weights=str(trained(tmp_path / "net.h5"))))
    text = f"{caught.value.message} {caught.value.advice}"
    assert "conv_1" in text and "--alpha" in text


@pytest.mark.parametrize("classes", [None, 4])
def test_imagenet_weights_from_a_prepared_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int | None) -> None:
    """What Keras has in its cache is taken, through the same options as on the command line."""
    import h5py
    import keras
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    theirs = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(128, 128, 3))
    cache = tmp_path / "keras" / "models"
    cache.mkdir(parents=True)
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(cache.parent))
    with h5py.File(cache / "mobilenet_2_5_128_tf.h5", "w") as file:
        save_weights_to_hdf5_group(file, theirs)
    source = load("mobilenet_v1", SourceOptions(**SMALL, classes=classes, weights="imagenet"))
    images = np.random.default_rng(1).uniform(-1, 1, (2, 128, 128, 3)).astype(np.float32)
    if classes is None:
        np.testing.assert_allclose(np.asarray(source.model(images)), np.asarray(theirs(images)), atol=1e-5)
        assert source.notes == ()
    else:
        assert any("head is new" in note for note in source.notes)
        np.testing.assert_array_equal(source.model.get_weights()[0], theirs.get_weights()[0])


@pytest.mark.parametrize(
    ("source", "options", "kind", "words"),
    [
        ("efficientnet_lite0", {"weights": "imagenet"}, UsageError, ["no ImageNet weights", "--weights"]),
        ("mobilenet_v2", {"weights": "imagenet", "alpha": 0.6}, SpecError, ["0.6", "0.35, 0.5"]),
        ("mobilenet_v2", {"weights": "imagenet", "resolution": 100}, SpecError, ["resolution 100", "96, 128"]),
        ("mobilenet_v2", {"weights": "nowhere.h5"}, ModelError, ["nowhere.h5"]),
        ("xception", {"alpha": 0.5}, UsageError, ["no rule for alpha"]),
        ("xception", {"resolution": 20}, SpecError, ["resolution 20"]),
        ("mobilenet_v2", {"channels": 0}, SpecError, ["channels"]),
        ("keras:MobileNetV2", {"alpha": 0.5}, UsageError, ["--alpha"]),
        ("net.h5", {"channels": 1}, UsageError, ["--channels"]),
        ("net.h5", {"top": False}, UsageError, ["--no-top"]),
        ("mobilenet_v5", {}, SpecError, ["Did you mean mobilenet_v"]),
    ],
)
def test_refusals(source: str, options: dict[str, object], kind: type[DsmobileError], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        load(source, SourceOptions(**options))  # type: ignore[arg-type]
    text = f"{caught.value.message} {caught.value.advice}"
    assert all(word in text for word in words), text


def test_an_input_that_is_no_image_has_no_preprocessing() -> None:
    assert load("ds_cnn", SourceOptions()).preprocessing is None
    assert load("vww", SourceOptions()).preprocessing is not None
    assert load("vww", SourceOptions(channels=2)).preprocessing is None


def test_a_network_of_keras_without_its_top() -> None:
    source = load("keras:MobileNetV2", SourceOptions(resolution=64, channels=1, top=False))
    assert source.model.output_shape == (None, 2, 2, 1280) and source.model.input_shape == (None, 64, 64, 1)
