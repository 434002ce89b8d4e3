"""`bench --bundle`: everything that a device needs to measure by itself, for one that is reached by a USB stick only."""

from __future__ import annotations

import json
import math
import shlex
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from device_bench.records import Block, PlannedArtifact, RunPlan
from dsmobile.benchmark.calls import TRIAL, TRIAL_TIMEOUT_S
from dsmobile.benchmark.plan import LEAST_BLOCKS, LEAST_COUNT, orders
from dsmobile.benchmark.run import check_settings, planned_artifact, whom_to_compare
from dsmobile.benchmark.subjects import Subject
from dsmobile.devices.device import harness_files
from dsmobile.devices.userland import choose_wheels, userland_of
from dsmobile.devices.wheels import PACKAGES, fetch
from dsmobile.errors import OutputError, UsageError
from dsmobile.files import replacing

FOLDER = "dsmobile-bundle"
MOST_BLOCKS = 20_000
_MEASURE_S, _QUICKEST_S = 0.5, 0.5
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same bundle
_ALSO = {"tflite": ("litert", "tflite-runtime"), "onnx": ("onnxruntime",)}
_RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime"}
_RUN = '''"""Measures what this bundle holds on this device: python3 run.py"""

import os
import runpy
import shutil
import sys
import zipfile

folder = os.path.dirname(os.path.abspath(__file__))
harness, site, wheels = (os.path.join(folder, name) for name in ("device_bench", "site", "wheels"))
if os.path.isdir(wheels) and not os.path.isdir(site):
    half = site + ".part"
    shutil.rmtree(half, ignore_errors=True)
    for name in sorted(os.listdir(wheels)):
        with zipfile.ZipFile(os.path.join(wheels, name)) as wheel:
            wheel.extractall(half)
    os.rename(half, site)
sys.argv = [harness, *(["--site", site] if os.path.isdir(site) else []), "--bundle", folder]
runpy.run_path(os.path.join(harness, "__main__.py"), run_name="__main__")
'''
_README = """What this is
  Models and the harness of dsmobile, to be measured on this device. Nothing is installed and nothing else is changed.

How
  python3 run.py          writes samples.jsonl here; Ctrl-C keeps what was measured so far
  Carry samples.jsonl back and run, where the models are:
  {back}

What the device needs
{needs}
"""
_NEEDS = {
    "tflite": "  for .tflite: ai-edge-litert (64-bit Python 3.10 to 3.14), or tflite-runtime (Python 3.9 to 3.11, also 32-bit; numpy below 2)",
    "onnx": "  for .onnx: onnxruntime (64-bit Python 3.11 to 3.14)",
}


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written.

    Args:
        path: The ZIP file, absolute.
        files: What it holds.
        models: The names of the models, as they are here.
        pairs: The names in `--pair`.
    """

    path: Path
    files: tuple[str, ...]
    models: tuple[str, ...]
    pairs: tuple[str, ...] = ()


def write_bundle(
    path: Path,
    artifacts: Sequence[Path],
    *,
    threads: int,
    budget_s: float,
    pairs: Sequence[tuple[Path, Path]] = (),
    self_test: bool = False,
    sustained_s: float | None = None,
    system: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda _text: None,
) -> Bundle:
    """Writes a bundle.

    Args:
        path: The ZIP file; it must not be there yet.
        artifacts: The model files.
        threads: Threads of the runtime.
        budget_s: Seconds for the measurement on the device: nobody is there to stop it when enough is known.
        pairs: As for `benchmark.run.bench`; only the files matter here.
        self_test: Measure each file against itself.
        sustained_s: Run each file without a pause for so long, in place of blocks.
        system: The device's, such as `bookworm` or `bookworm-32`: its runtimes travel along, for a device that has none and no network.
        seed: Of the order within the blocks.
        say: Told what is being fetched.

    Raises:
        UsageError: The options do not fit together, or no runtime for a file runs on such a system.
        ModelError: A file is missing or damaged.
        DeviceError: A runtime cannot be fetched.
        OutputError: The bundle is there already, or cannot be written.
    """
    check_settings(threads, budget_s)
    if sustained_s is not None and (self_test or pairs):
        raise UsageError("--sustained compares a file's end with its own beginning, not two files", "leave --pair and --self-test away")
    subjects, _ = whom_to_compare(artifacts, pairs, self_test=self_test)
    path = path.absolute()
    if path.is_dir():
        raise OutputError(f"{path} is a folder", "give the name of a .zip file")
    if path.exists():
        raise OutputError(f"{path} would be overwritten", "give another name, or delete it first")
    places = [f"models/{subject.sha256[:16]}.{subject.format}" for subject in subjects]
    planned = tuple(planned_artifact(subject, place, _RUNTIMES) for subject, place in zip(subjects, places, strict=True))
    wheels = _wheels(system, subjects, say) if system else []
    plan = _plan(planned, threads, budget_s, sustained_s, seed)
    names = tuple(dict.fromkeys(subject.path.name for subject in subjects))
    named = tuple(part for a, b in pairs for part in ("--pair", a.name, b.name))
    contents: dict[str, bytes] = {
        "README.txt": _readme(_back(names, named), {subject.format for subject in subjects}, system).encode(),
        "run.py": _RUN.encode(),
        "plan.json": (json.dumps(plan.to_json(), indent=1) + "\n").encode(),
        **{f"device_bench/{file.name}": file.read_bytes() for file in harness_files()},
        **{f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels},
        **{place: subject.path.read_bytes() for subject, place in zip(subjects, places, strict=True)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return Bundle(path, tuple(f"{FOLDER}/{name}" for name in contents), names, named)


def how_to_run(bundle: Bundle) -> list[str]:
    """What a person does with it, line by line."""
    return [
        f"Bundle: {bundle.path}",
        f"On the device: python3 -m zipfile -e {shlex.quote(bundle.path.name)} . && python3 {FOLDER}/run.py",
        f"Back here: {_back(bundle.models, bundle.pairs)}",
    ]


def _plan(planned: tuple[PlannedArtifact, ...], threads: int, budget_s: float, sustained_s: float | None, seed: int) -> RunPlan:
    plan = RunPlan(planned, (), threads=threads, measure_s=_MEASURE_S, min_count=LEAST_COUNT, timeout_s=TRIAL_TIMEOUT_S)
    if sustained_s:
        return replace(plan, blocks=tuple(Block(0, (index,)) for index in range(len(planned))), sustained_s=sustained_s)
    count = min(MOST_BLOCKS, LEAST_BLOCKS + math.ceil(budget_s / (_QUICKEST_S * len(planned))))  # no process is quicker
    blocks = [Block(index, order) for index, order in enumerate(islice(orders(seed, len(planned)), count))]
    return replace(plan, blocks=(Block(TRIAL, tuple(range(len(planned)))), *blocks), budget_s=budget_s)


def _wheels(system: str, subjects: Sequence[Subject], say: Callable[[str], None]) -> list[Path]:
    """The wheels of the runtimes that these files need on a system."""
    userland = userland_of(system)
    choice = choose_wheels(userland)
    formats = {subject.format for subject in subjects}
    for kind in sorted(formats):
        if not set(choice.runtimes) & set(_ALSO[kind]):
            reasons = "; ".join(choice.impossible[name] for name in _ALSO[kind] if name in choice.impossible)
            raise UsageError(f"nothing runs .{kind} files on {userland}: {reasons}", "see docs/devices.md for what runs where")
    return fetch([wheel for wheel in choice.wheels if wheel.package != PACKAGES["onnxruntime"] or "onnx" in formats], say)


def _back(names: Sequence[str], named: Sequence[str]) -> str:
    return f"dsmobile bench {shlex.join([*names, *named])} --import-samples samples.jsonl"


def _readme(back: str, formats: set[str], system: str | None) -> str:
    if system:
        userland = userland_of(system)
        own = "; its own numpy (sudo apt install python3-numpy)" if choose_wheels(userland).system_numpy else ""
        needs = f"  {userland}; everything else is in wheels/{own}"
    else:
        needs = "\n".join(["  Python 3.9 or newer with numpy, and", *(_NEEDS[kind] for kind in sorted(formats))])
    return _README.format(back=back, needs=needs)
