"""A TFLite file that runs and keeps every tensor, and a person's numbers as it takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.diagnosis.stream import Stored
from dsmobile.errors import DataError
from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.runners import arrange, quantize

Array = npt.NDArray[Any]


class Run:
    """A file in LiteRT's interpreter, without delegates, that keeps every tensor.

    Args:
        data: The file's bytes.
        threads: Threads of the runtime.
    """

    def __init__(self, data: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=data,
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self._interpreter.allocate_tensors()
        self.inputs = self._interpreter.get_input_details()
        self._details = {int(detail["index"]): detail for detail in self._interpreter.get_tensor_details()}

    def __call__(self, stored: Sequence[Array]) -> None:
        """One inference on inputs as the file stores them."""
        for detail, array in zip(self.inputs, stored, strict=True):
            if tuple(detail["shape"]) != array.shape:
                self._interpreter.resize_tensor_input(detail["index"], array.shape, strict=True)
                self._interpreter.allocate_tensors()
        for detail, array in zip(self.inputs, stored, strict=True):
            self._interpreter.set_tensor(detail["index"], np.ascontiguousarray(array))
        self._interpreter.invoke()

    def tensor(self, place: int) -> Array:
        """A tensor's value after an inference."""
        value: Array = self._interpreter.get_tensor(place)
        return value

    def scales(self, place: int) -> npt.NDArray[np.float32]:
        """The scales of a constant: one, one for each channel, or none."""
        found: npt.NDArray[np.float32] = self._details[place]["quantization_parameters"]["scales"]
        return found

    def stored(self) -> list[Stored]:
        """How every tensor is stored; constants with a scale for each channel count as float."""
        found: dict[int, Stored] = {}
        for place, detail in self._details.items():
            scales, zeros = (detail["quantization_parameters"][key] for key in ("scales", "zero_points"))
            integer = np.dtype(detail["dtype"]).kind in "iu" and len(scales) == 1
            found[place] = Stored(np.dtype(detail["dtype"]).name, float(scales[0]) if integer else None, int(zeros[0]) if integer else 0)
        return [found.get(place, Stored("float32")) for place in range(max(found) + 1)]


def as_taken(x: Array, detail: dict[str, Any]) -> Array:
    """A real-valued input as a file stores it, in its shape."""
    scales, zeros = (detail["quantization_parameters"][key] for key in ("scales", "zero_points"))
    shape = tuple(int(size) for size in detail["shape"])
    signature = tuple(int(size) for size in detail.get("shape_signature", shape))
    known = tuple(size if said > 0 else said for size, said in zip(shape, signature, strict=True))
    info = TensorInfo(
        detail["name"], (1, *known[1:]), np.dtype(detail["dtype"]).name, float(scales[0]) if len(scales) == 1 else None,
        int(zeros[0]) if len(zeros) == 1 else None, "nhwc" if len(shape) == 4 else "",
    )  # fmt: skip
    if not np.isfinite(x).all():
        raise DataError("an input holds values that are not finite", "check the data for NaN and infinity")
    return quantize(arrange(x, info, "the network"), info)
