"""What is read of a device's state, from made-up trees of /sys and /proc and a made-up vcgencmd."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from device_bench import clocks, conditions, firmware, machine, settle
from device_bench.delegation import coverage, covered
from device_bench.settle import Reading

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs /bin/sh")
CPU = "/sys/devices/system/cpu"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes files of a made-up device."""
    root = tmp_path / "root *[x]"
    root.mkdir()
    monkeypatch.setenv("DEVICE_BENCH_ROOT", str(root))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def write(files: dict[str, str]) -> None:
        for path, text in files.items():
            place = Path(str(root) + path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def vcgencmd(tmp_path: Path):
    """Makes a vcgencmd that answers as the firmware would."""

    def make(script: str) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / "vcgencmd"
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)

    return make


PI = """case "$*" in
    get_throttled) echo throttled=0x50005;;
    "measure_clock arm") echo "frequency(48)=1500345728";;
    measure_temp) echo "temp=61.3'C";;
esac"""


def test_a_raspberry_pi_tells_all_of_it(tree, vcgencmd) -> None:
    vcgencmd(PI)
    tree(
        {
            f"{CPU}/cpufreq/policy0/scaling_governor": "ondemand\n",
            f"{CPU}/cpufreq/policy0/scaling_cur_freq": "1500000\n",
            f"{CPU}/cpufreq/policy0/scaling_max_freq": "1800000\n",
            f"{CPU}/online": "0-3\n",
            "/sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
            "/sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
            "/sys/class/hwmon/hwmon1/name": "rpi_volt\n",
            "/sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
            "/sys/class/thermal/thermal_zone0/temp": "60374\n",
            "/sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "/sys/class/thermal/cooling_device0/type": "cpufreq-cpu0\n",
            "/sys/class/thermal/cooling_device0/cur_state": "0\n",
            "/proc/meminfo": "MemTotal: 3884360 kB\nMemAvailable: 3000000 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n",
            "/proc/pressure/cpu": "some avg10=1.50 avg60=0.30 avg300=0.06 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            "/proc/pressure/memory": "some avg10=0.25 avg60=0.00 avg300=0.00 total=0\n",
            "/proc/loadavg": "0.52 0.40 0.30 1/200 4242\n",
        }
    )
    found = conditions.snapshot()
    expected = {
        "frequency_khz": 1_500_000,
        "frequency_limit_khz": 1_800_000,
        "throttled": 0x50005,
        "throttled_by_kernel": 0x50005,
        "under_voltage": True,
        "arm_clock_hz": 1_500_345_728,
        "temperature_c": 60.374,
        "cooling_state": 0,
        "throttle_count": None,
        "governor": "ondemand",
        "cores_online": 4,
        "load_average": [0.52, 0.40, 0.30],
        "cpu_pressure_percent": 1.5,
        "memory_pressure_percent": 0.25,
        "memory_available_bytes": 3_072_000_000,
        "swap_used_bytes": 60 * 1024,
        "on_battery": None,
        "power_profile": None,
    }
    assert {key: found[key] for key in expected} == expected
    assert abs(found["time_s"] - time.time()) < 5
    assert found["monotonic_s"] <= time.monotonic()
    json.dumps(found, allow_nan=False)


def test_a_device_that_tells_nothing_says_none(tree) -> None:
    found = conditions.snapshot()
    known = {"load_average", "cores_online", "time_s", "monotonic_s", "boottime_s"}
    assert {key for key, value in found.items() if value is not None} <= known
    loop = conditions.LoopWatch().stop()
    assert loop["others_cpu"] is loop["frequency_khz"] is loop["frequency_shares"] is loop["throttles"] is None
    assert loop["wall_ns"] > 0


def test_the_kernel_answers_where_vcgencmd_does_not(tree, vcgencmd) -> None:
    tree({"/sys/devices/platform/soc/soc:firmware/get_throttled": "80008\n"})
    assert firmware.throttled() == 0x80008
    assert firmware.complaint() == ""
    vcgencmd("echo 'Cannot open device file: /dev/vcio' >&2; exit 1")
    assert firmware.throttled() == 0x80008
    assert "/dev/vcio" in firmware.complaint()


@pytest.mark.parametrize(
    "script",
    [
        "exit 127",
        "echo error=1 error_msg=Command not registered",
        "echo throttled=yes",
        "echo 'VCHI initialization failed'",
        "kill -9 $$",
        "printf '\\377'",
    ],
)
def test_a_vcgencmd_that_does_not_answer_is_none(tree, vcgencmd, script) -> None:
    vcgencmd(script)
    assert firmware.throttled() is firmware.arm_clock_hz() is firmware.temperature_c() is None


def test_numbers_that_are_none_are_none(tree) -> None:
    tree({"/sys/class/thermal/thermal_zone0/temp": "hot\n", f"{CPU}/cpufreq/policy0/scaling_cur_freq": "<unknown>\n", f"{CPU}/online": "all\n"})
    assert conditions.temperature_c() is None
    assert clocks.frequency_khz() is None
    assert conditions.cores_online() == os.cpu_count()


def test_the_hottest_place_of_the_processor_and_not_the_radio(tree) -> None:
    zones = {"iwlwifi_1": 90000, "cpu-thermal": 55000, "gpu-thermal": 57500}
    for index, (kind, value) in enumerate(zones.items()):
        tree({f"/sys/class/thermal/thermal_zone{index}/type": kind, f"/sys/class/thermal/thermal_zone{index}/temp": str(value)})
    assert conditions.temperature_c() == 57.5


def test_older_kernels_keep_governors_below_each_processor(tree) -> None:
    tree({f"{CPU}/cpu{index}/cpufreq/scaling_governor": "powersave\n" for index in range(12)})
    assert conditions.snapshot()["governor"] == "powersave"
    from device_bench import governor

    assert [path.split("/")[5] for path in governor.files()] == [f"cpu{index}" for index in range(12)]  # cpu2 before cpu10


def test_the_time_at_each_frequency_is_that_of_the_policy_that_worked() -> None:
    before = {"little": {600_000: 1000, 1_500_000: 0}, "big": {600_000: 50, 2_400_000: 500}}
    after = {"little": {600_000: 1100, 1_500_000: 0}, "big": {600_000: 60, 2_400_000: 590}}
    assert clocks.shares_between(before, after) == {"600000": 0.1, "2400000": 0.9}
    assert clocks.shares_between(after, after) is None  # too short to tell
    assert clocks.shares_between(after, before) is None  # counters that were reset
    assert clocks.shares_between({}, {}) is None


def test_a_loop_reads_the_frequency_at_its_end_and_the_time_at_each(tree) -> None:
    policy = f"{CPU}/cpufreq/policy0"
    tree(
        {
            f"{policy}/scaling_cur_freq": "1500000\n",
            f"{policy}/stats/time_in_state": "600000 100\n1500000 900\n",
            f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3",
        }
    )
    watch = conditions.LoopWatch()
    tree(
        {
            f"{policy}/scaling_cur_freq": "600000\n",
            f"{policy}/stats/time_in_state": "600000 130\n1500000 970\n",
            f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "5",
        }
    )
    loop = watch.stop()
    assert loop["frequency_khz"] == 600_000
    assert loop["frequency_shares"] == {"600000": 0.3, "1500000": 0.7}
    assert loop["throttles"] == 2


class Watched:
    """A device whose readings are given, one a second."""

    def __init__(self, readings) -> None:
        self.readings = iter(readings)
        self.taken = 0
        self.said: list[str] = []

    def read(self) -> Reading:
        self.taken += 1
        return next(self.readings)

    def settle(self, patience_s: float = 100.0) -> dict:
        return settle.settle(patience_s, self.said.append, self.read, sleep=lambda _: None)


def steady(reading: Reading):
    while True:
        yield reading


QUIET = Reading(0.05, 45.0, 0, 0)


def test_a_quiet_and_cool_device_is_watched_for_three_seconds() -> None:
    device = Watched([QUIET._replace(others_cpu=None), *[QUIET] * 3])
    answer = device.settle()
    assert answer["settled"]
    assert answer["reasons"] == []
    assert device.taken == 4
    assert answer["watched"] == ["load", "temperature", "throttling"]


def test_three_quiet_seconds_in_a_row_are_needed() -> None:
    busy = QUIET._replace(others_cpu=1.5)
    device = Watched([QUIET, QUIET, busy, QUIET, QUIET, QUIET])
    assert device.settle()["settled"]
    assert device.taken == 6
    assert device.said[0] == "waiting: other programs use 1.5 processors"


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (QUIET._replace(throttled=0x50005), "under-voltage and throttling"),
        (QUIET._replace(throttled=0x8), "the soft temperature limit"),
        (QUIET._replace(cooling_state=2), "slows the processor down"),
        (QUIET._replace(others_cpu=0.9), "use 0.9 processors"),
    ],
)
def test_what_does_not_end_spends_the_patience(reading, words) -> None:
    answer = Watched(steady(reading)).settle(0.01)
    assert not answer["settled"]
    assert words in answer["reasons"][0]


def test_bits_of_earlier_are_none_of_it() -> None:
    assert Watched(steady(QUIET._replace(throttled=0x50000))).settle()["settled"]


def test_it_waits_for_the_temperature_to_fall_below_the_limit() -> None:
    device = Watched([QUIET._replace(temperature_c=70.0 - second) for second in range(60)])
    assert device.settle()["settled"]
    assert device.taken == 17  # 54 °C
    assert device.said[0] == "waiting: 70 °C"
    assert device.said[5] == "waiting: 65 °C, falling"


def test_or_until_it_does_not_fall_any_more() -> None:
    falling = [QUIET._replace(temperature_c=75.0 - second / 2) for second in range(20)]
    floor = [QUIET._replace(temperature_c=65.0 + 0.5 * (second % 2)) for second in range(60)]  # a sensor of half a degree
    device = Watched([*falling, *floor])
    assert device.settle()["settled"]
    assert 30 < device.taken <= 42


def test_a_device_that_tells_nothing_is_not_waited_for() -> None:
    device = Watched(steady(Reading(None, None, None, None, tells_load=False)))
    answer = device.settle()
    assert answer["settled"]
    assert answer["watched"] == []
    assert "neither" in answer["reasons"][0]
    assert device.taken == 1


def test_no_patience_is_no_judgement_of_the_load() -> None:
    answer = Watched(steady(QUIET)).settle(0.0)
    assert not answer["settled"]
    assert "less than 3 s" in answer["reasons"][0]


def test_the_slope_is_that_of_a_line() -> None:
    assert settle.slope([70.0 - 0.5 * second for second in range(20)]) == pytest.approx(-0.5)
    assert settle.slope([1.0]) == settle.slope([]) == 0.0


def node(name: str, inputs: list[int], outputs: list[int]) -> dict:
    return {"op_name": name, "inputs": inputs, "outputs": outputs}


def test_the_nodes_between_a_partitions_tensors_are_the_delegated_ones() -> None:
    own = [node("CONV_2D", [0, 10, -1], [1]), node("RESHAPE", [1, 11], [2]), node("FULLY_CONNECTED", [2, 12], [3]), node("SOFTMAX", [3], [4])]
    assert covered(own) == {"nodes": 4, "delegated_nodes": 0, "partitions": 0}
    parts = [node("DELEGATE", [0, 10], [1]), node("DELEGATE", [2, 12], [3])]
    assert covered([*own, *parts]) == {"nodes": 4, "delegated_nodes": 2, "partitions": 2}
    assert covered([*own, node("DELEGATE", [0, 10, 11, 12], [4])]) == {"nodes": 4, "delegated_nodes": 4, "partitions": 1}
    assert coverage(object()) is None


def test_xnnpack_takes_a_float_network_whole_and_leaves_two_operators_of_the_int8_one(shared_data) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    found = {}
    for name in ("kws_ref_model_float32", "kws_ref_model"):
        opened = interpreter.Interpreter(str(shared_data / "artifacts" / f"{name}.tflite"))
        opened.allocate_tensors()
        found[name] = coverage(opened)
    assert found["kws_ref_model_float32"] == {"nodes": 13, "delegated_nodes": 13, "partitions": 1}
    assert found["kws_ref_model"]["partitions"] == 2
    assert found["kws_ref_model"]["delegated_nodes"] < 13
    plain = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    opened = interpreter.Interpreter(str(shared_data / "artifacts" / "kws_ref_model.tflite"), experimental_op_resolver_type=plain)
    opened.allocate_tensors()
    assert coverage(opened) == {"nodes": 13, "delegated_nodes": 0, "partitions": 0}


X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: %s\nflags\t\t: fpu hypervisor\n"
ARM = "processor\t: 0\nCPU implementer\t: %s\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\n"


@pytest.mark.parametrize("cpuinfo", [X86 % "QEMU TCG CPU version 2.5+", ARM % ("0x00", "0x051")])
def test_a_processor_that_only_a_translator_makes_up_is_emulated(tree, cpuinfo) -> None:
    tree({"/proc/cpuinfo": cpuinfo})
    assert machine.emulated()


@pytest.mark.parametrize(
    "cpuinfo",
    [
        "",
        X86 % "QEMU Virtual CPU version 2.5+",  # of KVM as well
        X86 % "Intel(R) Xeon(R) Platinum 8488C",
        X86 % "Common KVM processor",
        ARM % ("0x41", "0xd0c"),  # Neoverse N1, of cloud machines
        ARM % ("0x41", "0x051"),
        ARM % ("0x00", "0x000"),  # Apple's Virtualization.framework
    ],
)
def test_a_virtual_machine_that_may_run_on_the_real_processor_is_not_called_emulated(tree, cpuinfo) -> None:
    tree({"/proc/cpuinfo": cpuinfo, "/proc/device-tree/compatible": "linux,dummy-virt"})
    assert not machine.emulated()
