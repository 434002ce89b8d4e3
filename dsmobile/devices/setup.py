"""`dsmobile devices setup`: brings a device what it needs to measure; nothing is installed there, and no network is needed there.

The wheels are fetched here, pushed once, and unpacked into a folder of their own below `~/.cache/dsmobile` on the device, which only the
harness uses. Each runtime must then run a tiny model there, or the setup has failed.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dsmobile.devices.addresses import Address, parse_address
from dsmobile.devices.device import document_in, harness_files
from dsmobile.devices.harness_process import environment_without
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.native_tool import PLACE, check_program
from dsmobile.devices.ssh import SshDevice
from dsmobile.devices.userland import NATIVE, TFLITE_RUNTIMES, Choice, Userland, choose_wheels, native_file, numpy_obstacle, read_userland
from dsmobile.devices.wheels import PACKAGES, Wheel, fetch
from dsmobile.errors import DeviceError, UsageError, nearest
from dsmobile.files import sha256

Say = Callable[[str], None]
_HOW_NATIVE = (
    "get {file} (a nightly build that TensorFlow publishes with its benchmark tools; there is no fixed hash to check it by), "
    "then run `{command} --benchmark-model {file}`"
)


def silently(_text: str) -> None:
    """Tells nobody."""


def setup(
    address: str,
    *,
    python: str | None = None,
    runtime: str | None = None,
    benchmark_model: Path | None = None,
    interactive: bool = False,
    say: Say = silently,
) -> dict[str, Any]:
    """Makes a device ready to measure.

    Args:
        address: ADDRESS.
        python: The Python on the device; None takes this one (local) or `python3` (ssh).
        runtime: The runtime for `.tflite` files: `litert`, `tflite-runtime` or `benchmark_model`; None takes LiteRT, or tflite-runtime
            where there is no LiteRT.
        benchmark_model: A native `benchmark_model` for the device, to push.
        interactive: Whether ssh may ask for a password or a passphrase.
        say: Told what is being done.

    Returns:
        `address`, `kind`, `python`, `python_version`, `userland`, `site` (the folder on the device, or None), `pushed` (file names),
        `pushed_bytes`, `runtimes` (name, version, where, error), `impossible` (runtime, reason), `advice`.

    Raises:
        UsageError: The address or an option makes no sense.
        DeviceError: The device cannot be reached, nothing runs there, or what was brought does not work there.
    """
    place = parse_address(address)
    if runtime is not None and runtime not in TFLITE_RUNTIMES:
        raise UsageError(f"--runtime {runtime!r} runs no .tflite files", nearest(runtime, TFLITE_RUNTIMES))
    if place.kind == "emulated":
        return _emulated(place, python, runtime, benchmark_model, say)
    if place.kind == "adb":
        if python is not None or runtime not in (None, NATIVE):
            raise UsageError(f"--python and --runtime do not apply to {place}: a phone runs {NATIVE} alone", "leave them away")
        from dsmobile.devices.adb.setup import set_up_phone

        return set_up_phone(place, benchmark_model, say)
    if place.kind == "local":
        if benchmark_model is not None:
            raise UsageError("--benchmark-model does not apply to this machine: nothing is pushed", "name a device over SSH, or a phone")
        return _local(python or sys.executable, runtime)
    with SshDevice(place, python or "python3", interactive=interactive) as device:
        say("asking the device what it is")
        facts = device.facts()
        return _over_ssh(device, facts, place, python, runtime, benchmark_model, say)


def command_for(address: Address | str, python: str | None) -> str:
    """The command line that sets a device up."""
    return f"dsmobile devices setup {address}" + (f" --python {shlex.quote(python)}" if python and python != "python3" else "")


def _over_ssh(
    device: SshDevice,
    facts: dict[str, Any],
    address: Address,
    python: str | None,
    runtime: str | None,
    benchmark_model: Path | None,
    say: Say,
) -> dict[str, Any]:
    userland = read_userland(facts)
    choice = choose_wheels(userland, runtime or "")
    if runtime in PACKAGES and runtime in choice.impossible:
        raise DeviceError(f"{runtime} cannot run on {address}: {choice.impossible[runtime]}", "leave --runtime away, or use another system there")
    pushed: list[tuple[str, int]] = []
    advice: list[str] = []
    if benchmark_model is not None:
        check_program(benchmark_model, userland)
        pushed += _push_native(device, benchmark_model, say)
    native = benchmark_model is not None or facts["runtimes"].get(NATIVE) is not None
    if runtime == NATIVE and not native:
        how = _HOW_NATIVE.format(file=native_file(userland) or NATIVE, command=command_for(address, python))
        raise DeviceError(f"{address} ({userland}) has no {NATIVE} yet", how)
    lacking = numpy_obstacle(userland, choice)
    if lacking and not native:
        raise DeviceError(f"{address} ({userland}): {lacking}", _numpy_advice(userland, command_for(address, python)))
    if lacking:
        advice.append(f"for {choice.runtimes[0]}: {lacking}: {_numpy_advice(userland, command_for(address, python))}")
    runtimes = () if lacking else choice.runtimes
    if runtimes:
        pushed += _push_site(device, choice.wheels, say)
    elif not native:
        raise _nothing_runs(userland, choice, address, python)
    names = [*runtimes, *([NATIVE] if native else [])]
    proofs = []
    for name in names:
        say(f"running a tiny model in {name} on the device")
        proofs.append({"name": name, "version": None, "where": None, "error": None, **device.prove(name)})
    broken = [_does_not_work(proof, userland, address) for proof in proofs if proof["error"]]
    if len(broken) == len(proofs):
        if benchmark_model is not None:
            device.ask("discard", PLACE)
        raise broken[0]
    advice += [f"{error.message}; {error.advice}" for error in broken]
    if runtimes:
        device.use_site(site_name(choice.wheels))
    if not any(name in TFLITE_RUNTIMES for name in names) and (file := native_file(userland)):
        advice.append(f"for .tflite files: {_HOW_NATIVE.format(file=file, command=command_for(address, python))}")
    return {
        "address": str(address),
        "kind": "ssh",
        "python": device.python,
        "python_version": facts["python_version"],
        "userland": _describe(userland, facts),
        "site": device.site or None,
        "pushed": [name for name, _ in pushed],
        "pushed_bytes": sum(size for _, size in pushed),
        "runtimes": proofs,
        "impossible": [{"runtime": name, "reason": reason} for name, reason in choice.impossible.items()],
        "advice": advice,
    }


def site_name(wheels: Sequence[Wheel]) -> str:
    """The folder of a set of wheels, below the cache on the device: another set has another one."""
    digest = hashlib.sha256("".join(sorted(wheel.sha256 for wheel in wheels)).encode())
    return f"sites/{digest.hexdigest()[:16]}"


def _push_site(device: SshDevice, wheels: Sequence[Wheel], say: Say) -> list[tuple[str, int]]:
    """Makes the folder of packages on the device, unless it is there with every byte; returns what was pushed."""
    name = site_name(wheels)
    pushed = []
    if not device.ask("site_whole", name)["whole"]:
        files = fetch(wheels, say)
        places = [f"wheels/{wheel.sha256}.whl" for wheel in wheels]
        wanted = [(place, wheel.sha256, "file") for place, wheel in zip(places, wheels, strict=True)]
        absent = set(device.ask("missing", json.dumps(wanted))["missing"])
        for file, place, wheel in zip(files, places, wheels, strict=True):
            if place in absent:
                say(f"pushing {wheel.file} ({wheel.size_bytes / 1e6:.0f} MB)")
                device.ask("put", place, wheel.sha256, str(wheel.size_bytes), file=file)
                pushed.append((wheel.file, wheel.size_bytes))
        say("unpacking on the device")
        order = [{"path": place, "sha256": wheel.sha256, "unpacked_bytes": wheel.unpacked_bytes} for place, wheel in zip(places, wheels, strict=True)]
        device.ask("make_site", name, data=json.dumps(order).encode())
    device.try_site(name)
    return pushed


def _push_native(device: SshDevice, program: Path, say: Say) -> list[tuple[str, int]]:
    digest, size = sha256(program), program.stat().st_size
    pushed = []
    if device.ask("missing", json.dumps([(PLACE, digest, "file")]))["missing"]:
        say(f"pushing {program.name} ({size / 1e6:.0f} MB)")
        device.ask("put", PLACE, digest, str(size), file=program)
        pushed.append((program.name, size))
    device.ask("set_mode", PLACE, "755")
    return pushed


def _local(python: str, runtime: str | None) -> dict[str, Any]:
    """What this machine has, and what to install; it is the person's own, so nothing is brought to it."""
    with LocalDevice(python) as machine:
        facts = machine.facts()
        program = machine.python
    userland = read_userland(facts)
    found = [_proven_here(program, name) for name, version in facts["runtimes"].items() if version]
    old = userland.pointer_bits == 32 or userland.python < (3, 10)
    wanted = [runtime or ("tflite-runtime" if old else "litert"), *(["onnxruntime"] if userland.pointer_bits == 64 else [])]
    missing = [PACKAGES[name] for name in wanted if name in PACKAGES and facts["runtimes"][name] is None]
    return {
        "address": "local",
        "kind": "local",
        "python": program,
        "python_version": facts["python_version"],
        "userland": _describe(userland, facts),
        "site": None,
        "pushed": [],
        "pushed_bytes": 0,
        "runtimes": found,
        "impossible": [],
        "advice": [f"this machine is yours, so nothing was installed: run `{program} -m pip install {' '.join(missing)}`"] if missing else [],
    }


def _emulated(address: Address, python: str | None, runtime: str | None, benchmark_model: Path | None, say: Say) -> dict[str, Any]:
    """Makes the emulated machine's image; nothing but LiteRT and ONNX Runtime runs in it, on its own Python."""
    if python is not None or benchmark_model is not None or runtime not in (None, "litert"):
        raise UsageError(f"--python, --runtime and --benchmark-model do not apply to {address}", "leave them away: it has its own Python and LiteRT")
    from dsmobile.devices.emulated import set_up

    document = set_up(address.host, say)
    facts = document["facts"]
    return {
        "address": str(address),
        "kind": "emulated",
        "python": "python3",
        "python_version": facts["python_version"],
        "userland": _describe(read_userland(facts), facts),
        "site": None,
        "pushed": [],
        "pushed_bytes": 0,
        "runtimes": document["runtimes"],
        "impossible": [],
        "advice": [],
    }


def _proven_here(program: str, runtime: str) -> dict[str, Any]:
    """Runs a tiny model in a runtime of this machine."""
    command = [program, str(harness_files()[0].parent), "--prove", runtime]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment_without("PYTHONSAFEPATH"), check=False)
    answer = document_in(done.stdout.decode("utf-8", "replace"))
    return {"name": runtime, "version": None, "where": None, "error": None, **(answer or {"error": f"its process ended with {done.returncode}"})}


def _describe(userland: Userland, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "system": userland.system,
        "architecture": userland.architecture or None,
        "pointer_bits": userland.pointer_bits,
        "kernel_machine": facts.get("machine"),
        "dpkg_architecture": facts.get("userland_architecture"),
        "os_release": facts.get("os_release"),
        "libc": facts.get("libc"),
        "numpy_version": facts.get("numpy_version"),
    }


def _numpy_advice(userland: Userland, command: str) -> str:
    if not userland.numpy:
        return f"run there: `sudo apt install python3-numpy`, then here: `{command}`"
    native = f", or {_HOW_NATIVE.format(file=native_file(userland), command=command)}" if native_file(userland) else ""
    return f"run there: `sudo apt install python3-numpy`, with the system's own Python, then here: `{command}`{native}"


def _nothing_runs(userland: Userland, choice: Choice, address: Address, python: str | None) -> DeviceError:
    reasons = "; ".join(dict.fromkeys(choice.impossible.values()))
    message = f"no Python runtime runs on {address} ({userland}): {reasons}"
    if userland.system != "Linux":
        return DeviceError(message, "install ai-edge-litert and onnxruntime there with pip, then measure with --python")
    file = native_file(userland)
    if not file:
        return DeviceError(message, "name another Python there with --python, or install a 64-bit system with glibc")
    native = _HOW_NATIVE.format(file=file, command=command_for(address, python))
    other = ", or install the 64-bit system" if userland.pointer_bits == 32 else ", or name another Python there with --python"
    return DeviceError(message, f"for .tflite files {native}{other}")


def _does_not_work(proof: dict[str, Any], userland: Userland, address: Address) -> DeviceError:
    what, said = proof["name"], proof["error"]
    message = f"{what} does not work on {address} ({userland}): {said}"
    lowered = said.lower()
    if "elf class" in lowered or "exec format" in lowered or "wrong architecture" in lowered:
        return DeviceError(message, "it was built for another architecture than the device's programs: report this with the output of --json")
    if "cannot open shared object" in lowered:
        return DeviceError(message, "install the library that is named there with the device's package manager, then try again")
    if "not found" in lowered and "version `" in lowered:
        return DeviceError(message, "the device's system libraries are too old for it: upgrade the system")
    if "numpy" in lowered:
        return DeviceError(message, "run there: `sudo apt install python3-numpy`, then try again")
    return DeviceError(message, "try again; if it stays so, name another --runtime and report it")
