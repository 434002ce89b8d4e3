"""Two results side by side: what may be compared, and what the figures are."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dsmobile.benchmark.compare import compare
from dsmobile.benchmark.result import ArtifactResult, PairResult, Replicate, Result, Validity, Verdict, write_result
from dsmobile.errors import DataError

FACTS = {
    "board": "Raspberry Pi 4 Model B Rev 1.4",
    "cpu_model": "Cortex-A72",
    "cores": 4,
    "machine": "aarch64",
    "pointer_bits": 64,
    "system": "Linux",
}


def artifact(name: str, median_ns: float, seed: int, **changes) -> ArtifactResult:
    logs = np.random.RandomState(seed).normal(math.log(median_ns), 0.01, 12)
    processes = tuple(Replicate(block, 0, (int(np.exp(log)),) * 9, 0, 1, 1, None, float(np.exp(log))) for block, log in enumerate(logs))
    values = {
        "path": f"/models/{name}.tflite", "name": name, "sha256": "a" * 64, "format": "tflite", "recipe": "int8", "role": "separable",
        "pair_id": "p", "runtime": "litert", "runtime_version": "2.3.0", "threads": 1, "size_bytes": 1, "macs": 1, "parameters": 1,
        "median_latency_ns": median_ns, "interval_ns": (median_ns, median_ns), "load_ns": 1.0, "first_inference_ns": 1.0,
        "peak_memory_bytes": None, "exact_kernels": "", "replicates": processes, "delegate": "XNNPACK",
    }  # fmt: skip
    return ArtifactResult(**{**values, **changes})


def result(separable_ns: float, twin_ns: float, seed: int = 0, **changes) -> Result:
    one, other = artifact("net-separable", separable_ns, seed), artifact("net-twin", twin_ns, seed + 1)
    pair = PairResult(one.path, other.path, "litert", "int8", twin_ns / separable_ns, (1.0, 9.0), None, Verdict.FASTER, 0.02, 12)
    values = {
        "dsmobile_version": "0", "started_utc": "2026-01-01T00:00:00+00:00", "device": "ssh", "metric": "latency", "validity": Validity.VALID,
        "warnings": (), "settings": {}, "facts": FACTS, "conditions": ({"governor": "performance"},), "artifacts": (one, other), "pairs": (pair,),
    }  # fmt: skip
    return Result(**{**values, **changes})


@pytest.fixture
def written(tmp_path: Path):
    def write(name: str, value: Result) -> Path:
        write_result(tmp_path / f"{name}.json", value)
        return tmp_path / f"{name}.json"

    return write


def test_the_figures_are_welchs(written) -> None:
    before, after = result(10e6, 80e6), result(8e6, 80e6, seed=10)
    found = compare(written("a", before), written("b", after))
    logs = [[math.log(process.median_ns) for process in each.artifacts[0].replicates] for each in (before, after)]
    expected = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    assert np.log(found.artifacts[0].ratio_interval) == pytest.approx([expected.low, expected.high])
    assert found.artifacts[0].verdict is Verdict.FASTER
    assert found.artifacts[1].verdict is Verdict.NO_DIFFERENCE_SHOWN
    assert found.pairs[0].ratio == pytest.approx(1.25, rel=0.02)
    assert found.pairs[0].verdict is Verdict.FASTER
    assert not found.differences
    assert not found.forced


@pytest.mark.parametrize(
    ("key", "value"), [("runtime", "tflite-runtime"), ("runtime_version", "2.2.0"), ("threads", 4), ("delegate", ""), ("exact_kernels", "native")]
)
def test_artifacts_that_ran_otherwise_are_refused_unless_forced(written, key: str, value) -> None:
    before, after = result(10e6, 80e6), result(8e6, 80e6)
    after = replace(after, artifacts=(replace(after.artifacts[0], **{key: value}), after.artifacts[1]))
    paths = written("a", before), written("b", after)
    with pytest.raises(DataError, match=f"{key} of net-separable") as caught:
        compare(*paths)
    assert "--force" in caught.value.advice
    forced = compare(*paths, force=True)
    assert forced.forced
    assert [difference.what for difference in forced.differences if difference.forbids] == [key]


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {**FACTS, "board": "Raspberry Pi 5 Model B Rev 1.0"}},
        {"facts": {**FACTS, "cpu_model": "Cortex-A76"}},
        {"facts": {**FACTS, "pointer_bits": 32}},
        {"validity": Validity.INVALID},
        {"metric": "instructions"},
    ],
)
def test_other_devices_and_other_metrics_are_refused(written, change: dict) -> None:
    with pytest.raises(DataError, match="unlike"):
        compare(written("a", result(10e6, 80e6)), written("b", replace(result(10e6, 80e6), **change)))


def test_what_only_surrounds_a_run_is_told(written) -> None:
    after = result(10e6, 80e6, facts={**FACTS, "system_release": "6.12"}, conditions=({"governor": "ondemand"},))
    found = compare(written("a", result(10e6, 80e6)), written("b", after))
    assert {difference.what: difference.forbids for difference in found.differences} == {"system_release": False, "governor": False}


def test_another_version_of_a_file_is_compared_and_said(written) -> None:
    before, after = result(10e6, 80e6), result(10e6, 80e6)
    after = replace(after, artifacts=(replace(after.artifacts[0], sha256="b" * 64), after.artifacts[1]))
    found = compare(written("a", before), written("b", after))
    assert [(difference.what, difference.artifact) for difference in found.differences] == [("file", "net-separable")]


def test_nothing_in_common(written) -> None:
    other = replace(result(1e6, 2e6), artifacts=(artifact("x", 1e6, 0), artifact("y", 1e6, 1)), pairs=())
    with pytest.raises(DataError, match="no model is in both"):
        compare(written("a", result(10e6, 80e6)), written("b", other))


def test_a_single_file_each_may_have_another_name(written) -> None:
    alone = [replace(result(1e6, 2e6), artifacts=(artifact(name, 1e6, 0),), pairs=()) for name in "xy"]
    found = compare(written("a", alone[0]), written("b", alone[1]))
    assert found.artifacts[0].name == "x"
    assert found.alone == ()


def test_the_verb(written, tmp_path: Path) -> None:
    paths = [str(written("a [red]", result(10e6, 80e6))), str(written("b", result(8e6, 80e6, seed=10)))]
    shown = run("compare", *paths)
    assert shown.returncode == 0
    assert "a [red].json" in shown.stdout
    assert "no difference shown" in shown.stdout
    document = json.loads(run("compare", *paths, "--json").stdout)
    assert document["schema"] == "dsmobile.comparison/1"
    assert [row["verdict"] for row in document["artifacts"]] == ["faster", "no difference shown"]
    text = json.dumps({**json.loads(Path(paths[1]).read_text()), "validity": "INVALID"})
    Path(paths[1]).write_text(text)
    refused = run("compare", *paths, "--json")
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["error"]["kind"] == "DataError"


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", "from dsmobile.cli import main; main()", *arguments], capture_output=True, text=True, check=False)
