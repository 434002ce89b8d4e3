"""What real tools printed, from 2018 to 2026, against the figures that stand in their logs."""

import json

import pytest

from device_bench.benchmark_model import parse
from device_bench.records import ReplicateSample, Summary

# Log, which run of it: tool, statistic, latency, count, mean, min, max, std (µs), load, first inference (µs), delegate. Read off by eye.
LOGS = [
    ("01", 0, "tflite", "median", 2709263, 10, 2719850, 2640862, 3025403, 105101, 458883, 2732148, "XNNPACK"),
    ("02", 0, "tflite", "median", 105718, 50, 105784, 105416, 106528, 260, 87639, 106436, "XNNPACK"),
    ("02", 1, "tflite", "median", 115350, 50, 115246, 111842, 119614, 1329, 1361236, 125113, "GPU"),
    ("03", 0, "tflite", "mean", 119375, 50, 119375, 113737, 124776, 1948, 870557, 130565, "GPU"),
    ("04", 0, "tflite", "mean", 33209.4, 50, 33209.4, 32641, 34005, 450, 855, 49060, ""),
    ("05", 0, "tflite", "mean", 249684, 50, 249684, 247067, 254474, 1442, 16242, 360262, ""),
    ("06", 0, "tflite", "mean", 2950340, 50, 2950340, 2727568, 3189954, 109798, 17187, 3512391, ""),
    ("07", 0, "tflite", "mean", 1885.74, 520, 1885.74, 1171, 9925, 870, 66002, 637079, "NNAPI"),
    ("08", 0, "litert", "mean", 7430200, 10, 7430200, 7416400, 7448860, 9920, 23744730, 7441040, ""),
    ("09", 0, "tflite", "mean", 971535, 50, 971535, 911877, 1112273, 39112, 6418, 1041765, ""),
    ("10", 0, "tflite", "mean", 66767.6, 15, 66767.6, 66699, 66838, 39, 9933, 127425, ""),
    ("11", 0, "tflite", "mean", 12167.6, 75, 12167.6, 11787, 13649, 325, 126059, 32942, "NNAPI"),
    ("12", 0, "tflite", "median", 2781, 337, 2942.27, 2605, 20356, 1190, 6395, 2761, "XNNPACK"),
    ("13", 0, "litert", "median", 350, 50, 530, 340, 4460, 810, 7380, 500, "XNNPACK"),
    ("14", 0, "litert", "median", 540, 50, 830, 530, 4610, 860, 2600, 920, "XNNPACK"),
]


def text_of(shared_data, number: str) -> str:
    (path,) = (shared_data / "benchmark_logs").glob(f"{number}_*.txt")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log[0]}-{log[1]}")
def test_every_real_log(shared_data, log) -> None:
    number, run, tool, statistic, *figures, delegate = log
    report = parse(text_of(shared_data, number))[run]
    summary = report.summary
    assert (summary.tool, summary.statistic, report.delegate) == (tool, statistic, delegate)
    read = [
        summary.latency_ns,
        summary.count,
        summary.mean_ns,
        summary.min_ns,
        summary.max_ns,
        summary.std_ns,
        report.load_ns,
        report.first_inference_ns,
    ]
    assert [value if place == 1 else value / 1000 for place, value in enumerate(read)] == pytest.approx(figures, rel=1e-12)


def test_no_log_has_more_runs_than_it_shows(shared_data) -> None:
    expected = {f"{number:02}": 1 for number in range(1, 15)} | {"02": 2}
    assert {number: len(parse(text_of(shared_data, number))) for number in expected} == expected


def test_percentiles_partitions_and_how_coarse_the_figures_are(shared_data) -> None:
    report = parse(text_of(shared_data, "12"))[0]
    assert (report.summary.p5_ns, report.summary.p95_ns) == (2_647_000, 3_169_000)
    assert report.summary.resolution_ns == 1000
    assert parse(text_of(shared_data, "06"))[0].summary.resolution_ns == 10_000  # 2.95034e+06 µs
    assert parse(text_of(shared_data, "07"))[0].summary.resolution_ns == 10  # 1885.74 µs
    assert parse(text_of(shared_data, "08"))[0].summary.resolution_ns == 10_000  # 7430.20 ms
    assert parse(text_of(shared_data, "01"))[0].nodes == (1036, 1097, 23)


def test_agrees_with_the_json_that_the_same_run_wrote(shared_data) -> None:
    (path,) = (shared_data / "benchmark_logs").glob("13_*.json")
    latency = json.loads(path.read_text(encoding="utf-8"))["latency"]
    report = parse(text_of(shared_data, "13"))[0]
    names = {"avg": "mean", "median": "median", "min": "min", "max": "max", "std": "std", "p5": "p5", "p95": "p95"}
    for theirs, ours in names.items():
        assert getattr(report.summary, f"{ours}_ns") == pytest.approx(latency[f"{theirs}_ms"] * 1e6)
    assert report.summary.count == latency["num_runs"]
    assert report.load_ns == pytest.approx(latency["init_ms"] * 1e6)


LITERT = """INFO: STARTING!
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: count=526 first=2125 curr=969 min=910 max=2125 avg=949.861 std=68 p5=915 median=939 p95=990
INFO: count=1054 first=1015 curr=942 min=910 max=1102 avg=947.132 std=23 p5=915 median=942 p95=991
INFO: [./litert/tools/benchmark_litert_model.h:72]
========== BENCHMARK RESULTS ==========
INFO: [./litert/tools/benchmark_litert_model.h:73] Model initialization: 5.76 ms
INFO: [./litert/tools/benchmark_litert_model.h:75] Warmup (first):       2.12 ms
INFO: [./litert/tools/benchmark_litert_model.h:77] Warmup (avg):         0.95 ms (526 runs)
INFO: [./litert/tools/benchmark_litert_model.h:79] Inference (avg):      0.95 ms (1054 runs)
INFO: [./litert/tools/benchmark_litert_model.h:83] Inference (min):      0.91 ms
INFO: [./litert/tools/benchmark_litert_model.h:85] Inference (max):      1.10 ms
INFO: [./litert/tools/benchmark_litert_model.h:87] Inference (std):      0.02
"""


def test_litert_s_tool_that_also_tells_microseconds_is_read_finely() -> None:
    (report,) = parse(LITERT)
    assert report.summary == Summary("litert", "median", 942e3, 1054, 947132.0, 942e3, 910e3, 1102e3, 23e3, 915e3, 991e3, 1000.0)
    assert (report.load_ns, report.first_inference_ns) == (5.76e6, 2.12e6)


def test_a_run_that_was_cut_off_is_none(shared_data) -> None:
    whole = text_of(shared_data, "12")
    assert parse(whole[: whole.index("INFO: Inference timings")]) == []  # its last statistics could be the warm-up's
    assert parse("") == parse("ERROR: Failed to mmap model\nINFO: Failed to load\n") == []
    assert parse("No inference runs were performed.\nInference (avg):  0.00 ms (0 runs)\n") == []


def test_figures_that_contradict_one_another_are_refused(shared_data) -> None:
    text = text_of(shared_data, "12")
    assert parse(text.replace("avg=2942.27", "avg=1.5")) == []  # at its end the mean is 2942.27
    assert parse(text.replace("median=2781", "median=12781")) == []  # above the 95th percentile
    wrapped = text.replace("Inference (avg): 2942.27", "Inference (avg): 294\n2.27")  # by a terminal, within a number
    assert parse(wrapped) == []


def test_a_last_line_that_is_cut_off_is_not_believed() -> None:
    end = "Inference timings in us: Init: 10, First inference: 3000, Warmup (avg): 3000, Inference (avg): 25"
    assert parse(end) == []  # of 2500, perhaps
    assert parse(end + "\n")[0].summary.latency_ns == 25_000
    whole = "count=4 first=25 curr=26 min=24 max=26 avg=25 std=1\n" + end
    assert parse(whole)[0].summary.count == 4


def test_a_single_inference() -> None:
    text = (
        "count=1 curr=3000\ncount=1 curr=2500\nInference timings in us: Init: 10, First inference: 3000, Warmup (avg): 3000, Inference (avg): 2500\n"
    )
    (report,) = parse(text)
    assert (report.summary.latency_ns, report.summary.count, report.summary.median_ns) == (2_500_000, 1, 2_500_000)


def test_a_sample_keeps_its_summary_in_json(shared_data) -> None:
    sample = ReplicateSample(0, 0, 0, summary=parse(text_of(shared_data, "12"))[0].summary)
    assert ReplicateSample.from_json(json.loads(json.dumps(sample.to_json()))) == sample
    assert ReplicateSample.from_json({**ReplicateSample(0, 0, 0, error="x").to_json()}).summary is None


def test_every_inference_took_equally_long() -> None:
    text = "count=50 curr=7(all same)\nInference timings in us: Init: 10, First inference: 7, Warmup (avg): 7, Inference (avg): 7\n"
    (report,) = parse(text)
    assert (report.summary.statistic, report.summary.latency_ns, report.summary.count, report.summary.max_ns) == ("median", 7000, 50, 7000)


@pytest.mark.parametrize("mean", ["nan", "-nan", "inf", "0", "1e+30", "-3"])
def test_what_is_no_latency_is_none(mean: str) -> None:
    assert parse(f"Inference timings in us: Init: 10, First inference: 0, Warmup (avg): nan, Inference (avg): {mean}\n") == []


def test_memory_is_in_mebibytes(shared_data) -> None:
    tflite, litert = parse(text_of(shared_data, "02"))[1], parse(text_of(shared_data, "08"))[0]
    assert (tflite.init_memory_bytes, tflite.overall_memory_bytes) == (int(132.816 * 2**20), int(132.816 * 2**20))
    assert (litert.init_memory_bytes, litert.peak_memory_bytes) == (int(6391.74 * 2**20), None)
    peak = "Overall peak memory footprint (MB) via periodic monitoring: 13.5\n"
    end = "Inference timings in us: Init: 10, First inference: 3000, Warmup (avg): 3000, Inference (avg): 25\n"
    assert parse(end + peak)[0].peak_memory_bytes == int(13.5 * 2**20)


# The words in which the tools ended over the years, in lines of our own: line, latency, load, first inference (µs).
ENDS = [
    ("Average inference timings in us: 4321 , Warmup: 5000, ", 4321, None, None),  # 2017
    ("Average inference timings in us: Warmup: 5000, Init: 700, no stats: 4321.5", 4321.5, 700, None),  # 2018
    (
        "E/tflite  (12): Average inference timings in us: Warmup: 5000, Init: 700, Inference: 4321.5Overall max resident set size = 10 MB",
        4321.5,
        700,
        None,
    ),
    ("Inference timings in us: Init: 700, First inference: 6000, Warmup (avg): 5000, Inference (avg): 4321.5", 4321.5, 700, 6000),  # from 2019 on
    ("INFO: [benchmark_litert_model.h:88] Inference (avg):      4.32 ms (14 runs)", 4320, None, None),  # 2025
]


@pytest.mark.parametrize("end", ENDS, ids=range(len(ENDS)))
def test_the_last_line_as_it_was_worded_over_the_years(end) -> None:
    (report,) = parse(end[0] + "\n")
    told = [report.load_ns, report.first_inference_ns]
    assert report.summary.latency_ns == pytest.approx(end[1] * 1000)
    assert [value and value / 1000 for value in told] == list(end[2:])


def test_figures_of_other_tools_and_of_prose_are_not_taken() -> None:
    assert parse("Inference (avg): 12.34 ms\nInference timings in us:\n    Init: 1523\n") == []
    assert parse("I benchmark_model.cc:600] Average inference timings in us: Warmup: 335, no stats: 23, with stats: 24\n") == []
    assert parse("INFO: Inference (avg):     5.5 GB\ncount=3 cats\n") == []
