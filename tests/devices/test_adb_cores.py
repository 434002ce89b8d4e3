"""`--cores`: which of a phone's cores measure."""

import subprocess

import pytest

from dsmobile.devices.adb.cores import choose_cores, clusters, mask, parse_cores, written
from dsmobile.errors import UsageError

PIXEL = {0: 1_704_000, 1: 1_704_000, 2: 1_704_000, 3: 1_704_000, 4: 2_367_000, 5: 2_367_000, 6: 2_367_000, 7: 2_367_000, 8: 2_914_000}  # Tensor G3
GROUPS = clusters(PIXEL, range(9))


@pytest.mark.parametrize(
    ("wanted", "threads", "cores"),
    [
        (None, 1, [8]),
        (None, 4, [4, 5, 6, 7]),
        (None, 5, [4, 5, 6, 7, 8]),
        (None, 9, list(range(9))),
        ("big", 2, [4, 5, 6, 7, 8]),
        ("little", 2, [0, 1, 2, 3]),
        ("all", 1, list(range(9))),
        ("0,8", 2, [0, 8]),
        ("4-6,8", 4, [4, 5, 6, 8]),
    ],
)
def test_by_name_by_number_and_by_itself(wanted, threads, cores) -> None:
    assert choose_cores(wanted, threads, GROUPS) == tuple(cores)


def test_phones_of_one_kind_of_core_or_that_do_not_tell() -> None:
    same = clusters(dict.fromkeys(range(4), 2_000_000), range(4))
    silent = clusters({}, range(4))
    for groups in (same, silent):
        assert len(groups) == 1
        for wanted in (None, "big", "little", "all"):
            assert choose_cores(wanted, 1, groups) == (0, 1, 2, 3)


def test_a_core_that_is_switched_off_is_not_used() -> None:
    groups = clusters(PIXEL, range(8))
    assert choose_cores(None, 1, groups) == (4, 5, 6, 7)
    with pytest.raises(UsageError, match="core 8 is not there or switched off") as caught:
        choose_cores("8", 1, groups)
    assert "0-7" in caught.value.advice


@pytest.mark.parametrize("text", ["", "fast", "1-", "-1", "3-1", "1;reboot", "99999", "1024", "$(id)", "1,,2"])
def test_what_cannot_be_read(text) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parse_cores(text)


def test_fewer_cores_than_threads() -> None:
    with pytest.raises(UsageError, match="has 1 cores for --threads 2"):
        choose_cores("8", 2, GROUPS)
    with pytest.raises(UsageError, match="the phone has 9 cores for --threads 10"):
        choose_cores(None, 10, GROUPS)


def test_masks_are_those_of_taskset() -> None:
    for cores in ([0], [0, 1]):
        try:
            command = ["taskset", mask(cores), "grep", "Cpus_allowed_list", "/proc/self/status"]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs taskset and two processors")
        assert said.split()[-1] == written(cores)
    assert mask([8]) == "100"
    assert written(parse_cores("7,0-3,5")) == "0-3,5,7"
