"""`python -m device_bench PLAN.json SAMPLES.json`, or `python path/to/device_bench ...` wherever the folder lies."""

from __future__ import annotations

import sys

_USAGE = " | --facts | --check | --bundle FOLDER | --keep [--governor NAME] [--patience SECONDS] | --settle SECONDS\n"


def _as_package() -> None:
    """Makes this folder the package `device_bench` without adding anything else to the import path."""
    import importlib.util
    import os

    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]
    spec = importlib.util.spec_from_file_location("device_bench", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
    assert spec is not None and spec.loader is not None  # noqa: S101
    package = importlib.util.module_from_spec(spec)
    sys.modules["device_bench"] = package
    spec.loader.exec_module(package)


def main(arguments: "list[str]") -> int:
    """Does what its arguments say.

    `PLAN.json SAMPLES.json` runs a plan; `--facts` tells what the device is; `--check` in which state it is; `--keep` holds it for one
    benchmark; `--bundle FOLDER` runs a plan that was carried here; `--settle SECONDS` waits until it is quiet and cool; `--replicate` is one of
    a plan's processes.
    """
    if sys.version_info < (3, 9):
        sys.stderr.write("device_bench needs Python 3.9 or newer; this is %d.%d\n" % sys.version_info[:2])
        return 2
    from device_bench import site

    arguments = site.enter(arguments)
    if arguments[:1] == ["--replicate"]:
        from device_bench import replicate

        return replicate.main(arguments[1])
    if arguments == ["--facts"]:
        import json

        from device_bench import machine

        sys.stdout.write(json.dumps(machine.facts()) + "\n")
        return 0
    if arguments[:1] == ["--prove"] and len(arguments) == 2:
        from device_bench import proof

        return proof.main(arguments[1])
    if arguments[:1] == ["--bundle"] and len(arguments) == 2:
        from device_bench import bundled

        return bundled.main(arguments[1])
    if arguments[:1] in (["--keep"], ["--settle"], ["--check"]):
        return _state(arguments)
    arguments, patience_s = _patience(arguments)
    flags = {argument for argument in arguments if argument.startswith("--")}
    paths = [argument for argument in arguments if not argument.startswith("--")]
    if len(paths) != 2 or flags - {"--echo", "--lifeline"}:
        sys.stderr.write("usage: python -m device_bench PLAN.json SAMPLES.json [--echo] [--lifeline] [--patience SECONDS]" + _USAGE)
        return 2
    from device_bench import controller

    return controller.main(paths[0], paths[1], echo="--echo" in flags, lifeline="--lifeline" in flags, patience_s=patience_s)


def _patience(arguments: "list[str]") -> "tuple[list[str], float | None]":
    """Takes `--patience SECONDS` off the end of the arguments."""
    if arguments[-2:-1] == ["--patience"]:
        try:
            return arguments[:-2], float(arguments[-1])
        except ValueError:
            pass  # no number: an option that is not known
    return arguments, None


def _state(arguments: "list[str]") -> int:
    """What concerns the state of the device: each option has a value."""
    options = {name: value for name, value in zip(arguments[1::2], arguments[2::2])}  # noqa: B905, C416 - Python 3.9
    try:
        if arguments[0] == "--settle" and len(arguments) == 2:
            from device_bench import settle

            return settle.main(float(arguments[1]))
        if arguments[0] == "--check" and len(arguments) == 1:
            from device_bench import check

            return check.main()
        if arguments[0] == "--keep" and len(arguments) % 2 and not options.keys() - {"--governor", "--patience"}:
            from device_bench import keeper

            return keeper.main(options.get("--governor"), float(options["--patience"]) if "--patience" in options else None)
    except ValueError:
        pass  # no number
    sys.stderr.write("usage: python -m device_bench " + _USAGE[3:])
    return 2


if __name__ == "__main__":
    if not __package__:
        _as_package()
    sys.exit(main(sys.argv[1:]))
