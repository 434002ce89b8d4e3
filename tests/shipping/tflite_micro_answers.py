"""Asks TFLite-Micro, the interpreter for microcontrollers: `tflite_micro_answers.py PACKAGES FOLDER`.

Each `NAME.tflite` of the folder gets the arrays of `NAME.npz`, in their order, and its answer is written to `NAME.npy`. Prints one JSON document:
by name an empty text, or what went wrong. What its kernels say goes to standard error, after a line with the name.
"""

import json
import sys
import types
from pathlib import Path

sys.path.insert(0, sys.argv[1])
sys.modules["yaml"] = types.ModuleType("yaml")  # imported to compress models, which nobody here does

import numpy as np  # noqa: E402
from tflite_micro.python.tflite_micro import runtime  # type: ignore[import-not-found]  # noqa: E402

_ARENA_BYTES = 32 << 20


def answer(model: Path) -> str:
    """Runs one model; what went wrong, or nothing."""
    sys.stderr.write(f"\n#model {model.stem}\n")
    sys.stderr.flush()
    try:
        interpreter = runtime.Interpreter.from_file(str(model), arena_size=_ARENA_BYTES)
        with np.load(model.with_suffix(".npz")) as stored:
            for number, name in enumerate(stored.files):
                interpreter.set_input(stored[name], number)
        interpreter.invoke()
        np.save(model.with_suffix(".npy"), interpreter.get_output(0))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps({model.stem: answer(model) for model in sorted(Path(sys.argv[2]).glob("*.tflite"))}) + "\n")
