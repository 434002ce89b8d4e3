"""`devices setup adb`: names who publishes the native tool, checks a file of it, pins its hash, and brings it to the phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsmobile.devices.adb.device import AdbDevice
from dsmobile.devices.adb.keeper import hold
from dsmobile.devices.adb.tool import NAME, SOURCES, keep, where_to_get
from dsmobile.devices.addresses import Address
from dsmobile.errors import DeviceError

ONNX = "no native ONNX runner is published for Android: export the network as .tflite, or measure the .onnx on a Raspberry Pi with ssh:user@host"


def set_up_phone(address: Address, benchmark_model: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Makes a phone ready to measure.

    Args:
        address: Which.
        benchmark_model: The native tool, a file that the person has; None takes the one in the cache.
        say: Told what is being done.

    Returns:
        As `devices.setup.setup`, and `tool`: `path`, `sha256`, `size_bytes`, `pinned_before`, `publishers` (url and what it is).

    Raises:
        ModelError, DeviceError: The phone cannot be reached, or the tool is missing, not for it, or does not run there.
    """
    say("asking the phone what it is")
    with AdbDevice(address) as device:
        abi = device.abi
        if benchmark_model is not None:
            device.use_tool(keep(benchmark_model, abi))
        tool = device.tool
        if tool is None:
            raise DeviceError(
                f"there is no native {NAME} for this phone ({abi}) in the cache yet",
                f"{where_to_get(abi)}; then run `dsmobile devices setup {address} --benchmark-model FILE`",
            )
        with hold(device.adb, say, fixed_performance=False):
            say(f"bringing {NAME} to the phone ({tool.size_bytes / 1e6:.0f} MB)")
            pushed = device.push_tool()
            complaint = device.prove_tool()
        if complaint:
            raise DeviceError(f"{tool.path.name} does not run on this phone: {complaint}", where_to_get(abi))
        facts = device.facts()
    return {
        "address": str(address),
        "kind": "adb",
        "python": None,
        "python_version": None,
        "userland": {
            "system": "Android",
            "architecture": abi,
            "pointer_bits": facts["pointer_bits"],
            "kernel_machine": facts["machine"],
            "dpkg_architecture": None,
            "os_release": facts["os_release"],
            "libc": facts["libc"],
            "numpy_version": None,
        },
        "site": None,
        "pushed": [NAME] if pushed else [],
        "pushed_bytes": tool.size_bytes if pushed else 0,
        "runtimes": [{"name": NAME, "version": facts["runtimes"][NAME], "where": None, "error": None}],
        "impossible": [{"runtime": "onnxruntime", "reason": ONNX}],
        "advice": [],
        "tool": {
            "path": str(tool.path),
            "sha256": tool.sha256,
            "size_bytes": tool.size_bytes,
            "pinned_before": tool.pinned_before,
            "publishers": [{"url": url, "what": what} for url, what in SOURCES.get(abi, ())],
        },
    }
