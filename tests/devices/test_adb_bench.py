"""A phone end to end: the real `adb` client against a stand-in daemon, the whole of `dsmobile bench` above it."""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dsmobile.benchmark import ways
from dsmobile.benchmark.result import Result, Validity
from dsmobile.benchmark.run import bench, import_samples
from dsmobile.devices.adb import client
from dsmobile.devices.adb.device import AdbDevice
from dsmobile.devices.addresses import parse_address
from dsmobile.devices.phone_options import PhoneOptions
from dsmobile.errors import DeviceError, UsageError

pytestmark = [pytest.mark.devices, pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")]
_standin = runpy.run_path(str(Path(__file__).with_name("adb_phone.py")))
phone = pytest.fixture(_standin["phone"])
ARGUMENTS = [sys.executable, "-m", "dsmobile"]


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Two models whose names are as awkward as names may be; the first is nine times faster."""
    folder = tmp_path / 'it\'s a "folder" $HOME'
    folder.mkdir()
    return [
        _standin["tflite"](folder / name, size)
        for name, size in (("small; rm -rf $(touch x).tflite", 1000), ("big 'x' `y` --graph=z.tflite", 90_000))
    ]


def measured(phone, files, tmp_path, *, budget_s=1.0, keep_invalid=True, **options) -> Result:
    """What `bench` finds on the stand-in."""
    phone.adb("connect", phone.serial)
    pairs = [(files[0], files[1])] if len(files) > 1 else []
    chosen = PhoneOptions(benchmark_model=phone.tool(), **options)
    result, _ = bench(
        files, device=f"adb:{phone.serial}", budget_s=budget_s, pairs=pairs, phone=chosen, out=tmp_path / "out", keep_invalid=keep_invalid
    )
    return result


def kinds(result: Result) -> set[str]:
    return {warning.kind for warning in result.warnings} - {"short_budget", "not_settled"}


def run_verb(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*ARGUMENTS, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options)


def test_a_phone_in_order_from_setup_to_a_valid_result(phone, files, tmp_path) -> None:
    phone.adb("connect", phone.serial)
    done = run_verb("devices", "setup", "adb", "--benchmark-model", phone.tool(), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["tool"]["sha256"] == _standin["sha256"](phone.tool())
    assert not document["tool"]["pinned_before"]
    done = run_verb(
        "bench", *files, "--pair", *files, "--device", "adb", "--budget", "40", "--fixed-performance", "--out", tmp_path / "out", "--json"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    document = json.loads(done.stdout)
    assert document["validity"] == "VALID", document["warnings"]
    pair = document["pairs"][0]
    assert pair["verdict"] == "faster"
    assert pair["speedup"] == pytest.approx(10_000 / 1_100, rel=0.03)  # the fake tool takes 1 ms and 0.1 us a byte
    assert all(artifact["delegate"] == "XNNPACK" and artifact["runtime"] == "benchmark_model" for artifact in document["artifacts"])
    written = Path(document["result"]).read_text(encoding="utf-8")
    result = Result.from_json(json.loads(written))
    assert result.device == "adb"
    assert result.settings["cores"] == "7"
    assert result.facts["board"] == "Stand-in Phone [1] [2J"
    assert not any(secret in written for secret in (phone.serial, "SECRETSERIAL7"))
    calls = phone.calls()
    assert {call["cores"] for call in calls} == {"80"}
    assert len({call["pid"] for call in calls}) == len(calls) == 2 * (result.settings["blocks"] + 1)  # each a process of its own; the trial
    assert phone.fixed_mode() == ["true", "false"]
    assert phone.running() == []
    assert not (tmp_path / "x").exists()
    left = sorted(path.name for path in (phone.root / "data/local/tmp/dsmobile").rglob("*") if path.is_file())
    assert [name for name in left if name not in ("lock",) and not name.endswith((".tflite", "-benchmark_model"))] == []
    assert all(
        "unlock" in check["advice"] or check["state"] != "fix"
        for check in json.loads(run_verb("devices", "doctor", "adb", "--json").stdout)["checks"]
    )
    listed = json.loads(run_verb("devices", "list", "--json").stdout)["devices"]
    assert {"address": f"adb:{phone.serial}", "kind": "adb", "facts": None, "state": "device", "model": "Phone"} in listed
    second = run_verb("devices", "setup", f"adb:{phone.serial}", "--json")
    assert json.loads(second.stdout)["pushed"] == []
    assert json.loads(second.stdout)["tool"]["pinned_before"]


@pytest.mark.slow
def test_what_makes_figures_noisy_is_named(phone, files, tmp_path) -> None:
    phone.service("power", "  mWakefulness=Dozing\n")
    battery = _standin["SERVICES"]["battery"]
    phone.service("battery", battery.replace("USB powered: true", "USB powered: false").replace("level: 100", "level: 12"))
    (phone.root / "low_power").write_text("1\n")
    (phone.root / "sys/devices/system/cpu/cpu7/cpufreq/scaling_max_freq").write_text("1900000\n")
    result = measured(phone, files[:1], tmp_path)
    assert result.validity is Validity.DEGRADED
    assert kinds(result) == {"screen", "low_battery", "power_save", "low_power", "clock_capped"}


def test_a_phone_that_throttles_itself_gives_no_valid_figures(phone, files, tmp_path) -> None:
    phone.service("thermalservice", _standin["SERVICES"]["thermalservice"].replace("Thermal Status: 0", "Thermal Status: 2"))
    result = measured(phone, files, tmp_path)
    assert result.validity is Validity.INVALID
    assert "throttled" in kinds(result)
    assert [pair.verdict for pair in result.pairs] == ["no difference shown"]


@pytest.mark.slow
def test_a_phone_without_a_thermal_service_is_not_called_cool(phone, files, tmp_path) -> None:
    phone.service("thermalservice", None)
    result = measured(phone, files[:1], tmp_path)
    assert result.validity is Validity.DEGRADED
    assert kinds(result) == {"thermal_unknown"}


@pytest.mark.parametrize(
    ("gpu", "delegate", "expected"),
    [
        ("whole", "GPU", set()),
        pytest.param("partly", "GPU+CPU", {"partly_delegated"}, marks=pytest.mark.slow),
        ("refused", "XNNPACK", {"wrong_delegate"}),
        pytest.param("unsupported", "XNNPACK", {"wrong_delegate"}, marks=pytest.mark.slow),
    ],
)
def test_a_delegate_that_did_not_run_is_not_reported_as_if_it_had(phone, files, tmp_path, gpu, delegate, expected) -> None:
    phone.tell(gpu=gpu)
    result = measured(phone, files[:1], tmp_path, delegate="gpu")
    assert kinds(result) == expected
    assert (result.validity is Validity.INVALID) == ("wrong_delegate" in expected)
    assert result.artifacts[0].delegate == delegate
    assert phone.calls()[-1]["options"]["use_gpu"] == "true"


def test_the_cores_that_were_asked_for(phone, files, tmp_path) -> None:
    result = measured(phone, files[:1], tmp_path, cores="little")
    assert result.settings["cores"] == "0-3"
    assert phone.calls()[-1]["cores"] == "f"
    with pytest.raises(UsageError, match="core 9 is not there"):
        measured(phone, files[:1], tmp_path, cores="9")


def test_a_tool_that_fails_says_why(phone, files, tmp_path) -> None:
    phone.tell(fails="Failed to load the \x1b[2J model")
    with pytest.raises(Exception, match=r"ended with exit status 1; it wrote: ERROR: Failed to load the \[2J model"):
        measured(phone, files[:1], tmp_path)


def test_without_shell_v2_the_exit_status_travels_in_the_output(phone, files, tmp_path) -> None:
    phone.set(features="cmd")
    assert kinds(measured(phone, files[:1], tmp_path)) == set()
    phone.tell(fails="no")
    with pytest.raises(Exception, match="exit status 1"):
        measured(phone, files[:1], tmp_path)


PRINTED = """INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: count=50 first=360 curr=350 min=340 max=380 avg=351.5 std=9 p5=341 median=350 p95=370

INFO: Inference timings in us: Init: 900, First inference: 360, Warmup (avg): 400.5, Inference (avg): 351.5"""


def test_a_userland_without_android_is_measured_and_says_what_it_does_not_tell(phone, files, tmp_path) -> None:
    phone.become_bare()
    phone.adb("connect", phone.serial)
    chosen = PhoneOptions(benchmark_model=phone.script(PRINTED))
    result, _ = bench(files[:1], device=f"adb:{phone.serial}", budget_s=1.0, phone=chosen, out=tmp_path / "out")
    (artifact,) = result.artifacts
    assert (artifact.median_latency_ns, artifact.delegate, artifact.load_ns) == (350_000, "XNNPACK", 900_000)
    assert artifact.interval_ns == (349_500, 350_500)  # all processes say the same, and a microsecond is the step in which they do
    assert result.validity is Validity.DEGRADED
    assert kinds(result) == {"thermal_unknown"}
    assert (result.facts["os_release"], result.facts["libc"], result.facts["board"]) == (None, None, None)
    assert (result.facts["userland_architecture"], result.facts["pinned_cores"]) == ("arm64-v8a", sorted(os.sched_getaffinity(0)))
    assert phone.running() == []


def test_a_tool_that_nothing_on_the_phone_starts(phone, files, tmp_path) -> None:
    phone.adb("connect", phone.serial)
    address, chosen = f"adb:{phone.serial}", PhoneOptions(benchmark_model=phone.script(PRINTED, "#!/usr/bin/env sh"))
    with pytest.raises(DeviceError, match="is started by '/usr/bin/env', which the phone does not have"):
        bench(files[:1], device=address, phone=chosen, out=tmp_path / "out")
    linux = _standin["elf"](tmp_path / "linux_tool", interpreter=b"/lib/ld-linux-aarch64.so.1")
    with pytest.raises(DeviceError, match="it is not for Android"):
        bench(files[:1], device=address, phone=PhoneOptions(benchmark_model=linux), out=tmp_path / "out")


def test_a_tool_that_a_lost_benchmark_left_running_is_ended(phone, tmp_path) -> None:
    phone.adb("connect", phone.serial)
    tools = phone.root / "data/local/tmp/dsmobile/tools"
    tools.mkdir(parents=True)
    (tools / "x-benchmark_model").write_text("#!/bin/sh\nsleep 600 & wait\n")
    with subprocess.Popen(["/bin/sh", tools / "x-benchmark_model"], start_new_session=True) as left:
        (tools.parent / "tool.pid").write_text(f"{left.pid}\n")
        chosen = PhoneOptions(benchmark_model=phone.tool())
        with AdbDevice(parse_address("adb"), chosen) as device, device.keep(None, lambda _: None):
            device.push([])
        try:
            assert left.wait(10) == -signal.SIGKILL
        finally:
            os.killpg(left.pid, signal.SIGKILL)
    assert not (tools.parent / "tool.pid").exists()


def test_why_a_file_cannot_be_pushed_is_said(phone, files, tmp_path) -> None:
    phone.set(full="Permission denied")
    with pytest.raises(DeviceError, match=r"cannot be pushed: .*Permission denied"):
        measured(phone, files[:1], tmp_path)


def test_an_onnx_file_is_refused_with_what_to_do(phone, tmp_path, model) -> None:
    with pytest.raises(DeviceError, match="no native ONNX runner is published for Android") as caught:
        measured(phone, [model], tmp_path)
    assert ".tflite" in caught.value.advice
    assert "ssh:user@host" in caught.value.advice


def test_without_a_tool_its_publishers_are_named(phone, files, tmp_path) -> None:
    phone.adb("connect", phone.serial)
    with pytest.raises(DeviceError, match="no native benchmark_model for this phone") as caught:
        bench(files, device=f"adb:{phone.serial}", out=tmp_path / "out")
    assert "https://storage.googleapis.com/litert/binaries/" in caught.value.advice
    done = run_verb("devices", "setup", f"adb:{phone.serial}", "--json")
    assert done.returncode == 5
    assert "no hash is published" in json.loads(done.stdout)["error"]["advice"]
    done = run_verb("devices", "doctor", f"adb:{phone.serial}", "--json")
    assert done.returncode == 7
    assert [check["name"] for check in json.loads(done.stdout)["checks"] if check["state"] == "fix"] == ["benchmark_model"]


def test_a_phone_that_refuses_the_fixed_performance_mode(phone, files, tmp_path) -> None:
    (phone.root / "refuses").touch()
    with pytest.raises(DeviceError, match="refuses the fixed-performance mode: Failed to set"):
        measured(phone, files[:1], tmp_path, fixed_performance=True)
    assert phone.calls() == []
    assert phone.running() == []
    assert not (phone.root / "data/local/tmp/dsmobile/fixed").exists()


@pytest.mark.parametrize("same_boot", [True, False])
def test_what_a_killed_benchmark_left_is_mended(phone, tmp_path, same_boot) -> None:
    phone.adb("connect", phone.serial)
    folder = phone.root / "data/local/tmp/dsmobile"
    folder.mkdir()
    boot = (phone.root / "proc/sys/kernel/random/boot_id").read_text()
    (folder / "fixed").write_text(boot if same_boot else "another\n")
    with AdbDevice(parse_address(f"adb:{phone.serial}")) as device, device.keep(None, lambda text: None) as held:
        assert len(held["notes"]) == same_boot
    assert phone.fixed_mode() == (["false"] if same_boot else [])
    assert not (folder / "fixed").exists()


def test_a_second_benchmark_waits_and_says_for_whom(phone) -> None:
    phone.adb("connect", phone.serial)
    said, order = [], []
    with AdbDevice(parse_address("adb")) as first, AdbDevice(parse_address("adb")) as second:

        def wait() -> None:
            with second.keep(None, said.append):
                order.append("second")

        with first.keep(None, said.append):
            thread = threading.Thread(target=wait)
            thread.start()
            time.sleep(1.5)
            order.append("first")
        thread.join(30)
    assert order == ["first", "second"]
    assert any("another benchmark" in text and "holds the device" in text for text in said)


def _hears_interrupts() -> None:
    """A shell's background job does not, nor what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(phone, files, tmp_path, least: int = 4) -> subprocess.Popen:
    phone.adb("connect", phone.serial)
    command = [*ARGUMENTS, "bench", *map(str, files), "--device", f"adb:{phone.serial}", "--budget", "60", "--self-test", "--fixed-performance"]
    command += ["--benchmark-model", str(phone.tool()), "--out", str(tmp_path / "out"), "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_hears_interrupts
    )
    deadline = time.monotonic() + 60
    while len(phone.calls()) < least and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    return process


def test_a_phone_that_is_unplugged_is_left_in_order(phone, files, tmp_path) -> None:
    phone.tell(hang=False)
    process = start(phone, files, tmp_path)
    phone.tell(hang=True)  # the process that runs when the cable is pulled would run for ten minutes
    count = len(phone.calls())
    while len(phone.calls()) == count:
        time.sleep(0.05)
    phone.unplug()
    out, errors = process.communicate(timeout=90)
    assert process.returncode == 5, errors
    assert json.loads(out)["error"]["kind"] == "DeviceError"
    assert phone.running() == []
    assert phone.fixed_mode() == ["true", "false"]


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, marks=pytest.mark.slow), pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL],
)
def test_an_interrupted_benchmark_leaves_nothing_on_the_phone(phone, files, tmp_path, number) -> None:
    process = start(phone, files, tmp_path)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert phone.running() == []
    assert phone.fixed_mode() == ["true", "false"]
    assert not (phone.root / "data/local/tmp/dsmobile/fixed").exists()


def test_what_an_interrupted_benchmark_measured_is_not_lost(phone, files, tmp_path) -> None:
    process = start(phone, files[:1], tmp_path, least=8)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert phone.running() == []
    assert phone.fixed_mode() == ["true", "false"]
    (samples,) = (tmp_path / "out" / "samples").glob("*.jsonl")
    assert phone.serial not in samples.read_text(encoding="utf-8")
    result, path = import_samples(samples, files[:1], out=tmp_path / "again")
    assert path is not None
    assert {artifact.runtime for artifact in result.artifacts} == {"benchmark_model"}
    assert result.facts["pinned_cores"] == [7]
    assert "runtime_fallback" not in kinds(result)


def test_a_full_phone(phone, files, tmp_path) -> None:
    phone.set(full=True)
    with pytest.raises(DeviceError, match="the phone is full") as caught:
        measured(phone, files[:1], tmp_path)
    assert "free some space" in caught.value.advice
    assert phone.running() == []


def test_a_phone_without_room_is_asked_before_anything_is_pushed(phone, files, tmp_path) -> None:
    df = phone.root / "bin/df"
    df.write_text("#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\necho '/dev/block/dm-9 110000 109999 1 100% /data'\n")
    df.chmod(0o755)
    (phone.root / "bin/tail").symlink_to(shutil.which("tail"))
    with pytest.raises(DeviceError, match=r"the phone is full: .*0\.09 MB, and 0\.00 MB are free"):
        measured(phone, files[1:], tmp_path)
    assert not list((phone.root / "data/local/tmp/dsmobile/models").iterdir())


def test_what_the_phone_wrote_is_not_taken_for_the_reason_of_a_loss(phone) -> None:
    phone.adb("connect", phone.serial)
    with AdbDevice(parse_address("adb")) as device:
        with pytest.raises(DeviceError, match="broke off: its answer broke off"):
            device.adb.try_shell("echo part-one; exit 0")
        phone.adb("kill-server")
        assert "error: closed" in str(device.adb.lost("part-one\nerror: closed\n"))


def test_two_phones_and_no_serial(phone) -> None:
    other = phone.start()
    phone.adb("connect", phone.serial)
    phone.adb("connect", other)
    with pytest.raises(DeviceError, match="adb knows 2 devices") as caught, AdbDevice(parse_address("adb")):
        pass
    assert f"adb:{phone.serial}" in caught.value.advice
    assert f"adb:{other}" in caught.value.advice
    with AdbDevice(parse_address(f"adb:{other}")) as device:
        assert device.listed.serial == other


def test_the_serial_of_the_environment_is_taken(phone, monkeypatch) -> None:
    phone.adb("connect", phone.serial)
    phone.adb("connect", phone.start())
    monkeypatch.setenv("ANDROID_SERIAL", phone.serial)
    with AdbDevice(parse_address("adb")) as device:
        assert device.listed.serial == phone.serial
    monkeypatch.setenv("ANDROID_SERIAL", "-s; reboot")
    with pytest.raises(UsageError, match="not a phone's serial number"), AdbDevice(parse_address("adb")):
        pass


@pytest.mark.parametrize("connected", [True, False])
def test_no_phone_and_a_phone_that_connects_by_itself(phone, connected, monkeypatch) -> None:
    monkeypatch.setattr(client, "GREETING_S", 0.5)
    if connected:
        with AdbDevice(parse_address(f"adb:{phone.serial}")) as device:
            assert device.facts()["system"] == "Android"
        return
    with pytest.raises(DeviceError, match="adb knows no device") as caught, AdbDevice(parse_address("adb")):
        pass
    assert "USB debugging" in caught.value.advice
    with pytest.raises(DeviceError, match="adb knows no device R58M"), AdbDevice(parse_address("adb:R58M")):
        pass


def test_a_connection_that_fails_with_exit_status_0(phone) -> None:
    done = subprocess.run(["adb", "connect", "127.0.0.1:1"], capture_output=True, check=False)
    with pytest.raises(DeviceError, match=r"adb cannot connect to 127\.0\.0\.1:1: .*refused") as caught, AdbDevice(parse_address("adb:127.0.0.1:1")):
        pass
    assert "adb pair" in caught.value.advice
    assert done.returncode in (0, 1)  # 0 with adb 29, which is why its text is read


@pytest.mark.parametrize(("state", "words"), [("stranger", "unauthorized|authorizing"), ("silent", "offline|connecting")])
def test_a_phone_that_does_not_let_us_in(phone, state, words) -> None:
    phone.set(**{state: True})
    phone.adb("start-server")
    environment = {**os.environ, **phone.environment}
    with subprocess.Popen(["adb", "connect", phone.serial], env=environment, stdout=subprocess.DEVNULL) as connecting:  # waits for ten seconds
        deadline = time.monotonic() + 20
        while not re.search(words, phone.adb("devices")) and time.monotonic() < deadline:
            time.sleep(0.2)
        connecting.kill()
    with pytest.raises(DeviceError, match=words) as caught, AdbDevice(parse_address("adb")):
        pass
    assert "allow USB debugging" in caught.value.advice or f"adb disconnect {phone.serial}" in caught.value.advice


def test_without_adb(files, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="adb is not installed"):
        bench(files, device="adb", out=tmp_path / "out")


def test_an_answer_without_end_is_cut_off(phone, monkeypatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1 << 18)
    phone.adb("connect", phone.serial)
    with AdbDevice(parse_address("adb")) as device:
        with pytest.raises(DeviceError):
            device.adb.try_shell('while :; do cat "$DEVICE_BENCH_ROOT/tool.py"; done', timeout_s=60)
        began = time.monotonic()
        with pytest.raises(DeviceError, match="did not answer within 1 s"):
            device.adb.try_shell("sleep 30", timeout_s=1)
        assert time.monotonic() - began < 10
        assert device.adb.shell('echo "$1"', "a 'b' $(c)\n`d` \\ \"") == "a 'b' $(c)\n`d` \\ \""


@pytest.mark.parametrize(
    "options",
    [
        {"phone": PhoneOptions(cores="0")},
        {"phone": PhoneOptions(delegate="gpu")},
        {"phone": PhoneOptions(benchmark_model=Path("x"))},
        {"device": "ssh:a@b", "phone": PhoneOptions(fixed_performance=True)},
        {"device": "adb", "governor": "performance"},
        {"device": "adb", "sustained": "1m"},
        {"device": "adb", "python": "python3"},
        {"device": "adb", "phone": PhoneOptions(cores="fast")},
        {"device": "adb", "phone": PhoneOptions(delegate="npu")},
        {"device": "adb:a b"},
        {"device": "adb:-s"},
        {"bundle": Path("x.zip"), "phone": PhoneOptions(cores="big")},
    ],
    ids=str,
)
def test_options_that_do_not_apply(options, files, tmp_path) -> None:
    with pytest.raises(UsageError):
        ways.follow(ways.Options(tuple(files[:1]), out=tmp_path / "out", **options), interactive=False, progress=lambda *_: None)


def test_an_option_that_does_not_apply_ends_with_exit_code_2(files) -> None:
    done = run_verb("bench", files[0], "--device", "adb", "--delegate", "npu", "--json")
    assert done.returncode == 2, done.stdout + done.stderr
