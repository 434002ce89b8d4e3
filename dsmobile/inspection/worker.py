"""The process that reads one file, or gives it to a runtime: bounds itself, says what it knows line by line, and may die alone.

Started by `dsmobile.inspection.process`. It guards against files that crash or exhaust what reads them; it is no sandbox against one that takes over.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dsmobile.errors import DsmobileError, MissingExtraError, ModelError
from dsmobile.evaluation.worker import limit_memory
from dsmobile.exporters.runners import first_line
from dsmobile.inspection.facts import Facts

_SPARE_S = 10


def main() -> None:
    """Does what the line on standard input asks for; answers on standard output, a JSON document a line."""
    request = json.loads(sys.stdin.readline())
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # native libraries print to stdout
    limit_memory(request["memory_bytes"])
    if hasattr(signal, "setitimer"):  # for when the other process is gone and cannot stop this one
        signal.setitimer(signal.ITIMER_REAL, request["seconds"] + _SPARE_S)

    def tell(document: dict[str, Any]) -> None:
        replies.write(json.dumps(document) + "\n")
        replies.flush()

    try:
        if request["task"] == "read":
            tell({"facts": asdict(read(Path(request["path"]), request["format"]))})
        else:
            from dsmobile.inspection.trial import attempt

            attempt(Path(request["path"]), request["format"], tell)
    except DsmobileError as error:
        tell({"error": {"kind": error.kind, "message": error.message, "advice": error.advice}})
    except MemoryError:
        tell(
            {
                "error": {
                    "kind": ModelError.__name__,
                    "message": f"it needs more than {request['memory_bytes'] / 2**30:.0f} GiB of memory",
                    "advice": "",
                }
            }
        )
    except ImportError as error:
        missing = f"a library is missing: {first_line(error)}"
        tell({"error": {"kind": MissingExtraError.__name__, "message": missing, "advice": "run: pip install 'dsmobile[export]'"}})
    except Exception as error:  # noqa: BLE001  # whatever a damaged file makes a library raise is an answer
        tell({"error": {"kind": "", "message": first_line(error), "advice": ""}})


def read(path: Path, file_format: str) -> Facts:
    """What a file of a known format holds; nothing in it is run.

    Raises:
        ModelError: It is damaged.
    """
    if file_format == "tflite":
        from dsmobile.inspection.tflite_file import read_tflite

        return read_tflite(path)
    if file_format == "onnx":
        from dsmobile.inspection.onnx_file import read_onnx

        return read_onnx(path)
    from dsmobile.inspection.keras_file import read_keras

    return read_keras(path, file_format)


if __name__ == "__main__":
    main()
