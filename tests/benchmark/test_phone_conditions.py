"""What a phone tells of itself, and what that makes of a measurement."""

import pytest

from dsmobile.benchmark.compare import compare
from dsmobile.benchmark.conditions import judge, validity
from dsmobile.benchmark.result import Validity
from dsmobile.benchmark.runtimes import choose, ran
from dsmobile.errors import DeviceError, UsageError

COOL = {"thermal_status": 0, "screen": "awake", "power_save": False, "battery_level_percent": 80.0, "throttled": None}
PHONE = {"system": "Android", "asked_delegate": "cpu", "fixed_performance": False, "userland_architecture": "arm64-v8a"}


@pytest.fixture
def found(quiet, subject):
    """The kinds of warnings, for changes of the facts, of the state before, and of each process."""

    def kinds(facts=None, before=None, delegate="XNNPACK", state=None, coverage=None) -> dict[str, str]:
        def replicate(index):
            named = delegate(index) if callable(delegate) else delegate
            now = state(index) if state else {}
            told = coverage or {}
            conditions = {**COOL, "governor": "sched_pixel", **now}
            return {"delegate": named, "coverage": told, "conditions": conditions, "probe": None, "runtime": "benchmark_model", "latency_ns": (10,)}

        samples = quiet(facts={**PHONE, **(facts or {})}, before={**COOL, "governor": "sched_pixel", **(before or {})}, replicate=replicate)
        warnings = judge(samples, [subject], threads=1, blocks=10)
        return {warning.kind: validity([warning]) for warning in warnings}

    return kinds


def test_a_phone_in_order_has_nothing_to_tell(found) -> None:
    assert found() == {}


@pytest.mark.parametrize("status", range(1, 7))
def test_any_thermal_status_but_none_is_throttling(found, status) -> None:
    assert found(before={"thermal_status": status}) == {"throttled": Validity.INVALID}
    assert found(state=lambda index: {"thermal_status": status if index == 5 else 0}) == {"throttled": Validity.INVALID}


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ({"thermal_status": None}, "thermal_unknown"),
        ({"power_save": True}, "power_save"),
        ({"battery_level_percent": 19.0}, "low_battery"),
        ({"screen": "asleep"}, "screen"),
        ({"screen": "dozing"}, "screen"),
        ({"on_battery": True}, "low_power"),
        ({"frequency_limit_khz": 1_900_000, "frequency_highest_khz": 2_900_000}, "clock_capped"),
    ],
)
def test_what_makes_figures_noisy(found, before, kind) -> None:
    assert found(before=before) == {kind: Validity.DEGRADED}


def test_the_fixed_performance_mode_is_meant_to_hold_the_clock_down(found) -> None:
    assert found(facts={"fixed_performance": True}, before={"frequency_limit_khz": 1_900_000, "frequency_highest_khz": 2_900_000}) == {}


@pytest.mark.parametrize(
    ("asked", "delegate", "expected"),
    [
        ("cpu", "XNNPACK", {}),
        ("cpu", "", {"delegate_untold": Validity.DEGRADED}),
        ("cpu", "GPU", {"wrong_delegate": Validity.INVALID}),
        ("gpu", "GPU", {}),
        ("gpu", "GPU+CPU", {"partly_delegated": Validity.DEGRADED}),
        ("gpu", "GPU, how much of it untold", {"delegate_untold": Validity.DEGRADED}),
        ("gpu", "XNNPACK", {"wrong_delegate": Validity.INVALID}),
        ("gpu", "", {"wrong_delegate": Validity.INVALID}),
    ],
)
def test_the_delegate_that_was_asked_for(found, asked, delegate, expected) -> None:
    assert found(facts={"asked_delegate": asked}, delegate=delegate) == expected


def test_a_delegate_that_changes_in_between(found) -> None:
    kinds = found(facts={"asked_delegate": "gpu"}, delegate=lambda index: "XNNPACK" if index == 7 else "GPU")
    assert kinds == {"runtime_changed": Validity.INVALID, "wrong_delegate": Validity.INVALID}


def test_the_runtime_of_a_phone(quiet, subject) -> None:
    from dataclasses import replace

    facts = {**PHONE, "runtimes": {"litert": None, "benchmark_model": "sha256:0123456789ab"}}
    assert choose([subject], facts, "", address="adb") == ({"tflite": "benchmark_model"}, ())
    with pytest.raises(DeviceError, match="no native ONNX runner is published for Android"):
        choose([replace(subject, format="onnx")], facts, "", address="adb")
    with pytest.raises(UsageError, match="does not run on a phone"):
        choose([subject], facts, "", address="adb", wanted="litert")
    with pytest.raises(DeviceError, match="no native benchmark_model for this phone") as caught:
        choose([subject], {**facts, "runtimes": {"benchmark_model": None}}, "", address="adb:X")
    assert "dsmobile devices setup adb:X --benchmark-model FILE" in caught.value.advice
    samples = quiet(facts=PHONE, replicate=lambda index: {"runtime": "benchmark_model"})
    assert ran([subject], samples) == ({"tflite": "benchmark_model"}, ())  # on a phone that is no fallback


def test_other_cores_are_another_device(quiet, subject, tmp_path) -> None:
    from datetime import UTC, datetime

    from dsmobile.benchmark.conclusion import conclude
    from dsmobile.benchmark.measure import Measured
    from dsmobile.benchmark.result import write_result
    from dsmobile.errors import DataError

    paths = []
    for cores in ([7], [0, 1, 2, 3]):
        samples = quiet(facts={**PHONE, "pinned_cores": cores}, replicate=lambda index: {"runtime": "benchmark_model", "delegate": "XNNPACK"})
        measured = Measured(samples, 10, None, 1.0, "budget")
        result = conclude(
            [subject], [], {"tflite": "benchmark_model"}, measured, [], settings={"threads": 1}, device="adb", started=datetime.now(UTC)
        )
        paths.append(tmp_path / f"{len(cores)}.json")
        write_result(paths[-1], result)
    with pytest.raises(DataError, match="pinned_cores"):
        compare(*paths)
