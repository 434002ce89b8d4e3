"""What every test may use: shared real data where it is there, and small networks."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as dsmobile sets it: with oneDNN some small convolutions are wrong


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """A cache of the tests' own: their benchmarks hold its lock, not that of a person who measures here at the same time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSMOBILE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real weights, photographs and strangers' models that are not part of the project."""
    folder = os.environ.get("DSMOBILE_SHARED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DSMOBILE_SHARED_DATA does not name the folder of real models and photographs")
    return Path(folder)
