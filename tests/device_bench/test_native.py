"""The native tool as a runtime, with a stand-in that prints what the real one prints."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device_bench.controller import run
from device_bench.machine import native_version
from device_bench.proof import ONNX, TFLITE, prove
from device_bench.records import Block, PlannedArtifact, ReplicateSample, RunPlan

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux programs")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a script in the tool's place; returns a function that does so."""
    monkeypatch.setenv("HOME", str(tmp_path / "it's a home"))
    place = tmp_path / "it's a home" / ".cache" / "dsmobile" / "tools" / "benchmark_model"
    place.parent.mkdir(parents=True)

    def put(script: str) -> Path:
        place.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        place.chmod(0o755)
        return place

    return put


def plan_for(model: Path, **changes) -> RunPlan:
    return RunPlan((PlannedArtifact(str(model), "benchmark_model"),), (Block(0, (0,)),), threads=2, measure_s=0.5, min_count=7, **changes)


def replicate(plan: RunPlan) -> ReplicateSample:
    documents: list[dict] = []
    run(plan, documents.append)
    (sample,) = [document for document in documents if document["kind"] == "replicate"]
    return ReplicateSample.from_json(json.loads(json.dumps(sample)))


def test_a_process_is_one_run_of_the_tool(tool, shared_data, tmp_path) -> None:
    (log,) = (shared_data / "benchmark_logs").glob("12_*.txt")
    tool(f'printf "%s\\n" "$@" > "{tmp_path}/arguments"\ncat "{log}"')
    model = tmp_path / "a 'strange' $(name).tflite"
    model.write_bytes(TFLITE)
    sample = replicate(plan_for(model))
    assert sample.error == ""
    assert sample.summary is not None
    assert (sample.summary.latency_ns, sample.summary.statistic, sample.summary.tool) == (2_781_000, "median", "tflite")
    assert (sample.load_ns, sample.first_inference_ns, sample.delegate, sample.latency_ns) == (6_395_000, 2_761_000, "XNNPACK", ())
    assert sample.probe is None
    assert sample.runtime_version == native_version()
    assert sample.peak_memory_bytes
    given = (tmp_path / "arguments").read_text().splitlines()
    assert given[:5] == [f"--graph={model}", "--num_threads=2", "--num_runs=7", "--min_secs=0.5", "--max_secs=60"]


def test_the_tools_work_is_ours_and_not_that_of_others(tool, shared_data, tmp_path) -> None:
    (log,) = (shared_data / "benchmark_logs").glob("12_*.txt")
    tool(f'{sys.executable} -c "import time; t = time.process_time()\nwhile time.process_time() - t < 0.5: pass"\ncat "{log}"')
    loop = replicate(plan_for(tmp_path / "m.tflite")).loop
    assert 0.5e9 <= loop["cpu_ns"] <= loop["wall_ns"] * 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo ERROR: Failed to load model; exit 1", "exit status 1; it wrote: ERROR: Failed to load model"),
        ("echo hello", "no figures that are understood"),
        ("kill -ABRT $$", "SIGABRT"),
        ("printf 'a\\033[31mb'; exit 3", "it wrote: a[31mb"),
    ],
)
def test_a_tool_that_fails_says_how(tool, tmp_path, script, said) -> None:
    tool(script)
    assert said in replicate(plan_for(tmp_path / "m.tflite")).error


def test_no_tool_or_one_for_another_machine(tool, tmp_path) -> None:
    assert native_version() is None
    assert "there is no benchmark_model" in replicate(plan_for(tmp_path / "m.tflite")).error
    tool("").write_bytes(b"\x7fELF" + bytes(60))
    assert "does not start: Exec format error" in replicate(plan_for(tmp_path / "m.tflite")).error
    assert "Exec format error" in prove("benchmark_model")["error"]


def test_it_cannot_show_latency_over_time(tool, tmp_path) -> None:
    tool("echo")
    assert "tells no single inference" in replicate(plan_for(tmp_path / "m.tflite", sustained_s=1.0)).error


def test_a_tool_that_does_not_end_leaves_nothing_running(tool, tmp_path) -> None:
    tool(f'echo $$ > "{tmp_path}/pid"\nexec sleep 600')
    sample = replicate(plan_for(tmp_path / "m.tflite", timeout_s=1.0))
    assert sample.error
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_tiny_models_compute_what_they_should() -> None:
    for runtime, module in (("litert", "ai_edge_litert"), ("onnxruntime", "onnxruntime")):
        pytest.importorskip(module)
        folder = Path(__file__).parents[2] / "device_bench"
        done = subprocess.run([sys.executable, str(folder), "--prove", runtime], capture_output=True, text=True, check=True, env={**os.environ})
        answer = json.loads(done.stdout)
        assert "error" not in answer
        assert answer["version"]
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load_model_from_string(ONNX))
    assert prove("tflite-runtime").get("error", "").startswith("ModuleNotFoundError")
