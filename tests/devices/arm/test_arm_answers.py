"""Whether ARM's kernels compute what this machine's do: the runtimes' real wheels on emulated processors."""

import sys
from pathlib import Path

import numpy as np
import pytest

from device_bench.inputs import probe_input
from device_bench.records import Probe
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.opening import open_device

pytestmark = [pytest.mark.devices, pytest.mark.arm]

INT8 = ("kws_ref_model.tflite", "vww_96_int8.tflite", "kws_ref_model_qdq.onnx")
FLOAT32 = ("kws_ref_model_float32.tflite", "face_slim_320.onnx")
CHANNELS, SIDE, FILTERS = 96, 2, 4


def here() -> LocalDevice:
    return LocalDevice(sys.executable)


def full_range_model(path: Path, activation: str) -> np.ndarray:
    """An ONNX file of one quantized convolution whose products all lie at the ends of the range, where 16-bit sums overflow.

    Args:
        path: Where it is written.
        activation: `int8` or `uint8`.

    Returns:
        What it must answer, by integer arithmetic.
    """
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    low, high = (-128, 127) if activation == "int8" else (0, 255)
    random = np.random.RandomState(7)
    weights = random.choice([-127, 126, 127], (FILTERS, CHANNELS, 1, 1)).astype(np.int8)
    weights[0] = 127
    weights[1, ::2], weights[1, 1::2] = 127, -127
    bias = random.randint(-500, 500, FILTERS).astype(np.int32)
    input_scale, weight_scale, output_scale, zero_point = 2.0 / 255, 1.0 / 128, 1.0, 0 if activation == "int8" else 128
    constants = {
        "xs": (tensor.FLOAT, np.float32(input_scale)),
        "xz": (getattr(tensor, activation.upper()), np.array(zero_point, activation)),
        "ws": (tensor.FLOAT, np.float32(weight_scale)),
        "wz": (tensor.INT8, np.int8(0)),
        "bs": (tensor.FLOAT, np.float32(np.float32(input_scale) * np.float32(weight_scale))),
        "bz": (tensor.INT32, np.int32(0)),
        "ys": (tensor.FLOAT, np.float32(output_scale)),
        "yz": (getattr(tensor, activation.upper()), np.array(zero_point, activation)),
        "w": (tensor.INT8, weights),
        "b": (tensor.INT32, bias),
    }
    initializers = [
        helper.make_tensor(name, kind, np.shape(value), np.asarray(value).tobytes(), raw=True) for name, (kind, value) in constants.items()
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"]),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "ys", "yz"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, tensor.FLOAT, [1, depth, SIDE, SIDE]) for name, depth in (("x", CHANNELS), ("y", FILTERS))]
    graph = helper.make_graph(nodes, "full_range", ends[:1], ends[1:], initializers)
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())
    x = probe_input(0, (1, CHANNELS, SIDE, SIDE), "float32", layout="nhwc")
    quantized = np.clip(np.rint(x / np.float32(input_scale)) + zero_point, low, high).astype(np.int64) - zero_point
    sums = np.einsum("fc,chw->fhw", weights[:, :, 0, 0].astype(np.int64), quantized[0]) + bias[:, None, None]
    real = sums * (float(np.float32(input_scale)) * float(np.float32(weight_scale)) / output_scale)
    assert (np.abs(real % 1 - 0.5) > 1e-3).all()  # no tie that could be rounded either way
    return (np.clip(np.rint(real) + zero_point, low, high) - zero_point) * output_scale


@pytest.fixture(scope="module")
def expected(shared_data, answers) -> dict[str, Probe]:
    """What this machine answers."""
    files = [shared_data / "artifacts" / name for name in (*INT8, *FLOAT32)]
    return dict(zip([path.name for path in files], answers(here(), files), strict=True))


def check(found: list[Probe], expected: dict[str, Probe]) -> None:
    for probe, name in zip(found, (*INT8, *FLOAT32), strict=True):
        if name in INT8:
            assert probe == expected[name], name
        else:
            scale = max(map(abs, expected[name].values))
            assert probe.values == pytest.approx(expected[name].values, rel=1e-6, abs=1e-6 * scale), name


@pytest.mark.parametrize("processor", ["cortex-a72", pytest.param("cortex-a76", marks=pytest.mark.slow)])
def test_equal_to_this_machines(ready, answers, shared_data, expected, tmp_path, processor) -> None:
    pi = ready(processor=processor)
    models = {activation: tmp_path / f"{activation}.onnx" for activation in ("int8", "uint8")}
    exact = [full_range_model(path, activation) for activation, path in models.items()]
    files = [shared_data / "artifacts" / name for name in (*INT8, *FLOAT32)]
    found = answers(open_device(pi.address), [*files, *models.values()])
    check(found[: len(files)], expected)
    assert expected["kws_ref_model.tflite"].values != expected["kws_ref_model_float32.tflite"].values
    local = answers(here(), list(models.values()))
    for probe, other, reference in zip(found[len(files) :], local, exact, strict=True):
        assert probe.values == tuple(reference.ravel()[:16])
        assert probe == other
    with open_device(pi.address) as device:
        features = device.facts()["cpu_features"]
    assert features == (["dotprod"] if processor == "cortex-a76" else [])


@pytest.mark.slow
def test_equal_on_trixie(ready, answers, shared_data, expected) -> None:
    """Python 3.13, a newer C library and another numpy."""
    pi = ready("arm64", "trixie", "cortex-a76")
    check(answers(open_device(pi.address), [shared_data / "artifacts" / name for name in (*INT8, *FLOAT32)]), expected)
