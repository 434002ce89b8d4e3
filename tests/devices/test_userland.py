"""What runs where: the userland decides, and the table says the same as the wheels."""

import re
from pathlib import Path

import pytest

from dsmobile.devices.userland import NATIVE, RELEASES, choose_wheels, markdown_table, numpy_obstacle, read_userland, what_runs_where
from dsmobile.devices.wheels import locked

PI64 = {
    "system": "Linux",
    "machine": "aarch64",
    "pointer_bits": 64,
    "userland_architecture": "arm64",
    "os_release": {"id": "debian", "version_id": "12", "codename": "bookworm"},
    "libc": "glibc 2.36",
    "python_implementation": "CPython",
    "python_abi": "cpython-311-aarch64-linux-gnu",
    "python_version": "3.11.2",
    "numpy_version": None,
}
PI32 = {**PI64, "pointer_bits": 32, "userland_architecture": "armhf", "python_abi": "cpython-311-arm-linux-gnueabihf", "numpy_version": "1.24.2"}


def given(facts, tflite=""):
    userland = read_userland(facts)
    choice = choose_wheels(userland, tflite)
    return userland.architecture, choice.runtimes, {wheel.package: wheel.version for wheel in choice.wheels}


def test_a_64_bit_system_gets_litert_and_onnx_runtime_and_a_numpy() -> None:
    architecture, runtimes, packages = given(PI64)
    assert (architecture, runtimes) == ("aarch64", ("litert", "onnxruntime"))
    assert packages.keys() == {"ai-edge-litert", "onnxruntime", "numpy"}


def test_a_32_bit_system_under_a_64_bit_kernel_gets_armv7l_and_never_aarch64() -> None:
    assert PI32["machine"] == "aarch64"
    assert given(PI32) == ("armv7l", ("tflite-runtime",), {"tflite-runtime": "2.14.0"})
    choice = choose_wheels(read_userland(PI32))
    assert all(wheel.file.endswith("armv7l.whl") for wheel in choice.wheels)
    assert choice.system_numpy
    assert "no wheel for 32-bit armv7l" in choice.impossible["litert"]


@pytest.mark.parametrize(
    ("changes", "architecture"),
    [
        ({"python_abi": None}, "armv7l"),  # a Python that does not say: its packages and pointers do
        ({"python_abi": "cpython-311"}, "armv7l"),
        ({"python_abi": None, "userland_architecture": None}, "armv7l"),  # a 32-bit program on an ARM kernel
        ({"userland_architecture": None}, "armv7l"),
        ({"python_abi": "cpython-311-arm-linux-gnueabi", "userland_architecture": "armel"}, ""),  # soft floats: no wheel
        ({"python_abi": None, "userland_architecture": "armel"}, ""),
        ({"python_abi": None, "userland_architecture": "i386", "machine": "x86_64"}, ""),
        ({"machine": "armv6l"}, ""),  # a Pi Zero: Raspbian's armhf is for ARMv6, the wheels are for ARMv7
        ({"machine": "armv7l"}, "armv7l"),
    ],
)
def test_32_bit_systems(changes, architecture) -> None:
    assert given({**PI32, **changes})[0] == architecture


@pytest.mark.parametrize(
    ("changes", "architecture"),
    [
        ({"python_abi": None}, "aarch64"),
        ({"python_abi": None, "userland_architecture": None}, "aarch64"),
        ({"userland_architecture": "armhf"}, "aarch64"),  # a 64-bit Python of one's own on a 32-bit system: wheels are loaded into that Python
        ({"python_abi": "cpython-311-x86_64-linux-gnu", "machine": "x86_64", "userland_architecture": "amd64"}, "x86_64"),
        ({"python_abi": "cpython-311-riscv64-linux-gnu", "machine": "riscv64", "userland_architecture": "riscv64"}, ""),
        ({"python_abi": None, "machine": "riscv64", "userland_architecture": None}, ""),
    ],
)
def test_64_bit_systems(changes, architecture) -> None:
    assert given({**PI64, **changes})[0] == architecture


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"system": "Windows"}, "only Linux is set up from here, not Windows"),
        ({"system": "Darwin"}, "only Linux is set up from here, not Darwin"),
        ({"libc": "musl", "python_abi": "cpython-311-aarch64-linux-musl"}, "musl"),
        ({"python_implementation": "PyPy", "python_abi": "pypy311-pp73"}, "CPython"),
        ({"python_abi": "cpython-313t-aarch64-linux-gnu", "python_version": "3.13.1"}, "its usual ABI"),
        (
            {"python_version": "3.15.0", "python_abi": "cpython-315-aarch64-linux-gnu"},
            "for Python 3.1[01] to 3.14 on aarch64, and this is 3.15|3.9 to 3.11",
        ),
    ],
)
def test_what_cannot_be_set_up_says_why(changes, reason) -> None:
    choice = choose_wheels(read_userland({**PI64, **changes}))
    assert (choice.runtimes, choice.wheels) == ((), ())
    assert all(re.search(reason, said) for said in choice.impossible.values())


def test_an_old_c_library_is_seen_before_anything_is_pushed() -> None:
    choice = choose_wheels(read_userland({**PI64, "libc": "glibc 2.31"}))
    assert "needs glibc 2.34, and this system has 2.31" in choice.impossible["litert"]
    assert choice.runtimes == ("tflite-runtime", "onnxruntime")


def test_the_two_tflite_runtimes_never_come_together() -> None:
    for release in what_runs_where():
        assert release["bits"] in (32, 64)
    for wanted in ("", "litert", "tflite-runtime", NATIVE):
        runtimes = given(PI64, wanted)[1]
        assert len({"litert", "tflite-runtime"} & set(runtimes)) == (wanted != NATIVE)
    assert given(PI64, "tflite-runtime") == (
        "aarch64",
        ("tflite-runtime", "onnxruntime"),
        {"tflite-runtime": "2.14.0", "onnxruntime": "1.31.1", "numpy": "1.26.4"},
    )


@pytest.mark.parametrize(
    ("numpy", "said"),
    [(None, "the device has none"), ("1.19.5", "too old for tflite-runtime 2.14.0, which needs 1.23.2"), ("2.2.4", "too new"), ("1.24.2", "")],
)
def test_a_32_bit_system_needs_its_own_numpy(numpy, said) -> None:
    userland = read_userland({**PI32, "numpy_version": numpy})
    found = numpy_obstacle(userland, choose_wheels(userland))
    assert said in found
    assert bool(said) == bool(found)


def test_the_table_says_what_is_published() -> None:
    """Against the publishers' own lists: LiteRT 3.10-3.14, ONNX Runtime 3.11-3.14, both 64-bit; tflite-runtime 3.9-3.11, 64- and 32-bit."""
    rows = {(row["release"].split()[-1], row["bits"]): row["runtimes"] for row in what_runs_where()}
    names = {key: {name for name, version in runtimes.items() if version} for key, runtimes in rows.items()}
    assert names == {
        ("Bullseye", 64): {"tflite-runtime"},
        ("Bullseye", 32): {"tflite-runtime"},
        ("Bookworm", 64): {"litert", "tflite-runtime", "onnxruntime"},
        ("Bookworm", 32): {"tflite-runtime"},
        ("Trixie", 64): {"litert", "onnxruntime"},
        ("Trixie", 32): set(),
        ("22.04", 64): {"litert", "tflite-runtime"},
        ("22.04", 32): {"tflite-runtime"},
        ("24.04", 64): {"litert", "onnxruntime"},
        ("24.04", 32): set(),
    }
    assert all(row["native"] == ("linux_aarch64_benchmark_model" if row["bits"] == 64 else "linux_arm_benchmark_model") for row in what_runs_where())


def test_every_release_that_needs_its_own_numpy_has_one_that_does() -> None:
    for row in what_runs_where():
        release = next(release for release in RELEASES if release.name == row["release"])
        if row["bits"] == 32 and any(row["runtimes"].values()):
            assert row["numpy"] == release.numpy


def test_the_documentation_shows_this_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
    assert markdown_table() in page


def test_no_wheel_is_locked_twice() -> None:
    rows = [(wheel.package, wheel.python, wheel.architecture, wheel.version) for wheel in locked()]
    assert len(set(rows)) == len(rows)
