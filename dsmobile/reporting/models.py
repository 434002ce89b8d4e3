"""What a network costs, for people."""

from __future__ import annotations

import re
from typing import Any

RULES = {"fused": "(a) fused", "merged": "(b) merged", "unpaired": "(c) unpaired"}


def show_list(models: list[dict[str, Any]]) -> None:
    """Prints the architectures that come with dsmobile."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, header_style="bold")
    for column in ("name", "input", "paper"):
        table.add_column(column, overflow="fold")
    for model in models:
        table.add_row(model["name"], f"{model['resolution']} px", f"{model['title']} ({model['paper']})")
    console = Console(highlight=False)
    console.print(table)
    console.print("Show one: dsmobile models show NAME --per-layer")


def show_cost(document: dict[str, Any], *, per_layer: bool) -> None:
    """Prints what a network and its twin cost.

    Args:
        document: Of `pipeline.show_model`.
        per_layer: Whether to print every pair too.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    shape = " x ".join(map(str, document["input_shape"]))
    console.print(Text.assemble((document["name"], "bold"), f"  input {shape}", f"\n{document['title']} {document['paper']}".rstrip()))
    table = Table(box=box.SIMPLE, header_style="bold")
    for column in ("", "MACs", "parameters"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("this network", f"{document['macs']:,}", f"{document['parameters']:,}")
    twin = document["twin"]
    if twin:
        table.add_row(f"twin ({twin['kind']})", f"{twin['macs']:,}", f"{twin['parameters']:,}")
        table.add_row("ratio", f"{twin['macs_ratio']:.3f}x", f"{twin['parameters'] / document['parameters']:.3f}x")
    console.print(table)
    if document["not_counted"]:
        console.print(Text(f"MACs are a lower bound: not counted are {', '.join(document['not_counted'])}.", style="yellow"))
    if not document["pairs"]:
        console.print("No depthwise or separable convolution: there is nothing to replace, so no twin.")
    elif per_layer:
        _show_pairs(document["pairs"], console)
    else:
        console.print(f"{len(document['pairs'])} depthwise convolutions are replaced in the twin; --per-layer shows each.")


def _show_pairs(pairs: list[dict[str, Any]], console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("pair", "", "MACs", "standard", "weights", "standard", "ratio", "formula", "count"):
        table.add_column(column, justify="left" if column in ("pair", "", "ratio") else "right", overflow="fold")
    for pair in pairs:
        table.add_row(
            Text(pair["name"]), RULES[pair["rule"]][:3], f"{pair['separable_macs'] / 1e6:.2f}M", f"{pair['standard_macs'] / 1e6:.2f}M",
            _short(pair["separable_parameters"]), _short(pair["standard_parameters"]), _numbers(pair["formula"]),
            f"{pair['formula_ratio']:.4f}", f"{pair['ratio']:.4f}",
        )  # fmt: skip
    console.print(table)
    formulas = {"merged": "1/N + 1/K^2", "fused": "s^2/K^2 + 1/M", "unpaired": "1/M"}
    for rule in dict.fromkeys(pair["rule"] for pair in pairs):
        console.print(f"{RULES[rule]}: separable over standard MACs = {formulas[rule]}")
    console.print("K kernel side, N outputs, M inputs, s stride; weights are the kernels alone.")


def _short(count: int) -> str:
    return f"{count / 1e6:.2f}M" if count >= 1_000_000 else f"{count / 1e3:.1f}k"


def _numbers(formula: str) -> str:
    """The formula with its numbers, squares written out: `1/64+1/9`."""
    numbers = formula.partition("= ")[2].replace(" ", "")
    return re.sub(r"(\d+)\^2", lambda match: str(int(match[1]) ** 2), numbers)
