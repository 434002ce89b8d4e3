"""Images a minute that `dsmobile evaluate` runs: python benchmarks/evaluate_speed.py ARTIFACT REFERENCE DATA [--labels FILE] [--preprocess P]

Each round is the whole command, from its start to its end, on both files; the median counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Prints the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("artifact", "reference", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--preprocess")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    command = [sys.executable, "-m", "dsmobile", "evaluate", str(given.artifact), "--reference", str(given.reference), "--data", str(given.data)]
    command += [part for key in ("labels", "preprocess") if getattr(given, key) for part in (f"--{key}", str(getattr(given, key)))]
    rates = []
    for _ in range(given.rounds):
        started = time.perf_counter()
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
        rates.append(60 * json.loads(done.stdout)["results"][0]["count"] / (time.perf_counter() - started))
    print(f"{statistics.median(rates):.0f} images a minute ({min(rates):.0f} to {max(rates):.0f} in {given.rounds} rounds)")


if __name__ == "__main__":
    main()
