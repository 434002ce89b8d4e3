"""`dsmobile compare`: two results side by side, refused where they were not measured alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsmobile.benchmark.instructions import INSTRUCTIONS, REPEATS_TO
from dsmobile.benchmark.process import median_ns, paired
from dsmobile.benchmark.result import ArtifactResult, PairResult, Replicate, Result, Validity, Verdict, read_result
from dsmobile.benchmark.statistics import LogRatio, no_better_than, unlike_ratio
from dsmobile.benchmark.verdict import verdict
from dsmobile.errors import DataError

SCHEMA = "dsmobile.comparison/1"
CAVEAT = (
    "The two runs had no block in common: whatever the device did between them (heat, updates, neighbours) counts as a difference, and the interval "
    "does not know it. For a verdict on two files, measure them in one run with `dsmobile bench A B --pair A B`."
)
_PHONE = ("pinned_cores", "fixed_performance")
_DEVICE = ("board", "cpu_model", "cores", "machine", "pointer_bits", "userland_architecture", "system", "emulated", *_PHONE)
_SURROUNDINGS = ("memory_bytes", "cpu_features", "system_release", "os_release", "python_version", "numpy_version", "turbo")
_RUNTIME = ("runtime", "runtime_version", "threads", "delegate", "coverage", "exact_kernels")


@dataclass(frozen=True)
class Difference:
    """Something that two runs did not have in common.

    Args:
        what: Its name, such as `runtime_version`.
        before: In the first result.
        after: In the second.
        artifact: Which artifact it concerns; empty where it concerns the whole run.
        forbids: Whether figures of such runs cannot be compared.
    """

    what: str
    before: Any
    after: Any
    artifact: str
    forbids: bool

    def __str__(self) -> str:
        """In words."""
        where = f" of {self.artifact}" if self.artifact else ""
        return f"{self.what}{where}: {_shown(self.before)} against {_shown(self.after)}"


@dataclass(frozen=True)
class Compared:
    """One network, or one pair, in both results.

    Args:
        name: Its name; of a pair, `A against B`.
        before: Median latency in nanoseconds, or a pair's speed-up, in the first result.
        after: The same in the second.
        ratio: How many times faster the second is; of a pair, the second speed-up over the first.
        ratio_interval: Its 95% interval, by Welch's t on the processes (a pair's: the blocks) of each run.
        verdict: What the data carry, of the second against the first.
        minimum_detectable: The smallest difference that the two runs would have shown with 90% power.
    """

    name: str
    before: float
    after: float
    ratio: float
    ratio_interval: tuple[float, float]
    verdict: Verdict
    minimum_detectable: float


@dataclass(frozen=True)
class Comparison:
    """Two results side by side.

    Args:
        before: The first result's file.
        after: The second's.
        metric: `latency` or `instructions`, of the first.
        validities: Of both.
        forced: Whether they were compared although they are unlike.
        differences: What they do not have in common.
        artifacts: The networks that are in both.
        pairs: The pairs that are in both.
        alone: Names of artifacts that are in one only.
    """

    before: str
    after: str
    metric: str
    validities: tuple[Validity, Validity]
    forced: bool
    differences: tuple[Difference, ...]
    artifacts: tuple[Compared, ...]
    pairs: tuple[Compared, ...]
    alone: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"schema": SCHEMA, **asdict(self), "caveat": CAVEAT}


def compare(first: Path, second: Path, *, force: bool = False) -> Comparison:
    """Compares two results of `dsmobile bench`.

    Args:
        first: A result's file.
        second: Another's.
        force: Compare even what was not measured alike.

    Raises:
        DataError: A file is no result, nothing is in both, or they were not measured alike: runtime, version, threads, device, delegate.
    """
    before, after = read_result(first), read_result(second)
    if before.sustained or after.sustained:
        raise DataError("runs without a pause are not compared: each compares its own end with its beginning", "give two results of blocks")
    matches = _matches(before, after)
    if not matches:
        names = [", ".join(dict.fromkeys(artifact.name for artifact in result.artifacts)) for result in (before, after)]
        raise DataError(f"no model is in both: {names[0]} in the first, {names[1]} in the second", "give two results of the same files")
    differences = tuple(_differences(before, after, matches))
    forbidding = [difference for difference in differences if difference.forbids]
    if forbidding and not force:
        raise DataError(
            f"the two runs are unlike: {'; '.join(map(str, forbidding))}",
            "measure both alike, or force the comparison with --force and say so wherever you show its figures",
        )
    known = {artifact.name for pair in matches for artifact in pair}
    return Comparison(
        before=str(first.resolve()),
        after=str(second.resolve()),
        metric=before.metric,
        validities=(before.validity, after.validity),
        forced=bool(forbidding),
        differences=differences,
        artifacts=tuple(_artifacts(before, after, matches)),
        pairs=tuple(_pairs(before, after, matches)),
        alone=tuple(dict.fromkeys(artifact.name for result in (before, after) for artifact in result.artifacts if artifact.name not in known)),
    )


def _matches(before: Result, after: Result) -> list[tuple[ArtifactResult, ArtifactResult]]:
    """Artifacts of the same file name; where there are none, and each result has a single file, those two.

    Of a file that ran under several settings (a log's CPU and GPU), each setting is matched with itself.
    """
    firsts, seconds = _by_file(before), _by_file(after)
    keys = [(key, key) for key in firsts if key in seconds]
    if not keys and len(firsts) == len(seconds) == 1:
        keys = [(next(iter(firsts)), next(iter(seconds)))]
    matches: list[tuple[ArtifactResult, ArtifactResult]] = []
    for key, other_key in keys:
        ones, others = firsts[key], seconds[other_key]
        alike = [(one, others[settings]) for settings, one in ones.items() if settings in others]
        matches += alike if alike else [(list(ones.values())[-1], list(others.values())[-1])]
    return matches


def _by_file(result: Result) -> dict[tuple[str, str], dict[tuple[Any, ...], ArtifactResult]]:
    """The artifacts by name and format, then by settings; a name that two files of one result bear belongs to neither."""
    paths: dict[tuple[str, str], set[str]] = {}
    found: dict[tuple[str, str], dict[tuple[Any, ...], ArtifactResult]] = {}
    for artifact in result.artifacts:
        key = (artifact.name, artifact.format)
        paths.setdefault(key, set()).add(artifact.path)
        found.setdefault(key, {})[_settings(artifact)] = artifact
    return {key: artifacts for key, artifacts in found.items() if len(paths[key]) == 1}


def _settings(artifact: ArtifactResult) -> tuple[Any, ...]:
    """Under what it ran, to look it up by."""
    return tuple(str(getattr(artifact, name)) for name in _RUNTIME)


def _differences(before: Result, after: Result, matches: Sequence[tuple[ArtifactResult, ArtifactResult]]) -> Iterator[Difference]:
    if Validity.INVALID in (before.validity, after.validity):
        yield Difference("validity", before.validity, after.validity, "", forbids=True)
    if before.metric != after.metric:
        yield Difference("metric", before.metric, after.metric, "", forbids=True)
    for keys, forbids in ((_DEVICE, True), (_SURROUNDINGS, False)):
        for key in keys:
            one, other = before.facts.get(key), after.facts.get(key)
            if one != other:
                yield Difference(key, one, other, "", forbids)
    governors = [_governors(result) for result in (before, after)]
    if governors[0] != governors[1]:
        yield Difference("governor", governors[0], governors[1], "", forbids=False)
    for one_artifact, other_artifact in matches:
        for key in _RUNTIME:
            values = getattr(one_artifact, key), getattr(other_artifact, key)
            if values[0] != values[1]:
                yield Difference(key, values[0], values[1], one_artifact.name, forbids=True)
        if one_artifact.sha256 != other_artifact.sha256:
            yield Difference("file", one_artifact.sha256[:8], other_artifact.sha256[:8], one_artifact.name, forbids=False)


def _governors(result: Result) -> str:
    return ", ".join(sorted({str(snapshot["governor"]) for snapshot in result.conditions if snapshot.get("governor")}))


def _artifacts(before: Result, after: Result, matches: Sequence[tuple[ArtifactResult, ArtifactResult]]) -> Iterator[Compared]:
    for one, other in matches:
        processes = [_processes(result, artifact) for result, artifact in ((before, one), (after, other))]
        medians = [[median_ns(process) for process in group] for group in processes]
        if min(map(len, medians)) > 1:
            yield _compared(one.name, one.median_latency_ns, other.median_latency_ns, _repeatable(unlike_ratio(*medians), before.metric))


def _processes(result: Result, wanted: ArtifactResult) -> list[Replicate]:
    """All processes of a file under the same settings: a self-test has it twice, a log once for each setting."""
    return [
        process
        for artifact in result.artifacts
        if artifact.path == wanted.path and _settings(artifact) == _settings(wanted)
        for process in artifact.replicates
    ]


def _pairs(before: Result, after: Result, matches: Sequence[tuple[ArtifactResult, ArtifactResult]]) -> Iterator[Compared]:
    partner = {one.path: other.path for one, other in matches}
    seconds = {(pair.separable, pair.twin): pair for pair in after.pairs}
    for pair in before.pairs:
        other = seconds.get((partner.get(pair.separable, ""), partner.get(pair.twin, "")))
        if other is None or pair.of_itself:
            continue
        blocks = [_block_ratios(result, each) for result, each in ((before, pair), (after, other))]
        if min(map(len, blocks)) > 1:
            ratio = unlike_ratio(blocks[1], blocks[0])
            names = {artifact.path: artifact.name for artifact in before.artifacts}
            yield _compared(f"{names[pair.separable]} against {names[pair.twin]}", pair.speedup, other.speedup, _repeatable(ratio, before.metric))


def _block_ratios(result: Result, pair: PairResult) -> list[float]:
    groups = [next(artifact.replicates for artifact in result.artifacts if artifact.path == path) for path in (pair.separable, pair.twin)]
    ones, others = paired(groups[0], groups[1], median_ns)
    return [other / one for one, other in zip(ones, others, strict=True)]


def _repeatable(ratio: LogRatio, metric: str) -> LogRatio:
    return no_better_than(ratio, REPEATS_TO) if metric == INSTRUCTIONS else ratio


def _compared(name: str, before: float, after: float, ratio: LogRatio) -> Compared:
    return Compared(name, before, after, ratio.ratio, ratio.interval, verdict(ratio.interval), ratio.minimum_detectable)


def _shown(value: Any) -> str:
    return "nothing" if value in (None, "") else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
