"""Logs of a phone that was never touched, made into results: which model, which setting, which blocks, and what it is worth."""

import json
import math
import statistics
import struct
from pathlib import Path

import pytest

from dsmobile.benchmark.log_conclusion import ANYTHING_NS
from dsmobile.benchmark.log_import import import_log
from dsmobile.benchmark.result import Validity, Verdict, read_result
from dsmobile.errors import DataError, UsageError
from dsmobile.reporting.terminal import show_result

RUN = """INFO: STARTING!
INFO: Num threads: [{threads}]
INFO: Graph: [/data/local/tmp/{model}]
INFO: Use gpu: [{gpu}]
{delegates}INFO: The input model file size (MB): {size:.6g}
INFO: count=5 first=9000 curr=8000 min=8000 max=9000 avg=8100.5 std=9 p5=8000 median=8000 p95=9000

INFO: count=50 first={high} curr={median} min={low} max={high} avg={mean} std=9 p5={low} median={median} p95={high}

INFO: Inference timings in us: Init: 900, First inference: 9000, Warmup (avg): 8100.5, Inference (avg): {mean}
"""
CPU = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
ON_GPU = "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.\n"
NOT_ON_GPU = "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.\n" + CPU
PARTLY = (
    "VERBOSE: Replacing 40 out of 60 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for subgraph 0.\n"
    "INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels.\n"
)
EMPTY = struct.pack("<I4s5HxxHHiIIIi", 24, b"TFL3", 10, 8, 0, 0, 4, 4, 4, 16, 4, 1, 4, 20)  # a flatbuffer of one subgraph that holds nothing
SIZES = {"a.tflite": 4000, "b.tflite": 9000}


def run_of(model: str, median: int, *, size: int | None = None, threads: int = 4, gpu: int = 0, delegates: str = CPU) -> str:
    size = SIZES.get(model, 4000) if size is None else size
    values = {"low": median - 100, "high": median + 200, "mean": f"{median + 3.5}", "median": median}
    return RUN.format(model=model, threads=threads, gpu=gpu, delegates=delegates, size=size / 1e6, **values)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """Two files that are TFLite by their first bytes; nothing opens them."""
    paths = tuple(tmp_path / name for name in SIZES)
    for path in paths:
        path.write_bytes(EMPTY.ljust(SIZES[path.name], b"\x00"))
    return paths


@pytest.fixture
def imported(tmp_path: Path, models):
    """Imports logs, given as text or bytes."""

    def do(*texts, of=None, **options):
        logs = []
        for number, text in enumerate(texts):
            logs.append(tmp_path / f"phone-{number}.log")
            logs[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
        result, path = import_log(logs, models[:1] if of is None else of, out=tmp_path / "out", **options)
        assert path is None or read_result(path) == result
        return result

    return do


def kinds(result) -> set[str]:
    return {warning.kind for warning in result.warnings}


# Read off by eye: log, its first run's latency in ns, whether that is the mean, threads (1 where the log does not say).
SHARED = [
    ("01", 2_709_263_000, False, 4),
    ("02", 105_718_000, False, 1),
    ("03", 119_375_000, True, 4),
    ("04", 33_209_400, True, 4),
    ("05", 249_684_000, True, 1),
    ("06", 2_950_340_000, True, 4),
    ("07", 1_885_740, True, 1),
    ("08", 7_430_200_000, True, 1),
    ("09", 971_535_000, True, 1),
    ("10", 66_767_600, True, 2),
    ("11", 12_167_600, True, 1),
    ("12", 2_781_000, False, 1),
    ("13", 350_000, False, 1),
    ("14", 540_000, False, 1),
]


@pytest.mark.parametrize("log", SHARED, ids=lambda log: log[0])
def test_every_shared_log(shared_data, tmp_path, models, log) -> None:
    number, latency_ns, mean, threads = log
    (path,) = (shared_data / "benchmark_logs").glob(f"{number}_*.txt")
    result, written = import_log([path], models[:1], out=tmp_path, keep_invalid=True)
    assert (result.artifacts[0].median_latency_ns, result.artifacts[0].threads) == (latency_ns, threads)
    assert result.validity is not Validity.VALID
    assert ("means" in kinds(result)) is mean
    assert read_result(written) == result
    says_size = number not in ("05", "08", "10")
    assert ("other_file" in kinds(result)) is says_size  # the file given has 4000 bytes


def test_cpu_and_gpu_in_one_log_are_two_rows(shared_data, tmp_path, models) -> None:
    (path,) = (shared_data / "benchmark_logs").glob("02_*.txt")
    result, _ = import_log([path], models[:1], out=tmp_path)
    assert [(artifact.delegate, artifact.median_latency_ns) for artifact in result.artifacts] == [("XNNPACK", 105_718_000), ("GPU", 115_350_000)]
    result, _ = import_log([path], models[:1], out=tmp_path, delegate="gpu")
    assert [artifact.delegate for artifact in result.artifacts] == ["GPU"]


def test_results_of_several_settings_are_compared_each_with_itself(imported, tmp_path) -> None:
    from dsmobile.benchmark.compare import compare
    from dsmobile.benchmark.result import write_result

    paths = []
    for number, factor in enumerate((1, 2)):
        log = "".join(run_of("a.tflite", 2000 * factor + x) + run_of("a.tflite", 500 * factor + x, gpu=1, delegates=ON_GPU) for x in range(8))
        paths.append(tmp_path / f"{number}.json")
        write_result(paths[-1], imported(log))
    found = compare(*paths, force=True).artifacts
    assert [round(one.ratio, 2) for one in found] == [0.5, 0.5]  # 2 and 4 ms on the CPU, 0.5 and 1 ms on the GPU: not their mixture
    assert [(one.before, one.after) for one in found] == [(2_003_500, 4_003_500), (503_500, 1_003_500)]


def test_what_a_log_does_not_tell_is_shown_as_unknown(imported) -> None:
    from dsmobile.benchmark.run import to_document
    from dsmobile.reporting.rows import artifact_row

    result = imported(run_of("a.tflite", 2000).replace("Init: 900, First inference: 9000", "Init: 0, First inference: 0"))
    row = artifact_row(result.artifacts[0], result.metric)
    assert (row.load, row.first_inference) == ("–", "–")
    (document,) = to_document(result, None)["artifacts"]
    assert (document["load_ns"], document["first_inference_ns"]) == (None, None)


def test_json_and_text_of_one_run_are_one_run(shared_data, tmp_path, models) -> None:
    paths = sorted((shared_data / "benchmark_logs").glob("13_*"))
    result, _ = import_log(paths, models[:1], out=tmp_path, keep_invalid=True)
    (artifact,) = result.artifacts
    assert len(paths) == 2
    assert len(artifact.replicates) == 1
    assert "left_out" in kinds(result)
    alone, _ = import_log(paths[:1], models[:1], out=tmp_path, keep_invalid=True)
    assert paths[0].suffix == ".json"
    assert (alone.artifacts[0].median_latency_ns, alone.artifacts[0].load_ns) == (350_000, 7_380_000)


def test_a_log_that_is_given_twice_counts_once(imported) -> None:
    result = imported(run_of("a.tflite", 2000), run_of("a.tflite", 2000), run_of("a.tflite", 2001))
    assert len(result.artifacts[0].replicates) == 2
    assert "left_out" in kinds(result)


def test_one_run_is_never_valid_and_its_interval_is_no_point(imported) -> None:
    result = imported(run_of("a.tflite", 2000))
    (artifact,) = result.artifacts
    assert result.validity is Validity.DEGRADED
    assert kinds(result) == {"unseen", "few_runs"}
    assert artifact.interval_ns == (1_899_500, 2_200_500)  # the fastest and the slowest inference, and half of a step
    assert (artifact.delegate, artifact.runtime, artifact.threads) == ("XNNPACK", "benchmark_model", 4)


def test_of_a_mean_alone_no_interval_is_known(imported) -> None:
    result = imported("Inference timings in us: Init: 900, First inference: 9000, Warmup (avg): 8100.5, Inference (avg): 2000\n")
    assert result.artifacts[0].interval_ns == ANYTHING_NS
    assert {"unseen", "few_runs", "means", "file_unconfirmed"} == kinds(result)


def test_networks_in_turn_are_compared_with_an_interval(imported, models) -> None:
    a, b = [2000, 2040, 1980, 2010, 2060, 1990, 2030, 2000, 2020], [4100, 4060, 4080, 4200, 4140, 4000, 4120, 4090, 4150]
    result = imported("".join(run_of("a.tflite", x) + run_of("b.tflite", y) for x, y in zip(a, b, strict=True)), of=models, pairs=[models])
    (pair,) = result.pairs
    logs = [math.log(y / x) for x, y in zip(a, b, strict=True)]
    half = 2.306 * statistics.stdev(logs) / 3  # t for eight degrees of freedom
    assert pair.speedup == pytest.approx(math.exp(statistics.fmean(logs)))
    assert pair.speedup_interval[1] / pair.speedup == pytest.approx(math.exp(half), rel=1e-3)
    assert pair.speedup_interval[1] / pair.speedup > math.exp(half)  # what rounding took away is in it
    assert (pair.blocks, pair.verdict) == (9, Verdict.FASTER)
    assert kinds(result) == {"unseen"}


def test_networks_one_after_the_other_are_not_compared(imported, models) -> None:
    result = imported(
        "".join(run_of("a.tflite", 2000 + x) for x in range(9)), "".join(run_of("b.tflite", 4000 + x) for x in range(9)), of=models, pairs=[models]
    )
    assert result.pairs == ()
    assert kinds(result) == {"unseen", "not_in_turns"}


def test_logs_are_read_in_the_order_given(imported, models) -> None:
    logs = [run_of(name, median + block) for block in range(3) for name, median in (("a.tflite", 2000), ("b.tflite", 4000))]
    assert imported(*logs, of=models, pairs=[models]).pairs[0].blocks == 3


def test_pairs_of_several_settings_must_be_chosen(imported, models) -> None:
    log = "".join(run_of(name, 2000 + block, threads=threads) for block in range(3) for threads in (1, 4) for name in SIZES)
    with pytest.raises(DataError, match="several settings"):
        imported(log, of=models, pairs=[models])
    chosen = imported(log, of=models, pairs=[models], threads=4)
    assert (chosen.pairs[0].blocks, [artifact.threads for artifact in chosen.artifacts]) == (3, [4, 4])
    with pytest.raises(DataError, match="1 thread on CPU"):
        imported(log, of=models, threads=2)


def test_threads_that_the_log_does_not_tell_are_said_to_be_assumed(imported) -> None:
    log = run_of("a.tflite", 2000).replace("INFO: Num threads: [4]\n", "")
    result = imported(log)
    assert result.artifacts[0].threads == 1
    assert "1 is assumed" in result.warnings[0].advice
    told = imported(log, threads=3)
    assert (told.artifacts[0].threads, "assumed" in told.warnings[0].advice) == (3, False)


def test_a_gpu_that_was_asked_for_and_took_nothing(imported) -> None:
    result = imported(run_of("a.tflite", 2000, gpu=1, delegates=NOT_ON_GPU), keep_invalid=True)
    assert result.validity is Validity.INVALID
    assert (result.artifacts[0].delegate, "wrong_delegate" in kinds(result)) == ("XNNPACK", True)


def test_a_gpu_that_took_a_part(imported) -> None:
    result = imported(run_of("a.tflite", 2000, gpu=1, delegates=PARTLY))
    assert (result.validity, result.artifacts[0].delegate) == (Validity.DEGRADED, "GPU+CPU")
    assert result.artifacts[0].coverage == {"nodes": 60, "delegated_nodes": 40, "partitions": 3}
    assert any(warning.kind == "partly_delegated" and "40 of its 60" in warning.advice for warning in result.warnings)


def test_runs_on_the_gpu_and_runs_that_fell_back_are_not_mixed(imported) -> None:
    log = run_of("a.tflite", 1000, gpu=1, delegates=ON_GPU) + run_of("a.tflite", 5000, gpu=1, delegates=NOT_ON_GPU)
    result = imported(log, keep_invalid=True)
    assert [(artifact.delegate, artifact.median_latency_ns) for artifact in result.artifacts] == [("GPU", 1e6), ("XNNPACK", 5e6)]


def test_a_log_of_another_file(imported, models) -> None:
    result = imported(run_of("a.tflite", 2000, size=5000), keep_invalid=True)
    assert (result.validity, "other_file" in kinds(result)) == (Validity.INVALID, True)
    renamed = imported(run_of("model.tflite", 2000, size=SIZES["a.tflite"]))
    assert kinds(renamed) == {"unseen", "few_runs"}  # its size is that of a.tflite
    result = imported(run_of("model.tflite", 2000).replace("The input model file size (MB): 0.004", ""))
    assert "file_unconfirmed" in kinds(result)


def test_runs_of_models_that_were_not_named_are_left_out_and_said_so(imported) -> None:
    result = imported(run_of("a.tflite", 2000) + run_of("b.tflite", 9000))
    assert [artifact.median_latency_ns for artifact in result.artifacts] == [2e6]
    assert any(warning.kind == "left_out" and "b.tflite" in warning.advice for warning in result.warnings)
    with pytest.raises(DataError, match=r"c\.tflite, d\.tflite, and none of a\.tflite"):
        imported(run_of("c.tflite", 2000, size=7) + run_of("d.tflite", 2000, size=8))


def test_a_model_without_a_run(imported, models) -> None:
    with pytest.raises(DataError, match=r"holds no run of b\.tflite"):
        imported(run_of("a.tflite", 2000), of=models)


def test_runs_that_failed_are_counted_and_said(imported) -> None:
    failed = run_of("a.tflite", 2000).split("INFO: count=50")[0] + "ERROR: Failed to allocate tensors!\nBenchmarking failed.\n"
    result = imported(failed + "".join(run_of("a.tflite", 2000 + x) for x in range(8)))
    assert any(warning.kind == "replicate_failed" and "Failed to allocate tensors" in warning.advice for warning in result.warnings)
    assert len(result.artifacts[0].replicates) == 8
    with pytest.raises(DataError, match="Failed to allocate tensors"):
        imported(failed)
    with pytest.raises(DataError, match="ends before its figures"):
        imported(run_of("a.tflite", 2000).split("INFO: Inference timings")[0])


def test_medians_of_some_runs_are_not_set_beside_means_of_others(imported) -> None:
    without = run_of("a.tflite", 2000).replace(" p5=1900 median=2000 p95=2200", "")
    result = imported(run_of("a.tflite", 3000) + without)
    assert [process.median_ns for process in result.artifacts[0].replicates] == [3_003_500, 2_003_500]
    assert "means" in kinds(result)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_however_it_was_written(imported, encoding, end) -> None:
    text = ("$ adb shell ./benchmark_model  # größer\n" + run_of("a.tflite", 2000)).replace("\n", end)
    result = imported(text.encode(encoding))
    assert (result.artifacts[0].median_latency_ns, kinds(result)) == (2e6, {"unseen", "few_runs"})


JUNK = [
    (b"", "is empty"),
    (b" \n\n", "is empty"),
    (bytes(range(256)) * 40, "is no text"),
    (b"\x00" * 5000, "is no text"),
    (b"\x1f\x8b\x08rest", "is an archive"),
    (b"hello\nworld\n", "holds no run"),
    (b'{"latency": 3}', "is JSON"),
    (b'{"latency": {"avg_ms": "x"}}', "is JSON"),
    (b'{"latency": {"avg_ms": 1e999}}', "is JSON"),
    (b"{" * 100_000, "holds no run"),
    (b'{"latency": {"avg_ms": -1.0, "num_runs": 5}}', "timed no inference"),
    (b"count=50 first=1 curr=1 min=1 max=1 avg=" + b"9" * 5000, "broken"),
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_refused_in_one_sentence(imported, junk) -> None:
    with pytest.raises(DataError, match=junk[1]):
        imported(junk[0])


def test_a_line_without_an_end_does_not_fill_the_memory(imported) -> None:
    result = imported("x" * 3_000_000 + " count=50 first=1 curr=1\n" + run_of("a.tflite", 2000))
    assert result.artifacts[0].median_latency_ns == 2e6


def test_what_does_not_fit_together(imported, models, tmp_path) -> None:
    with pytest.raises(UsageError, match="no log"):
        import_log([], models, out=tmp_path)
    with pytest.raises(DataError, match="is not there"):
        import_log([tmp_path / "gone.log"], models, out=tmp_path)
    with pytest.raises(DataError, match="is a folder"):
        import_log([tmp_path], models, out=tmp_path)


def test_names_from_a_log_are_shown_and_not_obeyed(imported, capsys) -> None:
    from rich.console import Console

    log = run_of("[bold]\x1b[31m<script>.tflite", 2000, size=77)
    result = imported(log, keep_invalid=True)
    show_result(result, Console(color_system=None, width=400))
    shown = capsys.readouterr().out
    assert "\x1b[31m" not in shown
    assert "/data/local/tmp" not in json.dumps(result.to_json())


def test_devices_that_nobody_saw_are_not_taken_for_the_same(imported) -> None:
    one, other = imported(run_of("a.tflite", 2000)), imported(run_of("a.tflite", 2001))
    assert one.facts["board"] != other.facts["board"]  # so that `dsmobile compare` refuses the two
