"""An inspection in a terminal: what a newcomer asks first, first; readable in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsmobile.evaluation.table import printable

_FORMATS = {"tflite": "TFLite", "onnx": "ONNX", "keras": "Keras archive", "h5": "Keras HDF5"}
_MOST_ENDS = 6
_MOST_OPERATORS = 24
_LONGEST_VALUE = 600


def show_inspection(document: dict[str, Any]) -> None:
    """Prints what is known of a file.

    Args:
        document: Of `Inspection.to_json`.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    header = f"{_FORMATS[document['format']]}, {_bytes(document['size_bytes'])}{_opset(document)}"
    console.print(Text.assemble((printable(Path(document["path"]).name), "bold"), f"  {header}"), soft_wrap=True)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for label, value in _rows(document):
        shown = printable(value)
        table.add_row(label, Text(shown if len(shown) <= _LONGEST_VALUE else shown[:_LONGEST_VALUE] + "..."))
    console.print(table)
    for note in document["notes"]:
        console.print(Text.assemble(("Note: ", "yellow"), printable(note)), soft_wrap=True)


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _ends("input", document["inputs"])
    yield from _ends("output", document["outputs"])
    yield "precision", document["quantization"]
    yield "parameters", _parameters(document)
    yield "MACs", _macs(document)
    for left in document["macs_left_out"]:
        yield "", f"not among them: {left['count']} {left['operator']}, {left['reason']}"
    yield "operators", _operators(document)
    for key, label in (
        ("custom_operators", "custom"),
        ("select_tf_operators", "Select TF"),
        ("vendor_operators", "com.microsoft"),
    ):
        if document[key]:
            yield label, ", ".join(document[key])
    if len(document["signatures"]) > 1:
        yield "signatures", ", ".join(signature["key"] or "(no name)" for signature in document["signatures"])
    for trial in document["runtimes"]:
        yield "runs here", f"{trial['runtime']} {trial['version']}: {'yes' if trial['takes'] else 'no'}, {trial['reason']}"
    if document["manifest"]:
        yield "exported", _made(document["manifest"])
    told = _told(document["metadata"])
    if told:
        yield "metadata", told
    yield "SHA-256", document["sha256"]


def _ends(label: str, ends: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    if not ends:
        yield label, "not said in the file"
    for end in ends[:_MOST_ENDS]:
        shape = "shape not said" if end["shape"] is None else " x ".join("?" if size is None else str(size) for size in end["shape"]) or "one number"
        layout = f" {end['layout'].upper()}" if end["layout"] else ""
        yield label, f"{end['name'] or '(no name)'}: {shape}{layout}{' ' if end['dtype'] else ''}{end['dtype']}{_scale(end)}"
    if len(ends) > _MOST_ENDS:
        yield label, f"and {len(ends) - _MOST_ENDS} more"


def _scale(end: dict[str, Any]) -> str:
    if end["scale"] is None:
        return ""
    if isinstance(end["scale"], list | tuple):
        return f", quantized with {len(end['scale'])} scales"
    zero_point = end["zero_point"] or 0
    stored = f"(stored {'+' if zero_point < 0 else '-'} {abs(zero_point)})" if zero_point else "stored"
    return f", real = {end['scale']:.6g} * {stored}"


def _parameters(document: dict[str, Any]) -> str:
    if document["parameters"] is None:
        return "unknown"
    total = f"{document['parameters']:,}"
    stored = document["weight_precision"]
    if not stored:
        return total
    shares = ", ".join(f"{entry['share']:.1%} {dtype}" if len(stored) > 1 else f"all {dtype}" for dtype, entry in stored.items())
    return f"{total}; {shares}"


def _macs(document: dict[str, Any]) -> str:
    unknown = _listed([f"{entry['count']} {entry['operator']} ({entry['reason']})" for entry in document["macs_unknown"]], 4, "; ")
    if document["macs"] is None:
        return f"not known: {unknown}"
    if document["macs_is_lower_bound"]:
        return f"at least {document['macs']:,}; not counted: {unknown}"
    return f"{document['macs']:,} for one inference"


def _operators(document: dict[str, Any]) -> str:
    operators = document["operators"]
    if not operators:
        return "none that the file names"
    graphs = f" in {document['subgraphs']} subgraphs" if document["subgraphs"] > 1 else ""
    return f"{sum(operators.values()):,}{graphs}: {_listed([f'{count} {name}' for name, count in operators.items()], _MOST_OPERATORS)}"


def _listed(entries: list[str], most: int, separator: str = ", ") -> str:
    more = [f"and {len(entries) - most} more"] if len(entries) > most else []
    return separator.join(entries[:most] + more)


def _made(manifest: dict[str, Any]) -> str:
    parity = manifest["parity"]
    close = "equal to the network to the bit" if parity["sqnr_db"] is None else f"{parity['sqnr_db']:.1f} dB SQNR against the network"
    agreed = f"same top-1 on {parity['top1_agreement']:.0%} of {parity['count']} inputs"
    return f"by dsmobile: {manifest['name']}, {manifest['role']}, recipe {manifest['recipe']}; {close}, {agreed}"


def _told(metadata: dict[str, Any]) -> str:
    """What was written into the file, shortest first to read: names, versions, licences, packed files."""
    parts = [f"{key.replace('_', ' ')} {value}" for key, value in metadata.items() if isinstance(value, str | int)]
    parts += [f"{key.replace('_', ' ')} {value}" for key, value in metadata.get("model", {}).items()]
    parts += [f"{key} {value}" for key, value in metadata.get("properties", {}).items()]
    for file in metadata.get("files", ()):
        parts.append(f"file {file['name']}" + (f" of {file['lines']} lines" if "lines" in file else ""))
    if "labels" in metadata:
        more = [f"and {metadata['labels']['count'] - 3} more"] if metadata["labels"]["count"] > 3 else []
        parts.append(f"{metadata['labels']['count']} labels: {', '.join(metadata['labels']['first'][:3] + more)}")
    for tensor in metadata.get("inputs", ()):
        if "mean" in tensor:
            parts.append(f"input normalized by mean {_numbers(tensor['mean'])}, std {_numbers(tensor['std'])}")
    return "; ".join(part[:200] for part in parts)


def _numbers(values: list[float]) -> str:
    return "/".join(f"{value:g}" for value in values[:4])


def _opset(document: dict[str, Any]) -> str:
    if document["opset"] is None:
        return ""
    named = ", ".join(f"{'opset' if domain == 'ai.onnx' else printable(domain)} {version}" for domain, version in document["opset"].items())
    return f", {named or 'no opset'}, IR {document['ir_version']}"


def _bytes(size: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
