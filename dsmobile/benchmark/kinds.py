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
    WRONG_DELEGATE = (
        "wrong_delegate",
        Validity.INVALID,
        "its latency is not that of the delegate that was asked for: measure with the other --delegate, or change the model so that it can be taken",
    )
    PARTLY_DELEGATED = (
        "partly_delegated",
        Validity.DEGRADED,
        "its latency is that of both together, with copies in between: change the operators that were not taken, or measure with --delegate cpu",
    )
    DELEGATE_UNTOLD = (
        "delegate_untold",
        Validity.DEGRADED,
        "take another benchmark_model, which says so, before you compare these figures",
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
    CLOCK_CHANGED = (
        "clock_changed",
        Validity.DEGRADED,
        "fix the processor's frequency while you measure: --governor performance, or --fixed-performance on a phone that has it",
    )
    CLOCK_CAPPED = (
        "clock_capped",
        Validity.DEGRADED,
        "something holds the clock down: let the phone cool down, charge it, switch its power savers off, then measure again",
    )
    GOVERNOR_CHANGED = ("governor_changed", Validity.DEGRADED, "let nothing else set the governor while you measure")
    CORES_CHANGED = ("cores_changed", Validity.DEGRADED, "switch no processors on or off while you measure")
    LOW_POWER = ("low_power", Validity.DEGRADED, "plug the device in and choose its balanced or performance mode, then measure again")
    POWER_SAVE = ("power_save", Validity.DEGRADED, "switch Battery Saver off on the phone, then measure again")
    LOW_BATTERY = ("low_battery", Validity.DEGRADED, "charge the phone first: many slow down when their battery is low")
    SCREEN = (
        "screen",
        Validity.DEGRADED,
        "keep the phone's screen on (developer options: Stay awake) and leave it alone while you measure",
    )
    THERMAL_UNKNOWN = (
        "thermal_unknown",
        Validity.DEGRADED,
        "nobody can say whether the phone throttled itself: keep it cool, repeat the measurement, and compare the two",
    )
    FIXED_PERFORMANCE_LEFT = (
        "fixed_performance_left",
        Validity.DEGRADED,
        "restart the phone, or run `adb shell cmd power set-fixed-performance-mode-enabled false`",
    )
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

    # Of logs that others wrote: see `benchmark.log_import`.
    UNSEEN = ("unseen", Validity.DEGRADED, "where you can, measure with `dsmobile bench` itself, which watches all of that")
    FEW_RUNS = ("few_runs", Validity.DEGRADED, "run the tool eight times or more, the networks in turn, and give everything that it wrote")
    NOT_IN_TURNS = ("not_in_turns", Validity.DEGRADED, "run the networks in turn (A B A B ...), and give the logs in that order")
    MEANS = (
        "means",
        Validity.DEGRADED,
        "a few slow inferences weigh much in a mean: give the whole log, or run a benchmark_model of 2024 or later, which prints medians",
    )
    PROFILED = ("profiled", Validity.DEGRADED, "run the tool without --enable_op_profiling")
    ONE_PROCESS = ("one_process", Validity.DEGRADED, "run benchmark_model once for each setting, in processes of their own")
    LEFT_OUT = ("left_out", Validity.DEGRADED, "name every model that ran, and give whole logs")
    FILE_UNCONFIRMED = ("file_unconfirmed", Validity.DEGRADED, "make sure that it was this very file")
    OTHER_FILE = ("other_file", Validity.INVALID, "give the file that ran, or run the tool on this one")

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
