"""Reads an ONNX file's protocol buffer: graphs, opsets, what stands at its ends. ONNX's own shape inference runs; no runtime is started."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dsmobile.errors import ModelError
from dsmobile.exporters.runners import first_line
from dsmobile.inspection.facts import End, Facts
from dsmobile.inspection.graph import Graph
from dsmobile.inspection.macs import count_macs
from dsmobile.inspection.onnx_graph import STANDARD, VENDORS, GraphReader, dtype_name, sizes_of, tensors_of
from dsmobile.inspection.onnx_shapes import infer_shapes
from dsmobile.inspection.quantization import quantization_of
from dsmobile.inspection.weights import weights_of

_LARGEST_PROTOBUF_BYTES = 2**31 - 1
_LONGEST_TEXT = 1000


def read_onnx(path: Path) -> Facts:
    """What an ONNX file holds.

    Args:
        path: The file, already known to begin like one. Weights that it keeps in other files are not read.

    Raises:
        ModelError: It is damaged, or larger than a protocol buffer can be.
    """
    import onnx

    if path.stat().st_size > _LARGEST_PROTOBUF_BYTES:
        raise ModelError(
            f"{path} is larger than 2 GiB, which no ONNX file can be",
            "save it with its weights as external data: onnx.save(..., save_as_external_data=True)",
        )
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except Exception as error:
        raise ModelError(f"{path} is an ONNX file that cannot be read: {first_line(error)}", "export or download it again") from error
    if not model.HasField("graph"):
        raise ModelError(f"{path} is an ONNX file that holds no graph", "export or download it again")
    notes: list[str] = []
    external = _external_files(model, path.parent, notes)
    model = _inlined(model, notes)
    if not model.opset_import:
        notes.append("It names no opset, as files written before ONNX 1.0.")
    shapes = {value.name: _shape(value) for value in (*model.graph.input, *model.graph.output)}
    model = infer_shapes(model, notes)
    reader = GraphReader()
    reader.read(model.graph)
    graphs = reader.graphs
    weights = weights_of(graphs)
    kinds = Counter(operator.kind for graph in graphs for operator in graph.operators)
    domains = {operator.kind: operator.domain for graph in graphs for operator in graph.operators}
    constant = {tensor.name for tensor in model.graph.initializer}
    if constant & {value.name for value in model.graph.input}:
        notes.append("It lists its weights among its inputs, as older exporters do; they are not shown as inputs.")
    return Facts(
        format="onnx",
        inputs=tuple(_end(value, graphs[0], shapes) for value in _own_inputs(model.graph)),
        outputs=tuple(_end(value, graphs[0], shapes) for value in model.graph.output),
        operators=dict(kinds.most_common()),
        macs=count_macs(graphs),
        parameters=sum(entry.parameters for entry in weights.values()),
        weight_precision=weights,
        quantization=quantization_of(graphs),
        custom_operators=tuple(sorted(kind for kind, domain in domains.items() if domain not in STANDARD + VENDORS)),
        vendor_operators=tuple(sorted(kind for kind, domain in domains.items() if domain in VENDORS)),
        subgraphs=len(graphs),
        opset={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        ir_version=model.ir_version,
        metadata=_metadata(model),
        external_data=external,
        notes=tuple(notes),
    )


def _own_inputs(graph: Any) -> list[Any]:
    stored = {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in stored]


def _inlined(model: Any, notes: list[str]) -> Any:
    """The model with its own functions written out where they are called."""
    if not model.functions:
        return model
    from onnx import inliner

    try:
        inlined = inliner.inline_local_functions(model)
    except Exception as error:  # noqa: BLE001  # it is C++ over a stranger's file: anything may come, and the functions then count as unknown operators
        notes.append(f"Its {len(model.functions)} own functions cannot be written out ({first_line(error)}): operators within them are not counted.")
        return model
    notes.append(f"Its {len(model.functions)} own functions are counted where they are called.")
    return inlined


def _external_files(model: Any, folder: Path, notes: list[str]) -> tuple[str, ...]:
    """Names of the files that hold weights; a note for each that is missing, short or lies elsewhere."""
    needed: dict[str, int] = {}
    for tensor in tensors_of(model.graph):
        if tensor.data_location == tensor.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            end = sum(int(where.get(key, "0")) for key in ("offset", "length") if where.get(key, "0").isdigit())
            location = where.get("location", "")
            needed[location] = max(end, needed.get(location, 0))
    for name, size in sorted(needed.items())[:5]:
        if not lies_within(folder, name):
            notes.append(f"It keeps weights outside its own folder ({name[:200]}): do not trust it; it was not opened.")
        elif not (folder / name).is_file():
            notes.append(f"It keeps weights in {name[:200]}, which is not beside it: fetch that file too.")
        elif (folder / name).stat().st_size < size:
            notes.append(f"It keeps weights in {name[:200]}, which is shorter than it should be: fetch that file again.")
    return tuple(sorted(needed))


def lies_within(folder: Path, name: str) -> bool:
    """Whether an external file's name leads to the model's own folder, links followed."""
    try:
        return bool(name) and "\0" not in name and (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def _metadata(model: Any) -> dict[str, Any]:
    texts = {
        "producer": model.producer_name,
        "producer_version": model.producer_version,
        "domain": model.domain,
        "description": model.doc_string,
        "graph": model.graph.name,
    }
    found: dict[str, Any] = {key: value[:_LONGEST_TEXT] for key, value in texts.items() if value}
    if model.model_version:
        found["model_version"] = model.model_version
    if model.metadata_props:
        found["properties"] = {entry.key[:200]: entry.value[:_LONGEST_TEXT] for entry in model.metadata_props[:100]}
    return found


def _shape(value: Any) -> tuple[int | None, ...] | None:
    kind = value.type.WhichOneof("value")
    return sizes_of(getattr(value.type, kind)) if kind in ("tensor_type", "sparse_tensor_type") else None


def _end(value: Any, graph: Graph, shapes: dict[str, tuple[int | None, ...] | None]) -> End:
    kind = value.type.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return End(value.name, None, (kind or "unknown").removesuffix("_type"))
    known = graph.tensors[value.name]
    dtype = dtype_name(getattr(value.type, kind).elem_type)
    shape = known.shape if shapes[value.name] is None else shapes[value.name]
    if not known.scales:
        return End(value.name, shape, dtype)
    scales, zero_points = (numbers[0] if len(numbers) == 1 else numbers for numbers in (known.scales, known.zero_points))
    return End(value.name, shape, dtype, scales, zero_points)  # type: ignore[arg-type]
