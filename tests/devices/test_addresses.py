"""ADDRESS: what is read, and what must never reach a command line."""

import pytest

from dsmobile.devices.addresses import Address, parse_address
from dsmobile.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("local", Address("local")),
        ("ssh:pi@raspberrypi.local", Address("ssh", "raspberrypi.local", "pi")),
        ("ssh:pi@10.0.0.7:2222", Address("ssh", "10.0.0.7", "pi", 2222)),
        ("pi@10.0.0.7", Address("ssh", "10.0.0.7", "pi")),
        ("pi@10.0.0.7:22", Address("ssh", "10.0.0.7", "pi", 22)),
        ("ssh:bench-board", Address("ssh", "bench-board")),
        ("ssh:pi@[fe80::1%eth0]:2200", Address("ssh", "fe80::1%eth0", "pi", 2200)),
        ("ssh:[::1]", Address("ssh", "::1")),
        ("emulated:cortex-a72", Address("emulated", "cortex-a72")),
        ("emulated:cortex-a76", Address("emulated", "cortex-a76")),
        ("adb", Address("adb")),
        ("adb:R58M1234ABC", Address("adb", "R58M1234ABC")),
        ("adb:192.168.1.5:5555", Address("adb", "192.168.1.5:5555")),
        ("adb:[fe80::1]:5555", Address("adb", "[fe80::1]:5555")),
        ("adb:emulator-5554", Address("adb", "emulator-5554")),
        ("adb:adb-R58M-x1Y2z3._adb-tls-connect._tcp", Address("adb", "adb-R58M-x1Y2z3._adb-tls-connect._tcp")),
    ],
)
def test_reads_an_address_and_writes_it_back(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "somewhere",
        "ssh:",
        "ssh:-oProxyCommand=touch x@host",
        "ssh:pi@-oProxyCommand=touch",
        "-l@host",
        "ssh:pi@host;reboot",
        "ssh:pi@host name",
        "ssh:pi$(id)@host",
        "ssh:pi@ho\nst",
        "ssh:pi@host\x1b[2J",
        "ssh:pi@host:0",
        "ssh:pi@host:65536",
        "ssh:pi@host:22;ls",
        "ssh:pi@host:",
        "ssh:pi@::1",
        "ssh:pi@[::1",
        "ssh:pi@[::1]22",
        "ssh:pi@[host]",
        "ssh:@host",
        "ssh:a@b@c d",
        "ssh:" + "h" * 300,
    ],
)
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


@pytest.mark.parametrize("text", ["adb:", "adb:-s", "adb:a b", "adb:a;reboot", "adb:$(id)", "adb:a\nb", "adb:\x1b[2J", "adb:" + "R" * 300])
def test_what_is_no_serial_number_of_a_phone(text: str) -> None:
    with pytest.raises(UsageError, match="is not a phone's serial number") as caught:
        parse_address(text)
    assert "adb devices -l" in caught.value.advice


@pytest.mark.parametrize("text", ["emulated", "emulated:", "emulated:cortex-a53", "emulated:host; ls", "emulated:cortex-a72:1"])
def test_other_processors_are_refused_with_the_list(text: str) -> None:
    with pytest.raises(UsageError, match="names no processor") as caught:
        parse_address(text)
    assert "cortex-a72, cortex-a76" in caught.value.advice
