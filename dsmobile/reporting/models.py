"""What a network costs, for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dsmobile.reporting.text import plain

RULES = {"fused": "(a) fused", "merged": "(b) merged", "unpaired": "(c) unpaired"}


def show_list(models: list[dict[str, Any]]) -> None:
    """Prints the architectures that come with dsmobile, with their papers' figures."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, header_style="bold", pad_edge=False, padding=(0, 1))
    for column in ("name", "input", "params M", "MACs M", "top-1 %", "arXiv"):
        table.add_column(column, justify="left" if column in ("name", "arXiv") else "right", overflow="fold", no_wrap=column in ("name", "arXiv"))
    for model in models:
        figures = model["published"][0] if model["published"] else {}
        sides = model["resolution"]
        table.add_row(
            model["name"],
            "x".join(map(str, sides)) if isinstance(sides, list) else str(sides),
            _figure(figures.get("parameters")),
            _figure(figures.get("macs")),
            f"{figures['top1']:g}" if "top1" in figures else "",
            (re.findall(r"arXiv:([0-9.]+)", model["paper"]) or [""])[0],
        )
    console = Console(highlight=False)
    console.print(table)
    console.print("Figures are the papers' own. Show one, counted and beside its twin: dsmobile models show NAME --per-layer")


def _figure(count: float | None) -> str:
    return "" if count is None else f"{count / 1e6:.3g}" if count < 1e9 else f"{count / 1e6:.0f}"


def show_cost(document: dict[str, Any], *, per_layer: bool) -> None:
    """Prints what a network and its twin cost, and what its paper says.

    Args:
        document: Of `pipeline.show_model`.
        per_layer: Whether to print every step and pair too.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    shape = " x ".join(map(str, document["input_shape"]))
    paper = plain(f"{document['title']} {document['paper']}".strip())
    console.print(Text.assemble((plain(document["name"]), "bold"), f"  input {shape}", f"\n{paper}" if paper else ""))
    console.print(_costs(document))
    if document["peak_activation_at"]:
        twin = f" in this network, at {document['twin']['peak_activation_at']} in the twin" if document["twin"] else ""
        console.print(Text(plain(f"Activations peak at {document['peak_activation_at']}{twin}.")))
    for entry in document["published"]:
        if entry["matches"]:
            console.print(Text(_published(entry, document)))
            if entry.get("deviation"):
                console.print(Text(plain(f"Deviation: {entry['deviation']}"), style="yellow"))
    if document["not_counted"]:
        named = ", ".join(map(plain, document["not_counted"]))
        console.print(Text(f"MACs and MACs per byte are lower bounds: not counted are {named}.", style="yellow"))
    if per_layer:
        _show_steps(document["layers"], console)
    if not document["pairs"]:
        console.print("No depthwise or separable convolution: there is nothing to replace, so no twin.")
    elif per_layer:
        _show_pairs(document["pairs"], console)
    else:
        are = "are" if document["twin"] else "would be"
        console.print(f"{len(document['pairs'])} depthwise convolutions {are} replaced in the twin; --per-layer shows each.")
    _show_width(document["twin"], console)
    _show_spatial_pairs(document["spatial_pairs"], console, per_layer=per_layer)


def _show_width(twin: dict[str, Any] | None, console: Any) -> None:
    """How a twin of equal cost came to its width."""
    if twin and "alpha" in twin:
        figure = {"same-macs": "MACs", "same-parameters": "parameters"}[twin["kind"]]
        console.print(f"The twin stands at alpha {twin['alpha']:.4g}, by {twin['widened_by']}: {twin['reached']:.4f} of this network's {figure}.")


def _show_spatial_pairs(pairs: list[dict[str, Any]], console: Any, *, per_layer: bool) -> None:
    """Columns and rows of kernels: the other separable convolution, which a twin leaves as it is."""
    from rich.text import Text

    if pairs:
        count = f"{len(pairs)} times a K x 1 and a 1 x K convolution stand" if len(pairs) > 1 else "A K x 1 and a 1 x K convolution stand"
        shown = ":" if per_layer else "; --per-layer shows them."
        console.print(f"{count} for a K x K one: 2 K for K^2 where the widths are equal. A twin keeps them{shown}")
    for pair in pairs if per_layer else []:
        console.print(Text(plain(f"  {pair['name']}, {pair['with']}: {pair['ratio']:.4f} of the MACs, {pair['formula']}")))


def _costs(document: dict[str, Any]) -> Any:
    """The table of both networks' figures, one a row."""
    from rich import box
    from rich.table import Table

    twin = document["twin"]
    table = Table(box=box.SIMPLE, header_style="bold")
    for column in ("", "this network", *((f"twin ({twin['kind']})", "ratio") if twin else ())):
        table.add_column(column, justify="left" if not column else "right")

    def add(label: str, shown: Callable[[float], str], *path: str) -> None:
        own, others = (_at(side, path) if side else None for side in (document, twin))
        ratio = f"{others / own:.3f}x" if own and others is not None else ""
        table.add_row(label, shown(own or 0), *((shown(others or 0), ratio) if twin else ()))

    add("MACs", "{:,}".format, "macs")
    add("parameters", "{:,}".format, "parameters")
    for dtype in ("float32", "int8"):
        add(f"weights, {dtype}", size, "weight_bytes", dtype)
    for dtype in ("float32", "int8"):
        add(f"peak activations, {dtype}", size, "peak_activation_bytes", dtype)
    for dtype in ("float32", "int8"):
        add(f"MACs per byte, {dtype}", "{:.1f}".format, "arithmetic_intensity", dtype)
    return table


def _at(document: dict[str, Any], path: tuple[str, ...]) -> float:
    value: Any = document
    for key in path:
        value = value[key]
    return float(value) if isinstance(value, float) else int(value)


def _published(entry: dict[str, Any], document: dict[str, Any]) -> str:
    """What the paper says of this network, each count with how far ours is from it."""
    said = []
    for key, name in (("macs", "MACs"), ("parameters", "parameters"), ("trainable_parameters", "trainable parameters")):
        if entry.get(key):
            ours = f"ours {_off(document[key], entry[key])}"
            apart = key == "parameters" and abs(document[key] / entry[key] - 1) > 5e-4  # most papers leave batch normalization out
            if apart and document["normalization_parameters"]:
                ours += f", {_off(document[key] - document['normalization_parameters'], entry[key])} without batch normalization"
            said.append(f"{_millions(entry[key])} {name} ({ours})")
    if "top1" in entry:
        said.append(f"top-1 {entry['top1']:g}%")
    size_of = ", ".join(f"{key} {_side(entry[key])}" for key in ("alpha", "resolution") if key in entry)
    source = ", ".join(text for text in (size_of, str(entry.get("source", ""))) if text)
    return plain(f"Published{f' ({source})' if source else ''}: {', '.join(said)}.")


def _side(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


def _off(ours: float, theirs: float) -> str:
    return f"{100 * (ours / theirs - 1):+.2f}%"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.6g} M" if count >= 1e6 else f"{count:,.0f}"


def size(size_bytes: float) -> str:
    """Bytes as people read them: B, KiB or MiB."""
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.2f} {unit}"
    return f"{size_bytes:.0f} B"


def _show_steps(layers: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("layer", "output", "MACs", "weights", "alive", "MACs/byte"):
        table.add_column(column, justify="left" if column in ("layer", "output") else "right", overflow="fold")
    for layer in layers:
        if layer["activation_bytes"] is None:
            continue
        intensity = layer["arithmetic_intensity"]
        table.add_row(
            Text(plain(layer["name"])), "x".join(map(str, layer["output_shape"])), "?" if layer["macs"] is None else _short(layer["macs"]),
            size(layer["weight_bytes"]["int8"]) if layer["weight_bytes"]["int8"] else "", size(layer["activation_bytes"]["int8"]),
            "?" if intensity is None else f"{intensity['int8']:.1f}",
        )  # fmt: skip
    console.print(table)
    taken = sum(layer["activation_bytes"] is None for layer in layers)
    console.print(f"At int8; alive is all tensors held while the layer runs. {taken} layers that are fused into these are left out; see --json.\n")


def _show_pairs(pairs: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("pair", "", "MACs", "standard", "weights", "standard", "ratio", "formula", "count"):
        table.add_column(column, justify="left" if column in ("pair", "", "ratio") else "right", overflow="fold")
    for pair in pairs:
        table.add_row(
            Text(plain(pair["name"])), RULES[pair["rule"]][:3], f"{pair['separable_macs'] / 1e6:.2f}M", f"{pair['standard_macs'] / 1e6:.2f}M",
            _short(pair["separable_parameters"]), _short(pair["standard_parameters"]), _numbers(pair["formula"]),
            f"{pair['formula_ratio']:.4f}", f"{pair['ratio']:.4f}",
        )  # fmt: skip
    console.print(table)
    formulas = {"merged": "1/N + 1/K^2", "fused": "s^2/K^2 + 1/M", "unpaired": "1/M"}
    for rule in dict.fromkeys(pair["rule"] for pair in pairs):
        console.print(f"{RULES[rule]}: separable over standard MACs = {formulas[rule]}")
    console.print("K kernel side, N outputs, M inputs, s stride; weights are the kernels alone.")


def _short(count: int) -> str:
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.2f}M" if count >= 1_000_000 else f"{count / 1e3:.1f}k"


def _numbers(formula: str) -> str:
    """The formula with its numbers, squares written out: `1/64+1/9`."""
    numbers = formula.partition("= ")[2].replace(" ", "")
    return re.sub(r"(\d+)\^2", lambda match: str(int(match[1]) ** 2), numbers)
