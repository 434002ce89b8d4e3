"""Makes the small classifiers importable that the tests of MediaPipe use too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shipping"))
