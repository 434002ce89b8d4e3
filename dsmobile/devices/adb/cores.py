"""Which of a phone's cores run the measurement: its clusters by their highest clocks, and `--cores` by name or by number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dsmobile.errors import UsageError

MOST_CORES = 1024
_NAMED = ("big", "little", "all")


def clusters(highest_khz: Mapping[int, int], online: Sequence[int]) -> list[tuple[int, ...]]:
    """The cores that are switched on, in groups of one highest clock, the fastest group first.

    Args:
        highest_khz: Core to `cpuinfo_max_freq`; empty where the phone does not tell.
        online: The cores that are switched on.
    """
    groups: dict[int, list[int]] = {}
    for core in sorted(online):
        groups.setdefault(highest_khz.get(core, 0), []).append(core)
    return [tuple(groups[khz]) for khz in sorted(groups, reverse=True)]


def choose_cores(wanted: str | None, threads: int, groups: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The cores to pin the measurement to.

    `big` is every group but the slowest, `little` the slowest. By default it is the fastest group that has a core for every thread; where
    none has, groups are taken together from the fastest on until there are enough.

    Args:
        wanted: `big`, `little`, `all`, or numbers such as `4-7` or `6,7`; None for the default.
        threads: Threads of the runtime.
        groups: See `clusters`.

    Raises:
        UsageError: It cannot be read, names a core that is not there or is switched off, or fewer cores than threads.
    """
    every = sorted(core for group in groups for core in group)
    if wanted is None:
        chosen = _default(threads, groups)
    elif wanted in _NAMED:
        fast = [core for group in groups[:-1] for core in group] or every
        chosen = {"all": every, "big": fast, "little": list(groups[-1])}[wanted]
    else:
        chosen = parse_cores(wanted)
        absent = [core for core in chosen if core not in every]
        if absent:
            raise UsageError(f"--cores {wanted}: core {absent[0]} is not there or switched off", f"the phone has the cores {written(every)}")
    if threads > len(chosen):
        what = f"--cores {wanted}" if wanted else "the phone"
        raise UsageError(
            f"{what} has {len(chosen)} cores for --threads {threads}", f"give fewer threads, or more of the cores {written(every)} with --cores"
        )
    return tuple(sorted(chosen))


def parse_cores(text: str) -> list[int]:
    """Numbers of cores from a list such as `0-3,6`.

    Raises:
        UsageError: It is none.
    """
    cores: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if not found or int(found[2] or found[1]) < int(found[1]) or int(found[2] or found[1]) >= MOST_CORES:
            raise UsageError(f"--cores {text!r} cannot be read", "give big, little, all, or numbers such as 4-7 or 6,7")
        cores.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return sorted(cores)


def mask(cores: Sequence[int]) -> str:
    """Cores as `taskset` takes them: hexadecimal, without a prefix."""
    return f"{sum(1 << core for core in set(cores)):x}"


def written(cores: Sequence[int]) -> str:
    """Cores as a person writes them: `0-3,6`."""
    parts: list[list[int]] = []
    for core in sorted(cores):
        if parts and core == parts[-1][1] + 1:
            parts[-1][1] = core
        else:
            parts.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _default(threads: int, groups: Sequence[Sequence[int]]) -> list[int]:
    enough = next((group for group in groups if len(group) >= threads), None)
    if enough is not None:
        return list(enough)
    taken: list[int] = []
    for group in groups:
        taken += group
        if len(taken) >= threads:
            break
    return taken
