"""A stand-in phone for the real `adb`: a folder with Android's shell and toybox where they are installed, fake services, and a fake tool.

Loaded by tests with `runpy.run_path`; the daemon is `adb_daemon.py`.
"""

import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FOLDER = "data/local/tmp/dsmobile"
SERVICES = {
    "battery": """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 3270000
  status: 5
  health: 2
  present: true
  level: 100
  scale: 100
  voltage: 4352
  temperature: 274
  technology: Li-ion
""",
    "thermalservice": """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=BIG, mStatus=3}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=23.8, mType=2, mName=BAT, mStatus=0}
\tTemperature{mValue=28.7, mType=3, mName=SKIN, mStatus=0}
Current cooling devices from HAL:
""",
    "power": "POWER MANAGER (dumpsys power)\n\nPower Manager State:\n  mWakefulness=Awake\n  mIsPowered=true\nDisplay Power: state=ON\n",
}
PROPERTIES = {
    "ro.product.manufacturer": "Stand-in",
    "ro.product.model": "Phone [1]\x1b[2J",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.soc.manufacturer": "Nobody",
    "ro.soc.model": "SC1000",
    "ro.serialno": "SECRETSERIAL7",
    "ro.boot.serialno": "SECRETSERIAL7",
}
CLOCKS_KHZ = {0: 1_700_000, 1: 1_700_000, 2: 1_700_000, 3: 1_700_000, 4: 2_300_000, 5: 2_300_000, 6: 2_300_000, 7: 2_900_000}
TOOL = """
import json, os, pathlib, random, sys, time
options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--") and "=" in word)
root = pathlib.Path(os.environ["DEVICE_BENCH_ROOT"])
told = json.loads((root / "scenario.json").read_text())
if "--help" in sys.argv:
    print("usage: benchmark_model <flags>\\nFlags:\\n\\t--graph=\\tstring\\tgraph file name")
    sys.exit(0)
with (root / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps({"options": options, "cores": os.environ["TASKSET"], "pid": os.getpid()}) + "\\n")
model = pathlib.Path(options["graph"])
if told.get("hang"):
    time.sleep(600)
if told.get("fails"):
    print("ERROR: " + told["fails"])
    sys.exit(1)
gpu = options.get("use_gpu") == "true"
mean = 1000.0 + model.stat().st_size / 10
mean *= random.Random(os.getpid()).gauss(1.0, 0.003)
time.sleep(min(float(options["min_secs"]), 0.05))
print("INFO: STARTING!")
print("INFO: Log parameter values verbosely: [0]")
print(f"INFO: Num threads: [{options['num_threads']}]")
print(f"INFO: Graph: [{model}]")
print("INFO: Signature to run: []")
if gpu:
    print("INFO: Use gpu: [1]")
print(f"INFO: Loaded model {model}")
how = told.get("gpu", "whole") if gpu else "cpu"
if how == "cpu":
    print("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
elif how == "unsupported":
    print("INFO: GPU acceleration is unsupported on this platform.", file=sys.stderr)
    print("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.", file=sys.stderr)
else:
    print("INFO: Created TensorFlow Lite delegate for GPU.")
    print("INFO: GPU delegate created.")
    if how == "whole":
        print("VERBOSE: Replacing 64 out of 64 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions for the whole graph.")
        print("INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.")
    elif how == "partly":
        print("VERBOSE: Replacing 60 out of 64 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for the whole graph.")
        print("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
        print("INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels.")
    else:
        print("INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.")
        print("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
print("INFO: The input model file size (MB): 4.2761")
print("INFO: Initialized session in 87.639ms.")
print("INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.")
warm = f"first={mean*2:.0f} curr={mean:.0f} min={mean*0.98:.0f} max={mean*2:.0f} avg={mean*1.1:.0f} std=193"
warm += f" p5={mean*0.99:.0f} median={mean:.0f} p95={mean*2:.0f}"
print(f"INFO: count=5 {warm}\\n")
print("INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.")
main = f"first={mean:.0f} curr={mean:.0f} min={mean*0.98:.0f} max={mean*1.1:.0f} avg={mean:.0f} std=60"
main += f" p5={mean*0.99:.0f} median={mean:.0f} p95={mean*1.05:.0f}"
print(f"INFO: count=50 {main}\\n")
print(f"INFO: Inference timings in us: Init: 87639, First inference: {mean*2:.0f}, Warmup (avg): {mean*1.1:.0f}, Inference (avg): {mean:.0f}")
print("INFO: Memory footprint delta from the start of the tool (MB): init=14.4414 overall=14.8164")
"""


def elf(path: Path, machine: int = 183, interpreter: bytes | None = b"/system/bin/linker64") -> Path:
    """A file that begins as a program for a processor does; nobody can run it."""
    data = bytearray(64 + 56 + 64)
    data[:20] = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine)
    struct.pack_into("<Q", data, 32, 64)
    struct.pack_into("<HH", data, 54, 56, 1)
    if interpreter is not None:
        struct.pack_into("<IIQQQQ", data, 64, 3, 4, 120, 0, 0, len(interpreter) + 1)
        data[120 : 120 + len(interpreter)] = interpreter
    path.write_bytes(bytes(data))
    return path


class Phone:
    """The folder, the daemon, and an adb server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "a phone's root"
        self.home = folder / "home"
        self.control = folder / "control.json"
        self.scenario: dict = {}
        for place in ("proc/sys/kernel/random", "dumpsys", "bin", FOLDER.rpartition("/")[0]):
            (self.root / place).mkdir(parents=True)
        self.home.mkdir()
        self._write_services()
        self._write_kernel()
        self.tell()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            server_port = probe.getsockname()[1]
        self.environment = {"ANDROID_ADB_SERVER_PORT": str(server_port), "HOME": str(self.home), "DSMOBILE_CACHE": str(folder / "cache")}
        self.control_values = {
            "root": str(self.root),
            "shell": [self._shell(), "-c"],
            "environment": {"PATH": str(self.root / "bin")},
            "product": {"ro.product.name": "standin", "ro.product.model": "Phone", "ro.product.device": "standin"},
        }
        self.set()
        self.daemons: list[subprocess.Popen] = []
        self.serial = self.start()

    def set(self, **values) -> None:
        """Changes what the daemon does from now on."""
        self.control_values.update(values)
        written = self.control.with_suffix(".new")
        written.write_text(json.dumps(self.control_values))
        written.replace(self.control)

    def tell(self, **values) -> None:
        """Changes what the fake tool does from now on."""
        self.scenario.update(values)
        (self.root / "scenario.json").write_text(json.dumps(self.scenario))

    def service(self, name: str, text: str | None) -> None:
        path = self.root / "dumpsys" / name
        path.unlink(missing_ok=True) if text is None else path.write_text(text)

    def start(self) -> str:
        """Another daemon for the same folder; returns its serial."""
        daemon = subprocess.Popen([sys.executable, "-S", str(HERE / "adb_daemon.py"), str(self.control)], stdout=subprocess.PIPE, text=True)
        self.daemons.append(daemon)
        return f"127.0.0.1:{int(daemon.stdout.readline())}"

    def unplug(self) -> None:
        self.daemons[0].send_signal(signal.SIGUSR1)

    def adb(self, *arguments: str) -> str:
        done = subprocess.run(["adb", *arguments], env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def calls(self) -> list[dict]:
        path = self.root / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def fixed_mode(self) -> list[str]:
        """What the fixed-performance mode was set to, in order."""
        path = self.root / "fixed_mode"
        return path.read_text().split() if path.exists() else []

    def become_bare(self) -> None:
        """No Android at all: a plain userland with POSIX's smallest shell, no services, no properties, neither /proc nor /sys."""
        own = self.root / "bin"
        for name in ("getprop", "dumpsys", "settings", "cmd", "taskset", "sh"):
            (own / name).unlink()
        (own / "taskset").symlink_to(shutil.which("taskset"))
        (own / "sh").symlink_to(shutil.which("dash") or self._shell())
        shutil.rmtree(self.root / "proc")
        shutil.rmtree(self.root / "sys")
        self.set(shell=[str(own / "sh"), "-c"])

    def script(self, text: str, first: str = "#!/bin/sh") -> Path:
        """A tool that is a script which prints a text."""
        path = self.folder / "benchmark_model"
        path.write_text(f"{first}\ncat << 'END'\n{text}\nEND\n")
        return path

    def tool(self, name: str = "android_aarch64_benchmark_model") -> Path:
        return elf(self.folder / name)

    def running(self) -> list[str]:
        """Command lines on the phone, once they have had time to end."""
        deadline = time.monotonic() + 10
        while (found := self._lines()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def close(self) -> None:
        self.adb("kill-server")
        for daemon in self.daemons:
            daemon.terminate()
            daemon.wait(10)

    def _lines(self) -> list[str]:
        lines = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"DEVICE_BENCH_ROOT={self.root}".encode() in environment:
                lines.append(line)
        return lines

    def _shell(self) -> str:
        return next(filter(None, map(shutil.which, ("mksh", "bash"))))

    def _write_services(self) -> None:
        for name, text in SERVICES.items():
            self.service(name, text)
        (self.root / "properties").write_text("".join(f"[{name}]: [{value}]\n" for name, value in PROPERTIES.items()))
        (self.root / "low_power").write_text("0\n")
        (self.root / "tool.py").write_text(TOOL)
        toybox, own = shutil.which("toybox"), self.root / "bin"
        names = "cat chmod command date dd find flock grep head mkdir mv rm sha256sum sleep timeout tr".split()
        known = subprocess.run([toybox], capture_output=True, text=True, check=False).stdout.split() if toybox else []
        for name in names:
            target = toybox if name in known else shutil.which(name)
            if target:
                (own / name).symlink_to(target)
        (own / "sh").symlink_to(self._shell())
        root, python = '"$DEVICE_BENCH_ROOT"', shlex.quote(sys.executable)
        scripts = {
            "dumpsys": f'[ -e {root}/dumpsys/"$1" ] && exec cat {root}/dumpsys/"$1"\necho "Can\'t find service: $1"\nexit 1',
            "getprop": f"exec cat {root}/properties",
            "settings": f'[ "$*" = "get global low_power" ] && exec cat {root}/low_power\nexit 1',
            "uname": '[ "$1" = -r ] && echo 5.15.41-android13-8 || echo aarch64',
            "cmd": f"""[ "$1 $2" = "power set-fixed-performance-mode-enabled" ] || exit 1
if [ -e {root}/refuses ]; then
  echo 'Failed to set FIXED_PERFORMANCE mode' >&2; echo 'This is likely because Power HAL AIDL is not implemented on this device' >&2; exit 255
fi
echo "$3" >> {root}/fixed_mode""",
            "taskset": f"""mask=$1; shift
export TASKSET=$mask
case "$1" in
  *benchmark_model) exec {python} -S {root}/tool.py "$@";;
  grep) exec {python} -S -c 'import sys
cores = [core for core in range(64) if int(sys.argv[1], 16) >> core & 1]
parts = []
for core in cores:
    if parts and parts[-1][1] == core - 1: parts[-1][1] = core
    else: parts.append([core, core])
print("Cpus_allowed_list:\\t" + ",".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in parts))' $mask;;
esac
exec "$@" """,
        }
        real_timeout = (own / "timeout").readlink()
        (own / "timeout").unlink()
        scripts["timeout"] = f"""case "$4" in *benchmark_model) shift 4; exec {python} -S {root}/tool.py "$@";; esac
exec {shlex.quote(str(self.folder / "timeout"))} "$@" """
        (self.folder / "timeout").symlink_to(real_timeout)
        for name, script in scripts.items():
            (own / name).write_text(f"#!{self._shell()}\n{script}\n")
            (own / name).chmod(0o755)

    def _write_kernel(self) -> None:
        proc, cpus = self.root / "proc", self.root / "sys/devices/system/cpu"
        (proc / "uptime").symlink_to("/proc/uptime")
        (proc / "stat").write_text("cpu  1000 0 1000 90000 0 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
        (proc / "loadavg").write_text("0.10 0.10 0.10 1/1000 12345\n")
        (proc / "meminfo").write_text(
            "MemTotal:        7800000 kB\nMemFree:  100000 kB\nMemAvailable:    5200000 kB\nSwapTotal: 100 kB\nSwapFree: 100 kB\n"
        )
        (proc / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd aes asimddp i8mm\nCPU implementer\t: 0x41\n")
        (proc / "sys/kernel/random/boot_id").write_text("11111111-2222-3333-4444-555555555555\n")
        for core, khz in CLOCKS_KHZ.items():
            files = cpus / f"cpu{core}" / "cpufreq"
            files.mkdir(parents=True)
            for name, value in (("scaling_cur_freq", khz), ("scaling_max_freq", khz), ("cpuinfo_max_freq", khz), ("scaling_governor", "sched_pixel")):
                (files / name).write_text(f"{value}\n")
        (cpus / "online").write_text("0-7\n")


def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A phone in order, that adb is connected to."""
    if shutil.which("adb") is None:
        pytest.skip("needs adb")
    monkeypatch.setenv("TMPDIR", "/tmp")
    made = Phone(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    try:
        yield made
    finally:
        made.close()


def tflite(path: Path, size: int) -> Path:
    """The smallest file that is a TFLite model by its form, with so many bytes of weights."""
    import flatbuffers

    builder = flatbuffers.Builder(0)
    weights = builder.CreateByteVector(bytes(size))
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, weights, 0)
    vectors = []
    for table in (builder.EndObject(), None):
        if table is None:
            builder.StartObject(1)
            table = builder.EndObject()
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(table)
        vectors.append(builder.EndVector())
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(2, vectors[1], 0)
    builder.PrependUOffsetTRelativeSlot(4, vectors[0], 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
