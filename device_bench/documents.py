"""The documents whose names grow from version to version: what each name that is known must hold; others may hold any plain value."""

from __future__ import annotations

from typing import Any

from .reading import LARGEST, Reader, document, flag, mapping, matching, number, optional, sequence, text, whole

MOST_BLOCKS, MOST_THREADS = 10**6, 1024
_LAST_S = 253402300799  # the end of the year 9999: no calendar knows a later second
_WORDS, _COUNT, _BYTES, _KHZ = optional(text), optional(whole()), optional(whole()), optional(whole(0, 10**12))
_VERSION = matching(r"[0-9]{1,6}\.[0-9]{1,6}.*", "a version such as 3.11.2")
BLOCK, THREADS = whole(-1, MOST_BLOCKS), whole(1, MOST_THREADS)


def _list_of(read: Reader, least: int = 0) -> Reader:
    """Reads lists that stay lists: a document is plain JSON."""
    items = sequence(read, least)
    return lambda value, where: list(items(value, where))


SNAPSHOT = document(
    when=text,
    block=BLOCK,
    frequency_khz=_KHZ,
    throttled=optional(whole(0, 2**32 - 1)),
    throttled_by_kernel=optional(whole(0, 2**32 - 1)),
    under_voltage=optional(flag),
    arm_clock_hz=_COUNT,
    temperature_c=optional(number(-274, 1000)),
    throttle_count=_COUNT,
    cooling_state=_COUNT,
    frequency_limit_khz=_KHZ,
    governor=_WORDS,
    cores_online=_COUNT,
    load_average=optional(_list_of(number(), 1)),
    cpu_pressure_percent=optional(number()),
    memory_pressure_percent=optional(number()),
    memory_available_bytes=_BYTES,
    swap_used_bytes=optional(whole(-(2**63))),  # two readings: what is free may grow between them
    on_battery=optional(flag),
    power_profile=_WORDS,
    thermal_status=optional(whole(0, 6)),
    throttling_sensors=optional(_list_of(text)),
    skin_temperature_c=optional(number(-274, 1000)),
    battery_level_percent=optional(number(0, 100)),
    battery_temperature_c=optional(number(-274, 1000)),
    battery_state=_WORDS,
    power_save=optional(flag),
    screen=_WORDS,
    core_clocks_khz=optional(mapping(matching(r"[0-9]{1,4}", "a core's number"), whole(0, 10**12))),
    frequency_highest_khz=_KHZ,
    time_s=optional(number(0, _LAST_S)),
    monotonic_s=optional(number(-LARGEST)),
    boottime_s=optional(number(-LARGEST)),
)
"""See `conditions.snapshot`; what only phones tell: `dsmobile.devices.adb_state`."""

LOOP = document(
    wall_ns=whole(),
    cpu_ns=whole(),
    preemptions=_COUNT,
    major_faults=_COUNT,
    others_cpu=optional(number()),
    stolen=optional(number(-LARGEST)),
    clock_step_ns=whole(-(2**63)),
    frequency_khz=_KHZ,
    frequency_shares=optional(mapping(matching(r"[0-9]{1,12}", "a frequency in kHz"), number(0, 1))),
    throttles=optional(whole(-(2**63))),
)
"""See `conditions.LoopWatch`."""

_TOLD = document(("nodes", "delegated_nodes", "partitions"), nodes=whole(), delegated_nodes=whole(), partitions=whole())


def COVERAGE(value: Any, where: str) -> Any:  # noqa: N802 - a reader like the others
    """See `delegation.coverage`; empty where the runtime does not tell."""
    return {} if value == {} else _TOLD(value, where)


REST = document(("settled", "waited_s", "reasons"), settled=flag, waited_s=number(), reasons=_list_of(text))
"""See `settle.settle`."""

FACTS = document(
    system=text,
    system_release=_WORDS,
    machine=_WORDS,
    pointer_bits=whole(8, 1024),
    userland_architecture=_WORDS,
    os_release=optional(mapping(text, _WORDS)),
    libc=_WORDS,
    python_implementation=_WORDS,
    python_abi=_WORDS,
    board=_WORDS,
    cpu_model=_WORDS,
    cpu_features=optional(_list_of(text)),
    cores=optional(whole(1)),
    memory_bytes=_BYTES,
    python_version=optional(_VERSION),
    numpy_version=_WORDS,
    runtimes=mapping(text, _WORDS),
    emulated=optional(flag),
    counts_instructions=optional(flag),
    turbo=optional(flag),
    pinned_cores=optional(_list_of(whole(0, 1023))),
    asked_delegate=_WORDS,
    fixed_performance=optional(flag),
)
"""See `machine.facts`."""

NEEDED_FACTS = ("system", "machine", "cores", "python_version", "runtimes", "emulated")
"""What every harness tells: without these, nobody knows what was measured, nor whether on a real processor."""
