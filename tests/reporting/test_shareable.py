import json
from dataclasses import replace

import pytest
from made_results import made_artifact, made_pair, made_result

from dsmobile.benchmark.result import Warning as ResultWarning
from dsmobile.reporting.document import json_text
from dsmobile.reporting.entry import entries
from dsmobile.reporting.html import html_text
from dsmobile.reporting.markdown import markdown_text
from dsmobile.reporting.shareable import identifies, public_device, shareable
from dsmobile.reporting.tidy import csv_text

SECRETS = (
    "alice",
    "quokka",
    "R58M12ABCDE",
    "192.168.7.23",
    "a4:5e:60:01:02:03",
    "/home",
    "/Users",
    "wombat-board",
    "bob.smith",
    "d3adb33f",
)


def revealing():
    return made_result(
        device="ssh:alice@quokka.local:2222",
        warnings=(
            ResultWarning("busy", "quokka was busy; see /home/alice/work/log.txt, or log in as alice@quokka.local from 192.168.7.23"),
            ResultWarning("path", "write performance to /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor, and/or run as root"),
            ResultWarning("folder", 'could not read "/home/bob.smith/my models/net.tflite"; /home/alice is full'),
            ResultWarning("folder", "C:\\Users\\bob.smith\\x.tflite is there; file:///home/bob.smith/page.html is open"),
            ResultWarning("board", "wombat-board (serial R58M12ABCDE, a4:5e:60:01:02:03) is hot"),
        ),
        settings={
            "budget_s": 60, "out": "/home/alice/my out", "remote": {"user": "alice", "home": "/home/alice"}, "python": "/usr/bin/python3",
        },
        facts={
            "system": "Linux", "hostname": "quokka", "Serial": "R58M12ABCDE", "board": {"serialNumber": "R58M12ABCDE", "name": "x"},
            "node_name": "quokka", "machine_id": "d3adb33f", "host": "wombat-board", "seen": ["192.168.7.23", "a4:5e:60:01:02:03"],
            "cwd": "/home/alice/work", "cpu_model": "Cortex-A72", "versions": {"litert": "2.3.0"}, "release": "6.6.51+rpt-rpi-v8",
        },
        conditions=({"when": "before", "user": "alice", "top_process": "/home/alice/bin/miner --all"}, {"when": "after"}),
    )  # fmt: skip


@pytest.mark.parametrize("write", [html_text, markdown_text, csv_text, json_text])
def test_no_report_names_a_person_or_a_machine(write):
    text = write(entries([revealing()]))
    if write is html_text:
        pytest.importorskip("altair")
        text = text[: text.index("<script>")]
    lowered = text.lower()
    assert [secret for secret in SECRETS if secret.lower() in lowered] == []


def test_what_does_not_identify_stays():
    result = shareable(revealing())
    assert result.facts["system"] == "Linux"
    assert result.facts["cpu_model"] == "Cortex-A72"
    assert result.facts["versions"] == {"litert": "2.3.0"}
    assert result.facts["release"] == "6.6.51+rpt-rpi-v8"
    assert result.settings["python"] == "/usr/bin/python3"
    assert result.settings["out"] == "my out"
    assert "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor, and/or run as root" in result.warnings[1].advice
    assert '"net.tflite"' in result.warnings[2].advice
    assert "log.txt" in result.warnings[0].advice


def test_no_measured_figure_changes():
    before = revealing()
    after = shareable(before)
    assert [replace(artifact, path="") for artifact in after.artifacts] == [replace(artifact, path="") for artifact in before.artifacts]
    assert [replace(pair, separable="", twin="") for pair in after.pairs] == [replace(pair, separable="", twin="") for pair in before.pairs]
    assert after.validity is before.validity
    assert [warning.kind for warning in after.warnings] == [warning.kind for warning in before.warnings]


def test_sharing_twice_changes_nothing_more():
    once = shareable(revealing())
    assert json.dumps(shareable(once).to_json()) == json.dumps(once.to_json())


def test_files_of_one_name_stay_apart_and_pairs_still_point_at_them():
    first, second = made_artifact("/home/alice/a/net.tflite", 1e6), made_artifact("/home/alice/b/net.tflite", 2e6, seed=1)
    result = shareable(made_result(artifacts=(first, second), pairs=(made_pair(first, second),)))
    assert [artifact.path for artifact in result.artifacts] == ["net.tflite", "net.tflite (2)"]
    assert (result.pairs[0].separable, result.pairs[0].twin) == ("net.tflite", "net.tflite (2)")


@pytest.mark.parametrize(
    ("device", "shown"),
    [
        ("local", "local"),
        ("ssh", "ssh"),
        ("ssh:pi@raspberry:22", "ssh"),
        ("pi@raspberry", "ssh"),
        ("pi@raspberry:22", "ssh"),
        ("adb:R58M12ABCDE", "adb"),
        ("adb", "adb"),
        ("emulated:cortex-a72", "emulated:cortex-a72"),
        ("raspberry", "[removed]"),
    ],
)
def test_an_address_keeps_its_kind_only(device, shown):
    assert public_device(device) == shown


@pytest.mark.parametrize("key", ["hostname", "Host-Name", "userName", "serial", "serial_number", "HOME", "machine-id", "ip", "boot_id", "uuid"])
def test_keys_that_identify(key):
    assert identifies(key)


@pytest.mark.parametrize(
    "key", ["machine", "system", "host_versions", "cores", "load_1min", "frequency_hz", "memory_bytes", "model", "nodes", "seed"]
)
def test_keys_that_do_not(key):
    assert not identifies(key)
