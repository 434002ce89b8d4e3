"""The model taken from an APK, opened in a process of its own, against what its card says it computed when it was exported."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsmobile.errors import DsmobileError, MissingExtraError
from dsmobile.evaluation.session import Limits, Session
from dsmobile.shipping.apk.card import Card
from dsmobile.shipping.goldens import synthetic_image

LIMITS = Limits(load_s=60.0, inference_s=60.0, memory_bytes=8 << 30)


@dataclass(frozen=True)
class Trial:
    """What the runtime here made of a model.

    Args:
        holds: Whether the golden vector holds; None where there is no runtime to ask.
        words: What was seen, or what stood in the way.
    """

    holds: bool | None
    words: str


def try_model(path: Path, card: Card, limits: Limits = LIMITS) -> Trial:
    """Runs a model on its card's golden image.

    Args:
        path: The model, taken from the APK; it may be anybody's.
        card: What it must compute.
        limits: What it may take.
    """
    golden = card.golden
    image = synthetic_image(golden.height, golden.width, golden.seed)
    if hashlib.sha256(image.tobytes()).hexdigest() != golden.image_sha256:
        return Trial(False, "its card's image is not the one that the formula makes")
    try:
        with np.errstate(all="ignore"):
            tensor = card.preprocessing(image)
        if hashlib.sha256(tensor.astype("<f4").tobytes()).hexdigest() != golden.tensor_sha256:
            return Trial(False, "its card's tensor is not what its preprocessing makes of the image")
        with Session(path, limits=limits) as session:
            outputs = np.ravel(session.run(tensor)[0]).astype(np.float64)
    except MissingExtraError as error:
        return Trial(None, f"{error.message}: {error.advice}")
    except DsmobileError as error:
        return Trial(False, error.message.replace(str(path), "it"))
    expected = np.asarray(golden.outputs, np.float64)
    if outputs.shape != expected.shape:
        return Trial(False, f"it answers {outputs.size} numbers where its card has {expected.size}")
    distance = float(np.abs(outputs - expected).max())
    holds = bool(distance <= golden.tolerance)  # not a number is no less than anything
    return Trial(holds, f"its {outputs.size} outputs differ by at most {distance:.3g}, allowed are {golden.tolerance:.3g}")
