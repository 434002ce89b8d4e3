"""What a Pi's hardware says while it measures, changed under a running measurement, must be flagged; what was set is put back."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from device_bench.records import Block, PlannedArtifact, RunPlan, Samples, read_samples, to_line
from dsmobile.benchmark.conditions import judge, validity
from dsmobile.benchmark.result import Validity
from dsmobile.benchmark.run import bench, exit_code
from dsmobile.benchmark.subjects import Subject, gather
from dsmobile.devices.opening import open_device

pytestmark = [pytest.mark.devices, pytest.mark.arm]


@pytest.fixture
def subjects(shared_data) -> tuple[Subject, ...]:
    return gather([shared_data / "artifacts" / "kws_ref_model.tflite"], [])


def measured(pi, subjects: Sequence[Subject], *, after_first: Callable[[], None]) -> Samples:
    """Two processes of a model; something happens after the first."""
    lines: list[str] = []

    def keep(document: dict) -> None:
        lines.append(to_line(document))
        if document.get("kind") == "replicate" and sum('"kind": "replicate"' in line for line in lines) == 1:
            after_first()

    with open_device(pi.address) as device:
        places = device.push([(subject.path, subject.sha256) for subject in subjects])
        planned = tuple(PlannedArtifact(place, "litert") for place in places)
        device.measure(RunPlan(planned, tuple(Block(index, (0,)) for index in range(2)), measure_s=0.0, min_count=5), keep)
    return read_samples("".join(lines))


def kinds(samples: Samples, subjects: Sequence[Subject]) -> set[str]:
    return {warning.kind for warning in judge(samples, subjects, threads=1, blocks=2)}


WATCHED = {"throttled", "under_voltage", "clock_changed", "powersave_governor", "governor_changed"}


@pytest.mark.slow
def test_a_cool_device_and_what_happened_before(ready, subjects) -> None:
    pi = ready()
    pi.set_throttled(0x50000)
    samples = measured(pi, subjects, after_first=lambda: None)
    assert not kinds(samples, subjects) & WATCHED
    snapshot = samples.replicates[0].conditions
    assert (snapshot["frequency_khz"], snapshot["temperature_c"], snapshot["governor"]) == (1_500_000, 45.0, "ondemand")


def hot(pi) -> None:
    pi.set_throttled(0x4)
    pi.set_frequency(600_000)
    pi.set_temperature(83.5)


def weak(pi) -> None:
    pi.set_throttled(0x50000)
    pi.set_governor("powersave")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(hot, {"throttled", "clock_changed"}),
        pytest.param(weak, {"throttled", "under_voltage", "powersave_governor", "governor_changed"}, marks=pytest.mark.slow),
    ],
)
def test_what_changes_while_it_measures_is_flagged(ready, subjects, change, expected) -> None:
    pi = ready()
    samples = measured(pi, subjects, after_first=lambda: change(pi))
    assert kinds(samples, subjects) & WATCHED == expected
    assert validity(judge(samples, subjects, threads=1, blocks=2)) is Validity.INVALID
    if change is hot:
        assert [replicate.conditions["temperature_c"] for replicate in samples.replicates] == [45.0, 83.5]


@pytest.mark.slow
def test_a_hot_or_throttled_device_does_not_settle_until_it_is_cool(ready) -> None:
    pi = ready()
    pi.set_temperature(75.0)
    said: list[str] = []
    with open_device(pi.address) as device:
        waited = device.settle(4.0, said.append)
        assert waited["settled"] is False
        assert any("75 °C" in reason for reason in waited["reasons"])
        pi.set_temperature(45.0)
        pi.set_throttled(0x1)
        assert any("under-voltage" in reason for reason in device.settle(3.0, said.append)["reasons"])
    assert said


def test_a_benchmark_here_is_invalid_and_claims_no_latency(ready, shared_data, tmp_path) -> None:
    pi = ready()
    files = [shared_data / "artifacts" / "kws_ref_model.tflite"]
    result, path = bench(files, device=pi.address, budget_s=1.0, out=tmp_path)
    assert path is None
    assert list((tmp_path / "results").iterdir()) == []
    assert result.validity is Validity.INVALID
    assert "emulated" in {warning.kind for warning in result.warnings}
    assert exit_code(result) == 6
    assert pi.running() == []


def governor_while(pi, governor: str | None) -> str:
    with open_device(pi.address) as device, device.keep(governor, lambda _: None):
        return pi.governor


def test_the_governor_is_set_and_put_back(ready) -> None:
    pi = ready()
    assert governor_while(pi, None) == "ondemand"
    assert governor_while(pi, "performance") == "performance"
    assert pi.governor == "ondemand"
    assert pi.running() == []


HOLDS = """
import sys, time
from dsmobile.devices.opening import open_device
with open_device(sys.argv[1]) as device, device.keep("performance", lambda text: None):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_host_leaves_no_process_and_no_changed_governor(ready, number) -> None:
    pi = ready()
    before = set(Path("/tmp").glob("dsm-*"))
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, pi.address], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert holder.stdout.readline() == "held\n"
        assert pi.governor == "performance"
    finally:
        os.killpg(holder.pid, number) if number == signal.SIGTERM else holder.send_signal(number)
        holder.wait()
    assert pi.running() == []
    assert pi.governor == "ondemand"
    assert not (pi.cache / "governor.json").exists()
    for left in set(Path("/tmp").glob("dsm-*")) - before:  # nobody can tidy up after SIGKILL; ssh's own master ends within a minute
        subprocess.run(["ssh", "-S", str(left / "s"), "-O", "exit", "127.0.0.1"], capture_output=True, check=False)
        shutil.rmtree(left, ignore_errors=True)


def test_a_power_cut_is_mended_by_the_next_connection(ready) -> None:
    """Both ends are killed: the journal on the device knows what the governor was."""
    pi = ready()
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, pi.address], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert holder.stdout.readline() == "held\n"
        for pid in pi.processes_of(pi.process.pid):
            if "--keep" in Path(f"/proc/{pid}/cmdline").read_bytes().decode():
                os.kill(pid, signal.SIGKILL)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
    assert pi.running() == []
    assert pi.governor == "performance"
    assert json.loads((pi.cache / "governor.json").read_text())
    with open_device(pi.address) as device, device.keep(None, lambda text: None):
        assert pi.governor == "ondemand"
    assert not (pi.cache / "governor.json").exists()
