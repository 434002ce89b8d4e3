"""Sources that are no usual image network: what is refused is named first, and the advice is one that can be followed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.errors import ConversionError, DataError, DsmobileError, ModelError, SpecError, UsageError
from dsmobile.exporters.calibration import NamedArrays
from dsmobile.exporters.familiarity import calibration_notes
from dsmobile.exporters.recipe import read_recipe
from dsmobile.files import recipes_folder
from dsmobile.pipeline import ExportRequest

Build = Callable[[], Any]


def _vector() -> Any:
    import keras
    from keras import layers

    return keras.Sequential([keras.Input((12,)), layers.Dense(8, activation="relu"), layers.Dense(3)])


def _sequence() -> Any:
    import keras
    from keras import layers

    return keras.Sequential([keras.Input((16, 9)), layers.Conv1D(4, 3), layers.Flatten(), layers.Dense(3)])


def _five_channels() -> Any:
    import keras
    from keras import layers

    return keras.Sequential([keras.Input((8, 8, 5)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)])


def _two_inputs() -> Any:
    import keras
    from keras import layers

    left, right = keras.Input((6,), name="left"), keras.Input((4,), name="right")
    return keras.Model([left, right], layers.Dense(3)(layers.Concatenate()([left, right])))


NO_IMAGES = [
    (_vector, ["x of shape (count, 12)"]),
    (_sequence, ["x of shape (count, 16, 9)"]),
    (_five_channels, ["x of shape (count, 8, 8, 5)"]),
    (_two_inputs, ["left of shape (count, 6)", "right of shape (count, 4)"]),
]


def _request(model: Any, folder: Path, suffix: str = ".keras", **options: Any) -> ExportRequest:
    path = folder / f"net{suffix}"
    model.save(path)
    return ExportRequest(str(path), **{"recipes": ("int8",), "out": folder / "out", **options})


def _refusal(request: ExportRequest, kind: type[DsmobileError]) -> DsmobileError:
    with pytest.raises(kind) as raised:
        pipeline.export(request)
    assert not request.out.exists()
    return raised.value


@pytest.mark.parametrize("calibration", [None, "synthetic", "images"])
@pytest.mark.parametrize(("build", "arrays"), NO_IMAGES)
def test_inputs_that_are_no_images_want_an_npz(build: Build, arrays: list[str], calibration: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    said = _refusal(_request(build(), tmp_path, calibration=str(folder) if calibration == "images" else calibration), DataError)
    assert "--preprocess" not in said.advice
    assert ".npz" in said.advice
    if not (calibration == "images" and build is _two_inputs):
        assert all(array in said.advice for array in arrays)


@pytest.mark.parametrize(("build", "arrays"), NO_IMAGES)
def test_the_npz_that_the_advice_asks_for_is_taken(build: Build, arrays: list[str], tmp_path: Path) -> None:
    model, random = build(), np.random.default_rng(0)
    names = [array.partition(" ")[0] for array in arrays]
    data = {name: random.normal(size=(20, *tensor.shape[1:])).astype(np.float32) for name, tensor in zip(names, model.inputs, strict=True)}
    np.savez(tmp_path / "data.npz", **data)
    done = pipeline.export(_request(model, tmp_path, calibration=str(tmp_path / "data.npz")))
    assert [manifest.format for manifest in done.manifests] == ["tflite", "onnx"]


@pytest.mark.parametrize(("build", "arrays"), NO_IMAGES)
def test_preprocessing_makes_images_only(build: Build, arrays: list[str], tmp_path: Path) -> None:
    said = _refusal(_request(build(), tmp_path, calibration="synthetic", preprocess="resize=8,crop=8,scale=0..1"), UsageError)
    assert "--preprocess" in said.message
    assert all(array in said.advice for array in arrays)


def test_images_are_still_asked_how_they_are_preprocessed(tmp_path: Path) -> None:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)])
    assert "--preprocess" in _refusal(_request(model, tmp_path, calibration="synthetic"), DataError).advice


@pytest.mark.parametrize("layer", ["LSTM", "GRU"])
@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_an_unsupported_layer_is_named_before_data_are_asked_for(layer: str, recipe: str, tmp_path: Path) -> None:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((16, 8)), getattr(layers, layer)(4), layers.Dense(2)])
    assert layer in _refusal(_request(model, tmp_path, recipes=(recipe,)), ConversionError).message


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_sequential_without_an_input_shape(suffix: str, tmp_path: Path) -> None:
    import keras
    from keras import layers

    model = keras.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)])
    request = _request(model, tmp_path, suffix)
    said = _refusal(request, ModelError)
    assert "no input shape" in said.message
    assert "keras.Input" in said.advice
    with pytest.raises(ModelError, match="no input shape"):
        pipeline.show_model(request.source)


def _recipe(folder: Path, **changes: str) -> str:
    lines = (recipes_folder("export") / "float32.toml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0].strip() not in changes]
    path = folder / "own.toml"
    path.write_text("\n".join([*kept, *(f"{key} = {value}" for key, value in changes.items())]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("value", ["-1e-9", "-1", "nan", "inf", "true", '"1"', "1" + "0" * 400])
def test_a_bound_that_no_file_can_meet_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="max_error"):
        read_recipe(_recipe(tmp_path, max_error=value))


def test_a_bound_of_zero_takes_no_part(tmp_path: Path) -> None:
    assert read_recipe(_recipe(tmp_path, max_error="0")).max_error == 0


def test_a_recipe_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(f"formats = {'[' * 100_000}", encoding="utf-8")
    with pytest.raises(SpecError, match="cannot be read"):
        read_recipe(str(tmp_path / "own.toml"))


def _said_constant(folder: Path, **arrays: Any) -> bool:
    """Whether a network that takes these is said to be calibrated with constants."""
    np.savez(folder / "data.npz", **arrays)
    shapes = tuple(array.shape[1:] for array in arrays.values())
    given = NamedArrays(folder / "data.npz", tuple(arrays), shapes, 100)
    return any("constant" in note for note in calibration_notes(given, None))


def test_which_inputs_are_constant(tmp_path: Path) -> None:
    """Images of one colour each say nothing, whatever the colours; a network of single numbers has one in each sample."""
    random = np.random.default_rng(0)
    one_each = np.broadcast_to(random.random((16, 1, 1, 1)), (16, 6, 6, 3))
    images = random.random((16, 6, 6, 3))
    black = np.concatenate([np.zeros((1, 6, 6, 3)), images[1:]])
    numbers = random.normal(size=(16, 1))
    said = {
        "numbers": _said_constant(tmp_path, a=numbers),
        "two numbers": _said_constant(tmp_path, a=numbers, b=numbers[::-1]),
        "the same number": _said_constant(tmp_path, a=np.full((16, 1), 0.3)),
        "images": _said_constant(tmp_path, a=images),
        "faint images": _said_constant(tmp_path, a=1e-8 * images),
        "one of them black": _said_constant(tmp_path, a=black),
        "all black": _said_constant(tmp_path, a=np.zeros((16, 6, 6, 3))),
        "one colour each": _said_constant(tmp_path, a=one_each),
        "an input that never changes": _said_constant(tmp_path, a=images, b=np.ones((16, 1))),
    }
    assert {name for name, constant in said.items() if constant} == {
        "the same number",
        "all black",
        "one colour each",
        "an input that never changes",
    }
