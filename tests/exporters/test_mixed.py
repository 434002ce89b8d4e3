"""The recipe mixed: the layers that are left in float32 are those that must be, no more, in both formats."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.errors import ConversionError, ParityError, UsageError
from dsmobile.exporters.artifact import Manifest
from dsmobile.exporters.mixed import note, standard_error
from dsmobile.exporters.sensitivity import expected_drop
from dsmobile.pipeline import ExportRequest

LAYERS = ("first_convolution", "wide", "reader_convolution", "last")


def _network(widest: float) -> Any:
    """The layer `wide` gives one channel `widest` times the others' range, and `reader` has no use for it."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(8, 1, name="wide")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="reader")(x)
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    model = keras.Model(image, layers.Dense(10, name="last")(x))
    kernels = {name: model.get_layer(name).get_weights()[0] for name in ("wide", "reader", "last")}
    kernels["wide"][..., 0] *= widest
    kernels["reader"][:, :, 0, :] = 0.0
    kernels["last"] *= 12.0
    for name, kernel in kernels.items():
        model.get_layer(name).set_weights([kernel, model.get_layer(name).get_weights()[1]])
    return model


def _data(path: Path, count: int = 60) -> str:
    random = np.random.default_rng(0)
    coarse = np.kron(random.uniform(-1, 1, (count, 2, 2, 3)), np.ones((1, 4, 4, 1)))
    np.savez(path, x=(coarse + 0.2 * random.normal(size=coarse.shape)).astype(np.float32))
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network and its data."""
    found = tmp_path_factory.mktemp("mixed")
    _network(1000.0).save(found / "uneven.keras")
    _network(1.0).save(found / "even.keras")
    _data(found / "data.npz")
    return found


def _export(folder: Path, out: Path, name: str = "uneven", **options: Any) -> pipeline.Exported:
    request: dict[str, Any] = {"recipes": ("mixed",), "calibration": str(folder / "data.npz"), "out": out, **options}
    return pipeline.export(ExportRequest(str(folder / f"{name}.keras"), **request))


@pytest.fixture(scope="module")
def mixed(folder: Path) -> pipeline.Exported:
    """The files at half a point."""
    return _export(folder, folder / "out", max_drop=0.5)


def _found(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = manifest.correction["mixed"]
    return found


def test_the_expected_drop() -> None:
    """By hand: of two inputs one is decided otherwise, and the float network gives that class 0.1 less; all else changes nothing."""
    reference = np.log(np.asarray([[0.5, 0.4, 0.1], [0.2, 0.7, 0.1]]))
    assert expected_drop(reference, reference[:, ::-1] * 0 + np.asarray([[0, 1, 0], [0, 1, 0]])) == pytest.approx(5.0)
    assert expected_drop(reference, reference * 3.0 - 7.0) == 0.0
    assert standard_error(np.asarray([0.0, 10.0])) == pytest.approx(5.0)


def test_the_drop_is_what_labels_drawn_from_the_probabilities_lose() -> None:
    """If labels come from the float network's own probabilities, the mean loss of top-1 is the expected drop."""
    random = np.random.default_rng(0)
    reference = random.normal(size=(400, 5)) * 2
    measured = reference + random.normal(size=reference.shape)
    odds = np.exp(reference)
    limits = (odds / odds.sum(1, keepdims=True)).cumsum(1)
    labels = (random.random((4000, 400, 1)) > limits).sum(2)
    lost = (labels == reference.argmax(1)).mean() - (labels == measured.argmax(1)).mean()
    assert 100 * lost == pytest.approx(expected_drop(reference, measured), abs=0.2)


def test_the_set_is_the_smallest(folder: Path, mixed: pipeline.Exported) -> None:
    """By trying every set of layers: none with fewer holds the bound, and what integers cost is where it was put."""
    found = _found(mixed.manifests[0])
    assert found["int8_expected_drop"] > 0.5
    assert found["expected_drop"] <= 0.5
    assert set(found["float_layers"]) == {"wide", "reader_convolution"}
    base, judge = _judge(folder)
    for size in range(len(found["float_layers"])):
        for layers in combinations(LAYERS, size):
            assert judge(base, layers) > 0.5


def _judge(folder: Path) -> tuple[Any, Any]:
    from dsmobile.exporters.calibration import calibration_inputs
    from dsmobile.exporters.export import Exporter, Order
    from dsmobile.exporters.integers import run_float, run_plan
    from dsmobile.exporters.mixed import corrected
    from dsmobile.exporters.recipe import read_recipe
    from dsmobile.networks import prepare
    from dsmobile.sources import SourceOptions, input_shapes, load

    source = load(str(folder / "uneven.keras"), SourceOptions())
    shapes = input_shapes(source)
    inputs = calibration_inputs(str(folder / "data.npz"), named_shapes=shapes, preprocessing=None, random_weights=False, quantized=True, count=100)
    planner = Exporter(prepare(source, "model", ExportRequest(source.name), inputs, None), Order(folder), inputs).planner
    base, samples = planner.base(read_recipe("int8")), list(inputs.samples())
    reference = run_float(base.model, samples)
    return base, lambda base, layers: expected_drop(reference, run_plan(corrected(base, layers, iter(samples)), samples))


def test_both_formats_hold_the_same(mixed: pipeline.Exported) -> None:
    first, second = mixed.manifests
    assert first.weights_sha256 == second.weights_sha256
    assert _found(first) == _found(second)
    assert first.layers["float_layers"] == ["wide", "reader_convolution"]
    assert first.parity.sqnr_db is not None
    assert second.parity.sqnr_db == pytest.approx(first.parity.sqnr_db, abs=0.5)


def test_onnx_runtime_leaves_float_layers_in_float(mixed: pipeline.Exported) -> None:
    """Its optimizer makes weights between a DequantizeLinear and a QuantizeLinear int8 of one scale, unless something stands in between."""
    import onnx
    import onnxruntime

    path = next(path for path in mixed.paths if path.suffix == ".onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert sum(kind in ("Conv", "FusedConv") for kind in kinds) == 2
    exact = onnxruntime.SessionOptions()
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    x = {session.get_inputs()[0].name: np.load(path.parents[1] / "data.npz")["x"][:1].transpose(0, 3, 1, 2)}
    plain = onnxruntime.InferenceSession(str(path), exact, providers=["CPUExecutionProvider"]).run(None, x)[0]
    assert np.abs(session.run(None, x)[0] - plain).max() < 0.02 * np.abs(plain).max()


def test_layers_that_stay_keep_the_corrected_integers(folder: Path, mixed: pipeline.Exported, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    with pytest.raises(ParityError):  # so much is lost that int8 alone is refused
        _export(folder, tmp_path, recipes=("int8",), formats=("tflite",), keep_failed=True)
    kernels, files = [], (mixed.paths[0], next(tmp_path.glob("*.failed")))
    assert files[0].stat().st_size - files[1].stat().st_size == _found(mixed.manifests[0])["extra_bytes"]
    for path in files:
        interpreter = Interpreter(model_content=path.read_bytes(), experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        details = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
        kernels.append(interpreter.get_tensor(details["first_convolution/kernel"]["index"]))
    np.testing.assert_array_equal(*kernels)


def test_what_it_costs_is_recorded(mixed: pipeline.Exported) -> None:
    found = _found(mixed.manifests[0])
    assert found["latency_ratio"] > 0
    assert found["latency_pairs"] >= 10
    assert found["inputs"] == 60
    assert "wide" in note(mixed.manifests[0].correction)
    assert any(text.startswith("mixed: 2 layers") for text in mixed.notes)


def test_where_int8_is_enough_nothing_stays_in_float(folder: Path, tmp_path: Path) -> None:
    """Then the file is the int8 recipe's to the bit, and a note says so."""
    exported = _export(folder, tmp_path, name="even", recipes=("int8", "mixed"), formats=("tflite",))
    found = _found(exported.manifests[1])
    assert (found["float_layers"], found["extra_bytes"]) == ([], 0)
    assert exported.manifests[0].sha256 == exported.manifests[1].sha256
    assert any("no layer is left in float32" in text for text in exported.notes)


def test_where_not_even_float_is_enough(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    from dsmobile.exporters import mixed as module

    monkeypatch.setattr(module, "expected_drop", lambda *_: 7.0)
    monkeypatch.setattr(module, "expected_drops", lambda *_: np.full(2, 7.0))
    with pytest.raises(ConversionError, match="even with all 4 layers"):
        _export(folder, tmp_path)
    assert not list(tmp_path.glob("*"))


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    keras.Model(image, x).save(tmp_path / "map.keras")
    keras.Model(image, [layers.Dense(3)(layers.Flatten()(x)), layers.Dense(2)(layers.Flatten()(x))]).save(tmp_path / "two.keras")
    data = _data(tmp_path / "data.npz", 8)
    for name, what in (("map", "shape"), ("two", "2 outputs")):
        with pytest.raises(UsageError, match=what):
            pipeline.export(ExportRequest(str(tmp_path / f"{name}.keras"), recipes=("mixed",), calibration=data, out=tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))


def test_integer_ends_are_refused(folder: Path, tmp_path: Path) -> None:
    """The bound is judged on float logits; an 8-bit softmax behind them would lose more."""
    with pytest.raises(UsageError, match="does not go with the recipe mixed"):
        _export(folder, tmp_path, io="int8", max_drop=0.5)


@pytest.mark.slow
def test_a_real_network_within_a_bound_on_other_photographs(shared_data: Path, tmp_path: Path) -> None:
    """Less is lost than with int8 alone, on photographs that took no part, for few bytes."""
    from dsmobile.diagnosis.doctor import doctor

    exported = pipeline.export(
        ExportRequest(
            str(shared_data / "models" / "mobilenet_v1_0.25_224_imagenet.h5"),
            calibration=str(shared_data / "photos" / "calibration"),
            preprocess="resize=256,crop=224,scale=-1..1",
            recipes=("float32", "int8", "mixed"),
            formats=("tflite",),
            max_drop=0.15,
            out=tmp_path,
        )
    )
    found = _found(exported.manifests[2])
    assert found["expected_drop"] <= 0.15 < found["int8_expected_drop"]
    assert 0 < found["extra_bytes"] < 0.5 * (exported.manifests[0].size_bytes - exported.manifests[1].size_bytes)
    plain, mixed = (doctor(str(path), data=shared_data / "photos" / "validation", limit=40).measured.final for path in exported.paths[1:])
    assert mixed.sqnr_db is not None
    assert plain.sqnr_db is not None
    assert mixed.sqnr_db > plain.sqnr_db
