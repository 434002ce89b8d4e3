"""What the harness adds to its runtime: python benchmarks/harness_overhead.py MODEL [--rounds N]

Alternates, in fresh processes, a bare script that imports the runtime, opens the model and runs it twice, with the harness's own process that
does the same, and prints the differences of the medians: seconds from start to end, and megabytes of the largest resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from device_bench.records import PlannedArtifact, RunPlan
from dsmobile.devices.device import harness_files

TFLITE = """
from ai_edge_litert.interpreter import Interpreter
model = Interpreter(model_path=sys.argv[1], num_threads=1)
model.allocate_tensors()
for detail in model.get_input_details():
    model.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
model.invoke(); model.invoke()
"""
ONNX = """
import onnxruntime as ort
options = ort.SessionOptions(); options.intra_op_num_threads = 1
model = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
kinds = {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}
feed = {node.name: np.zeros([size if isinstance(size, int) else 1 for size in node.shape], kinds[node.type]) for node in model.get_inputs()}
model.run(None, feed); model.run(None, feed)
"""
BARE = "import resource, sys\nimport numpy as np\n{}print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"


def main() -> None:
    """Prints both medians and their differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    onnx = arguments.model.suffix == ".onnx"
    plan = RunPlan((PlannedArtifact(str(arguments.model.resolve()), "onnxruntime" if onnx else "litert"),), (), measure_s=0.0, min_count=1)
    harness = [sys.executable, str(harness_files()[0].parent), "--replicate", json.dumps(replace(plan, blocks=()).to_json())]
    bare = [sys.executable, "-c", BARE.format(ONNX if onnx else TFLITE), str(arguments.model)]
    seen: dict[str, list[tuple[float, float]]] = {"bare": [], "harness": []}
    for _ in range(arguments.rounds):
        for name, command in (("bare", bare), ("harness", harness)):
            seconds, out = timed(command)
            memory = json.loads(out)["peak_memory_bytes"] if name == "harness" else int(out)
            seen[name].append((seconds, memory / 1e6))
    medians = {name: [statistics.median(values) for values in zip(*pairs, strict=True)] for name, pairs in seen.items()}
    for name, (seconds, megabytes) in medians.items():
        print(f"{name:8} {seconds:6.3f} s  {megabytes:6.1f} MB")
    print(f"adds     {medians['harness'][0] - medians['bare'][0]:6.3f} s  {medians['harness'][1] - medians['bare'][1]:6.1f} MB")


def timed(command: list[str]) -> tuple[float, str]:
    """Seconds, and what it printed; the harness's process needs a standard input that stays open."""
    started = time.perf_counter()
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None and process.stdin is not None
    out = process.stdout.read()
    process.wait()
    seconds = time.perf_counter() - started
    process.stdin.close()
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with exit status {process.returncode}")
    return seconds, out


if __name__ == "__main__":
    main()
