"""`dsmobile devices`: what there is to measure on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="What can be measured on, and how to address it.")


@app.callback()
def devices() -> None:
    """What can be measured on, and how to address it."""


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List this machine and the hosts of your SSH configuration."""
    from dsmobile.cli import output

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile.devices.listing import list_devices

        return list_devices(), 0

    output.run(action, as_json=as_json, show=_show)


def _show(document: dict[str, Any]) -> None:
    from dsmobile.cli import output

    console = output.console(stderr=False)
    for device in document["devices"]:
        facts = device["facts"]
        if facts:
            runtimes = ", ".join(f"{name} {version}" for name, version in facts["runtimes"].items() if version) or "no runtime"
            what = f"{facts['board'] or facts['cpu_model'] or facts['machine']}, {facts['cores']} cores, Python {facts['python_version']}, {runtimes}"
        else:
            what = "from your SSH configuration, not contacted"
        console.print(f"{device['address']:<24} {what}", markup=False, soft_wrap=True)
    console.print("Any other machine: --device ssh:user@host[:port]", markup=False)
