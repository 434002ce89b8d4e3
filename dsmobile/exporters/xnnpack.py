"""How much of a TFLite file XNNPACK runs: LiteRT's fast kernels for CPUs, which take over parts of a graph and leave the rest to slower ones."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dsmobile.errors import ConversionError

_DELEGATE = "DELEGATE"


class Partitions(NamedTuple):
    """What XNNPACK took over.

    Args:
        taken: Operators that it runs.
        total: Operators of the file.
        partitions: Pieces in which it took them: between two of them, values are handed over to LiteRT's own kernels and back.
    """

    taken: int
    total: int
    partitions: int


def xnnpack_partitions(path: Path) -> Partitions:
    """Counts what XNNPACK takes over of a TFLite file, in this machine's LiteRT.

    LiteRT appends one node for every piece that it hands over, and keeps those that the piece replaces: these are the ones on the way from
    the piece's outputs back to its inputs.

    Args:
        path: A file of ours: strangers' can end the process.

    Raises:
        ConversionError: LiteRT cannot prepare the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"LiteRT cannot prepare {path}: {error}", "this is a fault in dsmobile: report it with the model") from error
    nodes = interpreter._get_ops_details()
    own = [node for node in nodes if node["op_name"] != _DELEGATE]
    pieces = [node for node in nodes if node["op_name"] == _DELEGATE]
    producers = {int(tensor): place for place, node in enumerate(own) for tensor in node["outputs"]}
    taken: set[int] = set()
    for piece in pieces:
        outside = {int(tensor) for tensor in piece["inputs"]}
        waiting = [int(tensor) for tensor in piece["outputs"]]
        while waiting:
            tensor = waiting.pop()
            place = producers.get(tensor)
            if tensor in outside or place is None or place in taken:
                continue
            taken.add(place)
            waiting.extend(int(source) for source in own[place]["inputs"])
    return Partitions(len(taken), len(own), len(pieces))
