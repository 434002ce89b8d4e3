"""`python -m device_bench PLAN.json SAMPLES.json`, or `python path/to/device_bench ...` wherever the folder lies."""

from __future__ import annotations

import sys


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
    """Runs a plan (PLAN.json SAMPLES.json), tells what the device is (--facts), or is one of a plan's processes (--replicate)."""
    if sys.version_info < (3, 9):
        sys.stderr.write("device_bench needs Python 3.9 or newer; this is %d.%d\n" % sys.version_info[:2])
        return 2
    if arguments[:1] == ["--replicate"]:
        from device_bench import replicate

        return replicate.main(arguments[1])
    if arguments == ["--facts"]:
        import json

        from device_bench import machine

        sys.stdout.write(json.dumps(machine.facts()) + "\n")
        return 0
    flags = {argument for argument in arguments if argument.startswith("--")}
    paths = [argument for argument in arguments if not argument.startswith("--")]
    if len(paths) != 2 or flags - {"--echo", "--lifeline"}:
        sys.stderr.write("usage: python -m device_bench PLAN.json SAMPLES.json [--echo] [--lifeline] | --facts\n")
        return 2
    from device_bench import controller

    return controller.main(paths[0], paths[1], echo="--echo" in flags, lifeline="--lifeline" in flags)


if __name__ == "__main__":
    if not __package__:
        _as_package()
    sys.exit(main(sys.argv[1:]))
