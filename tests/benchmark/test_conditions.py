"""When a measurement is VALID, DEGRADED or INVALID."""

from dataclasses import replace

import pytest

from device_bench.records import Deviation, Probe, Unoptimised
from dsmobile.benchmark.conditions import Kind, judge, validity
from dsmobile.benchmark.result import Validity


def loop(**changes):
    base = {"wall_ns": 10**9, "cpu_ns": 10**9, "others_cpu": 0.0, "stolen": 0.0, "clock_step_ns": 0, "major_faults": 0}
    return lambda index: {"loop": {**base, **changes}}


def unoptimised(*outputs: Deviation, error: str = ""):
    """What a trial told of the unoptimised graph."""
    return lambda index: {"block": index - 1, **({} if index else {"unoptimised": Unoptimised(4, outputs, error)})}


def clocks(index: int, *, wall_s: float = 0.0, asleep_s: float = 0.0):
    """What a device's three clocks say at the end of a process, one second after another."""
    return {"monotonic_s": 50.0 + index, "time_s": 1.8e9 + index + wall_s + asleep_s, "boottime_s": 50.0 + index + asleep_s}


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
        (Kind.THROTTLED, {"before": {"throttled": 0x50002}}),
        (Kind.THROTTLED, {"before": {"throttled": 0x8}}),
        (Kind.THROTTLED, {"before": {"throttled": None, "throttled_by_kernel": 0x4}}),
        (Kind.THROTTLED, {"replicate": lambda index: {"conditions": {"throttled": 0x80000 if index == 9 else 0}}}),
        (
            Kind.THROTTLED,
            {"replicate": lambda index: {"conditions": {"throttled": 0x50000 if index != 5 else 0x10000}}, "before": {"throttled": 0x50000}},
        ),
        (Kind.THROTTLED, {"replicate": lambda index: {"conditions": {"throttled": 0x50000 | 4 * (index == 5)}}, "before": {"throttled": 0x50000}}),
        (Kind.THROTTLED, {"replicate": lambda index: {"conditions": {"cooling_state": int(index == 4)}}}),
        (Kind.THROTTLED, {"replicate": lambda index: {"loop": {"throttles": int(index == 4)}}}),
        (
            Kind.THROTTLED,
            {"replicate": lambda index: {"conditions": {"governor": "performance", "frequency_khz": 1500000, "arm_clock_hz": 1_200_000_000}}},
        ),
        (Kind.THROTTLED, {"facts": {"board": "Raspberry Pi 4 Model B Rev 1.4"}, "before": {"throttled": None, "temperature_c": 81.0}}),
        (Kind.UNDER_VOLTAGE, {"before": {"throttled": 0x50001}}),
        (Kind.UNDER_VOLTAGE, {"replicate": lambda index: {"conditions": {"throttled": 0x10000 if index == 9 else 0}}}),
        (Kind.UNDER_VOLTAGE, {"replicate": lambda index: {"conditions": {"under_voltage": index == 4}}}),
        (Kind.THROTTLED, {"replicate": lambda index: {"conditions": {"throttled": 0x40000 if index > 4 else 0}}}),
        (Kind.THROTTLED, {"replicate": lambda index: {"conditions": {"throttle_count": 3 + index}}}),
        (Kind.CLOCK_STEPPED, {"replicate": loop(clock_step_ns=-3_000_000_000)}),
        (Kind.CLOCK_STEPPED, {"replicate": lambda index: {"conditions": clocks(index, wall_s=3600.0 if index > 4 else 0.0)}}),
        (Kind.CLOCK_STEPPED, {"replicate": lambda index: {"conditions": clocks(index, asleep_s=900.0 if index > 4 else 0.0)}}),
        (Kind.DELEGATE, {"replicate": lambda index: {"coverage": {"nodes": 31, "delegated_nodes": 0, "partitions": 0}}}),
        (Kind.NUMERICS, {"replicate": lambda index: {"probe": Probe((0.1, 0.2 + index), 0.3, 0.0)}}),
        (Kind.OPTIMISED_DIFFERS, {"replicate": unoptimised(Deviation(0.0, 0.1, 1.0), Deviation(0.3, 0.1, 1.0))}),
        (Kind.OPTIMISED_DIFFERS, {"replicate": unoptimised(Deviation(None, 0.1, 1.0))}),
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
        (Kind.CLOCK_CHANGED, {"replicate": lambda index: {"loop": {"frequency_khz": 600_000 if index == 3 else 1_500_000}}}),
        (Kind.CLOCK_CHANGED, {"replicate": lambda index: {"loop": {"frequency_shares": {"600000": 0.1 * (index == 3), "1500000": 0.9}}}}),
        (Kind.CLOCK_CHANGED, {"replicate": lambda index: {"loop": {"frequency_shares": {"600000" if index == 3 else "1500000": 1.0}}}}),
        (Kind.CLOCK_CHANGED, {"replicate": lambda index: {"conditions": {"frequency_limit_khz": 1_000_000 if index == 3 else 1_500_000}}}),
        (Kind.GOVERNOR_CHANGED, {"replicate": lambda index: {"conditions": {"governor": "ondemand" if index > 3 else "performance"}}}),
        (Kind.CORES_CHANGED, {"replicate": lambda index: {"conditions": {"cores_online": 4 - (index == 3)}}}),
        (Kind.LOW_POWER, {"before": {"on_battery": True}}),
        (Kind.LOW_POWER, {"before": {"power_profile": "low-power"}}),
        (Kind.NOT_DELEGATED, {"replicate": lambda index: {"coverage": {"nodes": 3, "delegated_nodes": 0, "partitions": 0}, "delegate": "XNNPACK"}}),
        (Kind.MEMORY_PRESSURE, {"replicate": lambda index: {"conditions": {"swap_used_bytes": (index > 3) << 30}}}),
        (Kind.MEMORY_PRESSURE, {"before": {"memory_pressure_percent": 40.0}}),
        (Kind.BUSY_MACHINE, {"replicate": lambda index: {"loop": {"others_cpu": 1.0 * (index in (3, 4, 5))}}, "count": 40}),
        (Kind.BUSY_MACHINE, {"replicate": loop(others_cpu=None), "before": {"cpu_pressure_percent": 60.0}}),
        (Kind.BUSY_MACHINE, {"replicate": loop(cpu_ns=8 * 10**8)}),
        (Kind.BUSY_MACHINE, {"replicate": loop(others_cpu=1.0)}),
        (Kind.BUSY_MACHINE, {"replicate": loop(stolen=0.1)}),
        (Kind.BUSY_MACHINE, {"replicate": loop(others_cpu=None), "before": {"load_average": [3.9, 1.0, 1.0]}}),
        (Kind.MEMORY_PRESSURE, {"before": {"memory_available_bytes": 1000}}),
        (Kind.MEMORY_PRESSURE, {"replicate": loop(major_faults=400)}),
        (Kind.WARMUP_NOT_FINISHED, {"replicate": lambda index: {"warmup_finished": False}}),
        (Kind.NOT_COMPARED, {"replicate": unoptimised(error="MemoryError: ")}),
        (Kind.NOT_FINITE, {"replicate": lambda index: {"probe": Probe((None, 0.2), None, 0.0)}}),
        (Kind.REPLICATE_FAILED, {"replicate": lambda index: {"error": "SIGSEGV"} if index == 3 else {}}),
        (Kind.FEW_BLOCKS, {"replicate": lambda index: {"error": "SIGSEGV"} if index < 3 else {}}),
    ],
)
def test_noise_degrades(quiet, subject, kind, samples) -> None:
    warnings = judge(quiet(**samples), [subject], threads=1, blocks=10)
    assert kind.label in [warning.kind for warning in warnings]
    assert validity(warnings) is Validity.DEGRADED


def test_clocks_that_keep_pace_are_no_step(quiet, subject) -> None:
    drifting = quiet(replicate=lambda index: {"conditions": clocks(index, wall_s=0.0004 * index)}, before=clocks(-1))
    assert kinds(drifting, subject) == []


def test_a_frequency_that_falls_only_between_the_loops_is_none_of_it(quiet, subject) -> None:
    ondemand = quiet(replicate=lambda index: {"loop": {"frequency_khz": 1_500_000}, "conditions": {"frequency_khz": 600_000 + index * 100_000}})
    assert kinds(ondemand, subject) == []


def test_what_only_the_trial_saw_is_none_of_it(quiet, subject) -> None:
    samples = quiet()
    hot = {"when": "before", "block": -1, "throttled": 0x4, "governor": "ondemand"}
    assert kinds(replace(samples, conditions=(hot, *samples.conditions)), subject) == []


def test_an_optimised_graph_that_rounds_the_other_way_is_valid(quiet, subject) -> None:
    assert kinds(quiet(replicate=unoptimised(Deviation(0.08, 0.1, 1.0), Deviation(None, None, 0.0))), subject) == []


def test_how_far_it_is_off_is_said(quiet, subject) -> None:
    (warning,) = judge(quiet(replicate=unoptimised(Deviation(0.6, 0.1, 1.0))), [subject], threads=1, blocks=10)
    assert warning.advice.startswith("m.tflite answers otherwise by 60% (root mean square) than without ONNX Runtime's optimisations; ")


def test_a_model_that_xnnpack_runs_in_part_is_valid(quiet, subject) -> None:
    samples = quiet(replicate=lambda index: {"coverage": {"nodes": 31, "delegated_nodes": 29, "partitions": 2}, "delegate": "XNNPACK"})
    assert kinds(samples, subject) == []


def test_throttling_before_the_measurement_hides_what_comes_while_it_measures(quiet, subject) -> None:
    warnings = judge(quiet(before={"throttled": 0x50000}), [subject], threads=1, blocks=10)
    assert [warning.kind for warning in warnings] == ["throttled_before"]
    assert "under-voltage and throttling since it was switched on" in warnings[0].advice
    assert validity(warnings) is Validity.DEGRADED


def test_a_bit_of_before_that_the_kernel_clears_hides_nothing(quiet, subject) -> None:
    cleared = quiet(before={"throttled": 0x50000, "throttled_by_kernel": 0})
    assert kinds(cleared, subject) == []
    kept = quiet(before={"throttled": 0x50000, "throttled_by_kernel": 0x40000})
    assert kinds(kept, subject) == ["throttled_before"]
    again = quiet(before={"throttled": 0x50004})
    assert kinds(again, subject) == ["throttled", "throttled_before"]  # the throttling was seen; an under-voltage would not have been


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
