"""The whole product on a page: one function for each verb, from frozen values and files to frozen values and files.

The only place that knows two stages at once. In a notebook: `from dsmobile import pipeline`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dsmobile.errors import UsageError
from dsmobile.exporters.request import ExportRequest
from dsmobile.files import prepare_folder, refuse_overwriting

SMALLEST_LOGIT = 1e-4
Progress = Callable[[str, float], None]
__all__ = [
    "ExportRequest",
    "bench",
    "doctor",
    "evaluate",
    "export",
    "foresee",
    "inspect",
    "list_models",
    "quickstart",
    "report",
    "ship_android",
    "ship_check",
    "ship_goldens",
    "ship_metadata",
    "show_model",
]
RANDOM_WEIGHTS = "The weights are random: latency and size are valid, accuracy is not."
RANDOM_TWIN = (
    "The twin's convolutions have random weights, since something non-linear, or a constant before a padding, stands where they were joined: "
    "its latency and size are valid, its accuracy is not."
)
NO_SCORES = "The network gives a map, not one score a class: read the SQNR, not the share of the same top-1."
RANDOM_WIDTH = "The twin has another width, so all its weights are random: its latency and size are valid, its accuracy is not."


def _silent(_stage: str, _fraction: float) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Args:
        paths: The files, in the order in which they were written.
        manifests: Their manifests.
        notes: What a person must know.
    """

    paths: tuple[Path, ...]
    manifests: tuple[Any, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document of `dsmobile export --json`."""
        from dsmobile.exporters.artifact import manifest_path

        return {
            "artifacts": [
                {
                    "path": str(path),
                    "manifest": str(manifest_path(path)),
                    "format": manifest.format,
                    "recipe": manifest.recipe,
                    "role": manifest.role,
                    "sha256": manifest.sha256,
                    "size_bytes": manifest.size_bytes,
                    "macs": manifest.macs,
                    "parameters": manifest.parameters,
                    "correction": manifest.correction,
                    "accepted_by": manifest.accepted_by,
                    "parity": {
                        "max_abs_error": manifest.parity.max_abs_error,
                        "sqnr_db": manifest.parity.sqnr_db,
                        "top1_agreement": manifest.parity.top1_agreement,
                        "count": manifest.parity.count,
                    },
                }
                for path, manifest in zip(self.paths, self.manifests, strict=True)
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Asked:
    """An export that was asked for, its network loaded, its options found to fit.

    Args:
        source: The network.
        recipes: Of the files.
        shapes: Of the network's inputs, without the batch.
        preprocessing: From RGB bytes to the network's input.
        order: How the files are wanted; its preprocessing is the files'.
        jobs: Role, format and recipe of each file.
    """

    source: Any
    recipes: list[Any]
    shapes: dict[str, tuple[int, ...]]
    preprocessing: Any
    order: Any
    jobs: list[tuple[str, str, Any]]

    @property
    def files(self) -> list[tuple[str, Any]]:
        """Format and recipe of each file of one network."""
        return [(file_format, recipe) for role, file_format, recipe in self.jobs if role == self.jobs[0][0]]

    @property
    def inside(self) -> bool:
        """Whether the files do the last step of preprocessing."""
        return self.order.preprocessing is not self.preprocessing

    @cached_property
    def accepted(self) -> dict[str, Any]:
        """Who will accept each file, by `RECIPE FORMAT`."""
        from dsmobile.exporters.foresight import foresee

        return foresee(self.as_written(self.source.model), self.order, self.files)

    def as_written(self, model: Any) -> Any:
        """A network as the files hold it."""
        from dsmobile.exporters.rescaling import with_rescaling

        return with_rescaling(model, self.preprocessing) if self.inside else model


def _asked(request: ExportRequest, progress: Progress) -> _Asked:
    from dsmobile.exporters.consumers import check_consumers, require_accepted
    from dsmobile.exporters.export import Order
    from dsmobile.exporters.fold import fold
    from dsmobile.exporters.onnx import Layout
    from dsmobile.exporters.request import check_fit, checked_recipes, formats_of
    from dsmobile.exporters.rescaling import INSIDE, of_bytes
    from dsmobile.labels import read_labels, require_count
    from dsmobile.networks import source_options
    from dsmobile.preprocessing import parse
    from dsmobile.sources import input_shapes, load

    recipes = checked_recipes(request)
    check_consumers(request.consumers)
    labels = read_labels(request.labels) if request.labels else ()
    preprocessing = parse(request.preprocess) if request.preprocess else None
    progress("loading the network", 0.0)
    source = load(request.source, source_options(request))
    shapes = input_shapes(source)
    fold(source.model)  # names what cannot be written before data are asked for
    preprocessing = preprocessing or source.preprocessing
    check_fit(preprocessing, shapes, source.name)
    if request.labels:
        require_count(labels, int(source.model.outputs[0].shape[-1]), request.labels)
    inside = request.rescaling == INSIDE
    if inside and preprocessing is None:
        raise UsageError("--rescaling inside needs to know the scale", 'give --preprocess "resize=256,crop=224,scale=-1..1", or leave it away')
    order = Order(
        request.out, request.head, request.io, request.target, of_bytes(preprocessing) if inside and preprocessing else preprocessing, labels,
        request.keep_failed, request.force, Layout(request.layout, request.dynamic_batch), request.author, request.license, request.rescaling,
    )  # fmt: skip
    roles = ("model",) if request.twin == "none" else ("separable", "twin")
    jobs = [(role, file_format, recipe) for role in roles for recipe in recipes for file_format in formats_of(request, recipe)]
    asked = _Asked(source, recipes, shapes, preprocessing, order, jobs)
    if request.consumers:
        require_accepted(request.consumers, asked.accepted)
    return asked


def foresee(request: ExportRequest) -> dict[str, Any]:
    """Who would accept which file of an export, before anything is computed: the document of `dsmobile export --dry-run --json`.

    Raises:
        DsmobileError: Bad input (exit 3), options that do not apply (2).
    """
    asked = _asked(request, _silent)
    return {
        "name": asked.source.name,
        "artifacts": [
            {
                "format": file_format,
                "recipe": recipe.name,
                "accepted_by": {one.consumer: one.to_json() for one in asked.accepted[f"{recipe.name} {file_format}"]},
            }
            for file_format, recipe in asked.files
        ],
    }


def export(request: ExportRequest, progress: Progress = _silent) -> Exported:
    """Builds or loads a network, and its twin, and writes them in every format and recipe asked for.

    Raises:
        DsmobileError: Bad input (exit 3), options that do not apply (2), a failed conversion or comparison (4).
    """
    from dsmobile.exporters.calibration import SYNTHETIC, UnscaledInputs, calibration_inputs
    from dsmobile.exporters.export import Exporter, artifact_path
    from dsmobile.exporters.familiarity import calibration_notes, familiarity
    from dsmobile.exporters.rescaling import RESCALING
    from dsmobile.networks import plan_twin, prepare
    from dsmobile.tflite_metadata.describing import repeated_note

    asked = _asked(request, progress)
    source, recipes, preprocessing, jobs = asked.source, asked.recipes, asked.preprocessing, asked.jobs
    inputs = calibration_inputs(
        request.calibration,
        named_shapes=asked.shapes,
        preprocessing=preprocessing,
        random_weights=source.random,
        quantized=any(recipe.quantized for recipe in recipes),
        count=max(recipe.calibration_count for recipe in recipes),
        synthetic_range=(0.0, 255.0) if _rescales_itself(source.model) else (-1.0, 1.0),
    )
    if request.seed is not None and not source.random and request.twin == "none":
        raise UsageError(f"--seed does not apply to {request.source}: its weights are given", "leave --seed away")
    twin_alpha = plan_twin(source, request)
    judged = any(recipe.quantized for recipe in recipes) and inputs.kind != SYNTHETIC and not source.random
    familiar = familiarity(source.model, inputs) if judged else None
    out = prepare_folder(request.out)
    refuse_overwriting([artifact_path(out, source.name, role, recipe.name, fmt) for role, fmt, recipe in jobs], force=request.force)
    order = replace(asked.order, out=out, familiarity=familiar.to_json() if familiar else {})
    paths: list[Path] = []
    manifests: list[Any] = []
    left: list[str] = []
    file_inputs = UnscaledInputs(inputs, preprocessing) if asked.inside else inputs
    for role in dict.fromkeys(role for role, _, _ in jobs):
        progress(f"{role}: weights and graph", len(paths) / len(jobs))
        network = prepare(source, role, request, inputs, twin_alpha)
        exporter = Exporter(replace(network, model=asked.as_written(network.model)), order, file_inputs)
        left += [name for name in exporter.logits.left if RESCALING not in name]
        for _, file_format, recipe in (job for job in jobs if job[0] == role):
            progress(f"{role}: {recipe.name} {file_format}", len(paths) / len(jobs))
            path, manifest = exporter.write(file_format, recipe)
            paths.append(path)
            manifests.append(manifest)
    progress("done", 1.0)
    notes = _notes(source, inputs, preprocessing, recipes, left, manifests)
    notes += filter(None, [repeated_note(order.labels)])
    if judged:
        notes += calibration_notes(inputs, familiar)
    return Exported(tuple(paths), tuple(manifests), tuple(notes))


def _notes(source: Any, inputs: Any, preprocessing: Any, recipes: list[Any], left: list[str], manifests: list[Any]) -> list[str]:
    from dsmobile.exporters.mixed import note as mixed_note

    notes = list(source.notes)
    if len(source.model.outputs[0].shape) > 2:
        notes.append(NO_SCORES)
    if source.random:
        notes.append(RANDOM_WEIGHTS)
    elif inputs.kind == "synthetic" and any(recipe.quantized for recipe in recipes):
        notes.append("int8 was calibrated with synthetic pictures: it runs, but loses accuracy. Give --calibration with about 100 typical images.")
    if not source.random and any(manifest.role == "twin" and not manifest.twin["same_function"] for manifest in manifests):
        notes.append(
            RANDOM_TWIN if all(manifest.twin.get("kind") == "standard" for manifest in manifests if manifest.role == "twin") else RANDOM_WIDTH
        )
    if min(manifest.parity.max_abs_reference for manifest in manifests) < SMALLEST_LOGIT:
        notes.append(f"The network's own outputs stay below {SMALLEST_LOGIT:g}: comparing files on them shows nothing. Is it trained?")
    if preprocessing and preprocessing.input_range != (0.0, 255.0) and _rescales_itself(source.model):
        notes.append("The network begins by rescaling its input, so it may want bytes: scale=0..255 in --preprocess.")
    names = [layer.partition(":")[0] for layer in dict.fromkeys(left)]
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        notes.append(f"Not folded, since no convolution alone feeds them: {shown}. They stay as a scale and a shift.")
    notes += filter(None, dict.fromkeys(mixed_note(manifest.correction) for manifest in manifests))
    return notes


def _rescales_itself(model: Any) -> bool:
    from dsmobile.architectures.graph import read_graph

    graph = read_graph(model)
    return any(call.kind in ("Rescaling", "Normalization") for call in graph.consumers(graph.inputs[0]))


def show_model(
    source: str, *, alpha: float | None = None, resolution: int | None = None, channels: int | None = None, classes: int | None = None,
    top: bool = True, twin: str | None = "standard",
) -> dict[str, Any]:  # fmt: skip
    """What a network and its twin cost, pair by pair.

    Args:
        source: As for `export`.
        alpha: Width multiplier.
        resolution: Height and width of the input in pixels.
        channels: Channels of the input.
        classes: Classes of the head.
        top: Whether the head follows the body.
        twin: Kind of the twin; None shows none.

    Returns:
        The document of `dsmobile models show --json`.
    """
    from dsmobile.exporters.request import checked_recipes
    from dsmobile.networks import describe, source_options
    from dsmobile.sources import load

    request = ExportRequest(
        source, alpha=alpha, resolution=resolution, channels=channels, classes=classes, top=top, twin=twin or "none"
    )  # fmt: skip
    checked_recipes(request)
    return describe(load(source, source_options(request)), request)


def list_models() -> list[dict[str, Any]]:
    """The architectures that come with dsmobile."""
    from dsmobile.architectures import finding

    rows = []
    for name in finding.names():
        read = finding.spec_of(name)
        rows.append(
            {
                "name": name,
                "title": read.title,
                "paper": read.paper,
                "resolution": read.resolution[0] if read.resolution[0] == read.resolution[1] else list(read.resolution),
                "published": [dict(e) for e in read.published],
            }
        )
    return rows


def evaluate(artifacts: list[Path], **options: Any) -> Any:
    """Top-1 and top-5 of files on labelled data; see `dsmobile.evaluation.evaluate.evaluate`."""
    from dsmobile.evaluation.evaluate import evaluate as run

    return run(artifacts, **options)


def inspect(path: Path) -> Any:
    """What is inside anybody's model file, and which runtime here takes it; see `dsmobile.inspection.inspect.inspect`."""
    from dsmobile.inspection.inspect import inspect as run

    return run(path)


def doctor(subject: str, **options: Any) -> Any:
    """Where and why quantization lost accuracy; see `dsmobile.diagnosis.doctor.doctor`."""
    from dsmobile.diagnosis.doctor import doctor as run

    return run(subject, **options)


def bench(artifacts: list[Path], **options: Any) -> Any:
    """Latency of files on a device and the speed-up of each pair; see `dsmobile.benchmark.run.bench`."""
    from dsmobile.benchmark.run import bench as run

    return run(artifacts, **options)


def compare(first: Path, second: Path, *, force: bool = False) -> Any:
    """Two results side by side; see `dsmobile.benchmark.compare.compare`."""
    from dsmobile.benchmark.compare import compare as run

    return run(first, second, force=force)


def report(results: list[Path], file_format: str = "html", out: Path | None = None, *, force: bool = False) -> Any:
    """Results as one HTML page, Markdown, CSV or JSON; see `dsmobile.reporting.write.write_report`."""
    from dsmobile.reporting.write import write_report

    return write_report(results, file_format, out, force=force)


def ship_android(artifact: Path, labels: Path, package: str, out: Path | None = None, *, force: bool = False) -> Any:
    """A Gradle module with a model and the Kotlin that feeds it; see `dsmobile.shipping.android.ship_android`."""
    from dsmobile.shipping.android import ship_android as run

    return run(artifact, labels, package, out, force=force)


def ship_goldens(artifact: Path, labels: Path, out: Path | None = None, images: Path | None = None, *, force: bool = False) -> Any:
    """Images, the tensors they become and what the network answers; see `dsmobile.shipping.golden_folder.write_goldens`."""
    from dsmobile.shipping.golden_folder import write_goldens

    return write_goldens(artifact, labels, out, images, force=force)


def ship_metadata(model: Path, labels: Path, out: Path | None = None, **options: Any) -> Any:
    """A copy of a TFLite file that tells its labels and normalization; see `dsmobile.shipping.stamping.stamp_file`."""
    from dsmobile.shipping.stamping import stamp_file

    return stamp_file(model, labels, out, **options)


def ship_check(apk: Path, artifact: Path | None = None, module: Path | None = None) -> Any:
    """What an app's package holds, and whether it is fit to ship; see `dsmobile.shipping.apk.check.check_apk`."""
    from dsmobile.shipping.apk.check import check_apk

    return check_apk(apk, artifact=artifact, module=module)


@dataclass(frozen=True)
class Quickstart:
    """What the quickstart made.

    Args:
        exported: The files.
        result: The measurement.
        result_path: Its file.
        report: The HTML page.
    """

    exported: Exported
    result: Any
    result_path: Path
    report: Path


QUICKSTART_BUDGET_S = 150.0


def quickstart(out: Path, progress: Progress = _silent, *, force: bool = False) -> Quickstart:
    """MobileNetV1 and its standard-convolution twin: built, exported four times each, measured here, reported.

    Args:
        out: The folder; files of an earlier quickstart of the same versions are used again.
        progress: Told what is being done, and the fraction that is finished.
        force: Whether files of other versions may be replaced.
    """
    request = ExportRequest("mobilenet_v1", twin="standard", out=out, force=force)
    exported = _exported_before(request) or export(request, lambda stage, fraction: progress(f"export: {stage}", 0.4 * fraction))
    result, path = bench(
        list(exported.paths),
        budget_s=QUICKSTART_BUDGET_S,
        out=out,
        keep_invalid=True,
        progress=lambda stage, share: progress(f"bench: {stage}", 0.4 + 0.55 * share),
    )
    page = out.resolve() / f"report-{path.stem}.html"
    report([path], "html", page)
    progress("done", 1.0)
    return Quickstart(exported, result, path, page)


def _exported_before(request: ExportRequest) -> Exported | None:
    """The files of an earlier run of the same request by the same versions, if all are whole."""
    from dsmobile.architectures.finding import spec_of
    from dsmobile.exporters.artifact import read_manifest
    from dsmobile.exporters.export import artifact_path, versions
    from dsmobile.exporters.recipe import read_recipe

    paths = [
        artifact_path(request.out.resolve(), request.source, role, recipe, file_format)
        for role in ("separable", "twin")
        for recipe in request.recipes
        for file_format in request.formats
    ]
    manifests = [read_manifest(path) if path.is_file() else None for path in paths]
    architecture = spec_of(request.source).to_json()
    for path, manifest in zip(paths, manifests, strict=True):
        if manifest is None or manifest.versions != versions() or manifest.source.get("architecture") != architecture:
            return None
        recipe = read_recipe(manifest.recipe).to_json()
        if {key: manifest.recipe_values.get(key) for key in recipe} != recipe or manifest.file != path.name:
            return None
    return Exported(tuple(paths), tuple(manifests), (RANDOM_WEIGHTS,))
