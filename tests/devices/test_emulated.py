"""The emulated ARM machine: what it counts is the same at every boot, what it answers is what this machine answers."""

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from device_bench.records import Block, PlannedArtifact, ReplicateSample, RunPlan
from dsmobile.devices import emulated, emulated_machine
from dsmobile.devices.emulated_image import present_image
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.opening import open_device
from dsmobile.devices.setup import setup
from dsmobile.errors import DeviceError, MeasurementError, UsageError
from dsmobile.files import sha256

pytestmark = pytest.mark.devices

ADDRESS = "emulated:cortex-a72"


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where the image stays between the tests, as it does on a person's machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsmobile-tests" / "device-wheels"


@pytest.fixture
def machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a machine that is set up."""
    monkeypatch.setenv("DSMOBILE_CACHE", str(cache))
    if lacking := emulated_machine.missing():
        pytest.skip(f"needs {lacking}")
    try:
        emulated.set_up("cortex-a72")
    except DeviceError as error:
        pytest.skip(f"the machine cannot be set up: {error.message}")
    return ADDRESS


def samples(device: Any, files: list[Path], blocks: int = 1, **settings: Any) -> tuple[dict[str, Any], list[ReplicateSample]]:
    """The facts in the header, and the processes."""
    documents: list[dict[str, Any]] = []
    with device:
        places = device.push([(path, sha256(path)) for path in files])
        planned = tuple(
            PlannedArtifact(place, "onnxruntime" if path.suffix == ".onnx" else "litert") for place, path in zip(places, files, strict=True)
        )
        order = tuple(range(len(files)))
        settings = {"measure_s": 0.0, "min_count": 7, **settings}
        device.measure(RunPlan(planned, tuple(Block(index, order) for index in range(blocks)), **settings), documents.append)
    found = [ReplicateSample.from_json(document) for document in documents if document["kind"] == "replicate"]
    assert [sample.error for sample in found] == [""] * len(files) * blocks
    return next(document["facts"] for document in documents if document["kind"] == "header"), found


def median(sample: ReplicateSample) -> float:
    return statistics.median(sample.latency_ns)


def separable_and_standard(folder: Path) -> list[Path]:
    """A depthwise separable layer and the standard convolution in its place, 3x3 and 32 to 64 channels on 16x16."""
    onnx = pytest.importorskip("onnx")
    import numpy as np

    random = np.random.RandomState(0)

    def model(name: str, shapes: list[tuple[tuple[int, ...], int]]) -> Path:
        values, nodes, last = [], [], "x"
        for number, (shape, group) in enumerate(shapes):
            values.append(onnx.numpy_helper.from_array(random.randn(*shape).astype(np.float32) * 0.1, f"w{number}"))
            padding = [shape[2] // 2] * 4
            end = "y" if number == len(shapes) - 1 else f"t{number}"
            nodes.append(onnx.helper.make_node("Conv", [last, f"w{number}"], [end], group=group, pads=padding))
            last = end
        ends = [onnx.helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, [1, depth, 16, 16]) for key, depth in (("x", 32), ("y", 64))]
        graph = onnx.helper.make_graph(nodes, name, ends[:1], ends[1:], values)
        path = folder / f"{name}.onnx"
        path.write_bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9).SerializeToString())
        return path

    return [model("separable", [((32, 1, 3, 3), 32), ((64, 32, 1, 1), 1)]), model("standard", [((64, 32, 3, 3), 1)])]


def test_counts_alike_in_every_process_and_answers_as_here(machine, shared_data, tmp_path) -> None:
    files = [shared_data / "artifacts" / "kws_ref_model.tflite", *separable_and_standard(tmp_path)]
    facts, found = samples(open_device(machine), files, blocks=2)
    assert (facts["machine"], facts["cores"], facts["counts_instructions"]) == ("aarch64", 1, True)
    one, other = found[:3], found[3:]
    for a, b in zip(one, other, strict=True):
        assert median(a) == pytest.approx(median(b), rel=0.01)
    separable, standard = one[1:]
    macs_ratio = 9 * 32 * 64 / (9 * 32 + 32 * 64)
    assert 1.5 < median(standard) / median(separable) < 2 * macs_ratio
    _, here = samples(LocalDevice(sys.executable), files)
    assert one[0].probe == here[0].probe
    for a, b in zip(one[1:], here[1:], strict=True):
        assert a.probe.values == pytest.approx(b.probe.values, rel=1e-6, abs=1e-6)


@pytest.mark.slow
def test_counts_alike_at_two_boots(machine, shared_data) -> None:
    files = [shared_data / "artifacts" / name for name in ("kws_ref_model.tflite", "vww_96_int8.tflite", "kws_ref_model_qdq.onnx")]
    (_, one), (_, other) = (samples(open_device(machine), files) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert median(a) == pytest.approx(median(b), rel=0.01)


@pytest.mark.slow
def test_an_instruction_is_a_nanosecond_on_both_processors_and_more_work_counts_more(machine, shared_data) -> None:
    emulated.set_up("cortex-a76")
    file = shared_data / "artifacts" / "kws_ref_model.tflite"
    (one,), (other,) = (samples(open_device(f"emulated:{processor}"), [file])[1] for processor in ("cortex-a72", "cortex-a76"))
    assert median(other) < 0.6 * median(one)  # four 8-bit products in an instruction, which the A72 does not have
    assert one.probe == other.probe


@pytest.mark.slow
def test_setting_it_up_again_does_nothing(machine) -> None:
    said: list[str] = []
    document = setup(machine, say=said.append)
    assert said == []
    assert [(runtime["name"], runtime["error"]) for runtime in document["runtimes"]] == [("litert", None), ("onnxruntime", None)]
    with pytest.raises(UsageError, match="do not apply"):
        setup(machine, python="python3.12")


def test_its_state_does_not_matter(machine) -> None:
    with open_device(machine) as device:
        assert device.settle(60.0, lambda _: None)["settled"]
        with device.keep(None, lambda _: None) as held:
            assert held["governor"] == []
        with pytest.raises(UsageError, match="--governor does not apply"):
            device.keep("performance", lambda _: None)
        with pytest.raises(UsageError, match="one core"):
            device.measure(RunPlan((), (), threads=2), lambda _: None)
    with pytest.raises(UsageError, match="has its own"):
        open_device(machine, python="python3.12")


def test_one_that_is_not_set_up_says_how(tmp_path, monkeypatch) -> None:
    if emulated_machine.missing():
        pytest.skip("needs QEMU")
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path))
    with pytest.raises(DeviceError, match="is not set up") as caught, open_device(ADDRESS):
        pass
    assert "dsmobile devices setup emulated:cortex-a72" in caught.value.advice


def test_without_qemu_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeviceError, match="no QEMU") as caught, open_device(ADDRESS):
        pass
    assert "qemu-system-arm" in caught.value.advice


def test_a_clock_that_counts_something_else_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"counts 0\.500 instructions"):
        emulated_machine._checked({"instructions_per_ns": 0.5, "uptime_s": 1.0})


@pytest.mark.slow
def test_a_kernel_that_does_not_boot_is_one_sentence(machine, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(emulated_machine, "_KERNEL_COMMAND_LINE", emulated_machine._KERNEL_COMMAND_LINE.replace("/init", "/nothing"))
    with pytest.raises(DeviceError, match="ended before its work was done") as caught:
        emulated_machine.run(present_image(), "cortex-a72", [["--facts"]], {}, lambda _: None, silence_s=10.0)
    assert caught.value.message.isprintable()


@pytest.mark.slow
def test_a_harness_that_fails_is_reported(machine) -> None:
    with pytest.raises(DeviceError, match="harness on the emulated machine failed"):
        emulated_machine.run(present_image(), "cortex-a72", [["--no-such-option"]], {}, lambda _: None, silence_s=10.0)


BOOTS = """
import sys
from dsmobile.devices import emulated_machine
from dsmobile.devices.emulated_image import present_image
def said(document):
    print("answered", flush=True)
    import time; time.sleep(600)
emulated_machine.run(present_image(), "cortex-a72", [["--facts"]], {}, said, silence_s=60.0)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_no_machine_outlives_its_host(machine, tmp_path, number) -> None:
    host = subprocess.Popen(
        [sys.executable, "-c", BOOTS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    try:
        assert host.stdout.readline() == "answered\n"
    finally:
        host.send_signal(number)
        host.wait()
    deadline = time.monotonic() + 10
    while (left := machines_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    if number == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []


def machines_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if emulated_machine.QEMU in line and str(folder) in line:
            found.append(line)
    return found
