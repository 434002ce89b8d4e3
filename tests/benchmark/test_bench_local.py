"""`dsmobile bench` from end to end on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer.testing

from dsmobile.benchmark.conclusion import of_self_tests
from dsmobile.benchmark.result import Validity, Verdict, read_result
from dsmobile.benchmark.run import bench, exit_code, to_document
from dsmobile.errors import DeviceError, ModelError, UsageError

BENCH = """
import sys, typer
from dsmobile.cli import bench
app = typer.Typer()
app.command("bench", cls=bench.Command)(bench.bench)
app(sys.argv[1:])
"""


def verb(*arguments: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", BENCH, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def measured(tiny_files, tmp_path_factory):
    """Both formats in one run."""
    out = tmp_path_factory.mktemp("out")
    seen = []
    result, path = bench(
        [tiny_files["small"], tiny_files["onnx"]],
        pairs=[(tiny_files["small"], tiny_files["large"])],
        budget_s=20.0,
        out=out,
        progress=lambda text, share: seen.append((text, share)),
    )
    return result, path, out, seen


def test_the_result_is_whole_and_reads_back(measured) -> None:
    result, path, out, _ = measured
    assert path.parent == (out / "results").resolve()
    assert read_result(path) == result
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert not (out / "samples").exists()
    assert result.device == "local"
    assert result.metric == "latency"
    assert result.validity is not Validity.INVALID


def test_every_figure_follows_from_the_raw_nanoseconds(measured) -> None:
    import numpy as np
    from scipy import stats

    result = measured[0]
    for artifact in result.artifacts:
        medians = [np.median(replicate.latency_ns[replicate.warmup_count :]) for replicate in artifact.replicates]
        assert [replicate.median_ns for replicate in artifact.replicates] == medians
        assert artifact.median_latency_ns == np.median(medians)
        assert artifact.interval_ns[0] <= artifact.median_latency_ns <= artifact.interval_ns[1]
        assert artifact.interval_ns[0] in medians
        assert artifact.load_ns == np.median([replicate.load_ns for replicate in artifact.replicates])
        assert [replicate.block for replicate in artifact.replicates] == list(range(result.settings["blocks"]))
        assert artifact.macs is None
        assert artifact.recipe is None
    (pair,) = result.pairs
    small, large = result.artifacts[0], result.artifacts[2]
    logs = [np.log(b.median_ns / a.median_ns) for a, b in zip(small.replicates, large.replicates, strict=True)]
    assert (pair.separable, pair.twin) == (small.path, large.path)
    assert pair.speedup == pytest.approx(np.exp(np.mean(logs)))
    # a run that precision ended reports Stein's interval where it is the wider: its spread is that of the first eight blocks
    stages = [logs[:8], logs] if result.settings["stopped_by"] == "precision" else [logs]
    half = max(stats.t.ppf(0.975, len(stage) - 1) * np.std(stage, ddof=1) for stage in stages) / np.sqrt(len(logs))
    assert pair.speedup_interval == pytest.approx(tuple(np.exp([np.mean(logs) - half, np.mean(logs) + half])))
    assert pair.macs_ratio is None


def test_runtimes_versions_and_facts_are_told(measured) -> None:
    import importlib.metadata

    result = measured[0]
    assert [artifact.runtime for artifact in result.artifacts] == ["litert", "onnxruntime", "litert"]
    assert result.artifacts[0].runtime_version == importlib.metadata.version("ai-edge-litert")
    assert result.artifacts[1].runtime_version == importlib.metadata.version("onnxruntime")
    assert result.facts["cores"] == os.cpu_count()
    assert result.conditions[0]["when"] == "before"


def test_the_order_within_the_blocks_is_drawn(measured) -> None:
    positions = {replicate.position for replicate in measured[0].artifacts[0].replicates}
    assert len(positions) > 1


def test_progress_speaks_at_the_ends_of_calls_only(measured) -> None:
    result, _, _, seen = measured
    assert len(seen) <= result.settings["blocks"] + 2
    assert all(0.0 <= share <= 1.0 for _, share in seen)


def test_the_document_has_the_contracts_names(measured) -> None:
    result, path, _, _ = measured
    document = json.loads(json.dumps(to_document(result, path), allow_nan=False))
    assert list(document) == ["result", "metric", "validity", "warnings", "artifacts", "pairs"]
    assert Path(document["result"]).is_absolute()
    assert {"path", "runtime", "median_latency_ns", "interval_ns"} <= document["artifacts"][0].keys()
    assert {"separable", "twin", "speedup", "speedup_interval", "macs_ratio", "verdict", "minimum_detectable"} <= document["pairs"][0].keys()
    assert exit_code(result) == 0


def test_a_separable_network_is_compared_with_its_twin_by_their_manifests(pair_of_files, tmp_path: Path) -> None:
    result, path = bench(list(pair_of_files), budget_s=0.5, out=tmp_path)
    (pair,) = result.pairs
    assert pair.macs_ratio == 8.0
    assert pair.recipe == "float32"
    assert pair.blocks == 3
    assert "short_budget" in [warning.kind for warning in result.warnings]
    assert result.validity is Validity.DEGRADED
    assert path is not None


def test_another_answer_than_the_exporters_is_invalid_and_not_written(pair_of_files, tmp_path: Path) -> None:
    from dsmobile.exporters.artifact import manifest_path

    manifest = manifest_path(pair_of_files[0])
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["probe"]["values"][3] += 0.5
    manifest.write_text(json.dumps(document), encoding="utf-8")
    result, path = bench([pair_of_files[0]], budget_s=0.1, out=tmp_path / "a")
    assert result.validity is Validity.INVALID
    assert "numerics" in [warning.kind for warning in result.warnings]
    assert path is None
    assert list((tmp_path / "a" / "results").iterdir()) == []
    done = verb(pair_of_files[0], "--budget", 0.1, "--out", tmp_path / "b", "--json", "--keep-invalid")
    assert done.returncode == 6
    document = json.loads(done.stdout)
    assert document["validity"] == "INVALID"
    assert read_result(Path(document["result"])).validity is Validity.INVALID


def test_an_int8_file_and_a_file_with_real_weights(shared_data, tmp_path: Path) -> None:
    files = [shared_data / "artifacts" / name for name in ("kws_ref_model.tflite", "kws_ref_model_qdq.onnx", "vww_96_int8.tflite")]
    result, _ = bench(files, budget_s=1.0, out=tmp_path, threads=min(2, os.cpu_count() or 1))
    assert result.validity is not Validity.INVALID
    assert [artifact.exact_kernels for artifact in result.artifacts] == ["", result.artifacts[1].exact_kernels, ""]
    assert result.artifacts[1].exact_kernels in ("native", "x64quantprecision")


def test_a_file_that_its_runtime_refuses_is_a_model_error_before_measuring(tiny_files, unknown_operator, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(unknown_operator)
    with pytest.raises(ModelError, match=r"bad\.onnx cannot be run"):
        bench([tiny_files["onnx"], bad], budget_s=5.0, out=tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_bad_options_are_refused_before_anything_runs(tiny_files, tmp_path: Path) -> None:
    for options in ({"threads": 0}, {"threads": 10_000}, {"budget_s": 0.0}, {"budget_s": float("nan")}, {"device": "nowhere"}):
        with pytest.raises(UsageError):
            bench([tiny_files["small"]], out=tmp_path, **options)
    with pytest.raises(DeviceError, match="no program"):
        bench([tiny_files["small"]], out=tmp_path, python="/no/such/python")


def test_the_verb_prints_one_document_and_no_more(tiny_files, tmp_path: Path) -> None:
    small, large = tiny_files["small"], tiny_files["large"]
    done = verb("--pair", small, large, "--pair", large, small, tiny_files["onnx"], "--budget", 0.1, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(Path(pair["separable"]).name, Path(pair["twin"]).name) for pair in document["pairs"]] == [
        ("small.tflite", "large.tflite"),
        ("large.tflite", "small.tflite"),
    ]
    assert len(document["artifacts"]) == 3
    done = verb(tmp_path / "absent.tflite", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["kind"] == "ModelError"


def test_help_names_the_options() -> None:
    from dsmobile.cli import bench as module

    app = typer.Typer()
    app.command("bench", cls=module.Command)(module.bench)
    text = typer.testing.CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert all(option in text for option in ("--device", "--threads", "--budget", "--pair", "--python", "--keep-invalid", "--out", "--json"))


def test_a_benchmark_never_loads_tensorflow(tiny_files, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dsmobile.benchmark.run import bench;"
        "bench([Path(sys.argv[1])], budget_s=0.1, out=Path(sys.argv[2]));"
        "print([m for m in ('tensorflow', 'keras', 'ai_edge_litert', 'onnxruntime', 'onnx', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_files["small"]), str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_no_process_and_no_half_written_result(tiny_files, tmp_path: Path, number, status) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BENCH, str(tiny_files["small"]), "--budget", "10", "--out", str(tmp_path / "out"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 60
    while not any('"kind": "replicate", "block": 0' in path.read_text() for path in tmp_path.glob("out/samples/*.jsonl")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == status
    if number == signal.SIGINT:
        assert json.loads(out)["error"]["kind"] == "Interrupted"
    assert list((tmp_path / "out" / "results").iterdir()) == []
    assert len(list((tmp_path / "out" / "samples").glob("*.jsonl"))) == 1  # what it had
    assert list(tmp_path.glob("dsmobile-*")) == []
    assert leftovers(str(tmp_path)) == []


def leftovers(word: str) -> list[str]:
    time.sleep(1.0)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if word in (entry / "cmdline").read_bytes().decode(errors="replace") and int(entry.name) != os.getpid():
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_a_self_test_measures_a_file_against_itself(tiny_files, tmp_path: Path) -> None:
    result, path = bench([tiny_files["small"]], self_test=True, budget_s=2.0, out=tmp_path)
    assert [artifact.path for artifact in result.artifacts] == [str(tiny_files["small"])] * 2
    (pair,) = result.pairs
    assert pair.of_itself
    assert pair.blocks >= 3
    assert read_result(path) == result


def test_a_self_test_that_sees_ghosts_fails_the_check(tiny_files, tmp_path: Path) -> None:
    result, _ = bench([tiny_files["small"]], self_test=True, budget_s=1.0, out=tmp_path)
    ghost = replace(result, pairs=(replace(result.pairs[0], verdict=Verdict.FASTER),), validity=Validity.DEGRADED)
    assert next(iter(of_self_tests(ghost.pairs))).kind == "self_test"
    assert exit_code(replace(ghost, warnings=tuple(of_self_tests(ghost.pairs)))) == 7
    assert exit_code(replace(result, warnings=(), validity=Validity.VALID)) == 0


def test_a_self_test_takes_no_pairs(tiny_files, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="self-test"):
        bench([], pairs=[(tiny_files["small"], tiny_files["large"])], self_test=True, out=tmp_path)


def test_a_run_ends_when_its_ratio_is_known(tiny_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a precision that any run reaches, eight blocks are enough."""
    monkeypatch.setattr("dsmobile.benchmark.statistics.PRECISION", 100.0)
    result, _ = bench([], pairs=[(tiny_files["small"], tiny_files["large"])], budget_s=60.0, out=tmp_path)
    assert result.settings["stopped_by"] == "precision"
    assert 8 <= result.settings["blocks"] <= 8 + 16
    assert result.settings["elapsed_s"] < 50
