"""`devices list`."""

from pathlib import Path

from dsmobile.devices.listing import list_devices, ssh_hosts


def test_names_the_hosts_of_an_ssh_configuration_but_no_pattern(tmp_path: Path) -> None:
    configuration = tmp_path / "config"
    configuration.write_text("Host pi4 pi5\n  HostName 10.0.0.4\nHost *.lan !bad ?x\nhost=board\nMatch host z\nHost pi4\n", encoding="utf-8")
    assert ssh_hosts(configuration) == ["pi4", "pi5", "board"]
    assert ssh_hosts(tmp_path / "absent") == []


def test_knows_this_machine_without_names_of_hosts_or_persons(monkeypatch, tmp_path: Path) -> None:
    import getpass
    import json
    import platform

    monkeypatch.setenv("DSMOBILE_SSH_CONFIG", str(tmp_path / "absent"))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")  # where no adb server can listen; asking adb would start one
    devices = list_devices()["devices"]
    assert [device["address"] for device in devices] == ["local"]
    facts = devices[0]["facts"]
    assert facts["machine"] == platform.machine()
    assert facts["python_version"] == platform.python_version()
    words = json.dumps(facts).replace('"', " ").split()
    assert platform.node() not in words or platform.node() in platform.platform()
    assert getpass.getuser() not in words
