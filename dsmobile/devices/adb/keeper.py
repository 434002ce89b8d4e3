"""Holds a phone for one benchmark, and puts back what was set there however the benchmark ends.

A script on the phone takes a lock that the kernel gives back whatever becomes of its holder, and lives as long as this side holds its standard
input open and sends signs of life. Where it ends, by Ctrl-C here, a pulled cable or a dead host, it switches the fixed-performance mode off
again. What a kill on the phone leaves, the next one mends; a restart of the phone clears the mode by itself.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from dsmobile.devices.adb.client import Adb
from dsmobile.devices.device import last_line
from dsmobile.devices.harness_process import PATIENCE_S, beat, end, lines_of
from dsmobile.devices.keeping import waiting_for
from dsmobile.errors import DeviceError

FOLDER = "/data/local/tmp/dsmobile"
SET_BACK = "restart the phone, or run `adb shell cmd power set-fixed-performance-mode-enabled false`"
_RELEASE_S, _AGAIN_S = 20.0, 2.0

# Arguments: a word that begins every line, the word `fixed` where the mode is to be set, seconds of silence after which the host counts as lost.
KEEP = r"""
w=$1
f="$DEVICE_BENCH_ROOT/data/local/tmp/dsmobile"
say() { echo "$w $*"; }
trap '' PIPE
umask 077
(: >> "$f/lock") || { say failed "$f/lock cannot be written"; return 0; }
exec 9>>"$f/lock"
read -r up rest < "$DEVICE_BENCH_ROOT/proc/uptime"
if ! flock -n 8 8>&9; then
  pid=; since=; [ -r "$f/holder" ] && read -r pid since < "$f/holder"
  say busy "$pid" "$since" "$up"
  return 0
fi
read -r boot < "$DEVICE_BENCH_ROOT/proc/sys/kernel/random/boot_id"
off() {
  out=$(cmd power set-fixed-performance-mode-enabled false 2>&1) || return 1
  case $out in *ailed*|*rror*|*nknown*|*"find service"*) return 1;; esac
  rm -f "$f/fixed"
}
if [ -e "$f/fixed" ]; then
  read -r then < "$f/fixed"
  if [ "$then" != "$boot" ]; then rm -f "$f/fixed"; elif off; then say mended; else say unmended "$out"; fi
fi
echo "$$ ${up%.*}" > "$f/holder"
done=
finish() {
  [ -n "$done" ] && return
  done=1
  if [ "$2" = fixed ]; then if off; then say restored; else say unrestored "$out"; fi; fi
  rm -f "$f/holder"
}
trap 'finish x "'"$2"'"; exit 1' HUP TERM INT
if [ "$2" = fixed ]; then
  echo "$boot" > "$f/fixed" || { say failed "$f cannot be written"; return 0; }
  out=$(cmd power set-fixed-performance-mode-enabled true 2>&1); s=$?
  case $out in *ailed*|*rror*|*nknown*|*"find service"*) s=1;; esac
  if [ $s -ne 0 ]; then off; rm -f "$f/fixed"; say refused "$out"; return 0; fi
fi
say held
if (echo x | read -r -t 1 line) 2>/dev/null; then
  while read -r -t $3 line; do case $line in end*) break;; esac; done
else  # a shell that cannot stop waiting
  while line=$(timeout $3 dd bs=512 count=1 2>/dev/null) && [ -n "$line" ]; do case $line in *end*) break;; esac; done
fi
finish x "$2"
return 0
"""


@contextlib.contextmanager
def hold(adb: Adb, say: Callable[[str], None], *, fixed_performance: bool) -> Iterator[dict[str, Any]]:
    """Holds a phone as long as the block lasts; a second benchmark waits.

    Args:
        adb: The phone.
        say: Told what is being waited for, and what was put back.
        fixed_performance: Whether to switch the fixed-performance mode on meanwhile.

    Yields:
        `governor`: empty; `notes`: what was mended and set; `lost`: None, or why the phone is no longer held; `unrestored`: None, or after the
        block why the mode could not be switched off.

    Raises:
        DeviceError: The phone is lost, cannot be written to, or refuses the fixed-performance mode.
    """
    word = f"keep-{secrets.token_hex(8)}"
    process, errors, notes = _until_held(adb, word, say, fixed_performance=fixed_performance)
    state: dict[str, Any] = {"governor": [], "notes": notes, "lost": None, "unrestored": None, "restored": not fixed_performance}
    done = threading.Event()
    threads = [
        threading.Thread(target=beat, args=(process, done), daemon=True),
        threading.Thread(target=_listen, args=(process, word, done, state), daemon=True),
    ]
    try:
        for thread in threads:
            thread.start()
        yield state
    finally:
        done.set()
        _release(process, threads[1])
        errors.close()
        if not state.pop("restored"):
            state["unrestored"] = state["unrestored"] or "the phone could not be heard any more, where it does that by itself"
            say(f"the fixed-performance mode may still be on: {state['unrestored']}; {SET_BACK}")
        elif fixed_performance:
            say("the fixed-performance mode is off again")


def _until_held(adb: Adb, word: str, say: Callable[[str], None], *, fixed_performance: bool) -> tuple[subprocess.Popen[bytes], Any, list[str]]:
    """Tries until the phone is ours, once in two seconds."""
    while True:
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        command, _ = adb.command(KEEP, word, "fixed" if fixed_performance else "", f"{PATIENCE_S:.0f}")
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        held = False
        try:
            busy, notes = _first_words(adb, process, errors, word, fixed_performance=fixed_performance)
            held = busy is None
        finally:
            if not held:
                end(process)
                errors.close()
        if busy is None:
            return process, errors, notes
        say(f"waiting: {busy}")
        time.sleep(_AGAIN_S)


def _first_words(adb: Adb, process: subprocess.Popen[bytes], errors: Any, word: str, *, fixed_performance: bool) -> tuple[str | None, list[str]]:
    """Who holds the phone, None where we do; and what was mended."""
    notes: list[str] = []
    said: list[str] = []
    for line in lines_of(process):
        begins, _, rest = line.strip().partition(" ")
        if begins != word:
            said.append(line)
            continue
        what, _, rest = rest.partition(" ")
        if what == "busy":
            return _holder(rest), notes
        if what == "failed":
            raise DeviceError(f"the phone cannot be held: {last_line(rest)}", f"see to it that {FOLDER} can be written with adb")
        if what == "refused":
            raise DeviceError(
                f"the phone refuses the fixed-performance mode: {last_line(rest) or 'it gave no reason'}",
                "measure without --fixed-performance: only some phones of Android 11 and later have that mode",
            )
        if what == "mended":
            notes.append("an earlier benchmark was killed before it could switch the fixed-performance mode off: it is off again")
        if what == "unmended":
            why = f"the phone does not switch it off: {last_line(rest)}; {SET_BACK}"
            notes.append(f"an earlier benchmark left the fixed-performance mode on, and {why}")
        if what == "held":
            return None, [*notes, *(["the fixed-performance mode is on for this benchmark"] if fixed_performance else [])]
    process.wait()
    errors.seek(0)
    raise adb.lost("".join(said[-5:]) + str(errors.read().decode("utf-8", "replace")))


def _holder(text: str) -> str:
    fields = text.split()
    numbers = [float(field) if field.replace(".", "", 1).isdigit() else None for field in fields]
    since, now = (numbers[1], numbers[2]) if len(fields) == 3 else (None, None)
    pid = int(numbers[0]) if len(fields) == 3 and numbers[0] is not None else None
    for_s = max(now - since, 0.0) if since is not None and now is not None else None
    return waiting_for({"pid": pid, "what": "another benchmark", "from": "", "for_s": for_s})


def _listen(process: subprocess.Popen[bytes], word: str, done: threading.Event, state: dict[str, Any]) -> None:
    """Hears what is put back at the end, and whether the script ends before that."""
    for line in lines_of(process):
        begins, _, rest = line.strip().partition(" ")
        if begins == word and rest == "restored":
            state["restored"] = True
        elif begins == word and rest.startswith("unrestored"):
            state["unrestored"] = last_line(rest.partition(" ")[2]) or "it gave no reason"
    if not done.is_set():
        state["lost"] = "the process that holds the phone ended before the benchmark did"


def _release(process: subprocess.Popen[bytes], listener: threading.Thread) -> None:
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError, ValueError):
        process.stdin.write(b"end\n")  # where adb knows no shell_v2, closing it tells the phone nothing
        process.stdin.close()
    try:
        process.wait(_RELEASE_S)
    except subprocess.TimeoutExpired:
        process.kill()
    listener.join(_RELEASE_S)
    end(process)
