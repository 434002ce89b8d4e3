"""What integers at an ONNX file's ends stand for: the scale and zero point of the DequantizeLinear or QuantizeLinear beside them."""

from __future__ import annotations

from pathlib import Path


def boundary_quantization(path: Path) -> dict[str, tuple[float, int]]:
    """Scale and zero point of each input that is dequantized first and each output that is quantized last.

    Args:
        path: An ONNX file; its external data are not read.

    Returns:
        By the tensor's name; what is per channel, computed, or kept in another file is left out.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path), load_external_data=False).graph
    values = {tensor.name: tensor for tensor in graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL}
    values.update({node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant" and node.attribute and node.output})
    found = {}
    for node in graph.node:
        if node.op_type not in ("DequantizeLinear", "QuantizeLinear") or len(node.input) < 2 or node.input[1] not in values:
            continue
        name = node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]
        scale = numpy_helper.to_array(values[node.input[1]])
        given = len(node.input) > 2 and node.input[2]
        if scale.size != 1 or (given and node.input[2] not in values):
            continue
        zero_point = int(numpy_helper.to_array(values[node.input[2]]).reshape(())) if given else 0
        found[name] = (float(scale.reshape(())), zero_point)
    return found
