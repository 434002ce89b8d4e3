"""The closed list of what can be wrong with a measurement, each with what that makes of it and a way out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from dsmobile.benchmark import result
from dsmobile.benchmark.result import Validity


class Kind(Enum):
    """What can be wrong: its name in JSON, what that makes of the measurement, and what to do."""

    EMULATED = ("emulated", Validity.INVALID, "times on an emulated processor mean nothing: measure on the real device")
    THROTTLED = ("throttled", Validity.INVALID, "let the device cool down, give it a fan or a stronger power supply, then measure again")
    UNDER_VOLTAGE = (
        "under_voltage",
        Validity.INVALID,
        "use the board's own power supply and a short, thick cable, and unplug what it feeds by USB, then measure again",
    )
    CLOCK_STEPPED = ("clock_stepped", Validity.INVALID, "wait until the device has set its time and does not sleep, then measure again")
    NUMERICS = ("numerics", Validity.INVALID, "export the model again, or install another version of the runtime on the device")
    OPTIMISED_DIFFERS = (
        "optimised_differs",
        Validity.INVALID,
        "neither its latency nor its accuracy here is that of the network: export it with 7-bit weights, which no kernel saturates "
        "(`dsmobile export --target x86`), or install another version of ONNX Runtime on the device",
    )
    RUNTIME_CHANGED = ("runtime_changed", Validity.INVALID, "do not install anything on the device while it measures, then measure again")
    DELEGATE = (
        "delegate",
        Validity.INVALID,
        "its latency is that of plain kernels: install a runtime that was built with XNNPACK, then measure again",
    )
    RUNTIME_FALLBACK = (
        "runtime_fallback",
        Validity.DEGRADED,
        "do not compare these figures with those of LiteRT; install ai-edge-litert where there is a wheel",
    )
    SELF_TEST = (
        "self_test",
        Validity.DEGRADED,
        "one self-test in twenty says so by chance: repeat it; where it says so again, do not trust verdicts about differences of this size here",
    )
    SHORT_BUDGET = ("short_budget", Validity.DEGRADED, "give more time with --budget, or fewer artifacts")
    FEW_BLOCKS = ("few_blocks", Validity.DEGRADED, "see why processes failed, then measure again")
    REPLICATE_FAILED = ("replicate_failed", Validity.DEGRADED, "see whether the device has enough memory, then measure again")
    BUSY_MACHINE = ("busy_machine", Validity.DEGRADED, "close what else runs, then measure again")
    POWERSAVE_GOVERNOR = (
        "powersave_governor",
        Validity.DEGRADED,
        "measure with --governor performance, which puts it back afterwards",
    )
    TURBO = ("turbo", Validity.DEGRADED, "switch turbo off while you measure, where differences of some percent matter")
    CLOCK_CHANGED = ("clock_changed", Validity.DEGRADED, "fix the processor's frequency while you measure: --governor performance")
    GOVERNOR_CHANGED = ("governor_changed", Validity.DEGRADED, "let nothing else set the governor while you measure")
    CORES_CHANGED = ("cores_changed", Validity.DEGRADED, "switch no processors on or off while you measure")
    LOW_POWER = ("low_power", Validity.DEGRADED, "plug the device in and choose its balanced or performance mode, then measure again")
    NOT_SETTLED = ("not_settled", Validity.DEGRADED, "close what else runs and let the device rest and cool down before you measure")
    NOT_HELD = ("not_held", Validity.DEGRADED, "see to it that nobody else measures there, then measure again")
    GOVERNOR_LEFT = ("governor_left", Validity.DEGRADED, "set it back by hand, or connect again with `dsmobile devices doctor`, which mends it")
    THROTTLED_BEFORE = (
        "throttled_before",
        Validity.DEGRADED,
        "the firmware keeps that in mind until a restart, and another short time of it between two readings would not be seen: reboot it, "
        "then measure again",
    )
    NOT_DELEGATED = (
        "not_delegated",
        Validity.DEGRADED,
        "that is this runtime's own way with such a file, but a slow one: give it fixed sizes, and float32 or full int8",
    )
    NOT_COMPARED = (
        "not_compared",
        Validity.DEGRADED,
        "see whether the device has enough memory for it, or compare its answers with `dsmobile evaluate` before you trust them",
    )
    WARMUP_NOT_FINISHED = (
        "warmup_not_finished",
        Validity.DEGRADED,
        "let the device rest and measure again on a quiet machine, with more --budget",
    )
    MEMORY_PRESSURE = ("memory_pressure", Validity.DEGRADED, "close what else runs on the device, or use a smaller model")
    NOT_FINITE = (
        "not_finite",
        Validity.DEGRADED,
        "check the model: its answer to a random input holds infinities or NaN, which can slow a processor down",
    )

    def __init__(self, label: str, weight: Validity, remedy: str) -> None:
        """Names the parts of the value."""
        self.label = label
        self.weight = weight
        self.remedy = remedy

    def warning(self, seen: str) -> result.Warning:
        """What was seen, and what to do."""
        return result.Warning(self.label, f"{seen}; {self.remedy}")


def validity(warnings: Iterable[result.Warning]) -> Validity:
    """The worst that any warning makes of a measurement."""
    weights = {kind.label: kind.weight for kind in Kind}
    found = {weights[warning.kind] for warning in warnings}
    return next((weight for weight in (Validity.INVALID, Validity.DEGRADED) if weight in found), Validity.VALID)
