"""`devices doctor`: what each state of a device makes of its ten lines."""

import json
from pathlib import Path

import pytest

from dsmobile.devices.addresses import parse_address
from dsmobile.devices.doctor import Check, State, diagnose, examine, exit_code

NOW_S = 1.8e9


def pi(**changes) -> dict:
    """A Raspberry Pi in order; its arguments change facts, conditions or the rest, wherever the name is."""
    state = {
        "facts": {
            "system": "Linux", "system_release": "6.6.31+rpt-rpi-v8", "machine": "aarch64", "pointer_bits": 64,
            "board": "Raspberry Pi 4 Model B Rev 1.4",
            "cpu_model": "Cortex-A72", "cores": 4, "memory_bytes": 4_000_000_000, "python_version": "3.11.2", "numpy_version": "1.26.4",
            "runtimes": {"litert": "2.3.0", "tflite-runtime": None, "onnxruntime": "1.31.0"}, "emulated": False, "userland_architecture": "arm64",
            "os_release": {"id": "debian", "version_id": "12", "codename": "bookworm"},
        },
        "conditions": {
            "governor": "ondemand", "throttled": 0, "throttled_by_kernel": None, "under_voltage": None, "temperature_c": 48.3, "cooling_state": 0,
            "on_battery": None, "load_average": [0.1, 0.1, 0.1], "memory_available_bytes": 3_000_000_000, "swap_used_bytes": 0, "time_s": NOW_S,
        },
        "others_cpu": 0.02, "busiest": [], "amiss": [], "governors": ["ondemand", "performance"], "governor_writable": False, "firmware_refuses": "",
        "clock_synchronised": True, "holder": None, "notes": [], "failed": None, "free_bytes": 20_000_000_000, "cache_complaint": "",
    }  # fmt: skip
    for key, value in changes.items():
        place = next((part for part in (state["facts"], state["conditions"]) if key in part), state)
        assert key in place
        place[key] = value
    return state


def lines(state: dict) -> dict[str, Check]:
    return {check.name: check for check in diagnose(state, parse_address("ssh:pi@pi4"), now_s=NOW_S)}


def test_ten_lines_and_nothing_to_fix_on_a_device_in_order() -> None:
    found = lines(pi())
    assert len(found) == 10
    assert [name for name, check in found.items() if check.state is State.FIX] == []
    assert found["governor"].state is State.NOTE
    assert "--governor performance" in found["governor"].advice
    assert "Raspberry Pi 4" in found["device"].seen
    assert all(check.state is State.OK for name, check in found.items() if name != "governor")


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("device", {"emulated": True}, "real device"),
        ("python", {"numpy_version": None}, "dsmobile devices setup ssh:pi@pi4"),
        ("runtimes", {"runtimes": {"litert": None, "onnxruntime": None}}, "dsmobile devices setup ssh:pi@pi4"),
        ("power and heat", {"throttled": 0x50005}, "power supply"),
        ("power and heat", {"throttled": 0x40004}, "fan"),
        ("power and heat", {"throttled": None, "throttled_by_kernel": 0x8}, "fan"),
        ("power and heat", {"under_voltage": True}, "power supply"),
        ("power and heat", {"cooling_state": 2}, "fan"),
        ("other load", {"others_cpu": 1.4}, "close"),
        ("memory", {"memory_available_bytes": 100_000_000}, "close"),
        ("cache", {"free_bytes": 1000}, "free some space"),
        ("cache", {"cache_complaint": "Permission denied"}, "writable"),
        ("benchmarks", {"failed": {"message": "the governor could not be put back", "advice": "by hand"}}, "by hand"),
    ],
)
def test_what_must_be_put_right(name, changes, words) -> None:
    check = lines(pi(**changes))[name]
    assert check.state is State.FIX
    assert words in check.advice


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("python", {"pointer_bits": 32, "userland_architecture": "armhf"}, "32-bit"),
        ("runtimes", {"runtimes": {"litert": None, "tflite-runtime": "2.14.0", "onnxruntime": None}}, "none for .onnx"),
        ("power and heat", {"throttled": 0x50000}, "under-voltage and throttling since"),
        ("power and heat", {"throttled": None, "firmware_refuses": "Can't open device file: /dev/vcio"}, "/dev/vcio"),
        ("power and heat", {"on_battery": True}, "battery"),
        ("power and heat", {"temperature_c": 74.0}, "74 °C"),
        ("clock", {"time_s": NOW_S - 3600}, "3600 s behind"),
        ("clock", {"clock_synchronised": False}, "no server"),
        ("benchmarks", {"holder": {"pid": 7, "what": "a benchmark", "from": "10.0.0.2", "for_s": 12.0}}, "for 12 s now"),
        ("benchmarks", {"notes": ["an earlier benchmark was killed", "the governor is ondemand again"]}, "ondemand again"),
    ],
)
def test_what_is_good_to_know(name, changes, words) -> None:
    check = lines(pi(**changes))[name]
    assert check.state is State.NOTE
    assert words in check.seen
    assert check.advice


def test_a_device_that_tells_nothing_has_nothing_to_fix() -> None:
    silent = {key: None for key in pi()["conditions"] if key != "time_s"}
    state = pi(**silent, others_cpu=None, clock_synchronised=None, governors=[], board=None)
    assert all(check.state is not State.FIX for check in lines(state).values())


def test_what_a_device_says_reaches_no_terminal_as_a_control_code() -> None:
    state = pi(board="Pi\x1b[2J", governor="on\x07demand", failed={"message": "a\x1bb", "advice": "c\x1bd"})
    assert all((check.seen + check.advice).isprintable() for check in lines(state).values())


@pytest.mark.parametrize("kind", ["local", pytest.param("far", marks=pytest.mark.devices)])
def test_looks_at_a_device_and_mends_what_was_left(kind, request, tmp_path: Path, monkeypatch) -> None:
    policy = tmp_path / "tree/sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    (policy / "scaling_governor").write_text("performance\n")
    if kind == "far":
        server, python = request.getfixturevalue("server"), request.getfixturevalue("device_python")
        server.set_python(f"DEVICE_BENCH_ROOT='{tmp_path / 'tree'}' exec '{python}' \"$@\"")
        address, cache = server.address, server.cache
    else:
        monkeypatch.setenv("DEVICE_BENCH_ROOT", str(tmp_path / "tree"))
        monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "cache"))
        address, cache = "local", tmp_path / "cache"
    cache.mkdir(parents=True)
    journal = {"schema": "dsmobile.governor_journal/1", "boot_id": None, "set": "performance"}
    former = {"/sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand"}
    (cache / "governor.json").write_text(json.dumps({**journal, "former": former}))
    document, _ = examine(address)
    assert (policy / "scaling_governor").read_text().strip() == "ondemand"
    checks = {check["name"]: check for check in document["checks"]}
    assert "the governor is ondemand again" in checks["benchmarks"]["seen"]
    assert exit_code(document) == (0 if document["ok"] else 7)
    json.dumps(document)
