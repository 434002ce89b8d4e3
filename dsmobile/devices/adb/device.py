"""An Android phone over adb. No Python runs there, so that this side plays the harness: block after block of fresh processes of the native
`benchmark_model`, pinned to chosen cores, with the phone's state read before, between and after."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_bench.benchmark_model import parse
from device_bench.clocks import shares_between
from device_bench.records import ReplicateSample, RunPlan, header
from device_bench.settle import Reading, settle
from dsmobile.devices.adb.client import Adb, Listed, find_phone, full
from dsmobile.devices.adb.cores import choose_cores, clusters, mask, written
from dsmobile.devices.adb.delegate import what_ran
from dsmobile.devices.adb.facts import allowed_cores, read_facts
from dsmobile.devices.adb.keeper import FOLDER, hold
from dsmobile.devices.adb.state import (
    STATE,
    TICKS_PER_S,
    busy_ticks,
    parts_of,
    read_parts,
    read_state,
    snapshot_of,
    thermal_of,
    ticks_at,
    uptime_s,
)
from dsmobile.devices.adb.tool import NAME, Tool, cached, given, not_startable
from dsmobile.devices.addresses import Address
from dsmobile.devices.phone_options import PhoneOptions
from dsmobile.errors import DeviceError, UsageError

_MORE_S = 30.0
_TAIL_LINES, _TAIL_CHARACTERS = 6, 1500

_BEGIN = r"""
f="$DEVICE_BENCH_ROOT$1"
mkdir -p "$f/models" "$f/tools" && chmod 700 "$f"
"""
# Besides halves of files, the tool of a benchmark that ended without being able to stop it: adb's daemon was killed, say.
_SWEEP = r"""
rm -f "$DEVICE_BENCH_ROOT$1"/models/*.part "$DEVICE_BENCH_ROOT$1"/tools/*.part
t=; p="$DEVICE_BENCH_ROOT$1/tool.pid"; [ -r "$p" ] && read -r t < "$p"
[ -n "$t" ] && case $(tr '\0' ' ' < "/proc/$t/cmdline") in *"$1"/tools/*) kill -9 "$t";; esac
rm -f "$p"
"""
_HASH = r"""[ -f "$DEVICE_BENCH_ROOT$1" ] || return 0; sha256sum "$DEVICE_BENCH_ROOT$1" """
_FREE = r"""df -Pk "$DEVICE_BENCH_ROOT$1" | tail -n 1"""
_TAKE = r"""chmod "$3" "$DEVICE_BENCH_ROOT$1" && mv -f "$DEVICE_BENCH_ROOT$1" "$DEVICE_BENCH_ROOT$2" """
_REMOVE = r"""rm -f "$DEVICE_BENCH_ROOT$1" """
_PROVE_TOOL = r"""timeout -s KILL 20 "$DEVICE_BENCH_ROOT$1" --help 2>&1 | head -c 65536"""
_PROVE_CORES = r"""taskset "$1" grep '^Cpus_allowed_list' /proc/self/status 2>&1 || taskset "$1" sh -c 'taskset -p $$'"""
_HAS = r"""[ -e "$DEVICE_BENCH_ROOT$1" ]"""
# Arguments: word, `lightly`, tool, model, mask, seconds, then the tool's options. What the tool writes lies between the parts `tool` and `times`.
_RUN = r"""
w=$1 tool="$DEVICE_BENCH_ROOT$3" model="$DEVICE_BENCH_ROOT$4" mask=$5 limit=$6
shift 6
p="$DEVICE_BENCH_ROOT/data/local/tmp/dsmobile/tool.pid"
read -r up rest < "$DEVICE_BENCH_ROOT/proc/uptime"; read -r line < "$DEVICE_BENCH_ROOT/proc/stat"
echo "$w uptime"; echo "$up"
echo "$w before"; echo "$line"
echo "$w ticks0"
for q in "$DEVICE_BENCH_ROOT"/sys/devices/system/cpu/cpufreq/policy*; do
  [ -r "$q/stats/time_in_state" ] && { echo "policy $(cat "$q/related_cpus")"; cat "$q/stats/time_in_state"; }
done 2>/dev/null
echo "$w tool"
c=; t=; rm -f "$p"
trap 'read -r t < "$p"; kill -9 $t $c; rm -f "$p"; exit 1' HUP TERM INT
timeout -s KILL $limit sh -c 'echo $$ > "$0"; exec "$@"' "$p" taskset $mask "$tool" "--graph=$model" "$@" 2>&1 &
c=$!
wait $c; s=$?
trap - HUP TERM INT
rm -f "$p"
echo; echo "$w times"; times
echo "$w status"; echo $s
state $w lightly
return 0
"""


class AdbDevice:
    """A phone.

    Args:
        address: Which.
        options: How it is to measure.
    """

    kind = "adb"
    metric = "latency"

    def __init__(self, address: Address, options: PhoneOptions | None = None) -> None:
        """Takes note; nothing is connected yet."""
        self._address = address
        self._options = options or PhoneOptions()
        self._tool: Tool | None = None
        self._place = ""

    def __enter__(self) -> Self:
        """Finds the phone, learns what it is, chooses the cores, and brings the tool there."""
        self._listed = find_phone(self._address.host)
        self._adb = Adb(self._listed.serial)
        self._facts, self._highest_khz, self._online = read_facts(self._adb)
        abi = str(self._facts["userland_architecture"])
        groups = clusters(self._highest_khz, self._online)
        if not groups:
            raise DeviceError("the phone does not tell which cores it has", "see what `adb shell cat /sys/devices/system/cpu/online` says")
        self._groups = groups
        self._cores = choose_cores(self._options.cores, self._options.threads, groups)
        if self._adb.try_shell(_BEGIN, FOLDER).status:
            raise DeviceError(f"{FOLDER} cannot be made on the phone", "see to it that /data/local/tmp can be written with adb, and is not full")
        self._tool = given(self._options.benchmark_model, abi) if self._options.benchmark_model else cached(abi)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """What was temporary has gone with each call; models and the tool stay for the next time."""

    @property
    def python(self) -> str:
        """There is none."""
        return ""

    @property
    def listed(self) -> Listed:
        """The phone as adb lists it."""
        return self._listed

    @property
    def adb(self) -> Adb:
        """The way to it."""
        return self._adb

    @property
    def abi(self) -> str:
        """What its programs are built for, such as `arm64-v8a`."""
        return str(self._facts["userland_architecture"])

    @property
    def tool(self) -> Tool | None:
        """The native tool for it; None where there is none."""
        return self._tool

    def use_tool(self, tool: Tool) -> None:
        """Takes another tool from now on."""
        self._tool, self._place = tool, ""

    def settings(self) -> dict[str, Any]:
        """How it measures, for the result: `cores`, `clusters`, `delegate`, `fixed_performance`, `benchmark_model_sha256`."""
        return {
            "cores": written(self._cores),
            "clusters": [{"cores": written(group), "highest_khz": self._highest_khz.get(group[0])} for group in self._groups],
            "delegate": self._delegate,
            "fixed_performance": self._options.fixed_performance,
            "benchmark_model_sha256": self._tool.sha256 if self._tool else None,
        }

    def facts(self) -> dict[str, Any]:
        """What the phone is; `pinned_cores`, `asked_delegate` and `fixed_performance` say how it measures."""
        runtimes = {**self._facts["runtimes"], NAME: f"sha256:{self._tool.sha256[:12]}" if self._tool else None}
        return {
            **self._facts,
            "runtimes": runtimes,
            "pinned_cores": list(self._cores),
            "asked_delegate": self._delegate,
            "fixed_performance": self._options.fixed_performance,
        }

    def push(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Pushes what is not there already, each checked by its hash; the native tool too."""
        self._adb.try_shell(_SWEEP, FOLDER)  # the phone is held: nobody else is pushing
        places = []
        for path, digest in dict.fromkeys(files):
            place = f"{FOLDER}/models/{digest}{path.suffix.lower()}"
            self._bring(path, digest, place, "600")
            places.append(place)
        self.push_tool()
        self._prove_cores()
        where = {digest: place for (_, digest), place in zip(dict.fromkeys(files), places, strict=True)}
        return [where[digest] for _, digest in files]

    def push_tool(self) -> bool:
        """Brings the native tool to the phone.

        Returns:
            Whether it was pushed; False where it was there.

        Raises:
            DeviceError: There is none, it is for another system, the phone is full, or was lost.
        """
        if self._tool is None:
            raise DeviceError("there is no native benchmark_model for the phone", "run `dsmobile devices setup adb --benchmark-model FILE`")
        if self._tool.starter and self._adb.try_shell(_HAS, self._tool.starter).status:
            raise not_startable(self._tool, self.abi)
        self._place = f"{FOLDER}/tools/{self._tool.sha256}-{NAME}"
        return self._bring(self._tool.path, self._tool.sha256, self._place, "700")

    def prove_tool(self) -> str:
        """Runs the tool's help on the phone: why it does not run there; empty where it does and is what it should be."""
        said = self._adb.try_shell(_PROVE_TOOL, self._place).text
        if "--graph" in said or parse(said):  # a script may know no help, and run
            return ""
        return " ".join("".join(c if c.isprintable() else " " for c in said).split())[-300:] or "it says nothing"

    def keep(self, governor: str | None, say: Callable[[str], None]) -> AbstractContextManager[dict[str, Any]]:
        """Holds the phone for one benchmark, in its fixed-performance mode where that is asked for; see `adb_keeper.hold`."""
        if governor is not None:
            raise UsageError("--governor does not apply to a phone, whose governor only root may set", "give --fixed-performance")
        return hold(self._adb, say, fixed_performance=self._options.fixed_performance)

    def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:
        """Waits until the phone is quiet and does not throttle itself, or the patience is spent."""
        before: list[tuple[int, float]] = []

        def read() -> Reading:
            parts = read_parts(self._adb, lightly=True)
            now, ticks, others = uptime_s(parts), busy_ticks(parts), None
            if ticks is not None and now is not None:
                if before and now > before[0][1]:
                    others = (ticks - before[0][0]) / TICKS_PER_S / (now - before[0][1])
                before[:] = [(ticks, now)]
            thermal = thermal_of(parts)
            return Reading(others, None, None, thermal.status, tells_load=ticks is not None)

        return settle(patience_s, say, read, look=dict)

    def check(self) -> dict[str, Any]:
        """In which state the phone is: `facts`, `conditions` and `others_cpu`, the processors that are busy, over two seconds."""
        begun = read_parts(self._adb, lightly=True)
        time.sleep(2.0)
        parts = read_parts(self._adb)
        ticks = [busy_ticks(one) for one in (begun, parts)]
        times = [uptime_s(one) for one in (begun, parts)]
        others = None
        if None not in ticks and None not in times and times[1] > times[0]:  # type: ignore[operator]
            others = (ticks[1] - ticks[0]) / TICKS_PER_S / (times[1] - times[0])  # type: ignore[operator]
        return {"facts": self.facts(), "conditions": snapshot_of(parts, self._cores), "others_cpu": others}

    def measure(self, plan: RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
        """Runs the blocks of a plan and hands on each sample as it comes."""
        if plan.sustained_s:
            raise UsageError(f"--sustained does not apply to a phone: {NAME} tells no single inference", "measure in blocks, without --sustained")
        on_line(header(self.facts(), plan))
        for block in plan.blocks:
            on_line({"kind": "conditions", "when": "before", "block": block.index, **read_state(self._adb, self._cores)})
            for position, artifact in enumerate(block.order):
                on_line(self._replicate(plan, block.index, position, artifact).to_json())
            on_line({"kind": "conditions", "when": "after", "block": block.index, **read_state(self._adb, self._cores)})

    @property
    def _delegate(self) -> str:
        return self._options.delegate or "cpu"

    def _replicate(self, plan: RunPlan, block: int, position: int, artifact: int) -> ReplicateSample:
        """One fresh process of the tool."""
        word = f"part-{secrets.token_hex(8)}"
        limit_s = plan.timeout_s
        script = f"state() {{\n{STATE.strip()}\n}}\n{_RUN}"
        arguments = [
            word,
            "lightly",
            self._place,
            plan.artifacts[artifact].path,
            mask(self._cores),
            f"{limit_s:.0f}",
            *tool_options(plan, self._delegate),
        ]
        started = time.perf_counter_ns()
        answer = self._adb.try_shell(script, *arguments, timeout_s=limit_s + _MORE_S)
        wall_ns = time.perf_counter_ns() - started
        parts = parts_of(answer.text, word)
        base = ReplicateSample(block, position, artifact, wall_ns=wall_ns, runtime=NAME)
        said, status = parts.get("tool", ""), parts.get("status", "").strip()
        reports = parse(said)
        if status != "0" or len(reports) != 1:
            return replace(base, error=_why(status, said, len(reports), wall_ns / 1e9, limit_s))
        report, ran = reports[0], what_ran(reports[0])
        return replace(
            base,
            runtime_version=self.facts()["runtimes"][NAME],
            delegate=ran.delegate,
            coverage=ran.coverage,
            load_ns=int(report.load_ns or 0),
            first_inference_ns=int(report.first_inference_ns or 0),
            peak_memory_bytes=int(report.peak_memory_bytes) if report.peak_memory_bytes else None,
            summary=report.summary,
            loop=self._loop(parts),
            conditions=snapshot_of(parts, self._cores, lightly=True),
        )

    def _loop(self, parts: dict[str, str]) -> dict[str, Any]:
        """How undisturbed the process was: what else kept cores busy, and at which clocks the pinned ones ran."""
        before, after = busy_ticks({"stat": parts.get("before", "")}), busy_ticks(parts)
        began, ended = (parts.get("uptime", "").strip(), uptime_s(parts))
        own_s = children_s(parts.get("times", ""))
        loop: dict[str, Any] = {"others_cpu": None, "frequency_shares": None}
        if before is not None and after is not None and own_s is not None and ended is not None and re.fullmatch(r"[0-9]{1,11}\.[0-9]+", began):
            wall_s = ended - float(began)
            if wall_s > 0:
                loop["others_cpu"] = max((after - before) / TICKS_PER_S - own_s, 0.0) / wall_s
        if self._delegate == "cpu":
            shares = shares_between(ticks_at({"ticks": parts.get("ticks0", "")}, self._cores), ticks_at(parts, self._cores))
            loop["frequency_shares"] = {khz: min(share, 1.0) for khz, share in shares.items()} if shares else None
        return loop

    def _bring(self, path: Path, digest: str, place: str, mode: str) -> bool:
        """Pushes a file under another name, checks its hash there, and gives it its own name; False where it was there."""
        if self._hash(place) == digest:
            return False
        self._check_room(path)
        half = f"{place}.{os.getpid()}.part"
        try:
            self._adb.push(path, half)
            found = self._hash(half)
            if found != digest:
                raise DeviceError(
                    f"{path.name} did not come to the phone whole: its SHA-256 there is {found or 'unknown'}", "free some space on it, then try again"
                )
            answer = self._adb.try_shell(_TAKE, half, place, mode)
            if answer.status:
                raise DeviceError(f"{path.name} cannot be put into {FOLDER} on the phone", f"delete {FOLDER} there, then try again")
        except DeviceError:
            self._try_to_remove(half)
            raise
        return True

    def _check_room(self, path: Path) -> None:
        """Proves that the phone has room for a file, where it tells: not every adb comes back from a disk that fills up."""
        found = re.search(r"\s([0-9]{1,15})\s+[0-9]{1,3}%\s", self._adb.try_shell(_FREE, FOLDER).text)
        if found and 1024 * int(found[1]) < (size := path.stat().st_size):
            raise full(path, f"it has {size / 1e6:.2f} MB, and {1024 * int(found[1]) / 1e6:.2f} MB are free")

    def _try_to_remove(self, place: str) -> None:
        """Removes half a file, if the phone is still there; the next run removes what is left."""
        try:
            self._adb.try_shell(_REMOVE, place)
        except DeviceError:
            return

    def _hash(self, place: str) -> str:
        found = re.match(r"([0-9a-f]{64})\s", self._adb.try_shell(_HASH, place, timeout_s=120.0).text)
        return found[1] if found else ""

    def _prove_cores(self) -> None:
        """Proves that the phone pins a process to the chosen cores."""
        answer = self._adb.try_shell(_PROVE_CORES, mask(self._cores))
        found = re.search(r"Cpus_allowed_list:\s*([0-9,-]+)", answer.text)
        allowed = found[1] if found else written(allowed_cores(answer.text))
        if answer.status or allowed != written(self._cores):
            said = f"it allows {allowed}" if allowed else " ".join(answer.text.split())[:200] or f"exit status {answer.status}"
            raise DeviceError(f"the phone does not pin a program to the cores {written(self._cores)}: {said}", "name other cores with --cores")


def tool_options(plan: RunPlan, delegate: str) -> list[str]:
    """The tool's options; both publishers' tools take them.

    Args:
        plan: How long, with how many threads.
        delegate: `cpu` or `gpu`.
    """
    return [
        f"--num_threads={plan.threads}",
        f"--num_runs={plan.min_count}",
        f"--min_secs={plan.measure_s:g}",
        f"--max_secs={max(plan.timeout_s / 2, 1.0):g}",
        "--warmup_runs=1",
        f"--warmup_min_secs={min(plan.measure_s, 0.5):g}",
        *(["--use_gpu=true"] if delegate == "gpu" else []),
    ]


def children_s(text: str) -> float | None:
    """Seconds of processor time of a shell's children, from its `times`: the second line, user and system."""
    found = re.findall(r"([0-9]+)m([0-9]+(?:\.[0-9]+)?)s", text)
    return sum(60 * int(minutes) + float(seconds) for minutes, seconds in found[2:4]) if len(found) >= 4 else None


def _why(status: str, said: str, runs: int, took_s: float, limit_s: float) -> str:
    """Why a process of the tool failed, with the last lines it wrote."""
    if took_s >= limit_s:
        reason = f"it did not finish within {limit_s:.0f} s"
    elif status == "137":
        reason = f"{NAME} was ended by SIGKILL, as a phone does that runs out of memory"
    elif status == "0" and runs > 1:
        reason = f"{NAME} printed the figures of {runs} runs, where one was asked for"
    elif status == "0":
        reason = f"{NAME} printed no figures that are understood"
    else:
        reason = f"{NAME} ended with exit status {status or 'unknown'}"
    lines = ["".join(character for character in line if character.isprintable()) for line in said.splitlines() if line.strip()]
    return f"{reason}; it wrote: {' / '.join(lines[-_TAIL_LINES:])[-_TAIL_CHARACTERS:] or 'nothing'}"
