"""One folded network to one file: written, checked against the network, recorded; under its name only if it is right."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from device_bench.inputs import probe_input
from dsmobile.errors import ConversionError, ModelError, ParityError
from dsmobile.exporters import onnx, tflite
from dsmobile.exporters.artifact import Manifest, Parity, write_manifest
from dsmobile.exporters.calibration import Inputs, Sample, batch, record, spread_over
from dsmobile.exporters.consumers import acceptances
from dsmobile.exporters.ends import file_tensors, with_ends
from dsmobile.exporters.file_facts import facts_of
from dsmobile.exporters.fold import fold
from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.head import with_head
from dsmobile.exporters.integers import Planned, Planner
from dsmobile.exporters.onnx import Layout
from dsmobile.exporters.parity import Floats, compare, require, run_file
from dsmobile.exporters.plan import Plan
from dsmobile.exporters.planning import describe
from dsmobile.exporters.quantization import LARGEST, REDUCED, Range
from dsmobile.exporters.readback import check_weights
from dsmobile.exporters.recipe import Recipe
from dsmobile.exporters.rescaling import INSIDE
from dsmobile.exporters.runners import Runner, dequantize, first_line, open_runner
from dsmobile.exporters.stamp import About, obstacles, stamped
from dsmobile.exporters.xnnpack import xnnpack_partitions
from dsmobile.files import explained, refuse_overwriting, sha256, write_bytes
from dsmobile.preprocessing import Preprocessing

LIBRARIES = ("dsmobile", "numpy", "tensorflow", "keras", "onnx", "onnxruntime", "ai-edge-litert")
PROBE_SEED = 0
SPLIT_ERROR = 1e-4
PROBE_VALUES = 16
BATCH = 4


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
        layout: How an ONNX file's ends look.
        author: Of the network, for TFLite metadata.
        license: Of the network, for TFLite metadata.
        rescaling: Whether the last step of preprocessing is `inside` the files or `outside`.
        familiarity: How near the calibration inputs are to what the network was trained on; empty where that cannot be told.
    """

    out: Path
    head: str = "as-is"
    io: str = "float32"
    target: str = "arm"
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    keep_failed: bool = False
    force: bool = False
    layout: Layout = field(default_factory=Layout)
    author: str = ""
    license: str = ""
    rescaling: str = "outside"
    familiarity: dict[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> Range | None:
        """All that the input can hold, zero included, where calibration must not narrow it: integers take bytes that no calibration image had."""
        if self.preprocessing is None or (self.rescaling != INSIDE and self.io == "float32"):
            return None
        low, high = self.preprocessing.input_range
        return Range(min(low, 0.0), max(high, 0.0))


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
        self._references: dict[int, tuple[list[Sample], Floats]] = {}
        self.logits: FoldedModel = replace(fold(headed.logits), name=network.name)
        self.planner = Planner(self.logits, inputs, order.given)

    def references(self, count: int) -> tuple[list[Sample], Floats]:
        """Samples for the comparison and the network's logits for them, its outputs one after another."""
        if count not in self._references:
            samples = list(spread_over(self.inputs, count))
            logits = run_keras(self.reference_model, samples)
            if self.split:
                self._check_split(samples, logits)
            self._references[count] = samples, logits
        return self._references[count]

    def _check_split(self, samples: list[Sample], logits: Floats) -> None:
        """Holds the softmax of the logits against the source itself, so that taking the softmax off cannot hide a fault."""
        import keras

        whole = run_keras(self.network.model, samples)
        classes = int(self.network.model.outputs[0].shape[-1])
        softmax = np.asarray(keras.ops.softmax(logits.reshape(-1, classes))).reshape(whole.shape)
        error = float(np.abs(softmax - whole).max())
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
            ConversionError: It cannot be written, or its weights read back are not those that were planned.
            ParityError: The file does not compute what the network computes; it is not left under its name.
            OutputError: The disk is full or the folder cannot be written.
        """
        path = artifact_path(self.order.out, self.network.name, self.network.role, recipe.name, file_format)
        planned = self._planned(recipe, file_format)
        io = self.order.io if recipe.integer_ends else "float32"
        plan = with_ends(planned.plan, softmax=self.ends_in_softmax, io=io)
        data = self._bytes(file_format, plan)
        told: dict[str, Any] = {}
        found = obstacles(plan, self.order.labels, self.order.preprocessing)
        if file_format == "tflite" and not found:
            data, told = self._stamped(data, plan, recipe)
        bare = with_ends(planned.plan, softmax=False, io=io)
        logits = self._bytes(file_format, bare) if self.ends_in_softmax else data
        digest = check_weights(data, file_format, plan)
        with explained(path), tempfile.TemporaryDirectory(prefix=".dsmobile-", dir=self.order.out) as folder:
            parity = self._parity(logits, file_format, recipe, bare, Path(folder))
            try:
                require(parity, recipe, path.name)
            except ParityError as error:
                raise self._failed(path, data, error) from error
            written = Path(folder) / path.name
            write_bytes(written, data)
            manifest = self._manifest(written, file_format, recipe, parity, plan)
            facts = facts_of(plan, file_format, self.order.layout, data, found)
            accepted_by = {one.consumer: one.to_json() for one in acceptances(facts)}
            manifest = replace(manifest, correction=planned.correction, weights_sha256=digest, metadata=told, accepted_by=accepted_by)
        json.dumps(manifest.to_json(), allow_nan=False)  # what cannot be recorded is not left under its name
        refuse_overwriting([path], force=self.order.force)
        write_bytes(path, data)
        write_manifest(path, manifest)
        return path, manifest

    def _stamped(self, data: bytes, plan: Plan, recipe: Recipe) -> tuple[bytes, dict[str, Any]]:
        order, network = self.order, self.network
        assert order.preprocessing is not None  # noqa: S101 - else there is an obstacle
        about = About(network.name, f"{network.role}, {recipe.name}, written by dsmobile", order.author, order.license)
        return stamped(data, plan, order.labels, order.preprocessing, about, ends_in_softmax=self.ends_in_softmax)

    def _failed(self, path: Path, data: bytes, error: ParityError) -> ParityError:
        if not self.order.keep_failed:
            return error
        kept = path.with_name(path.name + ".failed")
        write_bytes(kept, data)
        return ParityError(f"{error.message} (kept as {kept.name})", error.advice)

    def _planned(self, recipe: Recipe, file_format: str) -> Planned:
        bound = REDUCED if self.order.target == "x86" and file_format == "onnx" else LARGEST
        return self.planner.planned(recipe, bound, everywhere=recipe.integer_ends and self.order.io != "float32")

    def _bytes(self, file_format: str, plan: Plan) -> bytes:
        return tflite.write(plan) if file_format == "tflite" else onnx.write(plan, self.order.layout)

    def _parity(self, data: bytes, file_format: str, recipe: Recipe, plan: Plan, folder: Path) -> Parity:
        """Compares the file, or a sibling with the same integers and no softmax, with the network's logits."""
        sibling = folder / f"logits.{file_format}"
        sibling.write_bytes(data)
        samples, logits = self.references(recipe.parity_count)
        return compare(logits, run_file(self._open(sibling, file_format, plan), samples), self._classes)

    @property
    def _classes(self) -> int:
        """How many numbers the first output has."""
        return int(np.prod(self.logits.shape_of(self.logits.output)))

    def _open(self, path: Path, file_format: str, plan: Plan) -> Runner:
        known_inputs, known_outputs = file_tensors(plan, file_format, self.order.layout)
        return open_runner(path, inputs=known_inputs, outputs=known_outputs, reduced_range=self.order.target == "x86")

    def _manifest(self, path: Path, file_format: str, recipe: Recipe, parity: Parity, plan: Plan) -> Manifest:
        network, order = self.network, self.order
        low, high = order.preprocessing.input_range if order.preprocessing else (-1.0, 1.0)
        runner = self._open(path, file_format, plan)
        return Manifest(
            file=path.name,
            sha256=sha256(path),
            size_bytes=path.stat().st_size,
            name=network.name,
            role=network.role,
            pair_id=network.pair_id,
            format=file_format,
            recipe=recipe.name,
            recipe_values={**recipe.to_json(), "io": plan.io, "target": order.target, "rescaling": order.rescaling},
            source=network.source,
            inputs=runner.inputs,
            outputs=runner.outputs,
            head=order.head,
            ends_in_softmax=self.ends_in_softmax,
            preprocessing=order.preprocessing,
            labels=order.labels,
            calibration={**record(self.inputs), **({"familiarity": order.familiarity} if order.familiarity else {})},
            parity=parity,
            macs=network.macs,
            parameters=network.parameters,
            twin=network.twin,
            probe=_probe(runner, low, high),
            versions=versions(),
            layers=describe(plan),
            delegation=xnnpack_partitions(path)._asdict() if file_format == "tflite" else {},
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


def run_keras(model: Any, samples: list[Sample]) -> Floats:
    """What a Keras model gives for samples, its outputs one after another, shape (count, numbers)."""
    import keras

    found = []
    for place in range(0, len(samples), BATCH):
        arrays = batch(samples[place : place + BATCH])
        tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
        try:
            outputs = model(tensors if len(tensors) > 1 else tensors[0], training=False)
        except Exception as error:
            raise ModelError(
                f"Keras itself cannot run {model.name}: {first_line(error)}", "try model.predict on one input, and mend the model"
            ) from error
        found.append(np.concatenate([np.asarray(part).reshape(len(arrays[0]), -1) for part in keras.tree.flatten(outputs)], axis=1))
    return np.concatenate(found)


def _probe(runner: Runner, low: float, high: float) -> dict[str, Any]:
    """What this machine's runtime gives for seeded inputs, so that another machine's can be held against it."""
    images = [
        probe_input(PROBE_SEED + number, tensor.shape, tensor.dtype, low, high, tensor.layout or "nhwc")
        for number, tensor in enumerate(runner.inputs)
    ]
    values = dequantize(runner.run_stored(*images)[0], runner.outputs[0])
    return {"seed": PROBE_SEED, "low": low, "high": high, "values": [float(value) for value in values.ravel()[:PROBE_VALUES]]}
