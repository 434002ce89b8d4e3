"""Whether a measurement means what it says: a closed list of what can be wrong with it, each with its weight and a way out."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from device_bench.records import Deviation, ReplicateSample, Samples
from dsmobile.benchmark import result
from dsmobile.benchmark.device_state import ANDROID, of_the_clocks, of_the_machine, seen
from dsmobile.benchmark.kinds import Kind as Kind
from dsmobile.benchmark.kinds import validity as validity
from dsmobile.benchmark.numerics import as_exported, finite, same_answer, same_optimised
from dsmobile.benchmark.plan import ENOUGH_BLOCKS
from dsmobile.benchmark.subjects import Subject
from dsmobile.devices.adb.delegate import GPU_AND_CPU, GPU_UNTOLD

BUSY_CPU, PREEMPTED_SHARE, STOLEN_SHARE = 0.3, 0.05, 0.03
DISTURBED_SHARE, UNFINISHED_SHARE = 0.2, 0.5
EPISODE = 3  # so many disturbed processes in a row are no blip
WAITING_PERCENT = 20.0


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
        *of_the_machine(samples),
        *of_the_clocks(samples),
        *_of_the_answers(samples, subjects),
        *_of_the_optimisation(samples, subjects),
        *(_of_the_tool(samples, subjects, done) if samples.facts.get("system") == ANDROID else _of_the_delegates(subjects, done)),
        *_of_the_run(samples, subjects, done, blocks),
        *(() if samples.facts.get("counts_instructions") else _of_the_load(samples, done, threads)),
    )


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


def _of_the_optimisation(samples: Samples, subjects: Sequence[Subject]) -> Iterable[result.Warning]:
    """int8 ONNX files whose optimised graph computes something else than the file says; one that nobody compared is not judged."""
    for index, subject in enumerate(subjects):
        found = [sample.unoptimised for sample in samples.replicates if sample.artifact == index and sample.unoptimised is not None]
        failed = next((unoptimised.error for unoptimised in found if unoptimised.error), "")
        apart = [output for unoptimised in found for output in unoptimised.outputs if not same_optimised(output)]
        if apart:
            yield Kind.OPTIMISED_DIFFERS.warning(f"{subject.path.name} answers {_how_far(apart[0])} than without ONNX Runtime's optimisations")
        elif failed:
            yield Kind.NOT_COMPARED.warning(f"{subject.path.name} could not be held against its unoptimised graph: {failed}")


def _how_far(deviation: Deviation) -> str:
    if deviation.difference is None:
        return "in another shape, or with other numbers that are not finite,"
    if not deviation.magnitude:
        return "otherwise"
    return f"otherwise by {deviation.difference / deviation.magnitude:.0%} (root mean square)"


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


def _of_the_delegates(subjects: Sequence[Subject], done: Sequence[ReplicateSample]) -> Iterable[result.Warning]:
    """TFLite files that XNNPACK should run and does not; a runtime that does not tell is not judged."""
    for index, subject in enumerate(subjects):
        mine = [replicate for replicate in done if replicate.artifact == index and replicate.coverage]
        if not mine or any(replicate.coverage["partitions"] for replicate in mine):
            continue
        if any(replicate.delegate for replicate in mine):
            yield Kind.NOT_DELEGATED.warning(f"XNNPACK took none of the {mine[0].coverage['nodes']} operators of {subject.path.name}")
        else:
            yield Kind.DELEGATE.warning(f"{subject.path.name} ran without XNNPACK")


def _of_the_tool(samples: Samples, subjects: Sequence[Subject], done: Sequence[ReplicateSample]) -> Iterable[result.Warning]:
    """On a phone: whether the delegate that was asked for ran the whole network in every process, as the tool's own words tell."""
    on_gpu = samples.facts.get("asked_delegate") == "gpu"
    for index, subject in enumerate(subjects):
        mine = [replicate for replicate in done if replicate.artifact == index]
        delegates = list(dict.fromkeys(replicate.delegate for replicate in mine))
        if len({(replicate.runtime_version, replicate.delegate) for replicate in mine}) > 1:
            yield Kind.RUNTIME_CHANGED.warning(f"{subject.path.name} did not run on the same tool and delegate throughout")
        if on_gpu and any(not delegate.startswith("GPU") for delegate in delegates):
            other = next(delegate for delegate in delegates if not delegate.startswith("GPU"))
            yield Kind.WRONG_DELEGATE.warning(f"{subject.path.name} was to run on the GPU, and the tool says that {other or 'no delegate'} ran it")
        elif on_gpu and GPU_UNTOLD in delegates:
            yield Kind.DELEGATE_UNTOLD.warning(f"the tool does not say how much of {subject.path.name} the GPU took")
        elif on_gpu and GPU_AND_CPU in delegates:
            taken = next((replicate.coverage for replicate in mine if replicate.coverage), None)
            share = f" {taken['delegated_nodes']} of the {taken['nodes']} operators" if taken else " a part"
            yield Kind.PARTLY_DELEGATED.warning(f"the GPU took{share} of {subject.path.name}, and the processor the rest")
        elif not on_gpu and any(delegate.startswith("GPU") for delegate in delegates):
            yield Kind.WRONG_DELEGATE.warning(f"{subject.path.name} was to run on the processor, and the GPU ran it")
        elif not on_gpu and "" in delegates:
            yield Kind.DELEGATE_UNTOLD.warning(f"the tool does not say whether XNNPACK ran {subject.path.name}")


def _of_the_load(samples: Samples, done: Sequence[ReplicateSample], threads: int) -> Iterable[result.Warning]:
    """A machine that was busy with something else: too often, or for a while."""
    reasons = [_disturbance(replicate, threads) for replicate in done]
    disturbed = [reason for reason in reasons if reason]
    longest = max((len(list(group)) for busy, group in groupby(reasons, bool) if busy), default=0)
    if disturbed and (len(disturbed) > DISTURBED_SHARE * len(done) or longest >= EPISODE):
        reason = statistics.mode(disturbed)
        yield Kind.BUSY_MACHINE.warning(f"in {len(disturbed)} of {len(done)} processes {reason}")
        return
    if any(replicate.loop.get("others_cpu") is not None for replicate in done):
        return
    cores = samples.facts.get("cores")
    load = next((snapshot["load_average"] for snapshot in samples.conditions if snapshot.get("load_average")), None)
    if load and cores and load[0] > 0.5 * cores:
        yield Kind.BUSY_MACHINE.warning(f"the load average was {load[0]:.1f} on {cores} cores before the measurement")
    waiting = seen(samples.conditions, "cpu_pressure_percent")
    if threads == 1 and waiting and max(waiting) > WAITING_PERCENT:
        yield Kind.BUSY_MACHINE.warning(f"programs waited for a processor during {max(waiting):.0f}% of the time")


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
