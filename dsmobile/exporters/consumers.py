"""Who accepts a file, and what to export instead where somebody does not: known of the plan already, before anything is computed.

What is said of MediaPipe, LiteRT.js, ONNX Runtime and microcontrollers was found out with their own packages, and tests repeat it with them
(`make test-ship`); LiteRT's Kotlin API is read from its sources, since its library runs on Android alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.errors import ModelError, UsageError, nearest
from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.file_facts import FileFacts

MEDIAPIPE_INPUTS = ("float32", "uint8")


@dataclass(frozen=True)
class Reason:
    """Why a file is not accepted, or is not taken as one might think.

    Args:
        why: What stands in the way.
        instead: What to export.
        refuses: Whether the file is refused; else it is taken, but one must know.
    """

    why: str
    instead: str
    refuses: bool = True


@dataclass(frozen=True)
class Acceptance:
    """Whether a program accepts a file.

    Args:
        consumer: Its name on the command line.
        title: Its name and the version that was tried.
        accepted: Whether it does.
        why: Why not, or what one must know.
        instead: What to export for it, reason by reason.
    """

    consumer: str
    title: str
    accepted: bool
    why: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form, as a manifest holds it under the consumer's name."""
        return {"title": self.title, "accepted": self.accepted, "why": list(self.why), "instead": list(self.instead)}


def _mediapipe(facts: FileFacts) -> Iterator[Reason]:
    if facts.format != "tflite":
        yield _TFLITE
        return
    if len(facts.inputs) != 1 or len(facts.outputs) != 1:
        yield Reason("it wants one input and one output", "export a classifier with one image as input and one output of scores")
        return
    given, scores = facts.inputs[0], facts.outputs[0]
    if max(scores.shape[1:], default=1) != prod(scores.shape[1:]):
        yield Reason(f"it would read an output of {_shape(scores)} as one list of classes", "export a classifier, with its head")
    if len(given.shape) != 4 or given.shape[3] != 3:
        yield Reason(f"it wants an image of three channels, not {_shape(given)}", "take a network for RGB images")
    yield from _types(facts, MEDIAPIPE_INPUTS)
    if given.dtype == "float32":
        yield from (Reason(f"it wants metadata; {one.why}", one.instead) for one in facts.without_metadata)
        return
    yield from (
        Reason(f"its answers would be wrong without a word: {one.why}" if one.misread else one.why, one.instead, refuses=one.misread)
        for one in facts.without_metadata
    )
    if given.dtype == "uint8" and given.zero_point != 0:
        yield Reason(
            "it takes bytes as the input's integers, which here lie up to half a step beside them",
            "export it with --rescaling inside",
            refuses=False,
        )


def _litert_kotlin(facts: FileFacts) -> Iterator[Reason]:
    if facts.format != "tflite":
        yield _TFLITE
        return
    yield from _types(facts, ("float32", "int8", "uint8"))
    ends = {tensor.dtype for tensor in (*facts.inputs, *facts.outputs)}
    if "uint8" in ends:
        yield Reason(
            "its buffers know no uint8, so bytes pass as int8, bit for bit; `ship android` refuses", "export it with --io float32", refuses=False
        )
    elif "int8" in ends:
        yield Reason("`ship android` writes a module for float32 ends only", "export it with --io float32", refuses=False)


def _litert_js(facts: FileFacts) -> Iterator[Reason]:
    if facts.format != "tflite":
        yield _TFLITE
        return
    yield from _types(facts, ("float32", "uint8", "int32"))


def _onnx_runtime(facts: FileFacts) -> Iterator[Reason]:
    if facts.format != "onnx":
        yield _ONNX


def _microcontrollers(facts: FileFacts) -> Iterator[Reason]:
    if facts.format != "tflite":
        yield _TFLITE
        return
    yield from _types(facts, ("float32", "int8", "uint8", "int16"))
    operations = facts.operations
    if any(one.takes == "float16" for one in operations):
        yield Reason("it has no float16", "export it with --recipe int8 --io int8")
    elif any(one.takes == "float32" and one.weights == "int8" for one in operations):
        yield Reason("it cannot compute with int8 weights and float32 values", "export it with --recipe int8 --io int8")
    elif any(one.of_constant and one.code == "DEQUANTIZE" for one in operations):
        yield Reason(
            "its answers would be wrong without a word: of int8 weights used in float32 it takes one scale for all channels",
            "export it with --io int8",
        )
    for code in sorted({one.code for one in operations} & {"GELU"}):
        yield Reason(f"it has no {code}", "take a network with another activation")
    for code in sorted({one.code for one in operations if one.takes == "int16"} & {"RESIZE_BILINEAR", "REDUCE_MAX"}):
        yield Reason(f"it has no {code} in int16", "export it with --recipe int8 --io int8")


_TFLITE = Reason("it reads .tflite files", "give --format tflite")
_ONNX = Reason("it reads .onnx files", "give --format onnx")
_OTHER_FORMAT = (_TFLITE.instead, _ONNX.instead)


def _types(facts: FileFacts, known: tuple[str, ...]) -> Iterator[Reason]:
    for what, tensors in (("input", facts.inputs), ("output", facts.outputs)):
        other = sorted({tensor.dtype for tensor in tensors} - set(known))
        if other:
            yield Reason(f"it takes no {what} of the type {other[0]}, only {', '.join(known)}", "export it with --io float32")


def _shape(tensor: TensorInfo) -> str:
    return " x ".join(map(str, tensor.shape))


CONSUMERS: dict[str, tuple[str, Callable[[FileFacts], Iterator[Reason]]]] = {
    "mediapipe": ("MediaPipe Tasks 1.2", _mediapipe),
    "litert-kotlin": ("LiteRT Kotlin 2.3", _litert_kotlin),
    "litert-js": ("LiteRT.js 2.5", _litert_js),
    "onnxruntime": ("ONNX Runtime 1.31", _onnx_runtime),
    "microcontrollers": ("TFLite Micro", _microcontrollers),
}


def acceptances(facts: FileFacts) -> tuple[Acceptance, ...]:
    """Who accepts a file.

    Args:
        facts: What is known of it.
    """
    found = []
    for name, (title, reasons_of) in CONSUMERS.items():
        reasons = tuple(reasons_of(facts))
        accepted = not any(reason.refuses for reason in reasons)
        told = [reason for reason in reasons if reason.refuses or accepted]
        found.append(Acceptance(name, title, accepted, tuple(reason.why for reason in told), tuple(reason.instead for reason in told)))
    return tuple(found)


def check_consumers(names: Iterable[str]) -> None:
    """Raises where a consumer is not known.

    Raises:
        UsageError: With the nearest name.
    """
    for name in names:
        if name not in CONSUMERS:
            raise UsageError(f"--for {name} is not known", nearest(name, CONSUMERS))


def require_accepted(names: Iterable[str], files: Mapping[str, tuple[Acceptance, ...]]) -> None:
    """Raises where no file would be accepted by somebody that a person named.

    Args:
        names: Consumers.
        files: Who accepts each file that is asked for.

    Raises:
        ModelError: With the reasons, file by file.
    """
    for name in names:
        found = {file: next(one for one in accepted if one.consumer == name) for file, accepted in files.items()}
        if not any(one.accepted for one in found.values()):
            reasons = dict.fromkeys(reason for one in found.values() for reason in zip(one.why, one.instead, strict=True))
            told = [reason for reason in reasons if reason[1] not in _OTHER_FORMAT] or list(reasons)
            why, instead = "; ".join(why for why, _ in told), ", ".join(dict.fromkeys(how for _, how in told))
            raise ModelError(f"{CONSUMERS[name][0]} would accept none of these files: {why}", instead)
