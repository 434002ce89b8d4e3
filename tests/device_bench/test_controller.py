"""The harness when all goes well, and when models crash, hang, or somebody ends it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device_bench.records import Block, PlannedArtifact, RunPlan, Samples, read_samples
from dsmobile.devices.device import harness_files

HARNESS = [sys.executable, str(harness_files()[0].parent)]


@pytest.fixture
def start(tmp_path: Path):
    """Starts the harness on some models."""
    started = []

    def start(*models: str, blocks: int = 1, first: int = 0, flags: tuple[str, ...] = (), **settings) -> subprocess.Popen:
        order = tuple(range(len(models)))
        plan = RunPlan(
            tuple(PlannedArtifact(model, "litert") for model in models),
            tuple(Block(index, order) for index in range(first, first + blocks)),
            **{"measure_s": 0.05, "min_count": 20, "max_count": 100, **settings},
        )
        (tmp_path / "plan.json").write_text(json.dumps(plan.to_json()), encoding="utf-8")
        command = [*HARNESS, str(tmp_path / "plan.json"), str(tmp_path / "samples.jsonl"), *flags]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


@pytest.fixture
def samples(tmp_path: Path):
    def samples() -> Samples:
        return read_samples((tmp_path / "samples.jsonl").read_text(encoding="utf-8"))

    return samples


def wait_until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_every_artifact_of_every_block_has_its_fresh_process(start, samples, made_up_runtime, running, tmp_path: Path) -> None:
    process = start(made_up_runtime("ok"), made_up_runtime("fine"), blocks=2, flags=("--echo",))
    out, _ = process.communicate()
    assert process.returncode == 0
    assert [(s.block, s.position, s.artifact, s.error) for s in samples().replicates] == [(0, 0, 0, ""), (0, 1, 1, ""), (1, 0, 0, ""), (1, 1, 1, "")]
    for replicate in samples().replicates:
        assert 20 <= len(replicate.latency_ns) <= 300
        assert min(replicate.latency_ns) >= 1_000_000  # the made-up runtime sleeps for a millisecond
        assert 2 * replicate.warmup_count <= len(replicate.latency_ns)
        assert replicate.probe is not None
        assert replicate.probe.values == (0.0, 1.0, 62.5)  # (stored - 2) * 0.5
        assert replicate.probe.step == 0.5
        assert replicate.loop["wall_ns"] >= sum(replicate.latency_ns)
        assert replicate.peak_memory_bytes is None or replicate.peak_memory_bytes > 1_000_000
    assert [(c["block"], c["when"]) for c in samples().conditions] == [(0, "before"), (0, "after"), (1, "before"), (1, "after")]
    assert out.decode() == (tmp_path / "samples.jsonl").read_text(encoding="utf-8")
    assert running(tmp_path) == []


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("abort", ["SIGABRT", "double free or corruption[31m (out)"]),
        ("hang", ["did not finish within 3 s"]),
        ("refuse", ["ValueError: no such operator"]),
        ("exit", ["exit status 7"]),
    ],
)
def test_a_model_that_fails_is_recorded_and_the_others_go_on(start, samples, made_up_runtime, running, tmp_path, behaviour, words) -> None:
    process = start(made_up_runtime(behaviour), made_up_runtime("ok"), timeout_s=3.0)
    process.communicate()
    assert process.returncode == 0
    failed, good = samples().replicates
    assert all(word in failed.error for word in words)
    assert failed.error.isprintable()
    assert failed.latency_ns == ()
    assert failed.probe is None
    assert not good.error
    assert good.latency_ns
    assert running(tmp_path) == []


def test_a_missing_runtime_is_recorded(start, samples, made_up_runtime, tmp_path: Path) -> None:
    (tmp_path / "site" / "ai_edge_litert" / "interpreter.py").write_text("raise ImportError('libfoo.so.1 is missing')", encoding="utf-8")
    start(made_up_runtime("ok")).communicate()
    assert samples().replicates[0].error == "ImportError: libfoo.so.1 is missing"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_and_its_child_and_keeps_what_there_is(start, samples, made_up_runtime, running, tmp_path, number, status) -> None:
    process = start(made_up_runtime("ok"), made_up_runtime("hang"))
    wait_until(lambda: (tmp_path / "samples.jsonl").exists() and '"replicate"' in (tmp_path / "samples.jsonl").read_text())
    process.send_signal(number)
    assert process.wait(10) == status
    assert len(samples().replicates) == 1
    assert running(tmp_path) == []


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_nothing_outlives_the_one_who_started_it(start, made_up_runtime, running, tmp_path, how) -> None:
    process = start(made_up_runtime("hang"), flags=("--lifeline",))
    wait_until(lambda: (tmp_path / "samples.jsonl").exists() and '"before"' in (tmp_path / "samples.jsonl").read_text())
    time.sleep(0.3)
    if how == "closed":  # as when an ssh connection breaks
        process.stdin.close()
        assert process.wait(10) != 0
    else:
        process.kill()
        process.wait()
    assert running(tmp_path) == []


def test_a_silent_host_counts_as_lost_while_a_process_measures(start, made_up_runtime, running, tmp_path) -> None:
    process = start(made_up_runtime("hang"), flags=("--lifeline", "--patience", "1.5"))
    wait_until(lambda: (tmp_path / "samples.jsonl").exists() and '"before"' in (tmp_path / "samples.jsonl").read_text())
    for _ in range(8):  # signs of life
        time.sleep(0.3)
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert process.poll() is None
    assert process.wait(10) == 113  # its standard input is still open
    assert running(tmp_path) == []


@pytest.mark.parametrize("flags", [("--lifeline", "--patience"), ("--patience", "soon"), ("--patience", "3", "--lifeline")])
def test_a_patience_that_is_no_number_is_refused(start, made_up_runtime, flags) -> None:
    process = start(made_up_runtime("ok"), flags=flags)
    assert process.wait(10) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_no_sample_and_is_one_line(start, made_up_runtime, running, tmp_path) -> None:
    (tmp_path / "samples.jsonl").symlink_to("/dev/full")
    out, err = start(made_up_runtime("ok"), flags=("--echo",)).communicate()
    assert b'"kind": "header"' in out  # what could not be written was said before
    assert err.decode().splitlines() == [f"{tmp_path / 'samples.jsonl'} cannot be written: No space left on device"]
    process = start(made_up_runtime("ok"), flags=("--echo",))
    assert process.wait(20) == 74
    assert running(tmp_path) == []


def test_a_host_that_no_longer_reads_ends_it_without_a_traceback(start, made_up_runtime, running, tmp_path) -> None:
    process = start(made_up_runtime("ok"), made_up_runtime("fine"), flags=("--echo",))
    process.stdout.close()
    assert process.wait(20) == 113
    assert process.stderr.read() == b""
    assert running(tmp_path) == []


def test_what_a_model_says_of_itself_reaches_no_terminal(start, samples, made_up_runtime, tmp_path) -> None:
    (tmp_path / "site" / "ai_edge_litert" / "interpreter.py").write_text(
        r"raise ImportError('x\x1b[2J\x1b]0;owned\x07\x9b1m\u202e')", encoding="utf-8"
    )
    start(made_up_runtime("ok")).communicate()
    assert samples().replicates[0].error == "ImportError: x[2J]0;owned1m"


def test_without_a_lifeline_an_empty_standard_input_is_no_reason_to_end(start, samples, made_up_runtime) -> None:
    process = start(made_up_runtime("ok"))
    process.stdin.close()
    assert process.wait(30) == 0
    assert not samples().replicates[0].error


def test_a_second_call_appends_to_the_samples_of_the_first(start, samples, made_up_runtime) -> None:
    for first in range(2):
        start(made_up_runtime("ok"), first=first).communicate()
    assert len(samples().replicates) == 2


def test_says_what_is_wrong_with_a_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    done = subprocess.run([*HARNESS, str(tmp_path / "plan.json"), str(tmp_path / "s")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    assert subprocess.run([*HARNESS, "only-one"], capture_output=True, check=False).returncode == 2


def test_no_block_begins_after_the_budget_but_three_are_run(start, samples, made_up_runtime, tmp_path) -> None:
    start(made_up_runtime("ok"), blocks=40, budget_s=1.0).communicate()
    assert 3 <= len(samples().replicates) < 40
    (tmp_path / "samples.jsonl").unlink()
    start(made_up_runtime("slow"), blocks=4, budget_s=0.001).communicate()
    assert [replicate.block for replicate in samples().replicates] == [0, 1, 2]


def test_a_run_without_a_pause_tells_every_second_what_it_saw(start, samples, made_up_runtime) -> None:
    start(made_up_runtime("ok"), sustained_s=2.5).communicate()
    found = samples()
    assert [replicate.error for replicate in found.replicates] == [""]
    assert [round(moment.at_s) for moment in found.moments[:2]] == [1, 2]
    assert found.moments[-1].at_s == pytest.approx(2.5, abs=0.3)
    assert sum(moment.count for moment in found.moments) > 500
    assert all(1e6 < moment.median_ns <= moment.p90_ns for moment in found.moments)
    assert "temperature_c" in found.moments[0].conditions
    assert len(found.replicates[0].latency_ns) <= 1000


def test_a_killed_run_without_a_pause_keeps_its_seconds(start, samples, made_up_runtime, running, tmp_path) -> None:
    process = start(made_up_runtime("ok"), sustained_s=60.0)
    wait_until(lambda: (tmp_path / "samples.jsonl").exists() and "moment" in (tmp_path / "samples.jsonl").read_text())
    process.terminate()
    process.wait()
    assert samples().moments
    assert running(tmp_path) == []


def test_the_header_names_the_files_and_the_threads(start, samples, made_up_runtime) -> None:
    start(made_up_runtime("ok")).communicate()
    assert samples().files == ("",)
    assert samples().threads == 1


def test_a_clock_that_steps_within_a_process_makes_the_measurement_invalid(start, samples, made_up_runtime) -> None:
    from dsmobile.benchmark.device_state import of_the_clocks
    from dsmobile.benchmark.kinds import Kind, validity
    from dsmobile.benchmark.result import Validity

    start(made_up_runtime("ok")).communicate()
    assert Kind.CLOCK_STEPPED.label not in [warning.kind for warning in of_the_clocks(samples())]
    start(made_up_runtime("step"), first=1).communicate()
    assert samples().replicates[1].loop["clock_step_ns"] == pytest.approx(1e10, rel=0.01)
    warnings = list(of_the_clocks(samples()))
    assert next(warning.advice for warning in warnings if warning.kind == Kind.CLOCK_STEPPED.label).startswith("the device's clock jumped by 10 s")
    assert validity(warnings) is Validity.INVALID
