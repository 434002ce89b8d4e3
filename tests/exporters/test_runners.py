"""Runners against numpy: what goes in and out of files with real and with integer ends, in both orders of axes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmobile.errors import DataError, ModelError
from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.onnx_io import boundary_quantization
from dsmobile.exporters.runners import arrange, dequantize, open_runner, quantize

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))
tiny = importlib.import_module("tiny_models")

WEIGHTS = np.random.default_rng(1).normal(size=(2 * 3 * 4, 5)).astype(np.float32)
X = np.random.default_rng(2).normal(size=(1, 2, 3, 4)).astype(np.float32)
ENDS = ((0.05, 3), (0.25, -7))


def step(values: np.ndarray, quantization: tuple[float, int]) -> np.ndarray:
    """The affine quantization of Jacob et al., arXiv:1712.05877, equation 1, by the book and in float64."""
    scale, zero_point = quantization
    return np.clip(np.round(values.astype(np.float64) / scale) + zero_point, -128, 127)


def real(stored: np.ndarray, quantization: tuple[float, int]) -> np.ndarray:
    scale, zero_point = quantization
    return (stored - zero_point) * scale


@pytest.fixture(params=["tflite", "onnx"])
def write(request: pytest.FixtureRequest):
    return getattr(tiny, f"linear_{request.param}"), request.param


def test_real_numbers_in_and_out_equal_numpy(write, tmp_path: Path) -> None:
    writer, ending = write
    runner = open_runner(writer(tmp_path / f"m.{ending}", WEIGHTS, X.shape))
    assert runner.runtime == {"tflite": "litert", "onnx": "onnxruntime"}[ending]
    (scores,) = runner.run(X)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, X.reshape(1, -1) @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_integer_ends_are_quantized_and_dequantized(write, tmp_path: Path) -> None:
    writer, ending = write
    runner = open_runner(writer(tmp_path / f"m.{ending}", WEIGHTS, X.shape, ends=ENDS))
    for info, (scale, zero_point) in zip((runner.inputs[0], runner.outputs[0]), ENDS, strict=True):
        assert (info.dtype, info.scale, info.zero_point) == ("int8", pytest.approx(scale), zero_point)
    x = X * 3  # some of it beyond the range of int8
    assert np.abs(step(x, ENDS[0])).max() >= 127
    exact = real(step(x, ENDS[0]), ENDS[0]).reshape(1, -1) @ WEIGHTS
    (stored,), (scores,) = runner.run_raw(x), runner.run(x)
    assert stored.dtype == np.int8
    np.testing.assert_array_equal(stored, step(exact, ENDS[1]))
    np.testing.assert_allclose(scores, real(stored.astype(int), ENDS[1]), rtol=1e-6)


def test_stored_input_is_given_as_it_is(tmp_path: Path) -> None:
    runner = open_runner(tiny.linear_tflite(tmp_path / "m.tflite", WEIGHTS, X.shape, ends=ENDS))
    np.testing.assert_array_equal(runner.run_stored(step(X, ENDS[0]).astype(np.int8))[0], runner.run_raw(X)[0])


def test_an_nchw_file_is_given_nchw(tmp_path: Path) -> None:
    runner = open_runner(tiny.linear_onnx(tmp_path / "m.onnx", WEIGHTS, (1, 4, 2, 3)))
    np.testing.assert_allclose(runner.run(X)[0], X.transpose(0, 3, 1, 2).reshape(1, -1) @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_a_cube_is_refused_unless_somebody_says_its_order(tmp_path: Path) -> None:
    weights, x = np.eye(27, dtype=np.float32), np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    path = tiny.linear_onnx(tmp_path / "m.onnx", weights, (1, 3, 3, 3))
    with pytest.raises(DataError, match="could be NHWC or NCHW"):
        open_runner(path).run(x)
    turned = x.transpose(0, 3, 1, 2).reshape(1, -1)
    np.testing.assert_array_equal(open_runner(path, layout="nchw").run(x)[0], turned)
    np.testing.assert_array_equal(open_runner(path, layout="nhwc").run(x)[0], x.reshape(1, -1))
    known = TensorInfo("input", (1, 3, 3, 3), "float32", layout="nchw")
    np.testing.assert_array_equal(open_runner(path, inputs=(known,), layout="nhwc").run(x)[0], turned)


@given(st.lists(st.integers(1, 5), min_size=3, max_size=3))
def test_what_arrange_gives_fits_and_holds_the_same_numbers(sides: list[int]) -> None:
    height, width, channels = sides
    x = np.arange(np.prod(sides), dtype=np.float32).reshape(1, *sides)
    nchw = arrange(x, TensorInfo("x", (1, channels, height, width), "float32", layout="nchw"), "f")
    assert nchw.shape == (1, channels, height, width)
    np.testing.assert_array_equal(nchw.transpose(0, 2, 3, 1), x)
    np.testing.assert_array_equal(arrange(x, TensorInfo("x", x.shape, "float32", layout="nhwc"), "f"), x)


@pytest.mark.parametrize(
    ("given_shape", "wanted", "fits"),
    [
        ((1, 49, 10, 1), (1, 490), True),  # one channel: flattening keeps the order in either layout
        ((1, 49, 10, 1), (1, 49, 10), True),
        ((1, 49, 10), (1, 49, 10, 1), True),
        ((1, 4, 4, 3), (1, 48), False),  # flattened as NHWC or as NCHW?
        ((1, 5, 4, 3), (1, 4, 4, 3), False),
        ((1, 12), (1, 3, 4), False),
        ((2, 8), (1, 8), False),
    ],
)
def test_only_shapes_whose_order_is_certain_are_reshaped(given_shape: tuple[int, ...], wanted: tuple[int, ...], fits: bool) -> None:
    x = np.arange(np.prod(given_shape), dtype=np.float32).reshape(given_shape)
    info = TensorInfo("x", wanted, "float32")
    if not fits:
        with pytest.raises(DataError, match="does not fit m"):
            arrange(x, info, "m.onnx")
    else:
        assert arrange(x, info, "m.onnx").shape == wanted
        np.testing.assert_array_equal(arrange(x, info, "m.onnx").ravel(), x.ravel())


def test_a_batch_that_is_left_open_is_one(tmp_path: Path) -> None:
    runner = open_runner(tiny.linear_onnx(tmp_path / "m.onnx", WEIGHTS, ("batch", 2, 3, 4)))
    assert runner.inputs[0].shape == (1, 2, 3, 4)
    np.testing.assert_allclose(runner.run(X)[0], X.reshape(1, -1) @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_onnx_ends_take_what_the_manifest_knows_but_the_file_comes_first(tmp_path: Path) -> None:
    path = tiny.linear_onnx(tmp_path / "m.onnx", WEIGHTS, X.shape, ends=ENDS)
    assert boundary_quantization(path) == {"input": (pytest.approx(0.05), 3), "output": (0.25, -7)}
    known = TensorInfo("input", X.shape, "int8", scale=9.0, zero_point=9)
    assert open_runner(path, inputs=(known,)).inputs[0].scale == pytest.approx(0.05)


def test_integers_without_a_scale_are_refused_on_the_way_in_and_kept_on_the_way_out() -> None:
    info = TensorInfo("x", (1, 2), "int8")
    with pytest.raises(ModelError, match="nothing says how real numbers become that"):
        quantize(np.zeros((1, 2), np.float32), info)
    np.testing.assert_array_equal(dequantize(np.array([[3, -4]], np.int8), info), [[3.0, -4.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_have_no_integer(bad: float) -> None:
    with pytest.raises(DataError, match="not finite"):
        quantize(np.full((1, 2), bad, np.float32), TensorInfo("x", (1, 2), "int8", 0.5, 0))


@given(st.floats(1e-4, 10), st.integers(-128, 127), st.lists(st.integers(-128, 127), min_size=1))
def test_dequantize_then_quantize_gives_the_integers_back(scale: float, zero_point: int, integers: list[int]) -> None:
    info = TensorInfo("x", (1, len(integers)), "int8", scale, zero_point)
    stored = np.array([integers], np.int8)
    np.testing.assert_array_equal(quantize(dequantize(stored, info), info), stored)


def test_a_half_is_rounded_to_even() -> None:
    info = TensorInfo("x", (1, 6), "int8", 1.0, 0)
    halves = np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]], np.float32)
    np.testing.assert_array_equal(quantize(halves, info), [[-2, -2, 0, 0, 2, 2]])


@pytest.mark.parametrize("name", ["m.tflite", "m.onnx"])
def test_a_broken_file_is_a_model_error_with_its_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(200)) if name.endswith("tflite") else b"\x08\x08garbage")
    with pytest.raises(ModelError, match=name):
        open_runner(path)


def test_an_unknown_ending_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its name ends in"):
        open_runner(tmp_path / "m.pt")


@pytest.mark.parametrize("location", ["../secret.bin", "link.bin", "/etc/hostname"])
def test_external_data_outside_the_models_folder_are_not_read(tmp_path: Path, location: str) -> None:
    import onnx

    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = tiny.linear_onnx(folder / "m.onnx", WEIGHTS, X.shape)
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError):
        open_runner(path)


def test_keyword_spotting_files_equal_their_published_accuracy(shared_data: Path) -> None:
    """MLPerf Tiny's references on 1000 recordings: int8 90.1%, float32 90.0%; one recording is 0.1 points, and ties differ by kernel."""
    arrays = np.load(shared_data / "kws" / "kws_mfcc_int8_1000.npz")
    for name, published, allowed in (
        ("kws_ref_model.tflite", 0.901, 0.0011),
        ("kws_ref_model_float32.tflite", 0.900, 1e-9),
        ("kws_ref_model_qdq.onnx", 0.90, 0.0051),
    ):
        runner = open_runner(shared_data / "artifacts" / name)
        inputs = (arrays["x"].astype(np.float32) - 83) * np.float32(0.58470290899)
        right = sum(int(np.argmax(runner.run(x[None])[0])) == y for x, y in zip(inputs, arrays["y"], strict=True))
        assert right / 1000 == pytest.approx(published, abs=allowed), name
