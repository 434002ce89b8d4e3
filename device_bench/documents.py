"""The documents whose names grow from version to version: what each name that is known must hold; others may hold any plain value."""

from __future__ import annotations

from .reading import LARGEST, document, flag, mapping, matching, number, one_of, optional, plain, sequence, text, whole

MOST_BLOCKS, MOST_THREADS = 10**6, 1024
_LAST_S = 253402300799  # the end of the year 9999: no calendar knows a later second
_WORDS, _COUNT, _BYTES, _KHZ = optional(text), optional(whole()), optional(whole()), optional(whole(0, 10**12))
_PERCENT, _SECONDS = optional(number(0, 100)), optional(number())
_VERSION = matching(r"[0-9]{1,6}\.[0-9]{1,6}.*", "a version such as 3.11.2")

BLOCK = whole(-1, MOST_BLOCKS)

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
    load_average=optional(lambda value, where: list(sequence(number(), 1)(value, where))),
    cpu_pressure_percent=_PERCENT,
    memory_pressure_percent=_PERCENT,
    memory_available_bytes=_BYTES,
    swap_used_bytes=optional(whole(-(2**63))),  # two readings: what is free may grow between them
    on_battery=optional(flag),
    power_profile=_WORDS,
    time_s=optional(number(0, _LAST_S)),
    monotonic_s=optional(number(-LARGEST)),
    boottime_s=optional(number(-LARGEST)),
)
"""See `conditions.snapshot`."""

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

COVERAGE = document(("nodes", "delegated_nodes", "partitions"), nodes=whole(), delegated_nodes=whole(), partitions=whole())
"""See `delegation.coverage`."""

REST = document(("settled", "waited_s", "reasons"), settled=flag, waited_s=number(), reasons=lambda value, where: list(sequence(text)(value, where)))
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
    cores=optional(whole(1)),
    memory_bytes=_BYTES,
    python_version=_VERSION,
    numpy_version=_WORDS,
    runtimes=mapping(text, _WORDS),
    emulated=optional(flag),
    counts_instructions=optional(flag),
    turbo=optional(flag),
)
"""See `machine.facts`."""

NEEDED_FACTS = ("system", "pointer_bits", "python_version", "numpy_version", "runtimes")
"""Without these, nobody can tell which runtime ran a file."""
