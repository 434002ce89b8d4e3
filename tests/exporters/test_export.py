"""Written files: what they compute, what they are made of, and what happens where they are wrong."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.errors import ConversionError, DataError, ModelError, OutputError, ParityError, UsageError
from dsmobile.exporters import planning
from dsmobile.exporters.artifact import read_manifest
from dsmobile.exporters.parity import sqnr_db
from dsmobile.exporters.plan import QuantizedWeights
from dsmobile.exporters.runners import open_runner
from dsmobile.pipeline import ExportRequest

from .networks import inputs, residual, settled, small_mobilenet, squeeze_excite

SMALL = {"alpha": 0.25, "resolution": 64, "classes": 10}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Exported:
    """MobileNetV1 0.25/64 and its twin, eight files."""
    return pipeline.export(ExportRequest("mobilenet_v1", twin="standard", out=tmp_path_factory.mktemp("out"), **SMALL))


def _onnx_operators(path: Path) -> Counter[str]:
    import onnx

    return Counter(node.op_type for node in onnx.load(path).graph.node)


def _tflite_operators(path: Path) -> Counter[str]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    return Counter(operator["op_name"] for operator in interpreter._get_ops_details())


def test_eight_files_with_manifests(exported: pipeline.Exported) -> None:
    names = [path.name for path in exported.paths]
    assert len(set(names)) == 8
    assert "mobilenet_v1_0.25_64-separable-int8.tflite" in names
    for path, manifest in zip(exported.paths, exported.manifests, strict=True):
        read = read_manifest(path)
        assert read == manifest
        assert read is not None and read.size_bytes == path.stat().st_size
    assert len({manifest.pair_id for manifest in exported.manifests}) == 1
    assert exported.notes == (pipeline.RANDOM_WEIGHTS,)


def test_no_stray_operators(exported: pipeline.Exported) -> None:
    for path, manifest in zip(exported.paths, exported.manifests, strict=True):
        convolutions = 27 if manifest.role == "separable" else 14
        found = _tflite_operators(path) if manifest.format == "tflite" else _onnx_operators(path)
        if manifest.format == "tflite":
            expected = {"CONV_2D": 14, "DEPTHWISE_CONV_2D": 13, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}
            if manifest.role == "twin":
                del expected["DEPTHWISE_CONV_2D"]
            if manifest.recipe == "int8":
                expected |= {"QUANTIZE": 1, "DEQUANTIZE": 2}  # of the vector before the dense layer, and of that layer's weights
            assert found == expected
        else:
            assert found["Conv"] == convolutions
            assert not set(found) & {"Transpose", "Mul", "Add", "BatchNormalization", "Pad", "Shape", "Reshape"}


def test_onnx_int8_becomes_integer_kernels(exported: pipeline.Exported, tmp_path: Path) -> None:
    """ONNX Runtime fuses every quantized convolution: none is left in float."""
    import onnxruntime

    for path, manifest in zip(exported.paths, exported.manifests, strict=True):
        if (manifest.format, manifest.recipe) != ("onnx", "int8"):
            continue
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / path.name)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found = _onnx_operators(tmp_path / path.name)
        assert found["Conv"] == 0
        assert found["QLinearConv"] == (27 if manifest.role == "separable" else 14)


def test_batch_one_and_a_named_signature(exported: pipeline.Exported) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = next(path for path in exported.paths if path.suffix == ".tflite")
    assert Interpreter(str(path)).get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["scores"]}}
    for manifest in exported.manifests:
        assert manifest.inputs[0].shape == ((1, 64, 64, 3) if manifest.format == "tflite" else (1, 3, 64, 64))
        assert manifest.inputs[0].name.removeprefix("serving_default_").removesuffix(":0") == "image"
        assert manifest.outputs[0].shape == (1, 10)


def test_both_formats_carry_the_same_integers(exported: pipeline.Exported) -> None:
    import onnx
    from ai_edge_litert.interpreter import Interpreter
    from onnx import numpy_helper

    for role in ("separable", "twin"):
        files = {m.format: p for p, m in zip(exported.paths, exported.manifests, strict=True) if (m.role, m.recipe) == (role, "int8")}
        interpreter = Interpreter(str(files["tflite"]), experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        lite = [
            np.sort(interpreter.get_tensor(detail["index"]).ravel())
            for detail in interpreter.get_tensor_details()
            if detail["dtype"] == np.int8 and len(detail["shape"]) == 4 and len(detail["quantization_parameters"]["scales"]) > 1
        ]
        graph = onnx.load(files["onnx"]).graph
        ours = [np.sort(numpy_helper.to_array(t).ravel()) for t in graph.initializer if t.name.endswith(".kernel") and len(t.dims) == 4]
        assert len(lite) == len(ours) == (27 if role == "separable" else 14)
        for a, b in zip(sorted(lite, key=lambda x: (x.size, x.tobytes())), sorted(ours, key=lambda x: (x.size, x.tobytes())), strict=True):
            np.testing.assert_array_equal(a, b)


def test_exporting_twice_gives_the_same_bytes(exported: pipeline.Exported, tmp_path: Path) -> None:
    again = pipeline.export(ExportRequest("mobilenet_v1", twin="standard", out=tmp_path, **SMALL))
    assert [manifest.sha256 for manifest in again.manifests] == [manifest.sha256 for manifest in exported.manifests]


def test_nothing_is_overwritten_without_force(exported: pipeline.Exported) -> None:
    out = exported.paths[0].parent
    request = ExportRequest("mobilenet_v1", twin="standard", formats=("onnx",), recipes=("float32",), out=out, **SMALL)
    with pytest.raises(OutputError, match="overwritten"):
        pipeline.export(request)
    pipeline.export(ExportRequest(**{**request.__dict__, "force": True}))


def _saved(model: Any, folder: Path) -> str:
    path = folder / "net.keras"
    model.save(path)
    return str(path)


@pytest.mark.parametrize("network", [residual, squeeze_excite, small_mobilenet])
def test_float32_files_equal_keras(network: Callable[[], Any], tmp_path: Path) -> None:
    model = network()
    done = pipeline.export(ExportRequest(_saved(model, tmp_path), recipes=("float32",), out=tmp_path / "out"))
    batch = inputs(model)
    expected = model.predict(batch, verbose=0)
    for path in done.paths:
        runner = open_runner(path)
        np.testing.assert_allclose(np.concatenate([runner.run(x[None])[0] for x in batch]), expected, atol=1e-5)


@pytest.mark.parametrize("network", [residual, squeeze_excite])
def test_int8_files_stay_near_keras(network: Callable[[], Any], tmp_path: Path) -> None:
    model = network()
    np.savez(tmp_path / "x.npz", x=inputs(model, 20, 9))
    done = pipeline.export(ExportRequest(_saved(model, tmp_path), recipes=("int8",), calibration=str(tmp_path / "x.npz"), out=tmp_path / "out"))
    assert all(manifest.parity.sqnr_db > 15 for manifest in done.manifests)
    assert done.manifests[0].calibration["count"] == 20


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_integer_inputs_and_outputs(io: str, tmp_path: Path) -> None:
    model = small_mobilenet()
    np.savez(tmp_path / "x.npz", x=inputs(model, 20, 9))
    request = ExportRequest(_saved(model, tmp_path), recipes=("int8",), io=io, calibration=str(tmp_path / "x.npz"), out=tmp_path / "out")
    for path, manifest in zip((done := pipeline.export(request)).paths, done.manifests, strict=True):
        assert (manifest.inputs[0].dtype, manifest.outputs[0].dtype) == (io, io)
        runner = open_runner(path, inputs=manifest.inputs, outputs=manifest.outputs)
        batch = inputs(model)
        found = np.concatenate([runner.run(x[None])[0] for x in batch])
        np.testing.assert_allclose(found, model.predict(batch, verbose=0), atol=0.05)


@pytest.mark.parametrize(("head", "sums_to_one"), [("as-is", True), ("softmax", True), ("logits", False)])
def test_heads(head: str, sums_to_one: bool, tmp_path: Path) -> None:
    model = residual()
    done = pipeline.export(ExportRequest(_saved(model, tmp_path), recipes=("float32",), head=head, out=tmp_path / "out"))
    for path, manifest in zip(done.paths, done.manifests, strict=True):
        assert manifest.ends_in_softmax == sums_to_one
        assert (abs(float(open_runner(path).run(inputs(model, 1))[0].sum()) - 1) < 1e-4) == sums_to_one


def test_a_file_that_is_wrong_is_not_left_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = planning.quantize_weights

    def spoiled(operator: Any, input_scale: float = 0.0, bound: int = 127) -> QuantizedWeights:
        found = real(operator, input_scale, bound)
        return QuantizedWeights((-found.integers).astype(np.int8), found.scales)

    monkeypatch.setattr(planning, "quantize_weights", spoiled)
    request = ExportRequest("mobilenet_v1", recipes=("int8-plain",), formats=("onnx",), out=tmp_path, **SMALL)
    with pytest.raises(ParityError, match="dB"):
        pipeline.export(request)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ParityError, match="failed"):
        pipeline.export(ExportRequest(**{**request.__dict__, "keep_failed": True}))
    assert [path.name for path in tmp_path.iterdir()] == ["mobilenet_v1_0.25_64-model-int8-plain.onnx.failed"]


def test_float32_parity_catches_a_small_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding on the wrong side, the classic fault, moves the image by one pixel."""
    from dsmobile.exporters import onnx_operators

    monkeypatch.setattr(onnx_operators, "_pads", lambda pads: [pads[0][1], pads[1][1], pads[0][0], pads[1][0]])
    with pytest.raises(ParityError, match="differs"):
        pipeline.export(ExportRequest("mobilenet_v1", recipes=("float32",), formats=("onnx",), out=tmp_path, **SMALL))
    assert list(tmp_path.iterdir()) == []


def test_weights_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsmobile.exporters import onnx

    real = onnx._Writer.constant

    def spoiled(self: Any, name: str, array: Any) -> str:
        return str(real(self, name, array + np.ones((), array.dtype) if name.endswith(".bias") and array.size == 10 else array))

    monkeypatch.setattr(onnx._Writer, "constant", spoiled)
    with pytest.raises(ConversionError, match="the biases of the layer 'classifier' are not in the onnx file"):
        pipeline.export(ExportRequest("mobilenet_v1", recipes=("int8",), formats=("onnx",), out=tmp_path, **SMALL))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"io": "int8", "recipes": ("float32",)}, UsageError, "--io"),
        ({"target": "x86", "formats": ("tflite",)}, UsageError, "x86"),
        ({"formats": ("coreml",)}, UsageError, "coreml"),
        ({"twin": "triplet"}, UsageError, "triplet"),
        ({"head": "tail"}, UsageError, "tail"),
        ({"preprocess": "resize=256,crop=224,scale=-1..1"}, DataError, "224 x 224"),
    ],
)
def test_options_that_do_not_fit(change: dict[str, Any], error: type[Exception], words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        pipeline.export(ExportRequest(**{"source": "mobilenet_v1", "out": tmp_path, **SMALL, **change}))
    assert list(tmp_path.iterdir()) == []


def test_options_that_do_not_apply_to_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--alpha"):
        pipeline.export(ExportRequest(str(tmp_path / "net.h5"), alpha=0.5, out=tmp_path / "out"))


def test_int8_of_real_weights_needs_calibration(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="calibration"):
        pipeline.export(ExportRequest(_saved(residual(), tmp_path), out=tmp_path / "out"))


def test_labels_of_the_wrong_length(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    with pytest.raises(DataError, match="2 lines, but the model has 10"):
        pipeline.export(ExportRequest("mobilenet_v1", labels=labels, out=tmp_path / "out", **SMALL))


def test_x86_target_writes_seven_bits(tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    done = pipeline.export(ExportRequest("mobilenet_v1", recipes=("int8",), formats=("onnx",), target="x86", out=tmp_path, **SMALL))
    graph = onnx.load(done.paths[0]).graph
    kernels = [numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name.endswith(".kernel")]
    assert max(int(np.abs(kernel.astype(int)).max()) for kernel in kernels) == 63
    assert done.manifests[0].recipe_values["target"] == "x86"


def test_biased_inputs_do_not_break_correction(tmp_path: Path) -> None:
    """A constant calibration set has ranges of one point in places; the export still meets its recipe or says why not."""
    model = small_mobilenet()
    np.savez(tmp_path / "x.npz", x=np.zeros((6, 64, 64, 3), np.float32))
    try:
        pipeline.export(ExportRequest(_saved(model, tmp_path), recipes=("int8",), calibration=str(tmp_path / "x.npz"), out=tmp_path / "out"))
    except (ParityError, ConversionError) as error:
        assert error.advice


def test_a_manifest_of_other_bytes_does_not_count(exported: pipeline.Exported, tmp_path: Path) -> None:
    path = exported.paths[0]
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes() + b"\0")
    (tmp_path / f"{path.name}.manifest.json").write_text(json.dumps(exported.manifests[0].to_json()))
    assert read_manifest(copy) is None


def _adapted() -> Any:
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    first = layers.Normalization()
    first.adapt(np.random.default_rng(3).normal(5.0, 3.0, (64, 16, 16, 3)).astype(np.float32))
    x = layers.Conv2D(8, 3, activation="relu")(first(image))
    return settled(keras.Model(image, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(x))))


def _awkward(name: str) -> Any:
    """Networks on which an exporter stumbles: each names what is special about it."""
    import keras
    from keras import layers

    image = keras.Input((12, 12, 3))
    if name == "names":  # of layers that files use themselves, and in other scripts
        x = layers.Conv2D(4, 3, padding="same", name="zero")(image)
        x = layers.ReLU(6.0, name="scores")(x)
        x = layers.Conv2D(4, 3, name="_x")(layers.Conv2D(4, 1, name="-y")(x))
        x = layers.Conv2D(4, 1, name="x_kernel")(layers.ReLU(6.0, name="six")(x))
        return settled(keras.Model(image, layers.GlobalAveragePooling2D(name="image_scale")(x)))
    if name == "three added":
        x, y, z = (layers.Conv2D(4, 3, padding="same")(image) for _ in range(3))
        total = layers.Add(name="add")([x, y, z])
        return settled(keras.Model(image, layers.Add(name="add_2")([layers.Add(name="add_1")([total, x]), y])))
    if name == "value twice":
        x = layers.Conv2D(4, 3)(image)
        y = layers.Concatenate()([x, x])
        return settled(keras.Model(image, layers.Concatenate()([y, layers.Conv2D(16, 1)(x)])))
    if name == "softmax inside":
        x = layers.Dense(6, activation="softmax")(layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3)(image)))
        return settled(keras.Model(image, layers.Dense(3)(x)))
    if name == "softmax over a map":
        x = layers.Activation("softmax")(layers.Conv2D(4, 1)(layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(6, 3)(image))))
        return settled(keras.Model(image, layers.Dropout(0.1)(layers.Reshape((4,))(x))))
    if name == "groups":
        return settled(keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, groups=4)(layers.Conv2D(8, 3)(image)))))
    if name == "nested twice":
        blocks = []
        for _ in range(2):
            inner = keras.Input((12, 12, 3))
            blocks.append(keras.Model(inner, layers.SeparableConv2D(3, 3, padding="same", name="cv")(inner)))
        x = blocks[1](blocks[0](image))
        return settled(keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))))
    x = layers.Conv2D(8, 3)(image)  # a map is the answer
    return settled(keras.Model(image, layers.MaxPooling2D()(layers.Add()([x, layers.ReLU()(x)]))))


AWKWARD = ["names", "three added", "value twice", "softmax inside", "softmax over a map", "groups", "nested twice", "map"]


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_networks(name: str, tmp_path: Path) -> None:
    model = _awkward(name)
    np.savez(tmp_path / "x.npz", x=inputs(model, 20, 9))
    request = ExportRequest(_saved(model, tmp_path), calibration=str(tmp_path / "x.npz"), out=tmp_path / "out")
    batch = inputs(model)
    expected = model.predict(batch, verbose=0)
    done = pipeline.export(request)
    for path, manifest in zip(done.paths, done.manifests, strict=True):
        runner = open_runner(path)
        found = np.concatenate([runner.run(x[None])[0] for x in batch])
        if found.ndim == 4 and manifest.format == "onnx":
            found = found.transpose(0, 2, 3, 1)
        assert sqnr_db(expected, found) > (80 if manifest.recipe == "float32" else 15), path.name


def test_adapted_normalization_survives_the_split_of_its_softmax(tmp_path: Path) -> None:
    model = _adapted()
    done = pipeline.export(ExportRequest(_saved(model, tmp_path), recipes=("float32",), out=tmp_path / "out"))
    batch = np.random.default_rng(4).normal(5.0, 3.0, (4, 16, 16, 3)).astype(np.float32)
    for path in done.paths:
        runner = open_runner(path)
        np.testing.assert_allclose(np.concatenate([runner.run(x[None])[0] for x in batch]), model.predict(batch, verbose=0), atol=1e-4)


def test_nested_models_with_equal_names_get_a_twin(tmp_path: Path) -> None:
    done = pipeline.export(ExportRequest(_saved(_awkward("nested twice"), tmp_path), recipes=("float32",), twin="standard", out=tmp_path / "out"))
    twins = [manifest for manifest in done.manifests if manifest.role == "twin"]
    assert all(manifest.twin["same_function"] for manifest in twins)
    x = inputs(_awkward("nested twice"), 1)
    answers = [open_runner(path).run(x)[0] for path in done.paths]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-4)


def test_a_twin_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = _saved(_awkward("groups"), tmp_path)
    for twin, error in (("standard", ModelError), ("same-macs", ModelError)):
        with pytest.raises(error):
            pipeline.export(ExportRequest(path, recipes=("float32",), twin=twin, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_written_rightly_is_refused(tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same")(image)
    gate = layers.Dense(16, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    refused = {
        "different ranks": keras.Model(image, layers.Multiply()([x, gate])),
        "axis": keras.Model(image, layers.Softmax(axis=1)(x)),
        "activation 'selu'": keras.Model(image, layers.Conv2D(4, 3, activation="selu")(image)),
        "its activation is a layer": keras.Model(image, layers.Conv2D(4, 3, activation=layers.LayerNormalization())(image)),
    }
    for number, (words, model) in enumerate(refused.items()):
        (tmp_path / str(number)).mkdir()
        path = _saved(settled(model), tmp_path / str(number))
        with pytest.raises(ConversionError, match=words):
            pipeline.export(ExportRequest(path, recipes=("float32",), out=tmp_path / "out"))


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    from dsmobile.files import recipes_folder

    mine = tmp_path / "int8.toml"
    mine.write_text((recipes_folder("export") / "int8.toml").read_text())
    with pytest.raises(UsageError, match="two recipes are called int8"):
        pipeline.export(ExportRequest("mobilenet_v1", recipes=("int8", str(mine)), out=tmp_path / "out", **SMALL))
