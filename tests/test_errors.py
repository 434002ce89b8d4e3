"""Errors: their exit codes are the contract's, and they survive a process boundary."""

from __future__ import annotations

import pickle

import pytest

from dsmobile import errors
from dsmobile.errors import DsmobileError, nearest

CODES = {
    "UsageError": 2,
    "SpecError": 3,
    "ModelError": 3,
    "DataError": 3,
    "OutputError": 3,
    "MissingExtraError": 3,
    "ConversionError": 4,
    "ParityError": 4,
    "DeviceError": 5,
    "MeasurementError": 6,
    "CheckError": 7,
}


def kinds() -> list[type[DsmobileError]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DsmobileError) and value is not DsmobileError]


def test_every_kind_has_the_exit_code_of_the_contract() -> None:
    assert {kind.__name__: int(kind.exit_code) for kind in kinds()} == CODES


@pytest.mark.parametrize("kind", kinds())
def test_an_error_survives_pickling_whole(kind: type[DsmobileError]) -> None:
    error = pickle.loads(pickle.dumps(kind("it failed: 3", "do that")))
    assert (type(error), error.message, error.advice, error.kind, str(error)) == (kind, "it failed: 3", "do that", kind.__name__, "it failed: 3")


def test_nearest_guesses_and_lists() -> None:
    assert nearest("mobilnet_v1", ["xception", "mobilenet_v1"]) == "Did you mean mobilenet_v1? Allowed: mobilenet_v1, xception."
    assert nearest("zzz", ["b", "a"]) == "Allowed: a, b."
