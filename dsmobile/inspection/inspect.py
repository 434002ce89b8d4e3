"""Looks at a model file: what reading it says, what we know of it where it is ours, and which runtime here takes it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsmobile import errors
from dsmobile.errors import DsmobileError, ModelError
from dsmobile.exporters.artifact import Manifest, manifest_path, read_manifest
from dsmobile.exporters.sniff import CALLED, check_model_file
from dsmobile.files import sha256
from dsmobile.inspection.facts import End, Facts, Inspection, Macs, Trial, Uncounted
from dsmobile.inspection.onnx_file import lies_within
from dsmobile.inspection.process import Limits, Outcome, ask
from dsmobile.inspection.trial import RUNTIMES, installed

_IMAGE_CHANNELS = (1, 3, 4)


def inspect(path: Path, *, limits: Limits | None = None) -> Inspection:
    """Looks at anybody's `.tflite`, `.onnx`, `.keras` or `.h5`; what the file does to the processes that open it never reaches this one.

    Args:
        path: The file.
        limits: What it may take.

    Returns:
        What is known of it. A runtime that refuses it is part of the answer, not an error.

    Raises:
        ModelError: It is no model file, or too damaged to be read.
    """
    limits = limits or Limits()
    file_format = check_model_file(path)
    facts = _facts(path, file_format, ask("read", path, file_format, seconds=limits.read_s, memory_bytes=limits.read_memory_bytes))
    manifest, notes = _manifest(path)
    runtime, _, package = RUNTIMES[file_format]
    version = installed(file_format)
    trials: tuple[Trial, ...] = ()
    if not version:
        notes.append(f"{package} is not installed here: whether it takes the file was not tried.")
    elif not all(lies_within(path.parent, name) for name in facts.external_data):
        trials = (Trial(runtime, version, False, False, "it was not opened, since it names files outside its own folder"),)
    else:
        seconds = limits.keras_trial_s if runtime == "keras" else limits.trial_s
        outcome = ask("try", path, file_format, seconds=seconds, memory_bytes=limits.trial_memory_bytes)
        trials = (_trial(runtime, version, outcome, path),)
        facts = _with_keras(facts, outcome.said) if runtime == "keras" else facts
    inputs, outputs = (tuple(_with_layout(end, manifest) for end in ends) for ends in (facts.inputs, facts.outputs))
    facts = replace(facts, inputs=inputs, outputs=outputs)
    known = _known(manifest) if manifest else None
    return Inspection(str(path.resolve()), path.stat().st_size, sha256(path), facts, known, trials, tuple(notes))


def _facts(path: Path, file_format: str, outcome: Outcome) -> Facts:
    """What the reading process said.

    Raises:
        ModelError: It could not read the file, or did not live to say so.
        MissingExtraError: The format's library is not installed.
    """
    if "facts" in outcome.said and not outcome.ending:
        return Facts.from_json(outcome.said["facts"])
    advice = "it is damaged or not what its name says: export or download it again"
    if outcome.ending:
        raise ModelError(f"{path} cannot be read: the process that read it {outcome.ending}", advice)
    error = outcome.said.get("error", {"kind": "", "message": "nothing was said", "advice": ""})
    if not error["kind"]:
        raise ModelError(f"{path} is {CALLED[file_format]} that cannot be read: {error['message']}", advice)
    kind = getattr(errors, error["kind"])
    told: DsmobileError = kind(error["message"] if path.name in error["message"] else f"{path}: {error['message']}", error["advice"] or advice)
    raise told


def _trial(runtime: str, version: str, outcome: Outcome, path: Path) -> Trial:
    said = outcome.said
    opened, ran = bool(said.get("opened")), bool(said.get("ran"))
    while_doing = "running it on zeros" if opened else "opening it"
    if ran and not outcome.ending:
        return Trial(runtime, version, True, True, "opened it and ran it once on zeros")
    if outcome.ending:
        return Trial(runtime, version, False, ran, f"{while_doing}, its process {outcome.ending}")
    if "error" in said:
        message = _explained(str(said["error"]["message"]), path)
        if said.get("takes_indices"):
            return Trial(runtime, version, True, False, f"opened it; on zeros it failed, but its inputs may want other integers: {message}")
        return Trial(runtime, version, False, False, f"{while_doing} failed: {message}")
    return Trial(runtime, version, opened, False, f"opened it; not run, since {said['left_open']}" if "left_open" in said else "said nothing")


def _explained(message: str, path: Path) -> str:
    """What a runtime says, without numbers and paths of its own, with the sentence that a newcomer needs before it."""
    message = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", message)
    for prefix in (f"Load model from {path.resolve()} failed:", f"{path.resolve()} ", f"{path} "):
        message = message.removeprefix(prefix)
    if "Could not find an implementation" in message:
        return f"it has no kernel for an operator of this version and these types ({message})"
    if "Select TensorFlow op" in message or "Flex" in message:
        return "it needs the Flex delegate for TensorFlow's own operators (Select TF), which this runtime lacks"
    custom = re.search(r"unresolved custom op: ([^\s.]+)", message)
    if custom:
        return f"it needs the custom operator {custom[1]}, which this runtime does not have"
    return message


def _with_keras(facts: Facts, said: dict[str, Any]) -> Facts:
    """What only Keras knows: sizes, MACs, its own count of parameters."""
    if not said.get("opened"):
        return facts
    inputs, outputs = (tuple(End(end["name"], tuple(end["shape"]), end["dtype"]) for end in said[key]) for key in ("inputs", "outputs"))
    macs = Macs(0, (Uncounted("Keras layers", sum(facts.operators.values()), str(said.get("uncounted", "Keras did not get so far"))),))
    if "macs" in said:
        macs = Macs(
            said["macs"], tuple(Uncounted(name, 1, "no rule for it: MACs are those of convolutions and dense layers") for name in said["unknown"])
        )
    return replace(facts, macs=macs, parameters=said["parameters"], inputs=inputs, outputs=outputs)


def _manifest(path: Path) -> tuple[Manifest | None, list[str]]:
    """What we wrote beside the file, where it is still about these bytes."""
    try:
        manifest = read_manifest(path)
    except ModelError as error:
        return None, [f"The manifest beside it was left unread: {error.message}."]
    if manifest is None and manifest_path(path).is_file():
        return None, ["The manifest beside it is about another file: the SHA-256 differs."]
    return manifest, []


def _known(manifest: Manifest) -> dict[str, Any]:
    document = manifest.to_json()
    keys = (
        "name",
        "role",
        "pair_id",
        "recipe",
        "head",
        "ends_in_softmax",
        "preprocessing",
        "calibration",
        "parity",
        "macs",
        "parameters",
        "versions",
    )
    return {**{key: document[key] for key in keys}, "labels": len(manifest.labels)}


def _with_layout(end: End, manifest: Manifest | None) -> End:
    """Says the order of an image's axes, by the manifest or where only one order leaves one, three or four channels."""
    known = next((info.layout for info in (*manifest.inputs, *manifest.outputs) if info.name == end.name), "") if manifest else ""
    if known or end.shape is None or len(end.shape) != 4:
        return replace(end, layout=known)
    first, last = end.shape[1] in _IMAGE_CHANNELS, end.shape[3] in _IMAGE_CHANNELS
    if first == last:
        return end
    return replace(end, layout="nchw" if first else "nhwc")
