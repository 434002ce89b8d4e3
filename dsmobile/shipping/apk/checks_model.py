"""The checks of the models: there, stored, the same as exported, and still computing the same."""

from __future__ import annotations

from pathlib import PurePosixPath

from dsmobile.shipping.apk.exports import Export
from dsmobile.shipping.apk.looks import Look, is_about
from dsmobile.shipping.apk.models import Model
from dsmobile.shipping.apk.report import FAILED, NOT_CHECKED, PASSED, Check, named, sentences

_ALIGNMENT_BYTES = 4
_NONE = "no TFLite model is in it"
_GIVE = "give --artifact FILE, the export, or --module DIR, what `dsmobile ship android` wrote"
_SHIP = "put the export into the app again, and build the APK anew"


def check_model(models: tuple[Model, ...], looks: tuple[Look, ...]) -> Check:
    """Whether there is a model, and each is what its name says."""
    if not models:
        return Check("model", FAILED, "no TFLite, ONNX or ORT-format model is in it", "put the model into src/main/assets, and build the APK anew")
    wrong = [f"{model.path}: {model.problem}" for model in models if model.problem]
    wrong += [f"{look.model.path}: {look.damage}" for look in looks if look.damage]
    if wrong:
        return Check("model", FAILED, sentences(wrong), _SHIP)
    return Check("model", PASSED, named(f"{model.path} ({model.format}, {model.size_bytes} bytes)" for model in models))


def check_stored(models: tuple[Model, ...]) -> Check:
    """Whether TFLite files can be memory-mapped where they lie."""
    tflite = [model for model in models if model.format == "tflite"]
    if not tflite:
        return Check("stored", NOT_CHECKED, _NONE)
    deflated = [model for model in tflite if not model.stored]
    if deflated:
        endings = sorted({PurePosixPath(model.path).suffix.removeprefix(".") for model in deflated})
        wanted = next((ending for ending in endings if ending.isascii() and ending.isalnum()), "tflite")
        advice = f'add to the app\'s build.gradle.kts: android {{ androidResources {{ noCompress += "{wanted}" }} }}'
        return Check("stored", FAILED, f"deflated: {named(model.path for model in deflated)}", advice)
    return Check("stored", PASSED, f"stored: {named(model.path for model in tflite)}")


def check_model_alignment(models: tuple[Model, ...]) -> Check:
    """Whether stored TFLite files begin at a multiple of 4 bytes, as their numbers need."""
    stored = [model for model in models if model.format == "tflite" and model.stored]
    if not stored:
        return Check("model_alignment", NOT_CHECKED, "no stored TFLite model is in it")
    wrong = [model.path for model in stored if (model.zip_alignment_bytes or 0) < _ALIGNMENT_BYTES]
    if wrong:
        return Check("model_alignment", FAILED, f"not at a multiple of 4: {named(wrong)}", "run: zipalign -P 16 4 IN.apk OUT.apk, then sign it again")
    return Check("model_alignment", PASSED, "at multiples of 4 bytes")


def check_sha256(models: tuple[Model, ...], exports: tuple[Export, ...], damaged: tuple[str, ...]) -> Check:
    """Whether each export is in the APK, byte for byte.

    Args:
        models: The models.
        exports: What should be there.
        damaged: Cards that cannot be read, each with the reason.
    """
    if damaged:
        return Check("sha256", FAILED, sentences(damaged), _SHIP)
    if not exports:
        return Check("sha256", NOT_CHECKED, "nothing says which export the model should be", _GIVE)
    wrong, right = [], []
    for export in exports:
        same = [model.path for model in models if model.sha256 == export.sha256 and is_about(export, model)]
        if same:
            right.append(f"{named(same)} has the SHA-256 of {export.said_by}, {export.sha256[:12]}")
            continue
        others = [f"{model.path} {model.sha256[:12]}" for model in models if model.sha256 and (not export.card_path or is_about(export, model))]
        wrong.append(f"{export.said_by} has {export.sha256[:12]}, in the APK is {named(others) or 'no such model'}")
    return Check("sha256", FAILED, sentences(wrong), _SHIP) if wrong else Check("sha256", PASSED, sentences(right))


def check_goldens(looks: tuple[Look, ...]) -> Check:
    """Whether each model that has a card computes what the card says."""
    trials = [(look.model.path, look.trial) for look in looks if look.trial]
    wrong = [f"{path}: {trial.words}" for path, trial in trials if trial.holds is False]
    if wrong:
        return Check("goldens", FAILED, sentences(wrong), _SHIP)
    unasked = [trial.words for _, trial in trials if trial.holds is None]
    if unasked:
        return Check("goldens", NOT_CHECKED, unasked[0])
    if trials:
        return Check("goldens", PASSED, sentences(f"{path}: {trial.words}" for path, trial in trials))
    if not looks:
        return Check("goldens", NOT_CHECKED, _NONE)
    return Check(
        "goldens", NOT_CHECKED, "no card says what the model must compute", "ship the model with `dsmobile ship android`, or give --module DIR"
    )
