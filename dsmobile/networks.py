"""From a source to the networks of an export: weights that compute something, the twin, and what both cost."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from math import prod
from typing import Any

from dsmobile.architectures.activation_memory import Execution, execution
from dsmobile.architectures.builder import build
from dsmobile.architectures.cost import ITEM_BYTES, Cost, cost
from dsmobile.architectures.graph import read_graph
from dsmobile.architectures.initialisation import he_normal, settle
from dsmobile.architectures.pairs import find_pairs
from dsmobile.architectures.spatial import find_spatial_pairs
from dsmobile.architectures.twin import BY_RULE, Match, Twin, match_by_either, match_by_width, standard_twin, widened_twin
from dsmobile.errors import ModelError
from dsmobile.exporters.calibration import Inputs, batch, spread_over
from dsmobile.exporters.export import Network
from dsmobile.exporters.request import ExportRequest
from dsmobile.sources import Source, SourceOptions

_LARGEST_PEAK_BYTES = 1 << 30  # eight inputs at once set the statistics of batch normalizations


def source_options(request: ExportRequest) -> SourceOptions:
    """How the request wants its source."""
    return SourceOptions(request.alpha, request.resolution, request.channels, request.classes, request.top, request.weights, request.seed or 0)


def prepare(source: Source, role: str, request: ExportRequest, inputs: Inputs, match: Match | None) -> Network:
    """The network of one role, with weights that compute something; `match` is what `plan_twin` found."""
    seed = request.seed or 0
    peak = execution(source.model).peak_activation_bytes("float32")
    if peak > _LARGEST_PEAK_BYTES:
        raise ModelError(f"{source.name} holds {peak / 2**30:.1f} GiB of activations for one input", "lower the resolution or the filters")
    batches = batch(spread_over(inputs, 8))
    if source.random and role != "twin":
        he_normal(source.model, seed)
        settle(source.model, *batches)
    model, twin = source.model, {}
    if role == "twin":
        made = make_twin(source, request, match)
        model = made.model
        if request.twin != "standard":
            he_normal(model, seed)
        elif made.fresh:
            he_normal(model, seed, made.fresh)
        if made.fresh or source.random or request.twin != "standard":
            settle(model, *batches)
        twin = {
            "kind": request.twin,
            "same_function": made.same_function and request.twin == "standard",
            **(asdict(match) if match else {}),
            "pairs": [{"name": pair.name, "rule": pair.rule, "ratio": pair.ratio} for pair in made.pairs],
        }
    counted = cost(model)
    identity = json.dumps([source.name, source.record, request.twin], sort_keys=True, default=str)
    pair_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Network(source.name, role, model, counted.macs, counted.parameters, pair_id, source.record, twin)


def plan_twin(source: Source, request: ExportRequest) -> Match | None:
    """Proves that the twin asked for can be made, before anything is written.

    Returns:
        The twin's width, by the architecture's rule where it has one that comes near; None where it keeps the network's.

    Raises:
        ModelError: There is nothing to replace, or a layer's width cannot be changed.
        SpecError: No width of the twin comes near what the network costs.
    """
    if request.twin == "none":
        return None
    match = None
    if request.twin != "standard":
        by_rule = source.spec is not None and source.spec.alpha is not None
        if by_rule and source.spec:
            match = match_by_either(source.spec, source.model, request.twin, **_size(request))
        else:
            match = match_by_width(source.model, request.twin)
    make_twin(source, request, match)
    return match


def make_twin(source: Source, request: ExportRequest, match: Match | None) -> Twin:
    """The twin that a request asks for, at the width that `plan_twin` found."""
    if match is None:
        return standard_twin(source.model)
    if match.widened_by == BY_RULE and source.spec:
        return standard_twin(build(source.spec, seed=request.seed or 0, **{**_size(request), "alpha": match.alpha}))
    return widened_twin(source.model, match.alpha)


def _size(request: ExportRequest) -> dict[str, Any]:
    """What `build` is told of an architecture's size."""
    return {
        "alpha": request.alpha, "resolution": request.resolution, "channels": request.channels, "classes": request.classes, "top": request.top,
    }  # fmt: skip


def describe(source: Source, request: ExportRequest) -> dict[str, Any]:
    """What a network and its twin cost, pair by pair: the document of `dsmobile models show --json`."""
    counted = cost(source.model)
    run = execution(source.model, counted)
    graph = read_graph(source.model)
    pairs = find_pairs(graph)
    document: dict[str, Any] = {
        "name": source.name,
        "title": source.spec.title if source.spec else "",
        "paper": source.spec.paper if source.spec else "",
        "input_shape": list(source.model.inputs[0].shape[1:]),
        "parameters": counted.parameters,
        "normalization_parameters": sum(call.parameters for call in counted.calls if call.kind == "BatchNormalization"),
        "trainable_parameters": sum(prod(weight.shape) for weight in source.model.trainable_weights),
        "macs": counted.macs,
        **_memory(counted, run),
        "not_counted": list(counted.unknown),
        "published": _published(source, request),
        "twin": None,
        "pairs": [
            {
                "name": pair.name,
                "rule": pair.rule,
                "separable_macs": pair.separable_macs,
                "standard_macs": pair.standard_macs,
                "separable_parameters": pair.separable_parameters,
                "standard_parameters": pair.standard_parameters,
                "ratio": pair.ratio,
                "formula": pair.formula,
                "formula_ratio": pair.formula_ratio,
            }
            for pair in pairs
        ],
        "spatial_pairs": [
            {
                "name": pair.name,
                "with": pair.second.layer.name,
                "separable_macs": pair.separable_macs,
                "standard_macs": pair.standard_macs,
                "ratio": pair.ratio,
                "formula": pair.formula,
                "formula_ratio": pair.formula_ratio,
            }
            for pair in find_spatial_pairs(graph)
        ],
        "layers": [_layer(number, counted, run) for number in range(len(counted.calls))],
    }
    if pairs and request.twin != "none":
        match = plan_twin(source, request)
        twin = make_twin(source, request, match).model
        twin_cost = cost(twin)
        document["twin"] = {
            "kind": request.twin,
            "parameters": twin_cost.parameters,
            "macs": twin_cost.macs,
            "macs_ratio": twin_cost.macs / counted.macs,
            **(asdict(match) if match else {}),
            **_memory(twin_cost, execution(twin, twin_cost)),
        }
    return document


def _memory(counted: Cost, run: Execution) -> dict[str, Any]:
    """What a network's weights and tensors take, at each precision."""
    return {
        "weight_bytes": {dtype: counted.weight_bytes(dtype) for dtype in ITEM_BYTES},
        "peak_activation_bytes": {dtype: run.peak_activation_bytes(dtype) for dtype in ITEM_BYTES},
        "peak_activation_at": run.peak_step.name if run.peak_step else None,
        "arithmetic_intensity": {dtype: run.arithmetic_intensity(dtype) for dtype in ITEM_BYTES},
    }


def _layer(number: int, counted: Cost, run: Execution) -> dict[str, Any]:
    """One layer: what it costs, and what the step costs that it computes in; None there where another layer's step takes it in."""
    call = counted.calls[number]
    own = Execution(tuple(step for step in run.steps if step.core == number), run.given)
    host = next((step for step in run.steps if number in step.taken), None)
    known = bool(own.steps) and call.macs is not None
    return {
        "name": call.name,
        "kind": call.kind,
        "output_shape": list(call.output_shape),
        "macs": call.macs,
        "parameters": call.parameters,
        "weight_bytes": {dtype: call.weight_bytes(dtype) for dtype in ITEM_BYTES},
        "activation_bytes": {dtype: own.peak_activation_bytes(dtype) for dtype in ITEM_BYTES} if own.steps else None,
        "arithmetic_intensity": {dtype: own.arithmetic_intensity(dtype) for dtype in ITEM_BYTES} if known else None,
        "fused_into": counted.calls[host.core].name if host else None,
    }


def _published(source: Source, request: ExportRequest) -> list[dict[str, Any]]:
    """The paper's figures, and which of them are those of the network shown; what an entry leaves out is the file's default."""
    spec = source.spec
    if spec is None:
        return []
    alpha = spec.alpha_at(request.alpha)
    sides = tuple(source.model.inputs[0].shape[1:3])
    usual = request.top and request.classes in (None, spec.classes) and request.channels in (None, spec.channels)

    def matches(entry: dict[str, Any]) -> bool:
        side = entry.get("resolution", list(spec.resolution))
        return usual and entry.get("alpha", spec.default_alpha) == alpha and sides == (tuple(side) if isinstance(side, list) else (side, side))

    return [{**entry, "matches": matches(entry)} for entry in map(dict, spec.published)]
