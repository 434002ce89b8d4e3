"""Runs a float file and a quantized one beside each other and compares every tensor that both have; then one layer's integers at a time.

Each layer's own error is that of its operator alone, cut out of the quantized file and given what the float stream gives; the float file from
there on says what that error alone does to the logits. Nothing is simulated: both are the files' own operators in LiteRT, without delegates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.diagnosis.kept_tensors import Array, Run, as_taken
from dsmobile.diagnosis.network_file import WITH_KERNEL, NetworkFile, Operator
from dsmobile.diagnosis.stream import Difference, decibels
from dsmobile.errors import DataError, ModelError
from dsmobile.exporters.mixed import standard_error
from dsmobile.exporters.runners import first_line
from dsmobile.exporters.sensitivity import expected_drops

MOST_ALONE = 32  # inputs on which each layer is looked at alone: more change no order of layers that was measured
FEWEST_ALONE = 4
ALONE_MACS = 1e11  # of float inferences, one for each layer and input: half a minute on two cores; counted, so that the same files give the same
FLOATS = {"float64", "float32", "bfloat16", "float16"}
Floats = npt.NDArray[np.float32]


@dataclass
class Row:
    """A layer while it is looked at.

    Args:
        operator: In the quantized file.
        twin: Its result's tensor in the float file.
        difference: Of its result.
        own_signal: Of its own operator's result, over the inputs on which it is looked at alone.
        own_noise: The error that its integers alone make there.
        final_noise: What that does to the logits.
        alone: On how many inputs.
    """

    operator: Operator
    twin: int
    difference: Difference
    own_signal: float = 0.0
    own_noise: float = 0.0
    final_noise: float = 0.0
    alone: int = 0


@dataclass
class Comparison:
    """Two files of one network.

    Args:
        quantized: The quantized file's bytes.
        reference: The float file's.
        threads: Threads of the runtime.
        notes: What a person must know.
    """

    quantized: bytes
    reference: bytes
    threads: int = 2
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Opens both and finds what they have in common."""
        self.file, self.float_file = NetworkFile(self.quantized), NetworkFile(self.reference)
        self.run, self.float_run = Run(self.quantized, self.threads), Run(self.reference, self.threads)
        if len(self.run.inputs) != len(self.float_run.inputs):
            raise ModelError(f"the files take {len(self.run.inputs)} and {len(self.float_run.inputs)} inputs", "give two files of one network")
        if (self.file.softmax is None) != (self.float_file.softmax is None):
            raise ModelError("one of the files ends in a softmax and the other does not", "export both with the same --head")
        self.stored = self.run.stored()
        self.twins = self.file.twins(self.float_file)
        self._check_reference()
        layers = self.file.layers()
        self.rows = [
            Row(operator, self.twins[operator.outputs[0]], Difference(self.stored[operator.outputs[0]]))
            for operator in layers
            if operator.outputs and operator.outputs[0] in self.twins
        ]
        kernels = [operator for operator in layers if operator.kind in WITH_KERNEL]
        matched = sum(row.operator.kind in WITH_KERNEL for row in self.rows)
        if 2 * matched < len(kernels) or not matched:
            raise ModelError(
                f"only {matched} of {len(kernels)} layers' results have their name and shape in the float file too",
                "give the float file that the same converter wrote of the same network",
            )
        seen = {row.operator.place for row in self.rows}
        left = [self.layer_name(operator) for operator in layers if operator.place not in seen]
        if left:
            self.notes.append(f"left out, since their results have no tensor of their name and shape in the float file: {', '.join(left)}")

    def _check_reference(self) -> None:
        """Raises where the reference is not float.

        Raises:
            ModelError: It holds integer weights.
        """
        types = sorted(self.float_file.weight_types)
        if not FLOATS.issuperset(types):
            raise ModelError(f"the reference holds {' and '.join(types)} weights: it is no float file", "give the float32 file of the same network")
        if "float16" in types or "bfloat16" in types:
            self.notes.append(f"the reference holds {' and '.join(types)} weights: what their rounding cost does not show")

    def layer_name(self, operator: Operator) -> str:
        """What people call a layer; one that is followed by a reshape in the float file and takes the reshape's place here has its name there."""
        twin = self.twins.get(operator.outputs[0], -1) if operator.outputs else -1
        theirs = self.float_file.moved_from(twin) if operator.kind in WITH_KERNEL else None
        return self.file.layer_name(operator) if theirs is None or theirs.kind not in WITH_KERNEL else self.float_file.layer_name(theirs)

    def measure(self, inputs: Sequence[Array], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Compares on inputs.

        Args:
            inputs: An array for each of the network's inputs, shape (count, ...), real values.
            tell: Told `{"done": fraction}` now and then.
        """
        if len(inputs) != len(self.run.inputs):
            raise DataError(
                f"the network takes {len(self.run.inputs)} inputs, and the data give {len(inputs)}", "give an .npz with an array for each"
            )
        count = len(inputs[0])
        ends = [Difference(self.stored[self._first_stored(place)]) for place in self.file.inputs]
        logits, float_logits, ties = [], [], 0
        for number in range(count):
            sample = [array[number : number + 1] for array in inputs]
            self._run_both(sample)
            for row in self.rows:
                row.difference.add(self.float_run.tensor(row.twin), self._real(row.operator.outputs[0]))
            for end, x in zip(ends, sample, strict=True):
                end.add(x, end.stored.real(end.stored.store(x)))
            logits.append(self._real(self.file.logits).reshape(-1))
            float_logits.append(self.float_run.tensor(self.float_file.logits).reshape(-1).astype(np.float32))
            ties += self._tied()
            tell({"done": 0.6 * (number + 1) / count})
        self._alone(inputs, tell)
        found, given = np.stack(logits), np.stack(float_logits)
        if not np.isfinite(given).all():
            raise ModelError("the float file gives values that are not finite", "check its weights, and the scale in --preprocess")
        return {
            "inputs": [{"name": self.file.name(place), **end.figures()} for place, end in zip(self.file.inputs, ends, strict=True)],
            "layers": [self._layer(row) for row in self.rows],
            "final": _final(given, found, count),
            "softmax": {"stored": self._softmax_stored(), "ties": ties / count} if self.file.softmax else None,
            "alone": max((row.alone for row in self.rows), default=0),
            "notes": self.notes,
        }

    def _run_both(self, sample: Sequence[Array]) -> None:
        for run in (self.run, self.float_run):
            run([as_taken(x, detail) for x, detail in zip(sample, run.inputs, strict=True)])

    def _real(self, tensor: int) -> Floats:
        return self.stored[tensor].real(self.run.tensor(tensor))

    def _first_stored(self, tensor: int) -> int:
        """The tensor in which an input is first stored as integers."""
        readers = [operator for operator in self.file.operators if operator.kind == "QUANTIZE" and operator.inputs[0] == tensor]
        return readers[0].outputs[0] if self.stored[tensor].scale is None and readers else tensor

    def _softmax_stored(self) -> str:
        assert self.file.softmax is not None  # noqa: S101
        return self.stored[self.file.softmax.outputs[0]].dtype

    def _tied(self) -> bool:
        """Whether several classes share the highest probability."""
        scores = self.run.tensor(self.file.outputs[0])
        return scores.size > 1 and int(np.count_nonzero(scores == scores.max())) > 1

    def _alone(self, inputs: Sequence[Array], tell: Callable[[dict[str, Any]], None]) -> None:
        """Looks at each layer alone, on fewer inputs the larger the network is."""
        if not (self.file.whole and self.float_file.whole):
            self.notes.append("a file keeps its weights outside its graph: no layer could be looked at alone")
            return
        count = len(inputs[0])
        most = int(ALONE_MACS / max(self.float_file.macs * len(self.rows), 1))
        chosen = [int(place) for place in np.linspace(0, count - 1, min(count, max(FEWEST_ALONE, min(MOST_ALONE, most))))]
        failed = []
        for number, row in enumerate(self.rows):
            tell({"done": 0.6 + 0.4 * number / len(self.rows)})
            if not self._is_quantized(row.operator):
                row.alone = len(chosen)
                continue
            try:
                why = self._look_at(row, inputs, chosen)
            except (RuntimeError, ValueError, KeyError) as error:
                row.alone, why = 0, first_line(error)
            if why:
                failed.append(f"{self.layer_name(row.operator)} ({why})")
        if failed:
            self.notes.append(f"without a share, since they could not be looked at alone: {', '.join(failed)}")

    def _is_quantized(self, operator: Operator) -> bool:
        """Whether an operator takes, holds or gives numbers of fewer bits than float32."""
        tensors = {tensor for entry in self.file.with_conversions(operator) for tensor in (*entry.inputs, *entry.outputs) if tensor >= 0}
        return any(len(self.run.scales(tensor)) > 0 or self.stored[tensor].dtype == "float16" for tensor in tensors)

    def _look_at(self, row: Row, inputs: Sequence[Array], chosen: list[int]) -> str:
        """Looks at a layer alone; says why it cannot be, or nothing."""
        operators, result = self.file.with_conversions(row.operator, self.twins), row.operator.outputs[0]
        taken = self.file.taken(operators)
        behind = self.float_file.behind(row.twin)
        missing = [self.file.name(tensor) for tensor in taken if tensor not in self.twins]
        if missing:
            return f"the float file has no {' and '.join(missing)}"
        if not (behind or row.twin == self.float_file.logits):
            return "the float file's logits do not depend on it"
        own = Run(self.file.cut(operators, taken, [result]), self.threads)
        ends = self.float_file.taken(behind)
        rest = Run(self.float_file.cut(behind, ends, [self.float_file.logits]), self.threads) if behind else None
        for number in chosen:
            self.float_run([as_taken(array[number : number + 1], detail) for array, detail in zip(inputs, self.float_run.inputs, strict=True)])
            own([self.stored[tensor].store(self.float_run.tensor(self.twins[tensor])) for tensor in taken])
            x, xq = self.float_run.tensor(row.twin), self.stored[result].real(own.tensor(result))
            row.own_signal += float(np.square(x, dtype=np.float64).sum())
            row.own_noise += float(np.square(x.astype(np.float64) - xq).sum())
            final, wanted = xq, self.float_run.tensor(self.float_file.logits)
            if rest is not None:
                rest([xq if tensor == row.twin else self.float_run.tensor(tensor) for tensor in ends])
                final = rest.tensor(self.float_file.logits)
            row.final_noise += float(np.square(wanted.astype(np.float64) - final.reshape(wanted.shape)).sum())
        row.alone = len(chosen)
        return ""

    def _layer(self, row: Row) -> dict[str, Any]:
        operator, stored = row.operator, self.stored[row.operator.outputs[0]]
        return {
            "name": self.layer_name(operator),
            "kind": operator.kind,
            "precision": stored.dtype,
            **row.difference.figures(),
            "own_sqnr_db": decibels(row.own_signal, row.own_noise),
            "final_noise": row.final_noise / row.alone if row.alone else None,
            **self._kernel(operator),
        }

    def _kernel(self, operator: Operator) -> dict[str, Any]:
        """How far the channels' weights lie apart, and whether they share one scale."""
        place = self.file.source(operator.inputs[1]) if operator.kind in WITH_KERNEL else -1
        if place < 0 or not self.file.is_constant(place):
            return {"weight_spread": None, "one_weight_scale": False, "weights": None}
        kernel = self.run.tensor(place).astype(np.float32)
        axis, scales = WITH_KERNEL[operator.kind], self.run.scales(place)
        largest = np.abs(np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)).max(axis=1)
        widths = largest * (scales if len(scales) == len(largest) else 1.0)
        alive = widths[widths > 0.0]
        return {
            "weight_spread": float(alive.max() / np.median(alive)) if alive.size else 1.0,
            "one_weight_scale": len(scales) == 1 and len(largest) > 1,
            "weights": int(kernel.size),
        }


def compare_files(
    quantized: Path, reference: Path, inputs: Sequence[Array], tell: Callable[[dict[str, Any]], None], *, threads: int, stored_as: str = ""
) -> dict[str, Any]:
    """Opens two files and compares them on inputs; see `Comparison.measure`.

    Args:
        quantized: A `.tflite` file.
        reference: The float `.tflite` file of the same network.
        inputs: As for `Comparison.measure`; with `stored_as` integers as the quantized file takes them.
        tell: As for `Comparison.measure`.
        threads: Threads of the runtime.
        stored_as: The integers' type; empty where inputs are real values.
    """
    comparison = Comparison(quantized.read_bytes(), reference.read_bytes(), threads)
    if stored_as:
        taken = comparison.stored[comparison.file.inputs[0]]
        if taken.dtype != stored_as or taken.scale is None:
            raise DataError(
                f"x holds {stored_as}, and the quantized file takes {taken.dtype}: nothing says which real numbers they stand for",
                "add scale and zero_point to the .npz: real = scale * (x - zero_point)",
            )
        comparison.notes.append(f"x holds {stored_as} without a scale: taken as the quantized file stores its input, scale {taken.scale:.6g}")
        inputs = [taken.real(array) for array in inputs]
    return comparison.measure(inputs, tell)


def _final(float_logits: Floats, logits: Floats, count: int) -> dict[str, Any]:
    error = logits.astype(np.float64) - float_logits
    noise = float(np.square(error).sum())
    several = float_logits.shape[1] > 1
    drops = expected_drops(float_logits, logits) if several else None
    return {
        "sqnr_db": decibels(float(np.square(float_logits, dtype=np.float64).sum()), noise),
        "top1_agreement": float((float_logits.argmax(1) == logits.argmax(1)).mean()) if several else None,
        "expected_drop_points": None if drops is None else float(drops.mean()),
        "expected_drop_error": None if drops is None or count < 2 else standard_error(drops),
        "mean_share": float(np.square(error.sum(axis=0)).sum()) / count / noise if noise else 0.0,
        "noise": noise / count,
        "count": count,
    }
