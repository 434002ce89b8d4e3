"""`dsmobile doctor`: a float network and its integers on a person's data, layer by layer, and what follows from it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from dsmobile.diagnosis.causes import FEWEST_FOR_MEANS, find_causes
from dsmobile.diagnosis.diagnosis import Diagnosis, Measured, Price, read_measured
from dsmobile.diagnosis.process import Limits, compare_in_process
from dsmobile.diagnosis.sides import DEFAULT_RECIPE, Sides, is_artifact, of_artifact, of_source
from dsmobile.errors import DataError, UsageError
from dsmobile.exporters.calibration import Inputs

PRICED = 5
Progress = Callable[[str, float], None]


def _silent(_stage: str, _fraction: float) -> None:
    """Shows nothing."""


def doctor(
    subject: str,
    *,
    data: Path,
    reference: Path | None = None,
    preprocess: str | None = None,
    calibration: str | None = None,
    limit: int | None = None,
    recipe: str | None = None,
    prices: bool = False,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> Diagnosis:
    """Says where and why quantization lost accuracy.

    Args:
        subject: A quantized `.tflite` file, anybody's; or SOURCE, as for `export`.
        data: A folder of images or an `.npz`; labels are not needed.
        reference: Of a file: the float `.tflite` file of the same network; None finds the one of the same export.
        preprocess: From RGB bytes to the input; None takes the manifest's or the source's.
        calibration: Of a source: what sets the ranges; None takes the data.
        limit: Take that many inputs, evenly spread; 100 by default.
        recipe: Of a source: the recipe; `int8` by default.
        prices: Of a source: whether to say what each of the worst layers would cost in float32.
        progress: Called with what was done, in words, and as a fraction.
        limits: What the comparison may take.

    Raises:
        UsageError: An option does not apply.
        ModelError: A file cannot be opened or run, or there is no float file.
        DataError: The data or the preprocessing are missing, or do not fit.
    """
    progress = progress or _silent
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} leaves no inputs", "give --limit 1 or more, or leave it away")
    files = is_artifact(subject)
    refused = {"calibration": calibration, "recipe": recipe, "prices": prices or None} if files else {"reference": reference}
    for name, value in refused.items():
        if value is not None:
            whose = "a finished file" if files else "a source, which is its own reference"
            raise UsageError(f"--{name} does not apply to {subject}: it is {whose}", f"leave --{name} away")
    with tempfile.TemporaryDirectory(prefix="dsmobile-doctor-") as name:
        folder = Path(name)
        if files:
            progress("opening the files", 0.0)
            sides = of_artifact(Path(subject), reference, data, preprocess, limit)
        else:
            progress("planning the integers", 0.0)
            sides = of_source(subject, data, preprocess, calibration, recipe or DEFAULT_RECIPE, limit, folder, prices=prices)
        begun = 0.05 if files else 0.4
        measured = _measure(sides, folder, lambda fraction: progress("comparing layer by layer", begun + (0.9 - begun) * fraction), limits)
        found = _prices(sides, measured, progress) if prices else ()
    measured = replace(measured, layers=tuple(replace(layer, name=sides.called.get(layer.name, layer.name)) for layer in measured.layers))
    progress("done", 1.0)
    return Diagnosis(
        artifact=str(Path(subject).resolve()) if files else None,
        source=None if files else subject,
        origin=sides.origin,
        reference=str(sides.reference.resolve()) if files else None,
        data=str(data.resolve()),
        measured=measured,
        causes=find_causes(measured, sides.origin),
        prices=found,
        notes=(*sides.notes, *_few(measured.final.count)),
    )


def _few(count: int) -> list[str]:
    """What is to be said of figures that rest on few inputs."""
    if count >= FEWEST_FOR_MEANS:
        return []
    return [f"looked at {count} input{'s' * (count != 1)} only: the loss to expect, shares and causes rest on little; give about 100"]


def _measure(sides: Sides, folder: Path, progress: Callable[[float], None], limits: Limits | None) -> Measured:
    paths = _write_inputs(sides.inputs, folder, sides.stored_as or "float32")
    return read_measured(compare_in_process(sides.quantized, sides.reference, paths, progress, stored_as=sides.stored_as, limits=limits))


def _write_inputs(inputs: Inputs, folder: Path, dtype: str) -> list[Path]:
    """Every sample, one file for each of the network's inputs, shape (count, ...); never held whole.

    Raises:
        DataError: They differ in size.
    """
    with ExitStack() as stack:
        files: list[IO[bytes]] = []
        shapes: list[tuple[int, ...]] = []
        for sample in inputs.samples():
            if not files:
                shapes = [x.shape[1:] for x in sample]
                files = [stack.enter_context((folder / f"input{place}.npy").open("wb")) for place in range(len(sample))]
                for file, shape in zip(files, shapes, strict=True):
                    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (inputs.count, *shape)}
                    np.lib.format.write_array_header_1_0(file, header)
            for file, shape, x in zip(files, shapes, sample, strict=True):
                if x.shape[1:] != shape:
                    advice = "add a crop to --preprocess, so that all inputs have the network's size"
                    raise DataError(f"the inputs differ in size: {shape} and {x.shape[1:]}", advice)
                file.write(np.ascontiguousarray(x[0], dtype).tobytes())
        return [Path(file.name) for file in files]


def _prices(sides: Sides, measured: Measured, progress: Progress) -> tuple[Price, ...]:
    """What each of the layers with the largest shares would cost in float32."""
    from dsmobile.exporters.mixed import cost_of

    base, sample = sides.base, next(iter(sides.inputs.samples()))
    if base is None:
        return ()
    worst = sorted((layer for layer in measured.layers if layer.weights and layer.share), key=lambda layer: -(layer.share or 0.0))[:PRICED]
    found = []
    for number, layer in enumerate(worst):
        progress(f"what {layer.name} costs in float32", 0.9 + 0.1 * number / len(worst))
        cost = cost_of(base.without([layer.name]), base.plan, sample)
        found.append(Price(sides.called.get(layer.name, layer.name), cost.extra_bytes, cost.latency_ratio, cost.pairs))
    return tuple(found)
