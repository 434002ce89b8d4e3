"""A device that answers something else than the harness would: an error of the device, never a fault of ours."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from device_bench import check, machine
from dsmobile.devices.answers import checked_facts, checked_state
from dsmobile.devices.device import LONGEST_LINE, document_in
from dsmobile.devices.doctor import diagnose, examine
from dsmobile.devices.harness_process import stream
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.setup import setup
from dsmobile.devices.userland import read_userland
from dsmobile.errors import DeviceError

ODD = [
    {"python_version": "x"}, {"python_version": 3.11}, {"libc": "glibc "}, {"libc": 2.36}, {"pointer_bits": None}, {"pointer_bits": "x"},
    {"pointer_bits": "64"}, {"os_release": "x"}, {"os_release": {"id": 1}}, {"runtimes": []}, {"runtimes": {"litert": 2}}, {"cores": "many"},
    {"memory_bytes": "1"}, {"memory_bytes": float("nan")}, {"system": None}, {"machine": 7}, {"emulated": "no"}, {"turbo": "x"},
    {"python_abi": 1}, {"numpy_version": [1]},
]  # fmt: skip


@pytest.fixture(scope="module")
def facts() -> dict:
    return machine.facts()


@pytest.fixture(scope="module")
def state() -> dict:
    return json.loads(json.dumps(check.check()))


def test_what_the_harness_gives_is_taken_as_it_is(facts, state) -> None:
    assert checked_facts(facts, "here") == facts
    assert checked_state(state, "here") == state


@pytest.mark.parametrize("change", ODD, ids=str)
def test_odd_facts_are_an_error_with_advice(facts, change) -> None:
    with pytest.raises(DeviceError, match=f"pi does not answer as the harness would: {next(iter(change))} is") as caught:
        checked_facts({**facts, **change}, "pi")
    assert caught.value.advice


@pytest.mark.parametrize("name", sorted(machine.facts()))
@pytest.mark.parametrize("value", [None, "missing", "x\x1b[2J", -1, [], {}, True, 1e400])
def test_any_fact_may_be_anything(facts, name, value) -> None:
    document = {key: fact for key, fact in facts.items() if key != name} if value == "missing" else {**facts, name: value}
    try:
        assert read_userland(checked_facts(document, "pi"))
    except DeviceError as error:
        assert error.message.isprintable()


@pytest.mark.parametrize("value", [None, "missing", "x", -1, 1.5, [], {}, [None], {"a": 1}, True])
def test_any_part_of_a_state_may_be_anything(state, value) -> None:
    from dsmobile.devices.addresses import parse_address

    address = parse_address("ssh:pi@pi")
    for part in (state, state["conditions"]):
        for name in part:
            changed = {key: found for key, found in part.items() if key != name} if value == "missing" else {**part, name: value}
            try:
                good = checked_state(changed if part is state else {**state, "conditions": changed}, "pi")
            except DeviceError:
                continue
            assert len(diagnose(good, address, now_s=1.8e9)) == 10


@pytest.fixture
def answering(tmp_path: Path):
    """A Python that answers whatever it is asked with one line."""

    def make(line: str) -> str:
        (tmp_path / "line").write_text(line + "\n", encoding="utf-8")
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(tmp_path / 'line'))}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("line", ["{}", "[]", "", '{"a":' * 100_000, '{"facts": {}}', '{"kind": "settle", "state": "done", "waited_s": "x"}'])
def test_every_question_that_is_answered_with_something_else(answering, line) -> None:
    python = answering(line)
    for ask in (lambda: examine("local", python=python), lambda: setup("local", python=python)):
        with pytest.raises(DeviceError) as caught:
            ask()
        assert caught.value.advice
    with LocalDevice(python) as device:
        with pytest.raises(DeviceError):
            device.settle(1.0, lambda text: None)
        with pytest.raises(DeviceError), device.keep(None, lambda text: None):
            pytest.fail("it is held")


@pytest.mark.parametrize("line", ["{" * 1000, "[" * 100_000, '{"a":' * 100_000, "{}" * LONGEST_LINE])
def test_a_line_that_is_no_document(line) -> None:
    assert document_in(line) is None


def test_a_line_without_an_end_is_an_error() -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x' * 1000000)"
    with pytest.raises(DeviceError, match="more than 64 MB"):
        stream([sys.executable, "-c", endless], lambda document: None)
