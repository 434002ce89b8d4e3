"""Golden vectors: images, what preprocessing makes of them, and what the artifact answers, for tests on another machine.

The images are synthetic, so that anybody can draw them again, or a person's own photographs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dsmobile.errors import ModelError
from dsmobile.pixels import Bytes, shorter_side_to
from dsmobile.preprocessing import Floats
from dsmobile.shipping.artifact_check import Shippable

SCHEMA = "dsmobile.goldens/1"
TOLERANCE_SHARE = 1e-3
TOLERANCE_RULE = "0.001 of the largest magnitude among the golden's own outputs"
_BEST = 5

Run = Callable[[Floats], list[Floats]]


@dataclass(frozen=True)
class Golden:
    """One image and everything computed from it.

    Args:
        name: `exact`, `landscape`, ...
        image: RGB bytes, shape (height, width, 3).
        tensor: The network's input, float32, shape (1, height, width, channels).
        outputs: The network's answer, float32, shape (classes,).
        seed: Which synthetic image it is; None for a photograph.
    """

    name: str
    image: Bytes
    tensor: Floats
    outputs: Floats
    seed: int | None = None

    @property
    def tolerance(self) -> float:
        """How far another machine's outputs may lie: `TOLERANCE_RULE`."""
        return float(np.float32(TOLERANCE_SHARE * float(np.abs(self.outputs).max())))


def synthetic_image(height: int, width: int, seed: int) -> Bytes:
    """An image that any machine makes the same: ramps, hard edges and noise, by integer arithmetic alone.

    Args:
        height: Rows.
        width: Columns.
        seed: Which noise.

    Returns:
        RGB bytes, shape (height, width, 3).
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.uint32)
    ramp_x, ramp_y = x * np.uint32(255) // np.uint32(max(width - 1, 1)), y * np.uint32(255) // np.uint32(max(height - 1, 1))
    edges = (x // np.uint32(7) + y // np.uint32(5)) % np.uint32(2) * np.uint32(255)
    image = np.stack([ramp_x, ramp_y, edges], axis=-1)
    channel = np.arange(3, dtype=np.uint32)
    noise = (x * np.uint32(73856093) ^ y * np.uint32(19349663))[..., None] ^ channel * np.uint32(83492791) ^ np.uint32(seed * 97 + 1)
    noise = (noise ^ noise >> np.uint32(13)) * np.uint32(0x5BD1E995)
    noise ^= noise >> np.uint32(15)
    noisy = ((x * np.uint32(2) > np.uint32(width)) ^ (y * np.uint32(2) > np.uint32(height)))[..., None]
    return np.where(noisy, noise & np.uint32(255), image).astype(np.uint8)


def golden_sizes(artifact: Shippable) -> dict[str, tuple[int, int]]:
    """Heights and widths of the images, by name: the input's own size, and odd ones around it that the preprocessing takes."""
    height, width = artifact.height, artifact.width
    side = artifact.preprocessing.resize or max(height, width)
    wanted = {
        "exact": (height, width),
        "landscape": ((side + side // 8) | 1, (side + side // 3) | 1),
        "portrait": ((side * 2 // 3) | 1, (side // 2) | 1),
        "narrow": ((side * 2) | 1, (side // 2 + 2) | 1),
    }
    return {name: size for name, size in wanted.items() if _fits(artifact, *size)}


def _fits(artifact: Shippable, height: int, width: int) -> bool:
    preprocessing = artifact.preprocessing
    if preprocessing.resize is not None:
        height, width = shorter_side_to(height, width, preprocessing.resize)
    if preprocessing.crop is not None:
        return height >= artifact.height and width >= artifact.width
    return (height, width) == (artifact.height, artifact.width)


def make_goldens(artifact: Shippable, run: Run) -> tuple[Golden, ...]:
    """Computes the golden vectors of synthetic images.

    Args:
        artifact: The artifact.
        run: Runs it: the input, float32 NHWC, to its outputs.

    Raises:
        ModelError: No image fits, or the artifact answers something else than its manifest says.
    """
    sizes = golden_sizes(artifact)
    if not sizes:
        raise ModelError(
            f"{artifact.path}: no image becomes {artifact.height} x {artifact.width} pixels by its preprocessing",
            f'export it again with a crop: --preprocess "...,crop={artifact.height}x{artifact.width},..."',
        )
    return tuple(make_golden(artifact, run, name, synthetic_image(*size, seed), seed) for seed, (name, size) in enumerate(sizes.items()))


def make_golden(artifact: Shippable, run: Run, name: str, image: Bytes, seed: int | None = None) -> Golden:
    """Computes one golden vector.

    Args:
        artifact: The artifact.
        run: Runs it.
        name: What the golden's files are called.
        image: RGB bytes, shape (height, width, 3).
        seed: Which synthetic image it is.

    Raises:
        ModelError: The artifact answers something else than its manifest says.
    """
    tensor = artifact.preprocessing(image)
    outputs = np.ravel(run(tensor)[0]).astype(np.float32)
    if outputs.size != artifact.classes or not np.isfinite(outputs).all():
        raise ModelError(
            f"{artifact.path} answered {outputs.size} numbers for {artifact.classes} classes, or one that is not finite",
            "export it again, and look at it with `dsmobile inspect`",
        )
    return Golden(name, image, tensor, outputs, seed)


def runtime() -> str:
    """The runtime that answers here."""
    return f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"


def little_endian(numbers: Floats) -> bytes:
    """float32 numbers as the files hold them."""
    return numbers.astype("<f4").tobytes()


def golden_files(artifact: Shippable, labels: Sequence[str], goldens: Sequence[Golden], model_file: str) -> dict[str, bytes]:
    """The goldens as files: RGB bytes, tensors and outputs as little-endian float32, and `index.json`, which describes them.

    Args:
        artifact: The artifact.
        labels: One per class.
        goldens: What to write.
        model_file: The model's file name.

    Returns:
        Each file's bytes by its name.
    """
    files: dict[str, bytes] = {}
    entries = []
    for golden in goldens:
        height, width = golden.image.shape[:2]
        entry: dict[str, object] = {"name": golden.name, "width": width, "height": height}
        if golden.seed is not None:
            entry["seed"] = golden.seed
        parts = {
            "rgb": (f"{golden.name}.rgb", golden.image.tobytes()),
            "tensor": (f"{golden.name}.tensor.f32", little_endian(golden.tensor)),
            "outputs": (f"{golden.name}.outputs.f32", little_endian(golden.outputs)),
        }
        for key, (name, data) in parts.items():
            files[name] = data
            entry |= {key: name, f"{key}_sha256": hashlib.sha256(data).hexdigest()}
        best = np.argsort(-golden.outputs, kind="stable")[:_BEST]
        top = [{"index": int(index), "label": labels[index], "score": float(golden.outputs[index])} for index in best]
        entries.append({**entry, "tolerance": golden.tolerance, "top": top})
    index = {
        "schema": SCHEMA,
        "model": model_file,
        "model_sha256": artifact.manifest.sha256,
        "preprocessing": artifact.preprocessing.to_json(),
        "runtime": runtime(),
        "formats": {
            "rgb": {"dtype": "uint8", "shape": ["height", "width", 3], "order": "row by row, each pixel red, green, blue"},
            "tensor": {
                "dtype": "float32",
                "byte_order": "little",
                "shape": [1, artifact.height, artifact.width, artifact.preprocessing.channels],
            },
            "outputs": {"dtype": "float32", "byte_order": "little", "shape": [artifact.classes]},
        },
        "exactness": "from the RGB bytes to the tensor: bit for bit; outputs and scores: within each golden's tolerance on a CPU",
        "tolerance_rule": TOLERANCE_RULE,
        "score_is_probability": artifact.manifest.ends_in_softmax,
        "goldens": entries,
    }
    return {"index.json": (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode(), **files}
