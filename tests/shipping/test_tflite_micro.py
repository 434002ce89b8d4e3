"""TFLite-Micro, the interpreter for microcontrollers, on the files that we write: what it computes, refuses, and silently gets wrong."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.exporters import tflite
from dsmobile.exporters.tflite_kernels import has_integer_kernel
from dsmobile.preprocessing import parse
from dsmobile.tflite_metadata.describing import describe_classifier
from dsmobile.tflite_metadata.writing import with_metadata

from .consumer_models import CLASSES, SIDE, edited, litert, written
from .consumer_packages import TFLITE_MICRO, PackagesUnavailableError

sys.path.insert(0, str(Path(__file__).parents[1] / "exporters"))
from tflite_cases import CASES, planned, samples

pytestmark = pytest.mark.ship

HERE = Path(__file__).parent
IMAGE = np.random.default_rng(5).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
INPUTS = {
    "float32": (IMAGE.astype(np.float32) / 127.5 - 1).astype(np.float32),
    "uint8": IMAGE,
    "int8": (IMAGE.astype(np.int16) - 128).astype(np.int8),
}


@dataclass(frozen=True)
class Answer:
    """What it said: its first output, or what went wrong and what its kernels said of that."""

    output: Any
    error: str
    words: str


Ask = Callable[[dict[str, tuple[bytes, list[Any]]]], dict[str, Answer]]


@pytest.fixture(scope="session")
def packages() -> Any:
    """TFLite-Micro's wheel, which there is for Python 3.11 on x86-64 Linux; skips elsewhere, and fails there on a build server."""
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("TFLite-Micro's wheel is for Python 3.11 on x86-64 Linux")
    try:
        TFLITE_MICRO.fetched()
    except PackagesUnavailableError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    return TFLITE_MICRO


@pytest.fixture
def ask(packages: Any, tmp_path: Path) -> Ask:
    """Runs models, each with its inputs."""

    def ask(models: dict[str, tuple[bytes, list[Any]]]) -> dict[str, Answer]:
        for name, (model, inputs) in models.items():
            (tmp_path / f"{name}.tflite").write_bytes(model)
            np.savez(tmp_path / f"{name}.npz", *inputs)
        done = packages.ask(HERE / "tflite_micro_answers.py", str(tmp_path), seconds=300)
        assert done.returncode == 0, done.stderr[-2000:]
        words = {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in done.stderr.split("\n#model ")[1:]}
        return {
            name: Answer(None if error else np.load(tmp_path / f"{name}.npy"), error, words[name]) for name, error in json.loads(done.stdout).items()
        }

    return ask


def small(ask: Ask, io: str = "float32", **options: Any) -> tuple[Answer, Any]:
    """A classifier's answer and LiteRT's own, without XNNPACK."""
    model = written(io=io, **options)
    return ask({"small": (model, [INPUTS[io]])})["small"], litert(model, [INPUTS[io]], xnnpack=False)[0]


def test_float32(ask: Ask) -> None:
    answer, expected = small(ask, precision="float32")
    assert np.allclose(answer.output, expected, atol=1e-6)


@pytest.mark.parametrize("io", ["int8", "uint8"])
def test_int8_with_integer_ends(ask: Ask, io: str) -> None:
    answer, expected = small(ask, io, precision="int8")
    assert answer.output.dtype == expected.dtype
    assert np.abs(answer.output.astype(int) - expected.astype(int)).max() <= 1
    assert np.ptp(expected) > 10


def test_int8_with_float_ends(ask: Ask) -> None:
    answer, expected = small(ask, precision="int8", wide_logits=False, softmax=False)
    assert answer.output.dtype == np.float32
    assert np.abs(answer.output - expected).max() <= 16 / 255 * 1.001  # a step of the logits' range


def test_int16x8(ask: Ask) -> None:
    answer, expected = small(ask, precision="int16x8")
    assert np.allclose(answer.output, expected, atol=2e-3)


def test_metadata_do_not_disturb_it(ask: Ask) -> None:
    model = written("int8", io="int8")
    metadata = describe_classifier(
        parse(f"resize={SIDE},scale=-1..1"),
        tuple("abcde"[:CLASSES]),
        height=SIDE,
        width=SIDE,
        name="small",
        ends_in_softmax=True,
        input_dtype="int8",
    )
    answers = ask({"bare": (model, [INPUTS["int8"]]), "described": (with_metadata(model, metadata), [INPUTS["int8"]])})
    assert np.array_equal(answers["bare"].output, answers["described"].output)


def test_a_last_layer_in_float_is_silently_wrong(ask: Ask) -> None:
    """Its DEQUANTIZE takes the first channel's scale for all: so a file must not keep weights per channel for a layer that computes in float."""
    model = written("int8", wide_logits=True, softmax=False)
    answer, expected = small(ask, precision="int8", wide_logits=True, softmax=False)
    assert answer.error == ""
    assert np.abs(answer.output - expected).max() > 0.2 * np.abs(expected).max()

    def first_scale_for_all(tables: Any) -> None:
        codes = {index: code.builtinCode for index, code in enumerate(tables.operatorCodes)}
        for operator in tables.subgraphs[0].operators:
            scales = tables.subgraphs[0].tensors[operator.inputs[0]].quantization
            if codes[operator.opcodeIndex] == 6 and scales is not None and len(scales.scale) > 1:  # DEQUANTIZE
                scales.scale = np.full_like(scales.scale, scales.scale[0])

    as_it_reads_them = litert(edited(model, first_scale_for_all), [INPUTS["float32"]], xnnpack=False)[0]
    assert np.allclose(answer.output, as_it_reads_them, atol=0.05 * np.abs(expected).max())


def test_what_it_refuses(ask: Ask) -> None:
    dynamic, _ = small(ask, precision="dynamic")
    assert dynamic.error == "RuntimeError: TFLM failed to allocate tensors"
    assert "Hybrid models are not supported on TFLite Micro." in dynamic.words
    half, _ = small(ask, precision="float16")
    assert half.error == "RuntimeError: TFLM failed to allocate tensors"
    assert "DEQUANTIZE (number 0) failed to prepare" in half.words


LACKS = {("gelu", precision) for precision in ("float32", "int8", "int8 ends")}
LACKS |= {(name, "int16") for name in ("bilinear", "global_max", "global_max_map")}


def test_every_operator(ask: Ask) -> None:
    """Each operator that we write, alone, in every precision in which all values are of one kind."""
    models, expected, keys = {}, {}, {}
    for name, case in CASES.items():
        for precision in ("float32", "int8", "int8 ends", "int16"):
            kind = precision.split()[0]
            if kind != "float32" and not _has_kernel(case, kind):
                continue
            plan = planned(case, kind, "int8" if precision == "int8 ends" else "float32")
            model, stem = tflite.write(plan), f"{name}-{precision}".replace(" ", "-")
            inputs = [value[None].astype(np.float32) for value in samples(case)[0]]
            if precision == "int8 ends":
                stored = [plan.storage[value.name] for value in plan.model.inputs]
                inputs = [np.clip(np.rint(x / s.scale) + s.zero_point, -128, 127).astype(np.int8) for x, s in zip(inputs, stored, strict=True)]
            models[stem], keys[stem] = (model, inputs), (name, precision)
            step = 1.0 if precision == "int8 ends" else plan.storage["node"].scale if kind != "float32" else 1e-5
            expected[stem] = run(model, inputs), 1.01 * step
    assert len(models) > 150
    answers = ask(models)
    assert {keys[stem] for stem, answer in answers.items() if answer.error} == LACKS
    for stem, answer in answers.items():
        if not answer.error:
            values, step = expected[stem]
            # in int16 a dense layer and a maximum may be several steps apart
            allowed = 16 * step if keys[stem][1] == "int16" else max(step, 1e-6 * float(np.abs(values.astype(np.float64)).max()))
            assert np.abs(answer.output.astype(np.float64) - values).max() <= allowed, stem


def _has_kernel(case: Any, dtype: str) -> bool:
    several = len(case.shapes) > 2 and type(case.operator).__name__ == "Multiply"
    return has_integer_kernel(case.operator, dtype) and not several and type(case.operator).__name__ != "ScaleShift"


def run(model: bytes, inputs: list[Any]) -> Any:
    """LiteRT's own kernels, for any number of inputs."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()
    for details, value in zip(given, inputs, strict=True):
        interpreter.set_tensor(details["index"], value.reshape(details["shape"]))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
