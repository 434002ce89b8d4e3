"""The card that travels beside the model into the APK: which network, labels and preprocessing were shipped, and one golden to hold them against."""

from __future__ import annotations

import hashlib
import json

from dsmobile import __version__
from dsmobile.shipping.apk.card import SCHEMA
from dsmobile.shipping.artifact_check import Shippable
from dsmobile.shipping.goldens import Golden, little_endian


def write_card(shippable: Shippable, labels: bytes, model_asset: str, labels_asset: str, golden: Golden) -> bytes:
    """Writes a card; the same arguments give the same bytes.

    Args:
        shippable: The artifact.
        labels: The labels' file.
        model_asset: The model's name in the assets.
        labels_asset: The labels' name in the assets.
        golden: A golden of a synthetic image, which anybody can draw again from its size and seed.

    Returns:
        JSON in UTF-8; `dsmobile.shipping.apk.card` reads it.
    """
    height, width = golden.image.shape[:2]
    document = {
        "schema": SCHEMA,
        "model": model_asset,
        "sha256": hashlib.sha256(shippable.data).hexdigest(),
        "size_bytes": len(shippable.data),
        "name": shippable.manifest.name,
        "recipe": shippable.manifest.recipe,
        "labels_file": labels_asset,
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
        "classes": shippable.classes,
        "input": {
            "height": shippable.height,
            "width": shippable.width,
            "channels": shippable.preprocessing.channels,
            "dtype": shippable.manifest.inputs[0].dtype,
        },
        "preprocessing": shippable.preprocessing.to_json(),
        "golden": {
            "image": {"height": height, "width": width, "seed": golden.seed},
            "image_sha256": hashlib.sha256(golden.image.tobytes()).hexdigest(),
            "tensor_sha256": hashlib.sha256(little_endian(golden.tensor)).hexdigest(),
            "outputs": [float(value) for value in golden.outputs],
            "tolerance": golden.tolerance,
        },
        "dsmobile_version": __version__,
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
