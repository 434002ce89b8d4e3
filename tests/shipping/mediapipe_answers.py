"""Asks MediaPipe's image classifier: `mediapipe_answers.py PACKAGES MODEL IMAGES.npy` prints one JSON document.

`{"answers": [{"INDEX": [SCORE, LABEL], ...}, ...], "read": ...}`, or `{"error": KIND, "message": ...}`. One process a file: after an error within its
graph the next classifier of the same process never answers.
"""

import json
import sys
import types
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])
for drawing in ("cv2", "matplotlib", "matplotlib.pyplot"):  # imported to draw landmarks, which nobody here does
    sys.modules[drawing] = types.ModuleType(drawing)

import mediapipe  # type: ignore[import-not-found]  # noqa: E402
import numpy as np  # noqa: E402
from mediapipe.tasks.metadata import metadata_schema_py_generated as schema  # type: ignore[import-not-found]  # noqa: E402
from mediapipe.tasks.metadata import schema_py_generated as model_schema  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # type: ignore[import-not-found]  # noqa: E402


def answers(model: str, images: Any) -> list[dict[str, list[Any]]]:
    """Every class's score and label, image by image; no score is left out."""
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=model, delegate=BaseOptions.Delegate.CPU), score_threshold=-1e30
    )
    found = []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels in images:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            (head,) = classifier.classify(image).classifications
            found.append({str(one.index): [one.score, one.category_name] for one in head.categories})
    return found


def as_mediapipe_reads_it(model: str) -> dict[str, Any] | None:
    """The metadata by the accessors that MediaPipe's authors generated; None where there are none."""
    whole = model_schema.Model.GetRootAs(Path(model).read_bytes(), 0)
    entries = [whole.Metadata(number) for number in range(whole.MetadataLength())]
    buffers = [entry.Buffer() for entry in entries if entry.Name() == b"TFLITE_METADATA"]
    if not buffers:
        return None
    metadata = schema.ModelMetadata.GetRootAs(whole.Buffers(buffers[0]).DataAsNumpy().tobytes(), 0)
    read = schema.ModelMetadataT.InitFromObj(metadata)
    return dict(_plain(read))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in vars(value).items()} if hasattr(value, "__dict__") else value


def main(model: str, images: str) -> None:
    """Answers, or says what went wrong."""
    try:
        document: dict[str, Any] = {"answers": answers(model, np.load(images)), "read": as_mediapipe_reads_it(model)}
    except Exception as error:  # noqa: BLE001
        document = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[2:])
