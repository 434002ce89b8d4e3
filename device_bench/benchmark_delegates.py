"""Which delegate truly ran a model, by the words of the native `benchmark_model` and of the runtimes it is built with.

To be asked for, created and even applied is not to run: a delegate that supports no operator leaves all of them to the CPU, in silence.

Source: tensorflow/lite: tools/benchmark/benchmark_tflite_model.cc, core/subgraph.cc, delegates/utils/simple_delegate.cc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Set, Tuple

WHOLLY, PARTLY, NOT, UNTOLD = "wholly", "partly", "not", "untold"
CPU = "XNNPACK"
_APPLIED = re.compile(
    r"(?:Explicitly a|\bA)pplied (?:Delegate_Provider_)?([\w.+-]+) delegate(?:, and the model graph will be (completely|partially) )?"
)
_NOT_EXECUTED = re.compile(r"Though ([\w.+-]+) delegate is ")
_REPLACING = re.compile(r"Replacing ([0-9]{1,9})(?: out of ([0-9]{1,9}))? node\(s\) with delegate \(([^()]{1,80})\)(?: node)?(.*)")
_PARTITIONS, _SUBGRAPH = re.compile(r"yielding ([0-9]{1,9}) partitions"), re.compile(r"subgraph ([0-9]{1,9})")
_SIMPLE = re.compile(r"(\w+) delegate: ([0-9]{1,9}) nodes delegated out of ([0-9]{1,9}) nodes,? with ([0-9]{1,9}) partitions")
_CREATED = re.compile(r"Created TensorFlow Lite (?:(\w+) delegate|delegate for (\w+))")
_UNSUPPORTED = re.compile(
    r"(\w+) acceleration is unsupported on this platform|(\w+) accelerator could not be (?:dynamically )?loaded"
    r"|(?:Could not|Failed to) create (?:the )?(\w+) delegate",
    re.IGNORECASE,
)
_OTHER_WORDS = {"METAL": "GPU"}
_KERNELS = (
    ("xnnpack", CPU),
    ("gpu", "GPU"),
    ("litert_", "GPU"),
    ("nnapi", "NNAPI"),
    ("hexagon", "HEXAGON"),
    ("coreml", "COREML"),
    ("dispatch", "NPU"),
)


@dataclass(frozen=True)
class Delegation:
    """What a delegate did.

    Args:
        name: `XNNPACK`, `GPU`, `NNAPI`, ...
        extent: How much of the model it runs: `wholly`, `partly`, `not`, or `untold`.
        nodes: How many of the model's nodes it took, of how many, in how many partitions; None where it is not printed.
    """

    name: str
    extent: str
    nodes: Optional[Tuple[int, int, int]] = None


@dataclass
class Delegates:
    """What has been read of the delegates of a run so far."""

    _told: Dict[str, str] = field(default_factory=dict)
    _nodes: Dict[str, Dict[str, Tuple[int, int, int]]] = field(default_factory=dict)
    _created: List[str] = field(default_factory=list)
    _unsupported: Set[str] = field(default_factory=set)

    def read(self, line: str) -> bool:
        """Takes from a line what it says.

        Returns:
            Whether it says anything.
        """
        applied, refused, created = _APPLIED.search(line), _NOT_EXECUTED.search(line), _CREATED.search(line)
        replaced, simple, unsupported = _REPLACING.search(line), _SIMPLE.search(line), _UNSUPPORTED.search(line)
        if refused:
            self._told[refused[1].upper()] = NOT
        elif applied:
            self._told[applied[1].upper()] = {"completely": WHOLLY, "partially": PARTLY}.get(applied[2] or "", UNTOLD)
        elif replaced:
            self._take_nodes(replaced)
        elif simple:
            self._nodes.setdefault(_name_of(simple[1]), {})[""] = (int(simple[2]), int(simple[3]), int(simple[4]))
        elif created:
            self._created.append(_OTHER_WORDS.get((created[1] or created[2]).upper(), (created[1] or created[2]).upper()))
        elif unsupported:
            self._unsupported.add((unsupported[1] or unsupported[2] or unsupported[3]).upper())
        return bool(applied or refused or created or replaced or simple)

    def _take_nodes(self, replaced: re.Match[str]) -> None:
        partitions, subgraph = _PARTITIONS.search(replaced[4]), _SUBGRAPH.search(replaced[4])
        nodes = self._nodes.setdefault(_name_of(replaced[3]), {})
        if replaced[2] and partitions:
            nodes[subgraph[1] if subgraph else ""] = (int(replaced[1]), int(replaced[2]), int(partitions[1]))

    def lacks(self, names: Iterable[str]) -> None:
        """Notes delegates that the tool was built without: it did not know their flags."""
        self._unsupported.update(names)

    def asked(self) -> Tuple[str, ...]:
        """Delegates that must have been asked for, since they were created or applied by name."""
        return tuple(dict.fromkeys(name for name in [*self._told, *self._created] if name != CPU))

    def all(self) -> Tuple[Delegation, ...]:
        """Every delegate of which something is told, in the order in which they were told of."""
        told, nodes = dict(self._told), {name: _total(parts) for name, parts in self._nodes.items()}
        own = [name for name in nodes if name not in told and name not in {known for _, known in _KERNELS}]
        if "EXTERNAL" in told and "EXTERNAL" not in nodes and len(own) == 1:  # the tool calls it so, the delegate itself by its name
            nodes["EXTERNAL"] = nodes.pop(own[0])
        names = dict.fromkeys([*told, *nodes])
        extents = {name: told.get(name, UNTOLD) if told.get(name, UNTOLD) != UNTOLD else _extent(nodes.get(name)) for name in names}
        return tuple(Delegation(name, extents[name], nodes.get(name)) for name in names)

    def ran(self, forbidden: Tuple[str, ...], requested: Tuple[str, ...]) -> str:
        """The delegate that ran the model or the largest known part of it; empty where none did, or it is not told which.

        Args:
            forbidden: Those that the run switched off.
            requested: Those that it asked for.
        """
        running = [found.name for found in self.all() if found.extent in (WHOLLY, PARTLY)]
        others = [name for name in running if name != CPU]
        if others or running:
            return (others or running)[0]
        wanted = [name for name in requested if name != CPU]
        if any(self.extent_of(name) == UNTOLD for name in wanted):
            return ""
        applied = [name for name, extent in self._told.items() if extent == UNTOLD]
        return applied[0] if applied else CPU if CPU in self._created and CPU not in forbidden else ""

    def extent_of(self, name: str) -> str:
        """How much of the model a delegate runs that was asked for: `wholly`, `partly`, `not`, `untold`."""
        found = next((found for found in self.all() if found.name == name), None)
        if found is not None and found.extent != UNTOLD:
            return found.extent
        if name in self._unsupported or any(other.extent == WHOLLY for other in self.all()):
            return NOT
        return UNTOLD


def _name_of(kernel: str) -> str:
    """A delegate by the name of its kernel: GPU for TfLiteGpuDelegateV2 and for LITERT_CL."""
    return next((name for word, name in _KERNELS if word in kernel.lower()), kernel)


def _total(parts: Dict[str, Tuple[int, int, int]]) -> Optional[Tuple[int, int, int]]:
    """Over the subgraphs."""
    if not parts:
        return None
    each = list(parts.values())
    return sum(part[0] for part in each), sum(part[1] for part in each), sum(part[2] for part in each)


def _extent(nodes: Optional[Tuple[int, int, int]]) -> str:
    if nodes is None:
        return UNTOLD
    return WHOLLY if nodes[0] == nodes[1] else PARTLY if nodes[0] else NOT
