"""One folded network to one file: written, checked against the network, recorded; under its name only if it is right."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from device_bench.inputs import probe_input
from dsmobile.errors import ConversionError, ParityError
from dsmobile.exporters import onnx, tflite
from dsmobile.exporters.artifact import Manifest, Parity, TensorInfo, write_manifest
from dsmobile.exporters.calibration import Inputs, record, spread, spread_over
from dsmobile.exporters.correction import MOST_INPUTS, corrected
from dsmobile.exporters.fold import fold
from dsmobile.exporters.head import with_head
from dsmobile.exporters.operators import FoldedModel
from dsmobile.exporters.parity import compare, require, run_file
from dsmobile.exporters.quantization import LARGEST, QuantizedWeights, Range, observe, with_integer_weights
from dsmobile.exporters.recipe import Recipe
from dsmobile.exporters.runners import Runner, dequantize, open_runner
from dsmobile.files import explained, refuse_overwriting, sha256, write_bytes
from dsmobile.preprocessing import Preprocessing

REDUCED = 63  # 7-bit weights cannot saturate the 16-bit sums of x86 without VNNI
LIBRARIES = ("dsmobile", "numpy", "tensorflow", "keras", "onnx", "onnxruntime", "ai-edge-litert")
PROBE_SEED = 0
SPLIT_ERROR = 1e-4
PROBE_VALUES = 16


@dataclass(frozen=True)
class Network:
    """A network of one role, ready to be written.

    Args:
        name: What artifacts are called.
        role: `model`, `separable` or `twin`.
        model: The `keras.Model`.
        macs: Multiply-accumulates of one inference.
        parameters: Keras's count.
        pair_id: The same for a network and its twin.
        source: What it was made from.
        twin: How the twin was made; empty for other roles.
    """

    name: str
    role: str
    model: Any
    macs: int
    parameters: int
    pair_id: str
    source: dict[str, Any]
    twin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """How a person wants the files.

    Args:
        out: The folder.
        head: `as-is`, `logits` or `softmax`.
        io: float32, uint8 or int8; integers act on int8 recipes.
        target: `arm`, or `x86` for 7-bit weights in int8 ONNX.
        preprocessing: From RGB bytes to the input; None where it takes no images.
        labels: One per class, or empty.
        keep_failed: Whether a file that fails its check is kept as `.failed`.
        force: Whether files may be overwritten.
    """

    out: Path
    head: str = "as-is"
    io: str = "float32"
    target: str = "arm"
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    keep_failed: bool = False
    force: bool = False


def artifact_path(out: Path, network_name: str, role: str, recipe: str, file_format: str) -> Path:
    """Where an artifact is written."""
    return out / f"{network_name}-{role}-{recipe}.{file_format}"


class Exporter:
    """Writes one network's files; what several files share is computed once, when it is first asked for."""

    def __init__(self, network: Network, order: Order, inputs: Inputs) -> None:
        self.network, self.order, self.inputs = network, order, inputs
        headed = with_head(network.model, order.head)
        self.reference_model = headed.logits
        self.ends_in_softmax = headed.ends_in_softmax
        self.split = headed.split
        self._integers: dict[int, tuple[FoldedModel, dict[str, QuantizedWeights]]] = {}
        self._references: dict[int, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = {}
        self.logits: FoldedModel = replace(fold(headed.logits), name=network.name)

    def integers(self, bound: int) -> tuple[FoldedModel, dict[str, QuantizedWeights]]:
        """The network up to its logits with integer weights up to `bound` and corrected biases, and the integers."""
        if bound not in self._integers:
            integer, weights = with_integer_weights(self.logits, bound)
            spread_inputs = spread_over(self.inputs, MOST_INPUTS)
            self._integers[bound] = corrected(self.logits, integer, self.float_ranges, spread_inputs), weights
        return self._integers[bound]

    @cached_property
    def float_ranges(self) -> dict[str, Range]:
        """The range of every value of the network in float on the calibration inputs."""
        return observe(self.logits, self.inputs.inputs())

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """The range of every value on the calibration inputs."""
        return observe(self.whole(self.integers(LARGEST)[0]), self.inputs.inputs())

    def whole(self, logits: FoldedModel) -> FoldedModel:
        """A network up to its logits, as it is written: with its softmax where it has one."""
        return logits.with_softmax() if self.ends_in_softmax else logits

    def references(self, count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Inputs for the comparison and the network's logits for them."""
        import keras

        if count in self._references:
            return self._references[count]
        batch = spread(self.inputs, count)
        logits = np.concatenate([np.asarray(self.reference_model(keras.ops.convert_to_tensor(x[None]), training=False)) for x in batch])
        if self.split:
            self._check_split(batch, logits)
        self._references[count] = batch, logits
        return batch, logits

    def _check_split(self, batch: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> None:
        """Holds the softmax of the logits against the source itself, so that taking the softmax off cannot hide a fault."""
        import keras

        whole = np.concatenate([np.asarray(self.network.model(keras.ops.convert_to_tensor(x[None]), training=False)) for x in batch])
        error = float(np.abs(np.asarray(keras.ops.softmax(logits)) - whole).max())
        if not error <= SPLIT_ERROR:
            raise ConversionError(
                f"{self.network.name} without its softmax is not the same network: its probabilities differ by {error:.3g}",
                "this is a fault in dsmobile: report it with the model",
            )

    def write(self, file_format: str, recipe: Recipe) -> tuple[Path, Manifest]:
        """Writes one file with its manifest.

        Returns:
            The file's path and its manifest.

        Raises:
            ConversionError: A converter fails.
            ParityError: The file does not compute what the network computes; it is not left under its name.
            OutputError: It cannot be written.
        """
        path = artifact_path(self.order.out, self.network.name, self.network.role, recipe.name, file_format)
        data = self._bytes(file_format, recipe)
        with explained(path), tempfile.TemporaryDirectory(prefix=".dsmobile-", dir=self.order.out) as folder:
            parity = self._parity(data, file_format, recipe, Path(folder))
            try:
                require(parity, recipe, path.name)
            except ParityError as error:
                raise self._failed(path, data, error) from error
            written = Path(folder) / path.name
            write_bytes(written, data)
            manifest = self._manifest(written, file_format, recipe, parity)
        json.dumps(manifest.to_json(), allow_nan=False)  # what cannot be recorded is not left under its name
        refuse_overwriting([path], force=self.order.force)
        write_bytes(path, data)
        write_manifest(path, manifest)
        return path, manifest

    def _failed(self, path: Path, data: bytes, error: ParityError) -> ParityError:
        if not self.order.keep_failed:
            return error
        kept = path.with_name(path.name + ".failed")
        write_bytes(kept, data)
        return ParityError(f"{error.message} (kept as {kept.name})", error.advice)

    def _bytes(self, file_format: str, recipe: Recipe) -> bytes:
        if file_format == "onnx":
            return self._onnx(recipe, self.whole)
        if not recipe.quantized:
            return tflite.write_float32(self.whole(self.logits))
        return tflite.write_int8(self.whole(self.integers(LARGEST)[0]), self.inputs.inputs, self.order.io)

    def _onnx(self, recipe: Recipe, end: Callable[[FoldedModel], FoldedModel]) -> bytes:
        """The ONNX file of the network up to its logits, or of what `end` makes of that."""
        if not recipe.quantized:
            return onnx.write_float32(end(self.logits))
        integer, weights = self.integers(REDUCED if self.order.target == "x86" else LARGEST)
        return onnx.write_int8(end(integer), weights, self.ranges, self.order.io)

    def _parity(self, data: bytes, file_format: str, recipe: Recipe, folder: Path) -> Parity:
        """Compares the file, or a sibling with the same integers and no softmax, with the network's logits."""
        if self.ends_in_softmax:
            data = tflite.without_softmax(data) if file_format == "tflite" else self._onnx(recipe, lambda logits: logits)
        sibling = folder / f"logits.{file_format}"
        sibling.write_bytes(data)
        batch, logits = self.references(recipe.parity_count)
        measured = run_file(self._open(sibling, self.logits, recipe), batch)
        return compare(logits, measured.transpose(0, 2, 3, 1) if file_format == "onnx" and measured.ndim == 4 else measured)

    def _open(self, path: Path, model: FoldedModel, recipe: Recipe) -> Runner:
        if path.suffix == ".tflite" or not recipe.quantized or self.order.io == "float32":
            return open_runner(path)
        known_input, known_output = onnx.stored_as(model, self.ranges, self.order.io)
        return open_runner(path, inputs=(known_input,), outputs=(known_output,))

    def _manifest(self, path: Path, file_format: str, recipe: Recipe, parity: Parity) -> Manifest:
        network, order = self.network, self.order
        low, high = order.preprocessing.input_range if order.preprocessing else (-1.0, 1.0)
        runner = self._open(path, self.whole(self.logits), recipe)
        inputs = tuple(replace(tensor, layout=_layout(tensor, file_format)) for tensor in runner.inputs)
        return Manifest(
            file=path.name,
            sha256=sha256(path),
            size_bytes=path.stat().st_size,
            name=network.name,
            role=network.role,
            pair_id=network.pair_id,
            format=file_format,
            recipe=recipe.name,
            recipe_values={**recipe.to_json(), "io": order.io if recipe.quantized else "float32", "target": order.target},
            source=network.source,
            inputs=inputs,
            outputs=tuple(replace(tensor, layout=_layout(tensor, file_format)) for tensor in runner.outputs),
            head=order.head,
            ends_in_softmax=self.ends_in_softmax,
            preprocessing=order.preprocessing,
            labels=order.labels,
            calibration=record(self.inputs),
            parity=parity,
            macs=network.macs,
            parameters=network.parameters,
            twin=network.twin,
            probe=_probe(runner, inputs[0], low, high),
            versions=versions(),
        )


def versions() -> dict[str, str]:
    """The versions of the libraries that write files."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _layout(tensor: TensorInfo, file_format: str) -> str:
    if len(tensor.shape) != 4:
        return ""
    return "nchw" if file_format == "onnx" else "nhwc"


def _probe(runner: Runner, tensor: TensorInfo, low: float, high: float) -> dict[str, Any]:
    """What this machine's runtime gives for a seeded input, so that another machine's can be held against it."""
    image = probe_input(PROBE_SEED, tensor.shape, tensor.dtype, low, high, tensor.layout)
    values = dequantize(runner.run_stored(image)[0], runner.outputs[0])
    return {"seed": PROBE_SEED, "low": low, "high": high, "values": [float(value) for value in values.ravel()[:PROBE_VALUES]]}
