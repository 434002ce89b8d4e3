"""From a source to the networks of an export: weights that compute something, the twin, and what both cost."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dsmobile.architectures.builder import build
from dsmobile.architectures.cost import cost
from dsmobile.architectures.graph import read_graph
from dsmobile.architectures.initialisation import he_normal, settle
from dsmobile.architectures.pairs import find_pairs
from dsmobile.architectures.twin import Twin, matching_alpha, standard_twin
from dsmobile.errors import UsageError
from dsmobile.exporters.calibration import Inputs, batch, spread_over
from dsmobile.exporters.export import Network
from dsmobile.exporters.request import ExportRequest
from dsmobile.sources import Source, SourceOptions


def source_options(request: ExportRequest) -> SourceOptions:
    """How the request wants its source."""
    return SourceOptions(request.alpha, request.resolution, request.classes, request.weights, request.seed or 0)


def prepare(source: Source, role: str, request: ExportRequest, inputs: Inputs, alpha: float | None) -> Network:
    """The network of one role, with weights that compute something; `alpha` is what `plan_twin` found."""
    seed = request.seed or 0
    batches = batch(spread_over(inputs, 8))
    if source.random and role != "twin":
        he_normal(source.model, seed)
        settle(source.model, *batches)
    model, twin = source.model, {}
    if role == "twin":
        made = make_twin(source, request, alpha)
        model = made.model
        if source.random and request.twin != "standard":
            he_normal(model, seed)
        elif made.fresh:
            he_normal(model, seed, made.fresh)
        if made.fresh or source.random:
            settle(model, *batches)
        twin = {
            "kind": request.twin,
            "same_function": made.same_function and request.twin == "standard",
            "pairs": [{"name": pair.name, "rule": pair.rule, "ratio": pair.ratio} for pair in made.pairs],
        }
    counted = cost(model)
    identity = json.dumps([source.name, source.record, request.twin], sort_keys=True, default=str)
    pair_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Network(source.name, role, model, counted.macs, counted.parameters, pair_id, source.record, twin)


def plan_twin(source: Source, request: ExportRequest) -> float | None:
    """Proves that the twin asked for can be made, before anything is written.

    Returns:
        The twin's width multiplier; None where it keeps the network's.

    Raises:
        ModelError: There is nothing to replace.
        UsageError, SpecError: Its width cannot be matched.
    """
    if request.twin == "none":
        return None
    if request.twin != "standard" and source.spec is None:
        raise UsageError(f"--twin {request.twin} needs an architecture whose width can be changed", "take --twin standard")
    standard_twin(source.model)
    if request.twin == "standard" or source.spec is None:
        return None
    return matching_alpha(source.spec, request.twin, alpha=request.alpha, resolution=request.resolution, classes=request.classes)


def make_twin(source: Source, request: ExportRequest, alpha: float | None) -> Twin:
    """The twin that a request asks for, at the width that `plan_twin` found."""
    if alpha is None or source.spec is None:
        return standard_twin(source.model)
    network = build(source.spec, alpha=alpha, resolution=request.resolution, classes=request.classes, seed=request.seed or 0)
    return standard_twin(network)


def describe(source: Source, request: ExportRequest) -> dict[str, Any]:
    """What a network and its twin cost, pair by pair: the document of `dsmobile models show --json`."""
    counted = cost(source.model)
    pairs = find_pairs(read_graph(source.model))
    document: dict[str, Any] = {
        "name": source.name,
        "title": source.spec.title if source.spec else "",
        "paper": source.spec.paper if source.spec else "",
        "input_shape": list(source.model.inputs[0].shape[1:]),
        "parameters": counted.parameters,
        "macs": counted.macs,
        "not_counted": list(counted.unknown),
        "published": [dict(entry) for entry in source.spec.published] if source.spec else [],
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
        "layers": [
            {
                "name": call.name,
                "kind": call.kind,
                "output_shape": list(call.output_shape),
                "macs": call.macs,
                "parameters": call.parameters,
            }
            for call in counted.calls
        ],
    }
    if pairs and request.twin != "none":
        twin_cost = cost(make_twin(source, request, plan_twin(source, request)).model)
        document["twin"] = {
            "kind": request.twin,
            "parameters": twin_cost.parameters,
            "macs": twin_cost.macs,
            "macs_ratio": twin_cost.macs / counted.macs,
        }
    return document
