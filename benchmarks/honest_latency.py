"""The claim: `dsmobile bench` reports what a bare invoke() loop takes. Alternates the two in fresh processes and prints their ratio.

    python benchmarks/honest_latency.py MODEL.tflite [--rounds 20] [--threads 1] [--seconds 1.0]

The bare loop is written below, apart from everything that dsmobile does: 20 inferences to warm up, then the median of the timed ones.
Exits 0 where the ratio lies between 0.98 and 1.02.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from device_bench.records import Block, PlannedArtifact, RunPlan, read_samples
from dsmobile.benchmark.plan import INFERENCES, MOST_COUNT
from dsmobile.benchmark.statistics import log_ratio
from dsmobile.devices.device import harness_files
from dsmobile.exporters.sniff import check_model_file

ALLOWED = (0.98, 1.02)
BARE_TFLITE = """
import statistics, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=int(sys.argv[2])); interpreter.allocate_tensors()
for d in interpreter.get_input_details():
    interpreter.set_tensor(d["index"], np.random.default_rng(0).standard_normal(d["shape"]).astype(d["dtype"]))
times, end = [], time.perf_counter() + float(sys.argv[3])
while len(times) < 40 or (time.perf_counter() < end and len(times) < 1020):
    start = time.perf_counter_ns(); interpreter.invoke(); times.append(time.perf_counter_ns() - start)
print(statistics.median(times[20:]))
"""
BARE_ONNX = """
import statistics, sys, time
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions(); options.intra_op_num_threads = int(sys.argv[2]); options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
dtypes = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}
feed = {i.name: np.random.default_rng(0).standard_normal([s if isinstance(s, int) else 1 for s in i.shape]).astype(dtypes[i.type])
        for i in session.get_inputs()}
times, end = [], time.perf_counter() + float(sys.argv[3])
while len(times) < 40 or (time.perf_counter() < end and len(times) < 1020):
    start = time.perf_counter_ns(); session.run(None, feed); times.append(time.perf_counter_ns() - start)
print(statistics.median(times[20:]))
"""


def bare(model: Path, kind: str, threads: int, seconds: float) -> float:
    """Median latency in nanoseconds of a bare loop in a fresh process."""
    code = BARE_TFLITE if kind == "tflite" else BARE_ONNX
    command = [sys.executable, "-c", code, str(model), str(threads), str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def harness(model: Path, kind: str, threads: int, seconds: float) -> float:
    """Median latency in nanoseconds of one replicate of the harness, after the warm-up that it finds."""
    artifact = PlannedArtifact(str(model), "litert" if kind == "tflite" else "onnxruntime")
    plan = RunPlan((artifact,), (Block(0, (0,)),), threads=threads, measure_s=seconds, min_count=MOST_COUNT, max_count=INFERENCES)
    with tempfile.TemporaryDirectory() as folder:
        plan_path, samples_path = Path(folder) / "plan.json", Path(folder) / "samples.jsonl"
        plan_path.write_text(json.dumps(plan.to_json()), encoding="utf-8")
        subprocess.run([sys.executable, str(harness_files()[0].parent), str(plan_path), str(samples_path)], check=True)
        replicate = read_samples(samples_path.read_text(encoding="utf-8")).replicates[0]
    if replicate.error:
        raise SystemExit(replicate.error)
    return float(statistics.median(replicate.latency_ns[replicate.warmup_count :]))


def main() -> int:
    """Alternates the two and prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    asked = parser.parse_args()
    model, kind, generator = asked.model.resolve(), check_model_file(asked.model), random.Random(0)
    ours, theirs = [], []
    for number in range(asked.rounds):
        for measure, medians in generator.sample([(harness, ours), (bare, theirs)], 2):
            medians.append(measure(model, kind, asked.threads, asked.seconds))
        print(f"round {number + 1}: harness {ours[-1] / 1e6:.4f} ms, bare loop {theirs[-1] / 1e6:.4f} ms, ratio {ours[-1] / theirs[-1]:.4f}")
    found = log_ratio(ours, theirs)
    medians = statistics.median(ours) / statistics.median(theirs)
    low, high = found.interval
    print(f"medians {statistics.median(ours) / 1e6:.4f} and {statistics.median(theirs) / 1e6:.4f} ms, ratio {medians:.4f}")
    print(f"ratio {found.ratio:.4f}, 95% interval {low:.4f} to {high:.4f}, {found.blocks} rounds")
    return 0 if ALLOWED[0] <= medians <= ALLOWED[1] else 7


if __name__ == "__main__":
    sys.exit(main())
