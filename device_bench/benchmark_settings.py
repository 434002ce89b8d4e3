"""What a run of the native `benchmark_model` says of what it was asked for: the model, its size, threads, delegates.

Source: tensorflow/lite/tools: benchmark/benchmark_model.cc, delegates/*_provider.cc; ai_edge_litert/tools/benchmark_litert_model.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import List, Optional, Tuple

from .benchmark_figures import NUMBER, step_of, value_of

_GRAPH = re.compile(r"\bGraph: \[([^\]]*)\]|\bLoaded model (\S.*)|\bLoading model from: (\S.*)|benchmark_litert_model: Model: +(\S.*)")
_GRAPH_FLAG = re.compile(r"--(?:graph|model)(?:=| +)(?:\"([^\"]+)\"|'([^']+)'|([^\s'\"]+))")
_SIZE = re.compile(r"The input model file size \(MB\): " + NUMBER)
_SIZE_MIB = re.compile(r"\bModel size: +" + NUMBER + r" MB\b")
_THREADS = re.compile(r"(?:\bNum threads: +\[?|#threads used for CPU inference: \[|--num_threads(?:=| +))(-?[0-9]{1,6})")
_USE = re.compile(r"\bUse ([A-Za-z]+) ?: \[([01])\]")
_USE_FLAG = re.compile(r"--use_([a-z]+)(?:=(\w+))?(?=\s|$|['\"\\])")
_EXTERNAL = re.compile(r"External delegate path ?: \[([^\]]+)\]|--external_delegate_path=(\S+)")
_PROFILING = re.compile(
    r"(?:Enable op profiling|Use profiler): \[1\]|--(?:enable_op_profiling|use_profiler)=(?:true|1)\b"
    r"|Operator-wise Profiling Info|Profiling Info for Benchmark"
)
_ACCELERATORS = re.compile(r"\bAccelerators: +([A-Z][A-Z |]*)")
_FULLY = re.compile(r"\bFully accelerated: +(True|False)\b")
_NO_DELEGATES = ("caching", "cpu", "profiler", "fp16", "legacy")
_MIB = 1 << 20


@dataclass
class Setting:
    """What has been read so far.

    Args:
        model: The file as it is named.
        model_bytes: Its size, from the least it can be to the most.
        threads: Of the CPU.
        requested: Delegates that were asked for.
        forbidden: Those that were switched off.
        only: Accelerators, where the run says that there are no others.
        profiled: Whether every operator is timed.
        fully_accelerated: What LiteRT says.
        of_one_process: Whether the run shares its process with others.
    """

    model: str = ""
    model_bytes: Optional[Tuple[float, float]] = None
    threads: Optional[int] = None
    requested: List[str] = field(default_factory=list)
    forbidden: List[str] = field(default_factory=list)
    only: Optional[List[str]] = None
    profiled: bool = False
    fully_accelerated: Optional[bool] = None
    of_one_process: bool = False

    def read(self, line: str) -> List[str]:
        """Takes from a line what it says.

        Returns:
            The delegates that it asks for.
        """
        asked: List[str] = []
        graph, flag, fully = _GRAPH.search(line), _GRAPH_FLAG.search(line), _FULLY.search(line)
        size, size_mib, accelerators = _SIZE.search(line), _SIZE_MIB.search(line), _ACCELERATORS.search(line)
        if graph or flag:
            found = graph or flag
            assert found is not None  # noqa: S101
            self.model = next(text for text in found.groups() if text is not None).strip() or self.model
        if size:
            self.model_bytes = _bounds(size[1], 10**6)
        if size_mib:
            self.model_bytes = _bounds(size_mib[1], _MIB)
        for threads in _THREADS.findall(line)[-1:]:
            self.threads = int(threads) if 1 <= int(threads) <= 1024 else self.threads
        for name, value in [*_USE.findall(line), *_USE_FLAG.findall(line)]:
            asked += self._ask(name.lower(), wanted=value.lower() in ("1", "true", "t", ""))
        external = _EXTERNAL.search(line)
        if external:
            asked += self._ask("external", wanted=True)
        if accelerators:
            names = [name.strip() for name in accelerators[1].split("|") if name.strip()]
            self.requested, self.only = [name for name in names if name != "CPU"], names
        if fully:
            self.fully_accelerated = fully[1] == "True"
        self.profiled = self.profiled or bool(_PROFILING.search(line))
        return asked

    def _ask(self, name: str, *, wanted: bool) -> List[str]:
        """Notes a switch; what is said last counts."""
        if name in _NO_DELEGATES:
            return []
        name = name.upper()
        ones, others = (self.requested, self.forbidden) if wanted else (self.forbidden, self.requested)
        if name in others:
            others.remove(name)
        if name not in ones:
            ones.append(name)
        return [name] if wanted else []


def _bounds(text: str, unit: int) -> Optional[Tuple[float, float]]:
    """What a size can be that is printed so, in bytes."""
    value = value_of(text)
    if value is None or value <= 0:
        return None
    half = step_of(text) * unit * Decimal("0.51")
    return float(value * unit - half), float(value * unit + half)
