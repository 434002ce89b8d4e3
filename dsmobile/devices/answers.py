"""What a device answers, proven to be what the harness gives: anything may stand behind an address, and what it says is believed nowhere else."""

from __future__ import annotations

import math
import re
from typing import Any

from dsmobile.devices.device import last_line
from dsmobile.errors import DeviceError


def checked_facts(document: dict[str, Any], where: str) -> dict[str, Any]:
    """What a device says of itself, once it is proven that every value is what `device_bench.machine.facts` gives.

    Args:
        document: Its answer.
        where: The device's address, for the error.

    Raises:
        DeviceError: A value is missing or something else.
    """
    text_or_nothing = ("userland_architecture", "libc", "python_abi", "board", "cpu_model", "numpy_version")
    runtimes, release = document.get("runtimes"), document.get("os_release")
    good = {
        **{name: isinstance(document.get(name), str) for name in ("system", "system_release", "machine", "python_implementation")},
        **{name: isinstance(document.get(name), str | None) for name in text_or_nothing},
        "pointer_bits": document.get("pointer_bits") in (32, 64),
        "python_version": isinstance(document.get("python_version"), str) and re.match(r"[0-9]+\.[0-9]+", document["python_version"]),
        "libc": document.get("libc") is None or re.fullmatch(r"musl|glibc [0-9]+(\.[0-9]+)+.*", str(document["libc"])),
        "cores": document.get("cores") is None or _is_number(document["cores"]),
        "memory_bytes": document.get("memory_bytes") is None or _is_number(document["memory_bytes"]),
        "os_release": release is None or (isinstance(release, dict) and all(isinstance(value, str | None) for value in release.values())),
        "runtimes": isinstance(runtimes, dict) and all(isinstance(value, str | None) for value in runtimes.values()),
        "emulated": isinstance(document.get("emulated"), bool),
        "turbo": isinstance(document.get("turbo"), bool | None),
    }
    _demand(good, document, where)
    return document


def checked_state(document: dict[str, Any], where: str) -> dict[str, Any]:
    """In which state a device says that it is, proven as `checked_facts` does; see `device_bench.check.check`.

    Raises:
        DeviceError: A value is missing or something else.
    """
    conditions = document.get("conditions")
    now = conditions if isinstance(conditions, dict) else {}
    bits = ("throttled", "throttled_by_kernel")
    numbers = ("temperature_c", "cooling_state", "memory_available_bytes", "swap_used_bytes")
    load, busiest, failed, holder = now.get("load_average"), document.get("busiest"), document.get("failed"), document.get("holder")
    good = {
        "facts": isinstance(document.get("facts"), dict),
        "conditions": isinstance(conditions, dict)
        and all(isinstance(now.get(name), int | None) for name in bits)
        and all(_is_number(now.get(name)) or now.get(name) is None for name in numbers)
        and _is_number(now.get("time_s"))
        and isinstance(now.get("governor"), str | None)
        and (load is None or (isinstance(load, list) and bool(load) and _is_number(load[0]))),
        "others_cpu": document.get("others_cpu") is None or _is_number(document["others_cpu"]),
        "busiest": isinstance(busiest, list)
        and all(isinstance(share, dict) and isinstance(share.get("name"), str) and _is_number(share.get("cpu")) for share in busiest),
        "amiss": _is_texts(document.get("amiss")),
        "governors": _is_texts(document.get("governors")),
        "governor_writable": isinstance(document.get("governor_writable"), bool),
        "firmware_refuses": isinstance(document.get("firmware_refuses"), str),
        "clock_synchronised": isinstance(document.get("clock_synchronised"), bool | None),
        "cache_complaint": isinstance(document.get("cache_complaint"), str),
        "free_bytes": _is_number(document.get("free_bytes")) or bool(document.get("cache_complaint")),
        "notes": _is_texts(document.get("notes")),
        "failed": failed is None or (isinstance(failed, dict) and isinstance(failed.get("message"), str) and isinstance(failed.get("advice"), str)),
        "holder": holder is None or is_holder(holder),
    }
    _demand(good, document, where)
    checked_facts(document["facts"], where)
    untold = dict.fromkeys(("others_cpu", "clock_synchronised", "failed", "holder", "free_bytes"))
    return {
        **untold,
        **document,
        "conditions": {**dict.fromkeys((*bits, *numbers, "load_average", "governor", "under_voltage", "on_battery")), **now},
    }


def is_holder(document: Any) -> bool:
    """Whether it says who holds a device, as `device_bench.lock.Lock.holder` does."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("what"), str)
        and isinstance(document.get("from"), str)
        and (document.get("pid") is None or _is_number(document["pid"]))
        and (document.get("for_s") is None or _is_number(document["for_s"]))
    )


def is_rest(document: dict[str, Any]) -> bool:
    """Whether it is what `device_bench.settle.settle` gives."""
    return (
        isinstance(document.get("settled"), bool)
        and _is_number(document.get("waited_s"))
        and document["waited_s"] >= 0
        and _is_texts(document.get("reasons"))
        and _is_texts(document.get("watched"))
        and isinstance(document.get("last"), dict)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _demand(good: dict[str, Any], document: dict[str, Any], where: str) -> None:
    wrong = next((name for name, fine in good.items() if not fine), None)
    if wrong is not None:
        said = f"is {last_line(repr(document[wrong]))[:60]}" if wrong in document else "is missing"
        raise DeviceError(
            f"{where} does not answer as the harness would: {wrong} {said}", "give another Python with --python, or see what its shell prints"
        )
