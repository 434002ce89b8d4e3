"""`dsmobile devices`: what there is to measure on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="What can be measured on, and how to address it.")


@app.callback()
def devices() -> None:
    """What can be measured on, and how to address it."""


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List this machine, the hosts of your SSH configuration, and the phones that a running adb server knows."""
    from dsmobile.cli import output

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile.devices.listing import list_devices

        return list_devices(), 0

    output.run(action, as_json=as_json, show=_show)


@app.command("setup")
def setup(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="ssh:user@host[:port], adb[:SERIAL], or local to see what is missing here.")],
    python: Annotated[str | None, typer.Option(metavar="PATH", help="The Python on the device; over SSH: python3.")] = None,
    runtime: Annotated[
        str | None, typer.Option(metavar="NAME", help="For .tflite files: litert, tflite-runtime or benchmark_model; by itself LiteRT where it runs.")
    ] = None,
    benchmark_model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A native benchmark_model for the device: a phone, or where no Python runtime runs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Bring a device what it needs to measure: nothing is installed there, no network is needed there."""
    from dsmobile.cli import output

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile.devices.setup import setup as set_up

        interactive = output.interactive(as_json=as_json)
        with output.progress(as_json=as_json) as progress:
            document = set_up(
                address,
                python=python,
                runtime=runtime,
                benchmark_model=benchmark_model,
                interactive=interactive,
                say=lambda text: progress(text, 0.0),
            )
        return document, 0

    output.run(action, as_json=as_json, show=_show_setup)


def _show_setup(document: dict[str, Any]) -> None:
    from dsmobile.cli import output

    console = output.console(stderr=False)

    def tell(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    userland = document["userland"]
    release = userland["os_release"] or {}
    system = " ".join(str(part) for part in (release.get("id"), release.get("version_id"), release.get("codename")) if part) or userland["system"]
    python = f", Python {document['python_version']}" if document["python_version"] else ""
    what = f"{userland['pointer_bits']}-bit {system}, {userland['architecture'] or 'unknown architecture'}{python}"
    tell(f"{document['address']}: {what}")
    if document["pushed"]:
        tell(f"  pushed {', '.join(document['pushed'])} ({document['pushed_bytes'] / 1e6:.0f} MB)")
    elif document["kind"] in ("ssh", "adb"):
        tell("  nothing was pushed: all of it was there")
    if "tool" in document:
        how = (
            "as pinned before"
            if document["tool"]["pinned_before"]
            else "pinned now: compare it with another download of yours, for nobody publishes it"
        )
        tell(f"  sha256 {document['tool']['sha256']}, {how}")
    for runtime in document["runtimes"]:
        tell(f"  {runtime['name']:<15} {runtime['version'] or ''} {'does not work: ' + runtime['error'] if runtime['error'] else 'works'}")
    for line in document["impossible"]:
        tell(f"  {line['runtime']:<15} cannot run there: {line['reason']}")
    for line in document["advice"]:
        tell(f"  What to do: {line}")


def _show(document: dict[str, Any]) -> None:
    from dsmobile.cli import output

    console = output.console(stderr=False)
    for device in document["devices"]:
        facts = device["facts"]
        if facts:
            runtimes = ", ".join(f"{name} {version}" for name, version in facts["runtimes"].items() if version) or "no runtime"
            what = f"{facts['board'] or facts['cpu_model'] or facts['machine']}, {facts['cores']} cores, Python {facts['python_version']}, {runtimes}"
        elif device["kind"] == "adb":
            what = f"{device['model'] or 'a phone'}, adb calls it {device['state']}"
        else:
            what = "from your SSH configuration, not contacted"
        console.print(f"{device['address']:<24} {what}", markup=False, soft_wrap=True)
    console.print("Any other machine: --device ssh:user@host[:port]", markup=False)
    if not any(device["kind"] == "adb" for device in document["devices"]):
        console.print("A phone: plug it in; `adb devices` starts adb's server and names it; then --device adb", markup=False)


@app.command("doctor")
def doctor(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="local, ssh:user@host[:port] or adb[:SERIAL].")] = "local",
    python: Annotated[str, typer.Option("--python", metavar="PATH", help="The Python on the device; by default this one, or python3 over SSH.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say in ten lines what to put right on a device before measuring on it."""
    from dsmobile.cli import output

    busiest: list[str] = []

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile.devices import doctor

        document, names = doctor.examine(address, python=python or None, interactive=output.interactive(as_json=as_json))
        busiest.extend(names)
        return document, doctor.exit_code(document)

    def show(document: dict[str, Any]) -> None:
        console = output.console(stderr=False)
        for check in document["checks"]:
            programs = f" ({', '.join(busiest)})" if check["name"] == "other load" and busiest else ""
            advice = f": {check['advice']}" if check["advice"] else ""
            console.print(f"{check['state']:<4}  {check['name']:<14}  {check['seen']}{programs}{advice}", markup=False, soft_wrap=True)

    output.run(action, as_json=as_json, show=show)
