"""Logs of several runs, of several processes, of several delegates: which line is of which run, and who ran it."""

import pytest

from device_bench.benchmark_model import Run, parse, parse_runs

START = "STARTING!\nNum threads: [{threads}]\nGraph: [/data/local/tmp/{model}]\n{delegates}The input model file size (MB): 4.2761\n"
FIGURES = (
    "count=5 first={first} curr=2100 min=2000 max={first} avg=2100.5 std=9\n\n"
    "count=50 first={mean} curr={mean} min={mean} max={mean} avg={mean} std=0 p5={mean} median={mean} p95={mean}\n\n"
)
END = "Inference timings in us: Init: 900, First inference: {first}, Warmup (avg): 2100.5, Inference (avg): {mean}\n"
XNNPACK = "Created TensorFlow Lite XNNPACK delegate for CPU.\n"


def a_run(model: str = "a.tflite", mean: int = 2000, threads: int = 4, delegates: str = XNNPACK) -> str:
    return START.format(model=model, threads=threads, delegates=delegates) + FIGURES.format(mean=mean, first=3000) + END.format(mean=mean, first=3000)


def runs_of(text: str) -> list[Run]:
    return parse_runs(text.splitlines(keepends=True))


def test_what_a_run_says_of_itself() -> None:
    (run,) = runs_of(a_run())
    assert (run.setup.model, run.setup.threads, run.setup.requested, run.setup.profiled) == ("/data/local/tmp/a.tflite", 4, (), False)
    assert run.setup.model_bytes[0] < 4_276_100 < run.setup.model_bytes[1] < 4_276_152
    assert run.report.warmup_count == 5


def test_what_the_real_logs_say_of_themselves(shared_data) -> None:
    def setup(number: str, run: int = 0):
        (path,) = (shared_data / "benchmark_logs").glob(f"{number}_*.txt")
        return runs_of(path.read_text(encoding="utf-8"))[run].setup

    assert (setup("01").model, setup("01").threads) == ("/data/local/tmp/yolo26l_fp16.tflite", 4)
    assert (setup("02", 1).requested, setup("02", 1).threads) == (("GPU",), None)
    assert (setup("06").model, setup("06").profiled) == ("./mobilenet_v1_1.0_224.tflite", True)
    assert setup("06").model_bytes[0] < 16_900_800 < setup("06").model_bytes[1]
    assert setup("09").forbidden == ("XNNPACK",)
    assert (setup("10").model, setup("10").threads) == ("/data/local/tmp/tflite/tfmodel/mobilenet_v1_1.0_224_quant.tflite", 2)
    assert (setup("13").model, setup("13").threads, setup("13").fully_accelerated) == ("models/mnv2_96_fp32.tflite", 1, True)
    assert (setup("14").model, setup("14").fully_accelerated) == ("models/mnv2_96_int8_int8.tflite", False)
    assert setup("13").model_bytes[0] < 1.54 * 2**20 < setup("13").model_bytes[1]


def test_runs_that_follow_one_another_keep_their_own() -> None:
    runs = runs_of(a_run("a.tflite", 2000) + a_run("b.tflite", 7000, threads=1) + a_run("a.tflite", 2001))
    assert [(run.setup.model[-8:], run.setup.threads, run.report.summary.latency_ns) for run in runs] == [
        ("a.tflite", 4, 2e6),
        ("b.tflite", 1, 7e6),
        ("a.tflite", 4, 2.001e6),
    ]


def test_runs_without_a_beginning_are_told_apart_by_their_ends() -> None:
    ends = [END.format(mean=mean, first=3000) for mean in (2000, 2000, 2500)]
    assert [report.summary.latency_ns for report in parse("".join(ends))] == [2e6, 2.5e6]  # two listeners of one run print the same
    figures = "".join(FIGURES.format(mean=mean, first=3000) + END.format(mean=mean, first=3000) for mean in (2000, 2500))
    assert [report.summary.count for report in parse(figures)] == [50, 50]


def test_a_command_tells_what_the_excerpt_after_it_does_not() -> None:
    text = "$ ./benchmark_model \\\n  --use_gpu=true \\\n  --graph=/x/{}.tflite --num_threads=3\n" + END.format(mean=2000, first=3000)
    runs = runs_of(text.format("a") + text.format("b"))
    assert [(run.setup.model, run.setup.threads, run.setup.requested) for run in runs] == [("/x/a.tflite", 3, ("GPU",)), ("/x/b.tflite", 3, ("GPU",))]


def test_a_run_that_was_cut_off_does_not_take_from_the_next_one() -> None:
    whole = a_run("b.tflite", 7000)
    cut, done = runs_of(a_run("a.tflite").split("count=50")[0] + whole)
    assert (cut.report, cut.setup.model, cut.error) == (None, "/data/local/tmp/a.tflite", "its log ends before its figures")
    assert done.report.summary.latency_ns == 7e6


@pytest.mark.parametrize("words", ["ERROR: Node number 3 (TfLiteGpuDelegateV2) failed to invoke.", "Benchmarking failed."])
def test_figures_of_a_run_that_failed_do_not_count(words: str) -> None:
    (run,) = runs_of(a_run() + words + "\n")
    assert run.report is None and words in run.error
    (run,) = runs_of(a_run().replace("count=50", words + "\ncount=50"))
    assert run.report is None


def test_the_reason_of_a_failure_holds_no_folders_and_no_terminal_codes() -> None:
    (run,) = runs_of("STARTING!\n\x1b[31mERROR: Failed to mmap model /home/me/secret/a.tflite\x1b[0m\x07\n")
    assert run.error == "ERROR: Failed to mmap model a.tflite"


LOGGERS = [
    "I/tflite  ( 5395): {}",
    "07-08 15:33:55.768 I/tflite  ( 5395): {}",
    "05-30 15:16:44.857  5395  5399 I tflite  : {}",
    "2026-05-30 15:16:44.857123 +0000  5395  5399 I tflite  : {}",
    "05-30 15:16:44.857 10123  5395  5399 I tflite  : {}",
    "2023-06-14 10:55:21.084  5395-5395  tflite      org.tensorflow.lite.benchmark        I  {}",
    "I( 5395) {}  (tflite)",
    "INFO: {}",
    "\x1b[32mI tflite: {}\x1b[0m",
]


@pytest.mark.parametrize("logger", LOGGERS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_the_prefix_of_any_logger_and_any_line_end(logger: str, end: str) -> None:
    text = "".join(logger.format(line) + end for line in a_run().splitlines() if line)
    (run,) = runs_of(text)
    assert (run.report.summary.median_ns, run.report.summary.count, run.setup.threads, run.report.delegate) == (2e6, 50, 4, "XNNPACK")


def test_two_processes_that_write_into_one_log_are_told_apart() -> None:
    one, other = a_run("a.tflite", 2000).splitlines(), a_run("b.tflite", 7000).splitlines()
    mixed = "".join(
        f"05-30 15:16:44.857  {pid}  {pid} I tflite  : {line}\n"
        for pair in zip(one, other, strict=True)
        for pid, line in zip((11, 22), pair, strict=True)
        if line
    )
    camera = "05-30 15:16:44.857  33  33 I tflite  : Created TensorFlow Lite delegate for GPU.\n05-30 15:16:44.857  33  33 I x: Loaded model f\n"
    assert [(run.setup.model[-8:], run.report.summary.latency_ns, run.report.delegate) for run in runs_of(camera + mixed + camera)] == [
        ("a.tflite", 2e6, "XNNPACK"),
        ("b.tflite", 7e6, "XNNPACK"),
    ]
    nameless = parse("".join(line + "\n" for pair in zip(one, other, strict=True) for line in pair))
    assert [(report.setup.model, report.summary.count) for report in nameless] == [("", None)]  # whose the last line is, nobody can tell


def test_an_operator_profile_is_passed_over() -> None:
    profile = (
        "Operator-wise Profiling Info for Regular Benchmark Runs:\n"
        "\t CONV_2D\t 0.000\t 1.5\t 1.6\t 90.0%\t 90.0%\t 0.000\t 1\t[x]:0\n"
        "Timings (microseconds): count=50 first=1 curr=1 min=1 max=9 avg=1.25 std=0\nMemory (bytes): count=0\n8 nodes observed\n"
    )
    (run,) = runs_of(a_run() + profile)
    assert (run.report.summary.latency_ns, run.setup.profiled) == (2e6, True)


TABLE = """==============Summary of All Runs w/ Different Performance Options==============
INFO:           cpu w/ 4 threads: count=50 first=34 curr=33 min=30 max=37 avg=33.5 std=1
INFO: cpu w/ 2 threads (xnnpack): count=50 first=43 curr=38 min=33 max=48 avg=39.25 std=2
INFO:                gpu-default: count=50 first=59 curr=58 min=56 max=59 avg=57.5 std=1
INFO:  nnapi(nnapi-reference):  failed!
"""


def test_the_table_of_performance_options() -> None:
    runs = runs_of(TABLE)
    assert [(run.setup.threads, run.setup.requested, run.report.summary.latency_ns) for run in runs] == [
        (4, (), 33_500),
        (2, ("XNNPACK",), 39_250),
        (None, ("GPU",), 57_500),
    ]
    own = "count=50 first=59 curr=58 min=56 max=59 avg=57.5 std=1\n" + END.format(mean=57.5, first=60).replace("2100.5", "60")
    assert len(runs_of(own + TABLE)) == 3  # the run and its line in the table are one


FULLY = "Explicitly applied {} delegate, and the model graph will be completely executed by the delegate.\n"
PARTLY = "Explicitly applied {} delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels.\n"
NOT = "Though {} delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
REPLACING = "VERBOSE: Replacing {} out of {} node(s) with delegate ({}) node, yielding {} partitions for subgraph {}.\n"
GPU = "Use gpu: [1]\n"

# What the log says of delegates: the delegate that ran, its nodes, what became of those that were asked for.
DELEGATES = [
    ("", "", None, {}),
    ("Use xnnpack: [0]\n", "", None, {}),
    (XNNPACK + REPLACING.format(58, 60, "TfLiteXNNPackDelegate", 2, 0), "XNNPACK", (58, 60, 2), {}),
    (GPU + FULLY.format("GPU"), "GPU", None, {"GPU": "wholly"}),
    (GPU + FULLY.format("GPU") + XNNPACK, "GPU", None, {"GPU": "wholly"}),
    (GPU + "Applied GPU delegate, and the model graph will be completely executed w/ the delegate.\n", "GPU", None, {"GPU": "wholly"}),
    (
        GPU
        + REPLACING.format(54, 559, "TfLiteGpuDelegateV2", 3, 0)
        + PARTLY.format("GPU")
        + XNNPACK
        + REPLACING.format(456, 506, "TfLiteXNNPackDelegate", 6, 0),
        "GPU",
        (54, 559, 3),
        {"GPU": "partly"},
    ),
    (GPU + NOT.format("GPU") + XNNPACK, "XNNPACK", None, {"GPU": "not"}),
    ("Use NNAPI: [1]\n" + REPLACING.format(31, 31, "TfLiteNnapiDelegate", 1, 0) + NOT.format("NNAPI") + XNNPACK, "XNNPACK", None, {"NNAPI": "not"}),
    (GPU + "Use NNAPI: [1]\n" + FULLY.format("GPU") + NOT.format("NNAPI"), "GPU", None, {"GPU": "wholly", "NNAPI": "not"}),
    (GPU + "GPU acceleration is unsupported on this platform.\n" + XNNPACK, "XNNPACK", None, {"GPU": "not"}),
    ("Unconsumed cmdline flags: --use_gpu=true\n" + XNNPACK, "XNNPACK", None, {"GPU": "not"}),
    (GPU + XNNPACK, "", None, {"GPU": "untold"}),
    ("Use Hexagon: [1]\nCould not create Hexagon delegate: required libraries are missing\n" + XNNPACK, "XNNPACK", None, {"HEXAGON": "not"}),
    (GPU + "Created TensorFlow Lite delegate for Metal.\n" + FULLY.format("GPU"), "GPU", None, {"GPU": "wholly"}),
    (
        "CoreML delegate: 75 nodes delegated out of 77 nodes, with 2 partitions.\nApplied Delegate_Provider_COREML delegate.\n",
        "COREML",
        (75, 77, 2),
        {"COREML": "partly"},
    ),
    (
        NOT.format("EXTERNAL") + "INFO: TfLiteQnnDelegate delegate: 0 nodes delegated out of 31 nodes with 0 partitions.\n" + XNNPACK,
        "XNNPACK",
        None,
        {"EXTERNAL": "not"},
    ),
    (
        PARTLY.format("EXTERNAL") + "INFO: TfLiteQnnDelegate delegate: 30 nodes delegated out of 31 nodes with 2 partitions.\n",
        "EXTERNAL",
        (30, 31, 2),
        {"EXTERNAL": "partly"},
    ),
    (GPU + REPLACING.format(40, 40, "LITERT_CL", 1, 0) + REPLACING.format(2, 2, "LITERT_CL", 1, 1), "GPU", (42, 42, 2), {"GPU": "wholly"}),
    (GPU + REPLACING.format(58, 58, "TfLiteXNNPackDelegate", 1, 0), "XNNPACK", (58, 58, 1), {"GPU": "not"}),
]


@pytest.mark.parametrize("case", DELEGATES, ids=range(len(DELEGATES)))
def test_who_truly_ran_it(case) -> None:
    words, delegate, nodes, extents = case
    (report,) = parse(a_run(delegates=words))
    assert (report.delegate, report.nodes, dict(report.extents)) == (delegate, nodes, extents)


def test_accelerators_of_litert_s_script() -> None:
    text = "Accelerators:    {}\nModel initialization:  1.00 ms\nInference (avg):       0.53 ms (50 runs)\nFully accelerated:     True\n"
    assert dict(parse(text.format("GPU"))[0].extents) == {"GPU": "wholly"}
    assert dict(parse(text.format("GPU | CPU"))[0].extents) == {"GPU": "untold"}  # XNNPACK may have run all of it
    assert dict(parse(text.format("CPU"))[0].extents) == {}


NUMBERS = ("01", "02", "08", "11", "12", "13")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_log_that_is_cut_off_or_wrapped_never_tells_a_wrong_number(shared_data, number) -> None:
    (path,) = (shared_data / "benchmark_logs").glob(f"{number}_*.txt")
    text = path.read_text(encoding="utf-8")
    true = {value for report in parse(text) for value in (report.summary.latency_ns, report.summary.mean_ns)}
    texts = [text[:cut] for cut in range(0, len(text), 3)]
    for width in range(30, 200, 3):
        texts.append("".join(line[at : at + width] + "\n" for line in text.splitlines() for at in range(0, max(len(line), 1), width)))
    assert {report.summary.latency_ns for each in texts for report in parse(each)} <= true
