"""Whether a runtime works on this device: it is imported, opens a tiny model, and must answer rightly."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
import time
import zlib
from typing import Any, Dict

from .machine import NATIVE, native_tool, native_version

# x + x for x of shape (1, 4), float32. Importing is not proof enough: a runtime built for another numpy fails only when a model is opened.
TFLITE = zlib.decompress(
    base64.b64decode(
        "eNplUj1PwlAUvZWqBAhiaIwDAzGMpgHUxbgQxISED4PEiaQ0aTVNoJhSCIPxFzgZR0cGB36Dv8HB0dGf4Gw97/W2IeGRE947955z372vBSLqX7VONCpSgQ5JoxxlwCVJ"
        "xZ7AET0DP8CrQrQEvraIEjhji2yxUlIlNCmcMqy7APaAqe3NHffesOw7czbypU4F3oIgiPZJYDLzH2a+USb2FnwWOSqfFwBK0ynHvjkmkAfq3c5to3fT7HaMdqNfu6z1"
        "a/AN7yX8E2u5Y8c1vJnrO2PbmNve1Jm4tA1+BSzF3YBHzn/hOsO4X3HfbOwruJJkdyS3wzqSs4hmqsq5PHmDo9Jvs5DgXlSpIqrq1Ype3vQQ3hX9LAzxWv4FwTuwAsR8"
        "261mr1ifuOjDty1dzkqTmdm4uvDMMi/eZsD9WFxnbDpuNPdIq8n6GUqzlntPZ3h/zO+ncC/RUtZAHBtynQ9oRCjHHiJWFG8Lfh//16bnOz5ew7bq5mh0XuYcJZ7pgeyJ"
        "uKtw7YINS0e+Cvt+wje/+Q0aCziv+yr8DaryR/QPjY9nzg=="
    )
)
ONNX = bytes.fromhex(
    "08083a3d0a0e0a01780a017812017922034164641201675a130a0178120e0a0c080112080a0208010a02080462130a0179120e0a0c080112080a0208010a02080442040a00100d"
)


def main(runtime: str) -> int:
    """Writes what `prove` found as a line of JSON; a runtime that dies takes this process with it, which is for the caller to see."""
    answer = os.dup(1)
    os.dup2(2, 1)  # libraries print where they like
    line = (json.dumps(prove(runtime)) + "\n").encode()
    os.write(answer, line)
    sys.stderr.flush()
    os._exit(0)  # some runtimes crash on their way out, after their work is done


def prove(runtime: str) -> Dict[str, Any]:
    """Runs a tiny model in a runtime.

    Args:
        runtime: `litert`, `tflite-runtime`, `onnxruntime` or `benchmark_model`.

    Returns:
        `version`, `where` (the folder it came from) and `seconds`; or `error`.
    """
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "tiny.onnx" if runtime == "onnxruntime" else "tiny.tflite")
            with open(model, "wb") as file:
                file.write(ONNX if runtime == "onnxruntime" else TFLITE)
            found = _native(model) if runtime == NATIVE else _python(runtime, model)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a runtime of another system raises
        text = " ".join(str(error).split())
        return {"error": "%s: %s" % (type(error).__name__, text[-500:])}
    return {**found, "seconds": round(time.perf_counter() - started, 3)}


def _python(runtime: str, model: str) -> Dict[str, Any]:
    import numpy as np

    from .runtimes import import_runtime

    module, version, _ = import_runtime(runtime)
    given = np.array([[1.0, 2.0, 3.0, -4.0]], dtype=np.float32)
    if runtime == "onnxruntime":
        answer = module.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": given})[0]
    else:
        interpreter = module.Interpreter(model_path=model, num_threads=1)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
        interpreter.invoke()
        answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    if not np.array_equal(answer, given + given):
        raise ArithmeticError("1 + 1 gave %s" % np.asarray(answer).ravel().tolist())
    return {"version": version, "where": os.path.dirname(os.path.dirname(os.path.abspath(module.__file__))), "numpy_version": np.__version__}


def _native(model: str) -> Dict[str, Any]:
    from .native import run
    from .records import RunPlan

    report = run(native_tool(), model, RunPlan((), (), measure_s=0.01, min_count=3, timeout_s=60.0))
    return {"version": native_version(), "where": native_tool(), "tool": report.summary.tool}
