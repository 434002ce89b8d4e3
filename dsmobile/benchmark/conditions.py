"""Whether a measurement means what it says: a closed list of what can be wrong with it, each with its weight and a way out."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from device_bench.records import ReplicateSample, Samples
from dsmobile.benchmark import result
from dsmobile.benchmark.numerics import as_exported, finite, same_answer
from dsmobile.benchmark.plan import ENOUGH_BLOCKS
from dsmobile.benchmark.result import Validity
from dsmobile.benchmark.subjects import Subject

BUSY_CPU, PREEMPTED_SHARE, STOLEN_SHARE = 0.3, 0.05, 0.03
DISTURBED_SHARE, UNFINISHED_SHARE = 0.2, 0.5
CLOCK_STEP_NS, CLOCK_DRIFT = 50_000_000, 1e-3
FREQUENCY_RANGE = 1.1
MANY_MAJOR_FAULTS, LITTLE_MEMORY = 10, 0.05
_THROTTLED_NOW, _THROTTLED_SINCE_BOOT = 0xF, 0xF0000


class Kind(Enum):
    """What can be wrong: its name in JSON, what that makes of the measurement, and what to do."""

    EMULATED = ("emulated", Validity.INVALID, "times on an emulated processor mean nothing: measure on the real device")
    THROTTLED = ("throttled", Validity.INVALID, "let the device cool down, give it a fan or a stronger power supply, then measure again")
    CLOCK_STEPPED = ("clock_stepped", Validity.INVALID, "wait until the device has set its time and does not sleep, then measure again")
    NUMERICS = ("numerics", Validity.INVALID, "export the model again, or install another version of the runtime on the device")
    RUNTIME_CHANGED = ("runtime_changed", Validity.INVALID, "do not install anything on the device while it measures, then measure again")
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
        "set the governor to performance while you measure: `sudo cpupower frequency-set -g performance`",
    )
    TURBO = ("turbo", Validity.DEGRADED, "switch turbo off while you measure, where differences of some percent matter")
    CLOCK_CHANGED = ("clock_changed", Validity.DEGRADED, "fix the processor's frequency while you measure")
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


def judge(samples: Samples, subjects: Sequence[Subject], *, threads: int, blocks: int) -> tuple[result.Warning, ...]:
    """Everything that a reader of the figures must know.

    Args:
        samples: What the device answered, the trial (block -1) included.
        subjects: What was measured; a replicate's `artifact` is an index into it.
        threads: Threads of the runtime.
        blocks: How many blocks were run.
    """
    done = [replicate for replicate in samples.replicates if not replicate.error and replicate.block >= 0]
    return (
        *_of_the_machine(samples, done),
        *_of_the_clock(done),
        *_of_the_answers(samples, subjects),
        *_of_the_run(samples, subjects, done, blocks),
        *_of_the_load(samples, done, threads),
    )


def _of_the_machine(samples: Samples, done: Sequence[ReplicateSample]) -> Iterable[result.Warning]:
    snapshots = [*samples.conditions, *(replicate.conditions for replicate in done)]
    if samples.facts.get("emulated"):
        yield Kind.EMULATED.warning("the device is emulated by QEMU")
    bits = _seen(snapshots, "throttled")
    since = [value & _THROTTLED_SINCE_BOOT for value in bits]
    if any(value & _THROTTLED_NOW for value in bits) or (since and since[-1] & ~since[0]):
        yield Kind.THROTTLED.warning(f"the firmware reports under-voltage or throttling while it measured (get_throttled=0x{max(bits):x})")
    counts = _seen(snapshots, "throttle_count")
    if counts and max(counts) > counts[0]:
        yield Kind.THROTTLED.warning(f"the processor throttled itself {max(counts) - counts[0]} times while it measured")
    governors = {str(value) for value in _seen(snapshots, "governor")}
    if any("powersave" in governor for governor in governors):
        yield Kind.POWERSAVE_GOVERNOR.warning("the processor's governor is powersave")
    if samples.facts.get("turbo"):
        yield Kind.TURBO.warning("the processor may raise its clock as it sees fit")
    available, memory = _seen(snapshots, "memory_available_bytes"), samples.facts.get("memory_bytes")
    if available and memory and min(available) < LITTLE_MEMORY * memory:
        yield Kind.MEMORY_PRESSURE.warning(f"only {min(available) / 1e6:.0f} MB of memory were left")
    faults = max([replicate.loop.get("major_faults") or 0 for replicate in done], default=0)
    if faults > MANY_MAJOR_FAULTS:
        yield Kind.MEMORY_PRESSURE.warning(f"the device fetched {faults} pages from its disk within one timed loop")


def _of_the_clock(done: Sequence[ReplicateSample]) -> Iterable[result.Warning]:
    steps = [
        replicate.loop["clock_step_ns"]
        for replicate in done
        if abs(replicate.loop.get("clock_step_ns", 0)) > CLOCK_STEP_NS + CLOCK_DRIFT * replicate.loop["wall_ns"]
    ]
    if steps:
        yield Kind.CLOCK_STEPPED.warning(f"the device's clock jumped by {max(steps, key=abs) / 1e9:.3g} s while it measured")
    frequencies = _seen([replicate.conditions for replicate in done], "frequency_khz")
    if frequencies and max(frequencies) > FREQUENCY_RANGE * min(frequencies):
        low, high = min(frequencies) / 1e6, max(frequencies) / 1e6
        yield Kind.CLOCK_CHANGED.warning(f"the processor's clock was anything from {low:.2f} to {high:.2f} GHz")


def _of_the_answers(samples: Samples, subjects: Sequence[Subject]) -> Iterable[result.Warning]:
    for index, subject in enumerate(subjects):
        mine = [replicate for replicate in samples.replicates if replicate.artifact == index and replicate.probe is not None]
        probes = [replicate.probe for replicate in mine if replicate.probe is not None]
        if not probes:
            continue
        if any(not same_answer(probes[0], probe) for probe in probes[1:]):
            yield Kind.NUMERICS.warning(f"{subject.path.name} does not give the same answer in every process")
        elif not as_exported(subject, probes[0]):
            yield Kind.NUMERICS.warning(f"{subject.path.name} does not give the answer that it gave when it was exported")
        elif not finite(probes[0]):
            yield Kind.NOT_FINITE.warning(f"{subject.path.name} answers with numbers that are not finite")
        if len({(replicate.runtime_version, replicate.exact_kernels, replicate.delegate) for replicate in mine}) > 1:
            yield Kind.RUNTIME_CHANGED.warning(f"{subject.path.name} did not run on the same runtime and delegate throughout")


def _of_the_run(samples: Samples, subjects: Sequence[Subject], done: Sequence[ReplicateSample], blocks: int) -> Iterable[result.Warning]:
    if blocks < ENOUGH_BLOCKS:
        yield Kind.SHORT_BUDGET.warning(f"the budget allowed {blocks} blocks, fewer than {ENOUGH_BLOCKS}")
    failed = [replicate for replicate in samples.replicates if replicate.error and replicate.block >= 0]
    if failed:
        name, total = subjects[failed[0].artifact].path.name, len(failed) + len(done)
        yield Kind.REPLICATE_FAILED.warning(f"{len(failed)} of {total} processes failed, first of {name}: {failed[0].error}")
        whole = blocks - len({replicate.block for replicate in failed})
        if blocks >= ENOUGH_BLOCKS > whole:
            yield Kind.FEW_BLOCKS.warning(f"only {whole} blocks are whole")
    for index, subject in enumerate(subjects):
        unfinished = [not replicate.warmup_finished for replicate in done if replicate.artifact == index]
        if unfinished and sum(unfinished) > UNFINISHED_SHARE * len(unfinished):
            seen = f"{subject.path.name} had not come to a steady pace in {sum(unfinished)} of {len(unfinished)} processes"
            yield Kind.WARMUP_NOT_FINISHED.warning(seen)


def _of_the_load(samples: Samples, done: Sequence[ReplicateSample], threads: int) -> Iterable[result.Warning]:
    disturbed = [reason for reason in (_disturbance(replicate, threads) for replicate in done) if reason]
    if done and len(disturbed) > DISTURBED_SHARE * len(done):
        reason = statistics.mode(disturbed)
        yield Kind.BUSY_MACHINE.warning(f"in {len(disturbed)} of {len(done)} processes {reason}")
        return
    cores = samples.facts.get("cores")
    load = next((snapshot["load_average"] for snapshot in samples.conditions if snapshot.get("load_average")), None)
    if not any(replicate.loop.get("others_cpu") is not None for replicate in done) and load and cores and load[0] > 0.5 * cores:
        yield Kind.BUSY_MACHINE.warning(f"the load average was {load[0]:.1f} on {cores} cores before the measurement")


def _disturbance(replicate: ReplicateSample, threads: int) -> str:
    """What disturbed a process's timed loop; empty where nothing did."""
    loop: dict[str, Any] = replicate.loop
    if (loop.get("stolen") or 0.0) > STOLEN_SHARE:
        return "the hypervisor took the processor away"
    if threads == 1 and loop.get("wall_ns") and loop.get("cpu_ns", 0) < (1 - PREEMPTED_SHARE) * loop["wall_ns"]:
        return "something else had the processor part of the time"
    if (loop.get("others_cpu") or 0.0) > BUSY_CPU:
        return "other programs kept processors busy"
    return ""


def _seen(snapshots: Iterable[dict[str, Any]], key: str) -> list[Any]:
    return [snapshot[key] for snapshot in snapshots if snapshot.get(key) is not None]
