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
    device: Annotated[str, typer.Option("--device", metavar="ADDRESS", help="local, ssh:user@host[:port], or adb[:SERIAL] for a phone.")] = "local",
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", help="Threads of the runtime; 1 by default.")] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="SECONDS", help="How long to measure, by default 60; less where the ratio is known to 2% before."),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", metavar="A B", help="Compare two files: the speed-up of A over B. May be given several times."),
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Measure each file against itself: does this device show differences where there is none?")
    ] = False,
    sustained: Annotated[
        str, typer.Option("--sustained", metavar="TIME", help="Run each file without a pause for so long, such as 10m: what does heat do to it?")
    ] = "",
    governor: Annotated[
        str,
        typer.Option("--governor", metavar="NAME", help="Set this governor on the device meanwhile, such as performance; it is put back."),
    ] = "",
    runtime: Annotated[str, typer.Option("--runtime", metavar="NAME", help="For .tflite files: litert, tflite-runtime or benchmark_model.")] = "",
    cores: Annotated[
        str, typer.Option("--cores", metavar="LIST", help="On a phone: big, little, all or 4-7; by default the fastest that suffice for the threads.")
    ] = "",
    delegate: Annotated[str, typer.Option("--delegate", metavar="NAME", help="On a phone: cpu (the default) or gpu.")] = "",
    benchmark_model: Annotated[
        str, typer.Option("--benchmark-model", metavar="FILE", help="On a phone: the native tool to measure with, in place of the one in the cache.")
    ] = "",
    fixed_performance: Annotated[
        bool, typer.Option("--fixed-performance", help="Switch a phone's fixed-performance mode on meanwhile; it is switched off again.")
    ] = False,
    bundle: Annotated[
        str, typer.Option("--bundle", metavar="ZIP", help="Measure nothing: write all that a device out of reach needs to measure by itself.")
    ] = "",
    bundle_for: Annotated[
        str, typer.Option("--bundle-for", metavar="SYSTEM", help="Put the runtimes into the bundle too: for bookworm, bookworm-32, trixie, noble ...")
    ] = "",
    import_samples: Annotated[
        str, typer.Option("--import-samples", metavar="FILE", help="Measure nothing: make a result of samples that a bundle or a broken run left.")
    ] = "",
    import_log: Annotated[
        list[str] | None, typer.Option("--import-log", metavar="FILE", help="Measure nothing: read what benchmark_model printed. May be repeated.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", metavar="FILE", help="With --import-log: the .tflite file that ran.")] = None,
    python: Annotated[str, typer.Option("--python", metavar="PATH", help="The Python on the device; by default this one, or python3 over SSH.")] = "",
    keep_invalid: Annotated[bool, typer.Option("--keep-invalid", help="Write the result even where it is INVALID.")] = False,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The result goes to its folder results.")] = "dsmobile-out",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure model files here, over SSH or on a phone: blocks of fresh processes, an honest interval, and whether it can be believed."""
    from dsmobile.cli import output

    kept: dict[str, Any] = {}

    def action() -> tuple[dict[str, Any], int]:
        from pathlib import Path

        from dsmobile.benchmark import ways
        from dsmobile.benchmark.subjects import in_twos
        from dsmobile.devices.phone_options import PhoneOptions

        options = ways.Options(
            artifacts=tuple(Path(artifact) for artifact in artifacts or []),
            pairs=tuple(in_twos(pair or [])),
            device=device,
            threads=threads,
            budget_s=budget,
            self_test=self_test,
            sustained=sustained or None,
            governor=governor or None,
            runtime=runtime or None,
            bundle=Path(bundle) if bundle else None,
            bundle_for=bundle_for or None,
            import_samples=Path(import_samples) if import_samples else None,
            import_logs=tuple(Path(log) for log in import_log or []),
            models=tuple(Path(file) for file in model or []),
            python=python or None,
            keep_invalid=keep_invalid,
            phone=PhoneOptions(
                cores=cores or None,
                delegate=delegate or None,
                benchmark_model=Path(benchmark_model) if benchmark_model else None,
                fixed_performance=fixed_performance,
            ),
            out=Path(out),
        )
        document, code, kept["result"] = ways.follow(options, interactive=output.interactive(as_json=as_json), progress=_progress)
        return document, code

    def show(document: dict[str, Any]) -> None:
        from dsmobile.reporting.terminal import show_result

        console = output.console(stderr=False)
        if kept["result"] is None:
            for line in document["how"]:
                console.print(line, markup=False, soft_wrap=True)
            return
        show_result(kept["result"], console)
        where = f"Result: {document['result']}" if document["result"] else "INVALID: not written; --keep-invalid writes it all the same."
        console.print(where, markup=False, soft_wrap=True)

    output.run(action, as_json=as_json, show=show)


def _progress(text: str, share: float) -> None:
    """One line at the end of some blocks; nothing moves while a process is being timed."""
    from dsmobile.cli import output

    output.console().print(f"{share:4.0%} {text}", markup=False)
