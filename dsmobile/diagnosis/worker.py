"""The process that compares two files: bounds itself, compares, tells how far it is and what it found, and may die alone.

Started by `dsmobile.diagnosis.process`. It guards against files that crash or exhaust the runtime; it is no sandbox against one that takes over.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dsmobile.errors import DsmobileError, MissingExtraError, ModelError
from dsmobile.evaluation.worker import limit_memory
from dsmobile.exporters.runners import first_line

_SPARE_S = 10
_TOLD_AFTER = 0.01


def main() -> None:
    """Does what the line on standard input asks for; answers on standard output, a JSON document a line."""
    request = json.loads(sys.stdin.readline())
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # native libraries print to stdout
    limit_memory(request["memory_bytes"])
    if hasattr(signal, "setitimer"):  # for when the other process is gone and cannot stop this one
        signal.setitimer(signal.ITIMER_REAL, request["seconds"] + _SPARE_S)
    told = 0.0

    def tell(document: dict[str, Any]) -> None:
        nonlocal told
        if document.get("done", 1.0) - told >= _TOLD_AFTER or "done" not in document:
            told = document.get("done", told)
            replies.write(json.dumps(document) + "\n")
            replies.flush()

    try:
        from dsmobile.diagnosis.measure import compare_files

        inputs = [np.load(path, mmap_mode="r", allow_pickle=False) for path in request["inputs"]]
        files = Path(request["quantized"]), Path(request["reference"])
        tell({"found": compare_files(*files, inputs, tell, threads=request["threads"], stored_as=request["stored_as"])})
    except DsmobileError as error:
        tell({"error": {"kind": error.kind, "message": error.message, "advice": error.advice}})
    except MemoryError:
        message = f"the comparison needs more than {request['memory_bytes'] / 2**30:.0f} GiB of memory"
        tell({"error": {"kind": ModelError.__name__, "message": message, "advice": "give fewer inputs with --limit, or a smaller network"}})
    except ImportError as error:
        missing = f"a library is missing: {first_line(error)}"
        tell({"error": {"kind": MissingExtraError.__name__, "message": missing, "advice": "run: pip install 'dsmobile[export]'"}})
    except (struct.error, RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        # what a stranger's file makes a parser or a runtime raise
        advice = "check both files with `dsmobile inspect`"
        tell({"error": {"kind": ModelError.__name__, "message": f"the files cannot be compared: {first_line(error)}", "advice": advice}})


if __name__ == "__main__":
    main()
