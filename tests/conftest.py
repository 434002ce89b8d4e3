"""What every test may use: shared real data where it is there, and small networks."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real weights, photographs and strangers' models that are not part of the project."""
    folder = os.environ.get("DSMOBILE_SHARED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DSMOBILE_SHARED_DATA does not name the folder of real models and photographs")
    return Path(folder)
