"""The two files that a diagnosis compares: a person's own, or those that a source's plan becomes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dsmobile.diagnosis.diagnosis import Origin
from dsmobile.errors import DataError, ModelError, UsageError
from dsmobile.evaluation.inputs import preprocessing_of
from dsmobile.exporters.artifact import SUFFIX, Manifest, read_manifest
from dsmobile.exporters.calibration import DatasetInputs, Inputs, NamedArrays, spread_over
from dsmobile.exporters.familiarity import SAMPLES, Familiarity, familiarity
from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.mixed import Base
from dsmobile.exporters.operators import Dense, Reshape
from dsmobile.exporters.sniff import check_model_file

DEFAULT_RECIPE = "int8"
MOST_INPUTS = 100


@dataclass(frozen=True, eq=False)
class Sides:
    """What is compared.

    Args:
        quantized: The quantized `.tflite` file.
        reference: The float one.
        inputs: On which; real values, but for `stored_as`.
        stored_as: The type of inputs that are integers as the quantized file takes them; empty where they are real values.
        origin: How the quantized file came about.
        base: Of a source and an int8 recipe, where prices are asked for: what other plans are made from.
        called: What people call a layer, where that is not its name in the plan.
        notes: What a person must know.
    """

    quantized: Path
    reference: Path
    inputs: Inputs
    stored_as: str = ""
    origin: Origin = field(default_factory=Origin)
    base: Base | None = None
    called: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_artifact(subject: str) -> bool:
    """Whether ARTIFACT|SOURCE names an exported file."""
    return Path(subject).suffix.lower() in (".tflite", ".lite", ".onnx")


def of_artifact(artifact: Path, reference: Path | None, data: Path, preprocess: str | None, limit: int | None) -> Sides:
    """A quantized file and the float one beside it.

    Args:
        artifact: A `.tflite` file, anybody's.
        reference: The float `.tflite` file; None finds the one of the same export.
        data: A folder of images or an `.npz`.
        preprocess: From RGB bytes to the input; None takes the manifests'.
        limit: Take that many inputs, evenly spread.

    Raises:
        ModelError: A file is no TFLite file, or there is no float file.
        DataError: The data do not fit, or nothing says how images become the input.
        UsageError: Both are the same file.
    """
    if check_model_file(artifact) == "onnx":
        raise ModelError(f"{artifact} is an ONNX file, and only TFLite files are compared layer by layer", _same_integers(artifact))
    manifest = read_manifest(artifact)
    if manifest is not None and manifest.recipe_values.get("weights") == "float32":
        raise UsageError(f"{artifact.name} is float32: nothing is quantized in it", "give the int8 file of the same export")
    reference = reference or _float_beside(artifact, manifest)
    if check_model_file(reference) != "tflite":
        raise ModelError(f"the reference {reference} is no TFLite file", "give the float .tflite file of the same network")
    if reference.resolve() == artifact.resolve():
        raise UsageError("the artifact and its reference are the same file", "give the float file of the same network as --reference")
    manifests = {artifact: manifest, reference: read_manifest(reference)}
    other = manifests[reference]
    if manifest is not None and other is not None and (manifest.pair_id, manifest.role) != (other.pair_id, other.role):
        raise ModelError(f"{artifact.name} and {reference.name} were exported from different networks", "give the float file of the same network")
    ours: dict[Path, Manifest | None] = {path: found for path, found in manifests.items() if found is not None}
    preprocessing, said = preprocessing_of(data, preprocess, ours or {artifact: None})
    inputs, stored_as = _inputs_of_files(data, preprocessing, manifests[reference] or manifest, limit)
    return Sides(artifact, reference, inputs, stored_as, _origin(artifact, manifest), notes=tuple(dict.fromkeys(said.values())))


def _origin(artifact: Path, manifest: Manifest | None) -> Origin:
    """What a file's manifest says of how it came about.

    Raises:
        ModelError: It is damaged.
    """
    if manifest is None:
        return Origin()
    known = manifest.calibration.get("familiarity")
    try:
        found = Familiarity(str(known["layer"]), float(known["shift"]), float(known["ratio"])) if known else None
    except (KeyError, TypeError, ValueError) as error:
        advice = "export the model again, or remove the manifest to treat the file as a stranger's"
        raise ModelError(f"the manifest of {artifact} is damaged: calibration.familiarity has no {error}", advice) from error
    return Origin(manifest.recipe, manifest.correction, calibration=found)


def _same_integers(artifact: Path) -> str:
    """Where the TFLite file with an ONNX file's integers is."""
    manifest = read_manifest(artifact)
    if manifest is None:
        return "give the network's Keras model as SOURCE; for this file's loss of top-1, `dsmobile evaluate --reference` with the float .onnx file"
    how = "give the .tflite of the same export, which holds the same integers; `dsmobile export --format tflite` writes it"
    twin = artifact.with_suffix(".tflite")
    if not manifest.weights_sha256 or not twin.is_file():
        return how
    other = read_manifest(twin)
    return f"give {twin}: it holds the same integers" if other is not None and other.weights_sha256 == manifest.weights_sha256 else how


def _float_beside(artifact: Path, manifest: Manifest | None) -> Path:
    """The float32 file of the same network and role in the same folder.

    Raises:
        ModelError: There is none.
    """
    how = "give --reference with the float32 .tflite file of the same network"
    if manifest is None:
        raise ModelError(f"{artifact} has no manifest of ours beside it: nothing says which float file it came from", how)
    for path in sorted(artifact.parent.glob(f"*.tflite{SUFFIX}")):
        other = path.with_name(path.name.removesuffix(SUFFIX))
        found = read_manifest(other) if other.is_file() else None
        if found is None or found.recipe_values.get("weights") != "float32":
            continue
        if (found.name, found.role, found.pair_id) == (manifest.name, manifest.role, manifest.pair_id):
            return other
    raise ModelError(f"no float32 .tflite of {manifest.name} lies beside {artifact}", f"{how}; `dsmobile export --recipe float32` writes it")


def _inputs_of_files(data: Path, preprocessing: Any, manifest: Manifest | None, limit: int | None) -> tuple[Inputs, str]:
    from dsmobile.dataset import ArrayFile, open_dataset

    count = limit or MOST_INPUTS
    if manifest is not None and len(manifest.inputs) > 1:
        if data.suffix.lower() != ".npz":
            named = ", ".join(info.name for info in manifest.inputs)
            raise DataError(f"{data} cannot give {len(manifest.inputs)} inputs", f"give an .npz with one array for each: {named}")
        return NamedArrays(data, tuple(info.name for info in manifest.inputs), tuple(info.shape[1:] for info in manifest.inputs), count), ""
    dataset = open_dataset(data, preprocessing, None, count, scale_later=True)
    if isinstance(dataset, ArrayFile) and dataset.needs_quantization:
        return DatasetInputs(replace(dataset, quantization=(1.0, 0))), np.dtype(dataset.dtype).name
    return DatasetInputs(dataset), ""


def of_source(
    source: str, data: Path, preprocess: str | None, calibration: str | None, recipe_name: str, limit: int | None, folder: Path, *, prices: bool
) -> Sides:
    """A source's plan, as a float file and a quantized one.

    Args:
        source: SOURCE, as for `export`.
        data: A folder of images or an `.npz`.
        preprocess: From RGB bytes to the input; None takes the source's own.
        calibration: What sets the ranges; None takes the data.
        recipe_name: The recipe.
        limit: Take that many inputs, evenly spread.
        folder: Where the files are written.
        prices: Whether layers are to be priced.

    Raises:
        DsmobileError: The source, the recipe or the data do not fit.
    """
    from dsmobile.exporters import tflite
    from dsmobile.exporters.calibration import calibration_inputs
    from dsmobile.exporters.ends import with_ends
    from dsmobile.exporters.export import Exporter, Order
    from dsmobile.exporters.planning import float_plan
    from dsmobile.exporters.recipe import read_recipe
    from dsmobile.exporters.request import ExportRequest, check_fit
    from dsmobile.networks import prepare
    from dsmobile.preprocessing import parse
    from dsmobile.sources import SourceOptions, input_shapes, load

    recipe = read_recipe(recipe_name)
    if recipe.weights == "float32":
        raise UsageError(f"the recipe {recipe.name} quantizes nothing", "take --recipe int8, or another one with integers")
    if prices and recipe.activations != "int8":
        raise UsageError(f"--prices does not apply to the recipe {recipe.name}, which has no int8 activations", "take it with --recipe int8")
    calibrates = recipe.quantized or recipe.correction != "none"
    if calibration and not calibrates:
        raise UsageError(f"--calibration does not apply to the recipe {recipe.name}, which needs none", "leave --calibration away")
    loaded = load(source, SourceOptions())
    shapes = input_shapes(loaded)
    preprocessing = parse(preprocess) if preprocess else loaded.preprocessing
    check_fit(preprocessing, shapes, loaded.name)
    given, setting = (
        calibration_inputs(
            choice, named_shapes=shapes, preprocessing=preprocessing, random_weights=loaded.random, quantized=recipe.quantized, count=count
        )
        for choice, count in ((str(data), limit or MOST_INPUTS), (calibration or str(data), recipe.calibration_count))
    )
    for choice, inputs in ((data, given), (calibration, setting)):
        _require_sizes(choice, inputs, tuple(shapes.values()))
    network = prepare(loaded, "model", ExportRequest(source), setting, None)
    exporter = Exporter(network, Order(folder, preprocessing=preprocessing), setting)
    planned = exporter.planner.planned(recipe)
    model = exporter.planner.lowered if recipe.activations == "int8" else exporter.planner.model
    paths = folder / "quantized.tflite", folder / "float32.tflite"
    for path, plan in zip(paths, (planned.plan, float_plan(model)), strict=True):
        path.write_bytes(tflite.write(with_ends(plan, softmax=exporter.ends_in_softmax, io="float32")))
    notes = []
    if calibrates and not calibration:
        notes.append("calibrated with the data themselves: give --calibration to see whether what you calibrate with is like them")
    if loaded.random:
        notes.append("the weights are random: what is said of accuracy holds for this random network only")
    base = exporter.planner.base(recipe) if prices else None
    known = not loaded.random  # random weights have learned no inputs
    origin = Origin(
        recipe.name,
        planned.correction,
        same_inputs=not calibration,
        data=familiarity(loaded.model, given) if known else None,
        calibration=familiarity(loaded.model, setting) if known and calibration else None,
    )
    return Sides(*paths, given, "", origin, base, _called(model, exporter.planner.model), tuple(notes))


def _require_sizes(choice: Any, inputs: Inputs, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Raises where samples are not what the network takes.

    Raises:
        DataError: One has another size.
    """
    for sample in spread_over(inputs, SAMPLES):
        for x, shape in zip(sample, shapes, strict=True):
            if x.shape[1:] != shape:
                given, taken = (" x ".join(map(str, sides)) for sides in (x.shape[1:], shape))
                advice = "add a crop to --preprocess, so that all inputs have the network's size"
                raise DataError(f"{choice} gives an input of {given}, but the network takes {taken}", advice)


def _called(lowered: FoldedModel, model: FoldedModel) -> dict[str, str]:
    """A convolution that was lowered to a dense layer behind its reshape bears the reshape's name there; people know the convolution's."""
    nodes = {node.name: node for node in model}
    dense = [nodes[node.name] for node in lowered if isinstance(node.operator, Dense) and node.name in nodes]
    return {node.name: node.inputs[0] for node in dense if isinstance(node.operator, Reshape)}
