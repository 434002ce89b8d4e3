"""Recipes as files: every one that is listed works or says why not; corrected integers are shipped where they are better; strange networks too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.errors import DataError, UsageError
from dsmobile.exporters.runners import open_runner
from dsmobile.pipeline import ExportRequest

from .layer_networks import sequence, two_inputs
from .networks import inputs, settled, small_mobilenet

SMALL = {"alpha": 0.25, "resolution": 64, "classes": 10}


def _exported(model: Any, folder: Path, **options: Any) -> pipeline.Exported:
    model.save(folder / "net.keras")
    return pipeline.export(ExportRequest(str(folder / "net.keras"), out=folder / "out", **options))


@pytest.fixture(scope="module")
def every_recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """Manifests of one network at every precision but `mixed`, by recipe and format, with the files' paths."""
    folder = tmp_path_factory.mktemp("recipes")
    model = small_mobilenet()
    np.savez(folder / "x.npz", x=inputs(model, 20, 9))
    recipes = ("float32", "float16", "dynamic", "int8", "int8-plain", "int16x8")
    done = _exported(model, folder, recipes=recipes, calibration=str(folder / "x.npz"))
    return {(m.recipe, m.format): (path, m) for path, m in zip(done.paths, done.manifests, strict=True)}


def test_every_recipe_is_written_in_its_formats(every_recipe: dict[tuple[str, str], Any]) -> None:
    both = {(recipe, file_format) for recipe in ("float32", "float16", "int8", "int8-plain") for file_format in ("tflite", "onnx")}
    assert set(every_recipe) == both | {("dynamic", "tflite"), ("int16x8", "tflite")}
    size = {key: path.stat().st_size for key, (path, _) in every_recipe.items()}
    assert size["float16", "tflite"] < 0.6 * size["float32", "tflite"]
    assert size["float16", "onnx"] < 0.6 * size["float32", "onnx"]
    for recipe in ("int8", "dynamic", "int16x8"):
        assert size[recipe, "tflite"] < 0.45 * size["float32", "tflite"]
    assert every_recipe["float16", "tflite"][1].parity.sqnr_db > 50


def test_both_formats_of_a_recipe_hold_the_same_weights_scales_and_biases(every_recipe: dict[tuple[str, str], Any]) -> None:
    for recipe in ("float32", "float16", "int8", "int8-plain"):
        first, second = (every_recipe[recipe, file_format][1].weights_sha256 for file_format in ("tflite", "onnx"))
        assert first == second
    assert len({manifest.weights_sha256 for _, manifest in every_recipe.values()}) == 6


def test_corrected_and_plain_are_compared_on_inputs_kept_aside(every_recipe: dict[tuple[str, str], Any]) -> None:
    manifest = every_recipe["int8", "tflite"][1]
    figures = manifest.correction["candidates"]
    assert manifest.correction["held_out"] == 4
    assert set(figures) == {"plain", "bias", "rounding"}
    assert figures[manifest.correction["shipped"]]["sqnr_db"] >= figures["plain"]["sqnr_db"]
    assert figures["plain"]["gain_db"] == 0.0
    assert every_recipe["int8-plain", "onnx"][1].correction == {}


def test_a_float_file_is_taken_whole_by_xnnpack(every_recipe: dict[tuple[str, str], Any]) -> None:
    for recipe in ("float32", "float16", "dynamic", "int8"):
        delegation = every_recipe[recipe, "tflite"][1].delegation
        assert delegation["taken"] == delegation["total"]
        assert delegation["partitions"] == 1
    assert every_recipe["int16x8", "tflite"][1].delegation["taken"] < every_recipe["int16x8", "tflite"][1].delegation["total"]


def test_correction_that_does_harm_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from dsmobile.exporters import integers
    from dsmobile.exporters.operators import Weighted

    def harm(_model: Any, plan: Any, _inputs: Any, **_options: Any) -> Any:
        nodes = [
            replace(node, operator=replace(node.operator, bias=node.operator.bias + 0.5)) if isinstance(node.operator, Weighted) else node
            for node in plan.model
        ]
        return replace(plan, model=replace(plan.model, nodes=tuple(nodes)))

    monkeypatch.setattr(integers, "correct", harm)
    done = pipeline.export(ExportRequest("mobilenet_v1", recipes=("int8", "int8-plain"), formats=("tflite",), out=tmp_path, **SMALL))
    assert done.manifests[0].correction["shipped"] == "plain"
    assert done.manifests[0].parity.sqnr_db >= done.manifests[1].parity.sqnr_db - 1


@pytest.mark.parametrize(("count", "shipped"), [(1, "plain"), (3, "plain"), (5, None)])
def test_few_calibration_inputs(count: int, shipped: str | None, tmp_path: Path) -> None:
    """One image sets the ranges but corrects nothing, and the manifest says so; the note gives the figure."""
    model = small_mobilenet()
    np.savez(tmp_path / "x.npz", x=inputs(model, count, 9))
    done = _exported(model, tmp_path, recipes=("int8",), formats=("tflite",), calibration=str(tmp_path / "x.npz"))
    correction = done.manifests[0].correction
    assert correction["held_out"] == (0 if shipped else 1)
    assert correction["shipped"] == shipped or shipped is None
    assert any(note.startswith(f"Calibrated with {count} input") for note in done.notes)


def test_constant_and_unfamiliar_calibration_is_named(tmp_path: Path) -> None:
    model = small_mobilenet()
    np.savez(tmp_path / "wide.npz", x=100 * inputs(model, 12, 9))
    done = _exported(model, tmp_path, recipes=("int8-plain",), formats=("tflite",), calibration=str(tmp_path / "wide.npz"))
    assert any("unlike what the network was trained on" in note for note in done.notes)
    np.savez(tmp_path / "flat.npz", x=np.zeros((12, 64, 64, 3), np.float32))
    done = _exported(model, tmp_path, recipes=("float16", "int8-plain"), formats=("onnx",), calibration=str(tmp_path / "flat.npz"))
    assert any("constant" in note for note in done.notes)
    np.savez(tmp_path / "right.npz", x=inputs(model, 12, 9))
    done = _exported(model, tmp_path, recipes=("int8-plain",), formats=("tflite",), calibration=str(tmp_path / "right.npz"), force=True)
    assert done.notes == ()


@pytest.mark.parametrize("network", [sequence, two_inputs])
def test_several_inputs_and_outputs(network: Callable[[], Any], tmp_path: Path) -> None:
    model = network()
    random = np.random.default_rng(3)
    arrays = {tensor.name: random.normal(size=(12, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs}
    np.savez(tmp_path / "x.npz", **(arrays if len(arrays) > 1 else {"x": next(iter(arrays.values()))}))
    done = _exported(model, tmp_path, calibration=str(tmp_path / "x.npz"))
    first = [array[:1] for array in arrays.values()]
    expected = [np.asarray(output) for output in model(first if len(first) > 1 else first[0])]
    for path, manifest in zip(done.paths, done.manifests, strict=True):
        assert len(manifest.inputs) == len(arrays)
        assert len(manifest.outputs) == len(expected)
        outputs = open_runner(path, inputs=manifest.inputs, outputs=manifest.outputs).run_sample(first)
        for output, info, reference in zip(outputs, manifest.outputs, expected, strict=True):
            turned = output.transpose(0, 2, 3, 1) if info.layout == "nchw" else output
            assert np.abs(turned - reference).max() <= (1e-4 if manifest.recipe == "float32" else 0.3) * np.abs(reference).max()


def test_calibration_of_several_inputs_is_checked(tmp_path: Path) -> None:
    model = two_inputs()
    np.savez(tmp_path / "half.npz", left=np.zeros((4, 9, 9, 3)))
    with pytest.raises(DataError, match="no array 'right'"):
        _exported(model, tmp_path, recipes=("int8",), calibration=str(tmp_path / "half.npz"))
    np.savez(tmp_path / "uneven.npz", left=np.zeros((4, 9, 9, 3)), right=np.zeros((3, 9, 9, 3)))
    with pytest.raises(DataError, match="right has the shape"):
        _exported(model, tmp_path, recipes=("int8",), calibration=str(tmp_path / "uneven.npz"))
    with pytest.raises(UsageError, match="2 inputs"):
        _exported(model, tmp_path, preprocess="crop=9,scale=-1..1")


def test_layout_and_batch_of_onnx(tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    model = settled(small_mobilenet())
    np.savez(tmp_path / "x.npz", x=inputs(model, 12, 9))
    done = _exported(model, tmp_path, formats=("onnx",), layout="nhwc", dynamic_batch=True, calibration=str(tmp_path / "x.npz"))
    batch = inputs(model, 5)
    for path, manifest in zip(done.paths, done.manifests, strict=True):
        assert manifest.inputs[0].shape == (1, 64, 64, 3)
        assert manifest.inputs[0].layout == "nhwc"
        turns = [node for node in onnx.load(path).graph.node if node.op_type == "Transpose"]
        assert [node.input[0] for node in turns] == ["image"]
        found = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"image": batch})[0]
        np.testing.assert_allclose(found, model.predict(batch, verbose=0), atol=1e-5 if manifest.recipe == "float32" else 0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipes": ("dynamic",), "formats": ("onnx",)}, "ConvInteger"),
        ({"recipes": ("int16x8",), "formats": ("onnx",)}, "int16 activations"),
        ({"recipes": ("int16x8",), "io": "int8"}, "--io int8 goes with an int8 recipe"),
        ({"recipes": ("int8",), "max_drop": 0.5}, "--max-drop acts on the recipe mixed"),
        ({"recipes": ("mixed",), "max_drop": -1.0}, "--max-drop -1"),
        ({"formats": ("tflite",), "layout": "nhwc"}, "--layout nhwc acts on ONNX"),
        ({"formats": ("tflite",), "dynamic_batch": True}, "--dynamic-batch acts on ONNX"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        pipeline.export(ExportRequest("mobilenet_v1", out=tmp_path, **SMALL, **options))


def test_over_two_gigabytes_is_refused_before_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsmobile.errors import ConversionError
    from dsmobile.exporters import onnx

    monkeypatch.setattr(onnx, "LARGEST_BYTES", 1_000_000)
    with pytest.raises(ConversionError, match="more than the 2 GB that an ONNX file holds"):
        pipeline.export(ExportRequest("mobilenet_v1", recipes=("float32",), formats=("onnx",), out=tmp_path, **{**SMALL, "classes": 1000}))
    assert list(tmp_path.iterdir()) == []
