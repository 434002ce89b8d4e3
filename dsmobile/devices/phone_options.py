"""What a person asks of a phone, beside the measurement itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhoneOptions:
    """How a phone is to measure.

    Args:
        threads: Threads of the runtime; each needs a core.
        cores: `big`, `little`, `all`, or numbers such as `4-7`; None takes the fastest cores that suffice for the threads.
        delegate: `cpu` or `gpu`; None is `cpu`.
        benchmark_model: The native tool to use; None takes the one in the cache.
        fixed_performance: Whether to switch the phone's fixed-performance mode on meanwhile.
    """

    threads: int = 1
    cores: str | None = None
    delegate: str | None = None
    benchmark_model: Path | None = None
    fixed_performance: bool = False

    def given(self) -> list[str]:
        """The options that a person gave, as they are written."""
        values = {
            "--cores": self.cores is not None,
            "--delegate": self.delegate is not None,
            "--benchmark-model": self.benchmark_model is not None,
            "--fixed-performance": self.fixed_performance,
        }
        return [name for name, value in values.items() if value]
