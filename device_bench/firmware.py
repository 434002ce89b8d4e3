"""What the firmware of a Raspberry Pi says of its power supply and its heat; None on any other board.

Source: Raspberry Pi documentation, "vcgencmd" (`get_throttled`, `measure_clock`, `measure_temp`) and "Frequency management and thermal
control"; Linux, drivers/hwmon/raspberrypi-hwmon.c.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Optional, Tuple

from .system_files import matching, number, word

UNDER_VOLTAGE, CAPPED, THROTTLED, SOFT_LIMIT = 1, 2, 4, 8
SINCE_BOOT = 16  # the same bits, so much higher: it has happened
SYSFS = "/sys/devices/platform/soc/soc:firmware/get_throttled"
_OLD_PLACE = "/opt/vc/bin/vcgencmd"
_TIMEOUT_S = 5.0


def throttled() -> Optional[int]:
    """The bits of `vcgencmd get_throttled`: 0 under-voltage, 1 capped, 2 throttled, 3 soft limit; from 16 on: has happened since boot."""
    name, _, value = (_vcgencmd("get_throttled")[0]).partition("=")
    return _bits(value) if name == "throttled" else throttled_by_kernel()


def throttled_by_kernel() -> Optional[int]:
    """The same bits as the kernel reads them, for which no program and no group is needed.

    The kernel's voltage sensor asks the firmware every two seconds to clear the upper bits here, so that they can come and go.
    """
    return _bits(word(SYSFS) or "")


def under_voltage() -> Optional[bool]:
    """Whether the supply has been too weak within the last two seconds, by the kernel's voltage sensor."""
    for path in matching("/sys/class/hwmon/hwmon*/name"):
        if word(path) == "rpi_volt":
            alarm = number(path.replace("/name", "/in0_lcrit_alarm"))
            return None if alarm is None else alarm != 0
    return None


def arm_clock_hz() -> Optional[int]:
    """The clock of the processors as the firmware measures it, and not as the kernel wished it."""
    found = re.fullmatch(r"frequency\([0-9]+\)=([0-9]+)", _vcgencmd("measure_clock", "arm")[0])
    return int(found[1]) if found else None


def temperature_c() -> Optional[float]:
    """The temperature of the chip."""
    found = re.fullmatch(r"temp=([0-9.]+)'C", _vcgencmd("measure_temp")[0])
    return float(found[1]) if found else None


def complaint() -> str:
    """What `vcgencmd` says where it is installed and refuses; empty where it answers or is not there."""
    return _vcgencmd("get_throttled")[1]


def _bits(text: str) -> Optional[int]:
    try:
        return int(text, 16)
    except ValueError:
        return None


def _vcgencmd(*arguments: str) -> Tuple[str, str]:
    """Its answer and its complaint; both empty where it is not installed."""
    program = shutil.which("vcgencmd") or (_OLD_PLACE if os.access(_OLD_PLACE, os.X_OK) else None)
    if program is None:
        return "", ""
    try:
        done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    answer = done.stdout.decode("ascii", "replace").strip()
    if done.returncode == 0 and "=" in answer:
        return answer, ""
    said = (done.stderr.decode("utf-8", "replace").strip() or answer).splitlines()
    return "", said[-1] if said else "exit status %d" % done.returncode
