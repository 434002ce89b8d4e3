"""An int8 ONNX file against its own unoptimised graph: real kernels, kernels that saturate, and a made-up runtime that lies."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from device_bench.answers import Deviation
from device_bench.controller import run
from device_bench.inputs import probe_input
from device_bench.records import Block, PlannedArtifact, ReplicateSample, RunPlan, Samples, read_samples, to_line
from device_bench.unoptimised import PICTURES, compare
from dsmobile.benchmark.conditions import judge, validity
from dsmobile.benchmark.numerics import same_optimised
from dsmobile.benchmark.result import Validity
from dsmobile.benchmark.subjects import Subject
from dsmobile.devices.device import harness_files


def measured(*models: Path) -> Samples:
    """The trial and one block."""
    artifacts = tuple(PlannedArtifact(str(model), "onnxruntime", layout="nchw") for model in models)
    order = tuple(range(len(models)))
    lines: list[str] = []
    plan = RunPlan(artifacts, (Block(-1, order), Block(0, order)), measure_s=0.05, min_count=5, max_count=50)
    run(plan, lambda document: lines.append(to_line(document)))
    return read_samples("".join(lines))


def warnings_of(samples: Samples, model: Path) -> dict[str, str]:
    found = judge(samples, [Subject(model, "0" * 64, 4, "onnx", None)], threads=1, blocks=10)
    return {warning.kind: warning.advice for warning in found}


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """Three convolutions in QDQ form whose 8-bit weights are large: two products of 127 x 200 do not fit into 16 bits."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    random = np.random.RandomState(0)
    nodes, constants, tensor = [], [], "x"

    def add(name: str, value: object) -> str:
        constants.append(from_array(np.asarray(value), name))
        return name

    def through(source: str, scale: float, name: str) -> str:
        ends = [add(f"{name}.scale", np.float32(scale)), add(f"{name}.zero", np.uint8(0 if name != "q0" else 128))]
        nodes.append(helper.make_node("QuantizeLinear", [source, *ends], [f"{name}.int8"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.int8", *ends], [f"{name}.real"]))
        return f"{name}.real"

    tensor = through("x", 2 / 255, "q0")
    for index, (inputs, outputs) in enumerate([(3, 16), (16, 16), (16, 16)]):
        kernel = add(f"w{index}", random.choice([-127, -100, 100, 127], (outputs, inputs, 3, 3)).astype(np.int8))
        ends = [add(f"w{index}.scale", np.float32(0.5 / (127 * 3 * np.sqrt(inputs)))), add(f"w{index}.zero", np.int8(0))]
        nodes.append(helper.make_node("DequantizeLinear", [kernel, *ends], [f"w{index}.real"]))
        nodes.append(helper.make_node("Conv", [tensor, f"w{index}.real"], [f"c{index}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        tensor = through(f"r{index}", (0.6, 0.5, 0.4)[index] / 255, f"q{index + 1}")
    nodes.append(helper.make_node("GlobalAveragePool", [tensor], ["y"]))
    ends = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 16, 16]),
        helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    path = tmp_path / "quantized.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_kernels_that_are_exact_pass_and_only_the_trial_is_asked(quantized) -> None:
    trial, replicate = (samples := measured(quantized)).replicates
    assert (trial.error, replicate.error) == ("", "")
    assert replicate.unoptimised is None
    assert trial.unoptimised is not None
    assert trial.unoptimised.error == ""
    assert trial.unoptimised.pictures == PICTURES
    (output,) = trial.unoptimised.outputs
    assert output.magnitude > 0
    assert output.sensitivity is not None and output.sensitivity > 0
    assert same_optimised(output)
    assert not {"optimised_differs", "not_compared"} & warnings_of(samples, quantized).keys()


QEMU = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
ON_HASWELL = """
import json, sys
from device_bench.records import Block, PlannedArtifact, RunPlan
from device_bench.replicate import measure
plan = RunPlan((PlannedArtifact(sys.argv[1], "onnxruntime", layout="nchw"),), (Block(-1, (0,)),), measure_s=0.0, min_count=1, max_count=1)
print(json.dumps(measure(plan.artifacts[0], plan, lambda document: None)))
"""


@pytest.mark.skipif(QEMU is None or os.uname().machine != "x86_64", reason="needs qemu-x86_64 on x86-64, to be a processor without VNNI")
def test_kernels_that_really_saturate_are_found(quantized) -> None:
    """The emulated processor has AVX2 and no VNNI, and /proc/cpuinfo is the real one's: where that has VNNI, nobody sets exact kernels."""
    vnni = "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(harness_files()[0].parent.parent), *sys.path]))}
    command = [str(QEMU), "-cpu", "Haswell", os.path.realpath(sys.executable), "-c", ON_HASWELL, str(quantized)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    found = {"block": -1, "position": 0, "artifact": 0, **json.loads(done.stdout.splitlines()[-1])}
    sample = ReplicateSample.from_json(found)
    assert sample.exact_kernels == ("native" if vnni else "x64quantprecision")
    assert sample.unoptimised is not None
    (output,) = sample.unoptimised.outputs
    assert same_optimised(output) is not vnni


LIAR = """
    import numpy as np
    __version__ = "0"

    class ExecutionMode: ORT_SEQUENTIAL = 0
    class GraphOptimizationLevel: ORT_DISABLE_ALL = 0
    class SessionOptions:
        def add_session_config_entry(self, name, value): pass

    class Node:
        def __init__(self, name): self.name, self.shape, self.type = name, ["N", 3, 4, 4], "tensor(float)"

    class InferenceSession:
        def __init__(self, path, options, providers):
            self.behaviour = open(path).read().split()[0]
            self.plain = getattr(options, "graph_optimization_level", 1) == 0
            if self.plain and self.behaviour == "refuse":
                raise RuntimeError("no kernel\\nfor this")
        def get_inputs(self): return [Node("a"), Node("b")]
        def run(self, names, feed):
            first = np.float32([feed["a"].mean(), 1.0])
            second = np.asarray(feed["b"].sum(axis=(2, 3)))
            if not self.plain and self.behaviour == "saturate":
                second = np.minimum(second, 0)
            if not self.plain and self.behaviour == "nan":
                second = second * np.float32("nan")
            return [first, second]
"""


@pytest.fixture
def liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An ONNX Runtime with two inputs and two outputs whose optimised graph behaves as the file says."""
    package = tmp_path / "site" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(textwrap.dedent(LIAR), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))

    def model(behaviour: str, operator: str = "QLinearConv") -> Path:
        path = tmp_path / f"{behaviour}.onnx"
        path.write_text(f"{behaviour} {operator}", encoding="utf-8")
        return path

    return model


@pytest.mark.parametrize("behaviour", ["saturate", "nan"])
def test_an_optimised_graph_that_answers_otherwise_is_invalid(liar, behaviour: str) -> None:
    model = liar(behaviour)
    samples = measured(model)
    (trial, _) = samples.replicates
    assert trial.unoptimised is not None
    assert [same_optimised(output) for output in trial.unoptimised.outputs] == [True, False]  # the second output only
    found = warnings_of(samples, model)
    assert f"{behaviour}.onnx answers" in found["optimised_differs"]
    assert "--target x86" in found["optimised_differs"]
    assert validity(judge(samples, [Subject(model, "0" * 64, 4, "onnx", None)], threads=1, blocks=10)) is Validity.INVALID


def test_a_graph_that_cannot_be_run_unoptimised_degrades_and_is_told_on_one_line(liar) -> None:
    model = liar("refuse")
    samples = measured(model)
    assert samples.replicates[0].error == ""
    found = warnings_of(samples, model)
    assert "RuntimeError: no kernel for this" in found["not_compared"]
    assert "optimised_differs" not in found


def test_what_is_not_int8_is_not_asked(liar) -> None:
    assert [replicate.unoptimised for replicate in measured(liar("saturate", "Conv")).replicates] == [None, None]


def draw(number: int, moved: bool) -> np.ndarray:
    return probe_input(number, (1, 6, 6, 1), "float32", moved=moved)


def deviations(optimised, unoptimised) -> list[Deviation]:
    found = compare(optimised, lambda: unoptimised, draw)
    assert found["error"] == ""
    return [Deviation(**output) for output in found["outputs"]]


def test_every_figure_is_a_root_mean_square_over_all_pictures() -> None:
    (output,) = deviations(lambda x: [x + np.float32(0.25)], lambda x: [x])
    assert output.difference == pytest.approx(0.25, rel=1e-6)
    assert output.sensitivity == pytest.approx(2 / 255, rel=1e-5)
    pictures = np.stack([draw(number, False) for number in range(PICTURES)])
    assert output.magnitude == pytest.approx(np.sqrt(np.mean(pictures.astype(np.float64) ** 2)))


def test_what_cannot_be_subtracted_is_said_so() -> None:
    shorter, labels, growing = (
        deviations(*runs)[0]
        for runs in [
            (lambda x: [x[:, 1:]], lambda x: [x]),
            (lambda x: [np.array(["cat"])], lambda x: [np.array(["dog"])]),
            (lambda x: [x[0, 0, :, 0]], lambda x: [x[x > x.mean() + 0.5]]),
        ]
    )
    assert (shorter.difference is None, same_optimised(shorter)) == (True, False)
    assert (labels, same_optimised(labels)) == (Deviation(None, None, 0.0), True)
    assert growing.difference is None


def test_numbers_that_are_not_finite_or_whose_squares_overflow_stay_json() -> None:
    same, huge, apart = (
        deviations(*runs)[0]
        for runs in [
            (lambda x: [np.copysign(np.inf, x)], lambda x: [np.copysign(np.inf, x)]),
            (lambda x: [np.full(3, 1e300)], lambda x: [np.full(3, 1.1e300)]),
            (lambda x: [np.full(3, 1.7e308)], lambda x: [np.full(3, -1.7e308)]),
        ]
    )
    assert same_optimised(same)
    assert huge.difference == pytest.approx(1e299)
    assert (apart.difference, same_optimised(apart)) == (None, False)
    sample = ReplicateSample(0, 0, 0, latency_ns=(1,))
    found = {"pictures": 1, "outputs": [vars(output) for output in (same, huge, apart)]}
    assert ReplicateSample.from_json(json.loads(to_line({**sample.to_json(), "unoptimised": found}))).unoptimised.outputs == (same, huge, apart)


def test_a_slow_one_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_bench.unoptimised.ENOUGH_S", 0.0)
    assert compare(lambda x: [x], lambda: lambda x: [x], draw)["pictures"] == 1
