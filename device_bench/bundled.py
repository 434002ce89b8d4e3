"""A bundle that was carried here: its plan is run on this device, without a host, and leaves one file of samples to carry back."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from dataclasses import replace
from typing import Any, Dict, Optional

from . import controller
from .lock import Lock, cache_folder, shared_place
from .machine import facts
from .records import RunPlan, header, to_line
from .settle import reader, settle

FAILED = 5
PATIENCE_S = 120.0
INSTEAD = {"litert": ("litert", "tflite-runtime"), "onnxruntime": ("onnxruntime",)}


def main(folder: str) -> int:
    """Runs the plan of a bundle.

    Args:
        folder: Where the bundle was unpacked.

    Returns:
        0; 5 where this device cannot run it; 130 and the like where it was stopped, with what was measured so far in the file.
    """
    with open(os.path.join(folder, "plan.json"), encoding="utf-8") as file:
        plan = RunPlan.from_json(json.load(file))
    here = facts()
    plan = replace(plan, artifacts=tuple(replace(artifact, path=os.path.join(folder, artifact.path)) for artifact in plan.artifacts))
    problem = _missing(plan, here)
    if problem:
        _say(problem)
        return FAILED
    plan = replace(plan, artifacts=tuple(replace(artifact, runtime=_runtime(artifact.runtime, here) or "") for artifact in plan.artifacts))
    for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, controller.stop)
    lock = Lock(cache_folder(), shared_place())
    for note in lock.notes:
        _say(note)
    if not lock.take(wait=False):
        _say("waiting: another benchmark holds this device")
        lock.take(wait=True)
    lock.sign("a bundle")
    path = _free(os.path.join(folder, "samples"))
    try:
        rest = settle(min(PATIENCE_S, plan.budget_s or PATIENCE_S), _say, reader())
        _say("measuring for about %.0f s; what is measured lies in %s at once" % (_expected_s(plan), path))
        with open(path, "w", encoding="utf-8") as file:

            def write(document: Dict[str, Any]) -> None:
                file.write(to_line(document))
                file.flush()
                if document["kind"] == "conditions" and document["when"] == "after" and document["block"] >= 0:
                    _say("block %d is done" % (document["block"] + 1))

            file.write(to_line(header(here, plan)))
            file.write(to_line({"kind": "rest", **{key: value for key, value in rest.items() if key != "last"}}))
            controller.run(plan, write, new=False)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        _say("%s cannot be written any further: %s; what was measured before is in it" % (path, error.strerror))
        return controller.FULL
    finally:
        controller.kill_child()
        lock.release()
    _say("done: carry %s back, and give it to `dsmobile bench FILES --import-samples %s`" % (path, os.path.basename(path)))
    return 0


def _missing(plan: RunPlan, here: Dict[str, Any]) -> str:
    lacking = sorted({artifact.runtime for artifact in plan.artifacts if _runtime(artifact.runtime, here) is None})
    if here["numpy_version"] is None:
        lacking.append("numpy")
    if not lacking:
        return ""
    needed = " and ".join(" or ".join(INSTEAD.get(name, (name,))) for name in lacking)
    return "this Python (%s, %d bit) has no %s: see README.txt for what it needs" % (here["python_version"], here["pointer_bits"], needed)


def _runtime(wanted: str, here: Dict[str, Any]) -> Optional[str]:
    return next((name for name in INSTEAD.get(wanted, (wanted,)) if here["runtimes"].get(name)), None)


def _expected_s(plan: RunPlan) -> float:
    return plan.budget_s or plan.sustained_s * len(plan.artifacts)


def _free(stem: str) -> str:
    number, path = 1, stem + ".jsonl"
    while os.path.exists(path):
        number += 1
        path = "%s-%d.jsonl" % (stem, number)
    return path


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
