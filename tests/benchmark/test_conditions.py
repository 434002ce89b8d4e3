"""When a measurement is VALID, DEGRADED or INVALID."""

from dataclasses import replace

import pytest

from device_bench.records import Probe
from dsmobile.benchmark.conditions import Kind, judge, validity
from dsmobile.benchmark.result import Validity


def loop(**changes):
    base = {"wall_ns": 10**9, "cpu_ns": 10**9, "others_cpu": 0.0, "stolen": 0.0, "clock_step_ns": 0, "major_faults": 0}
    return lambda index: {"loop": {**base, **changes}}


def kinds(samples, subject, *, threads=1, blocks=10):
    return [warning.kind for warning in judge(samples, [subject], threads=threads, blocks=blocks)]


def test_a_quiet_machine_is_valid(quiet, subject) -> None:
    warnings = judge(quiet(), [subject], threads=1, blocks=10)
    assert warnings == ()
    assert validity(warnings) is Validity.VALID


def test_a_device_that_tells_nothing_is_valid(quiet, subject) -> None:
    silent = dict.fromkeys(["throttled", "governor", "frequency_khz", "memory_available_bytes"])
    nothing = loop(others_cpu=None, stolen=None, major_faults=None)
    assert kinds(quiet(facts={"cores": None, "memory_bytes": None}, before=silent, replicate=nothing), subject) == []


@pytest.mark.parametrize(
    ("kind", "samples"),
    [
        (Kind.EMULATED, {"facts": {"emulated": True}}),
        (Kind.THROTTLED, {"before": {"throttled": 0x4}}),
        (Kind.THROTTLED, {"before": {"throttled": 0x50001}}),
        (Kind.THROTTLED, {"replicate": lambda index: {"conditions": {"throttled": 0x40000 if index > 4 else 0}}}),
        (Kind.THROTTLED, {"replicate": lambda index: {"conditions": {"throttle_count": 3 + index}}}),
        (Kind.CLOCK_STEPPED, {"replicate": loop(clock_step_ns=-3_000_000_000)}),
        (Kind.NUMERICS, {"replicate": lambda index: {"probe": Probe((0.1, 0.2 + index), 0.3, 0.0)}}),
        (Kind.RUNTIME_CHANGED, {"replicate": lambda index: {"delegate": "XNNPACK" if index else ""}}),
    ],
)
def test_what_means_something_else_than_it_says_is_invalid(quiet, subject, kind, samples) -> None:
    warnings = judge(quiet(**samples), [subject], threads=1, blocks=10)
    assert kind.label in [warning.kind for warning in warnings]
    assert validity(warnings) is Validity.INVALID


@pytest.mark.parametrize(
    ("kind", "samples"),
    [
        (Kind.POWERSAVE_GOVERNOR, {"before": {"governor": "performance,powersave"}}),
        (Kind.TURBO, {"facts": {"turbo": True}}),
        (Kind.CLOCK_CHANGED, {"replicate": lambda index: {"conditions": {"frequency_khz": 1_500_000 - 100_000 * index}}}),
        (Kind.BUSY_MACHINE, {"replicate": loop(cpu_ns=8 * 10**8)}),
        (Kind.BUSY_MACHINE, {"replicate": loop(others_cpu=1.0)}),
        (Kind.BUSY_MACHINE, {"replicate": loop(stolen=0.1)}),
        (Kind.BUSY_MACHINE, {"replicate": loop(others_cpu=None), "before": {"load_average": [3.9, 1.0, 1.0]}}),
        (Kind.MEMORY_PRESSURE, {"before": {"memory_available_bytes": 1000}}),
        (Kind.MEMORY_PRESSURE, {"replicate": loop(major_faults=400)}),
        (Kind.WARMUP_NOT_FINISHED, {"replicate": lambda index: {"warmup_finished": False}}),
        (Kind.NOT_FINITE, {"replicate": lambda index: {"probe": Probe((None, 0.2), None, 0.0)}}),
        (Kind.REPLICATE_FAILED, {"replicate": lambda index: {"error": "SIGSEGV"} if index == 3 else {}}),
        (Kind.FEW_BLOCKS, {"replicate": lambda index: {"error": "SIGSEGV"} if index < 3 else {}}),
    ],
)
def test_noise_degrades(quiet, subject, kind, samples) -> None:
    warnings = judge(quiet(**samples), [subject], threads=1, blocks=10)
    assert kind.label in [warning.kind for warning in warnings]
    assert validity(warnings) is Validity.DEGRADED


def test_throttling_before_the_measurement_is_none_of_it(quiet, subject) -> None:
    assert kinds(quiet(before={"throttled": 0x50000}), subject) == []


def test_a_few_disturbed_processes_do_not_matter(quiet, subject) -> None:
    busy = loop(others_cpu=2.0)
    assert kinds(quiet(replicate=lambda index: busy(index) if index < 2 else {}), subject) == []


def test_several_threads_may_wait_for_each_other(quiet, subject) -> None:
    assert kinds(quiet(replicate=loop(cpu_ns=5 * 10**8)), subject, threads=4) == []


def test_a_short_budget_degrades(quiet, subject) -> None:
    assert kinds(quiet(count=3), subject, blocks=3) == ["short_budget"]


def test_the_trial_counts_for_the_answer_only(quiet, subject) -> None:
    samples = quiet(replicate=lambda index: {"block": index - 1, "warmup_finished": index > 0})
    assert kinds(samples, subject) == []
    odd = replace(samples, replicates=(replace(samples.replicates[0], probe=Probe((9.0, 9.0), 18.0, 0.0)), *samples.replicates[1:]))
    assert kinds(odd, subject) == ["numerics"]


def test_every_kind_says_what_to_do() -> None:
    for kind in Kind:
        assert kind.label == kind.name.lower()
        assert kind.remedy
        warning = kind.warning("seen")
        assert warning.kind == kind.label
        assert warning.advice.startswith("seen; ")
