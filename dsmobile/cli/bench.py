"""`dsmobile bench`: how fast, with which interval, and whether that can be believed."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.core


class Command(typer.core.TyperCommand):
    """Reads `--pair A B`, which typer has no way to say of an option that is given several times, as `--pair=A --pair=B`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrites the arguments, then lets typer read them."""
        written: list[str] = []
        waiting = 0
        for place, argument in enumerate(args):
            if argument == "--" and not waiting:
                written += args[place:]
                break
            if waiting:
                written.append(f"--pair={argument}")
                waiting -= 1
            elif argument == "--pair":
                waiting = 2
            elif argument.startswith("--pair="):
                written.append(argument)
                waiting = 1
            else:
                written.append(argument)
        return list(super().parse_args(ctx, written))


def bench(
    artifacts: Annotated[list[str] | None, typer.Argument(metavar="ARTIFACT...", help="Model files: .tflite, .onnx.")] = None,
    device: Annotated[str, typer.Option("--device", metavar="ADDRESS", help="local, or ssh:user@host[:port].")] = "local",
    threads: Annotated[int, typer.Option("--threads", metavar="N", help="Threads of the runtime.")] = 1,
    budget: Annotated[float, typer.Option("--budget", metavar="SECONDS", help="How long to measure.")] = 60.0,
    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", metavar="A B", help="Compare two files: the speed-up of A over B. May be given several times."),
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Measure each file against itself: does this device show differences where there is none?")
    ] = False,
    python: Annotated[str, typer.Option("--python", metavar="PATH", help="The Python on the device; by default this one, or python3 over SSH.")] = "",
    keep_invalid: Annotated[bool, typer.Option("--keep-invalid", help="Write the result even where it is INVALID.")] = False,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The result goes to its folder results.")] = "dsmobile-out",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure model files on a device: blocks of fresh processes, an honest interval, and whether it can be believed."""
    from dsmobile.cli import output

    kept: dict[str, Any] = {}

    def action() -> tuple[dict[str, Any], int]:
        import sys
        from pathlib import Path

        from dsmobile.benchmark import run
        from dsmobile.benchmark.subjects import in_twos

        result, path = run.bench(
            [Path(artifact) for artifact in artifacts or []],
            device=device,
            threads=threads,
            budget_s=budget,
            pairs=in_twos(pair or []),
            self_test=self_test,
            out=Path(out),
            python=python or None,
            keep_invalid=keep_invalid,
            interactive=not as_json and sys.stdin.isatty(),
            progress=_progress,
        )
        kept["result"] = result
        return run.to_document(result, path), run.exit_code(result)

    def show(document: dict[str, Any]) -> None:
        from dsmobile.reporting.terminal import show_result

        console = output.console(stderr=False)
        show_result(kept["result"], console)
        where = f"Result: {document['result']}" if document["result"] else "INVALID: not written; --keep-invalid writes it all the same."
        console.print(where, markup=False, soft_wrap=True)

    output.run(action, as_json=as_json, show=show)


def _progress(text: str, share: float) -> None:
    """One line at the end of some blocks; nothing moves while a process is being timed."""
    from dsmobile.cli import output

    output.console().print(f"{share:4.0%} {text}", markup=False)
