"""How much of a TFLite model a delegate has taken over, as the interpreter itself tells after delegation."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

_DELEGATE = "DELEGATE"


def coverage(interpreter: Any) -> Optional[Dict[str, int]]:
    """What was delegated; None where the runtime does not tell.

    Args:
        interpreter: An interpreter whose tensors are allocated.

    Returns:
        `nodes` of the model, `delegated_nodes`, and `partitions`: how many pieces a delegate runs, between which tensors change hands.
    """
    try:
        details = interpreter._get_ops_details()  # there is no other way to it
        return covered(details)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def covered(details: Sequence[Mapping[str, Any]]) -> Dict[str, int]:
    """Counts the nodes that lie between the inputs and the outputs of each delegate's node.

    The interpreter keeps a model's own nodes and appends one node of the name DELEGATE for each partition.

    Args:
        details: One for each node: `op_name`, and the tensors' numbers `inputs` and `outputs`.
    """
    own = [node for node in details if node["op_name"] != _DELEGATE]
    partitions = [node for node in details if node["op_name"] == _DELEGATE]
    maker = {int(tensor): index for index, node in enumerate(own) for tensor in node["outputs"]}
    delegated = set()
    for partition in partitions:
        given = {int(tensor) for tensor in partition["inputs"]}
        wanted: List[int] = [int(tensor) for tensor in partition["outputs"]]
        while wanted:
            tensor = wanted.pop()
            index = maker.get(tensor)
            if tensor in given or index is None or index in delegated:
                continue
            delegated.add(index)
            wanted += [int(tensor) for tensor in own[index]["inputs"] if tensor >= 0]
    return {"nodes": len(own), "delegated_nodes": len(delegated), "partitions": len(partitions)}
