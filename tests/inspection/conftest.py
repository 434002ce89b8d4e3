"""Makes the files of one matrix importable that the tests of sessions write by hand, and `made_models`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))
sys.path.insert(0, str(Path(__file__).parent))
