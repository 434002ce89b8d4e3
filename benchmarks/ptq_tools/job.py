"""One tool, one setting, one file: what the process of each tool does. Needs the standard library and numpy only.

python TOOL.py NETWORK INPUTS.npz OUT ANSWER.json SETTING, with SETTING a JSON object of keyword arguments.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Inputs = npt.NDArray[np.float32]


def run(quantize: Callable[..., None], version: str) -> None:
    """Quantizes what the command line names, and writes how long it took or why it failed.

    Args:
        quantize: Called with the float network's path, the calibration inputs (shape (count, height, width, channels)), the path of the file
            to write, and the setting; its libraries are imported already.
        version: Of the tool.
    """
    network, inputs, out, answer, setting = sys.argv[1:]
    x = np.load(inputs, allow_pickle=False)["x"]
    said: dict[str, Any] = {"version": version}
    started = time.perf_counter()
    try:
        quantize(Path(network), x, Path(out), **json.loads(setting))
        said["seconds"] = time.perf_counter() - started
    except Exception as error:  # noqa: BLE001  whatever a tool raises is its row in the table
        traceback.print_exc()
        said["error"] = f"{type(error).__name__}: {next((line.strip() for line in str(error).splitlines() if line.strip()), '')}"
    Path(answer).write_text(json.dumps(said), encoding="utf-8")


def as_onnx_takes(x: Inputs, shape: tuple[int, ...]) -> Inputs:
    """The inputs in the order of axes of an ONNX network.

    Args:
        x: Shape (count, ...), channels last.
        shape: Of the network's input, the batch included.
    """
    turned = x if x.shape[1:] == shape[1:] else x.transpose(0, 3, 1, 2)
    if turned.shape[1:] != shape[1:]:
        raise ValueError(f"inputs of shape {x.shape} do not fit a network that takes {shape}")
    return np.ascontiguousarray(turned)
