"""What real phones and the real adb print, read."""

import random

import pytest

from dsmobile.devices.adb.client import Listed, parse_devices
from dsmobile.devices.adb.dumps import Battery, Thermal, parse_battery, parse_flag, parse_properties, parse_thermal, parse_wakefulness
from dsmobile.devices.adb.state import busy_ticks, core_files, online_cores, parts_of, snapshot_of, ticks_at

# Samsung A52 5G, Android 12: android.stackexchange.com/questions/246774
THERMAL_SAMSUNG = """IsStatusOverride: false
ThermalEventListeners:
        callbacks: 1
        killed: false
        broadcasts count: -1
ThermalStatusListeners:
        callbacks: 4
        killed: false
        broadcasts count: -1
Thermal Status: 0
Cached temperatures:
        Temperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
        Temperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
HAL Ready: true
HAL connection:
        ThermalHAL 2.0 connected: yes
Current temperatures from HAL:
        Temperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
        Temperature{mValue=23.8, mType=2, mName=BAT, mStatus=0}
        Temperature{mValue=24.7, mType=3, mName=LRB, mStatus=0}
        Temperature{mValue=25.7, mType=5, mName=PA, mStatus=0}
        Temperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
        Temperature{mValue=0.0, mType=4, mName=USB, mStatus=0}
Current cooling devices from HAL:
Temperature static thresholds from HAL:
"""
# A Samsung of 2018, with its maker's additions: gh0st.tistory.com/6
BATTERY_SAMSUNG = """Current Battery Service state:
  mBootCompleted: true
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 0
  Max charging voltage: 0
  Charge counter: 0
  status: 2
  health: 2
  present: true
  level: 84
  scale: 100
  voltage: 4063
  temperature: 326
  technology: Li-ion
  batterySWSelfDischarging: false
  LED Low Battery: true
  current now: 321
  Adaptive Fast Charging Settings: true
  BatteryInfoBackUp
    mSavedBatteryMaxTemp: 490
"""


def test_devices_of_every_state_are_listed() -> None:
    text = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
29555f15               device usb:1-2 product:panther model:Pixel_7 device:panther transport_id:1
emulator-5554          offline transport_id:2
R58M12ABCDE            unauthorized usb:1-3 transport_id:3
192.168.1.5:5555       device product:a52 model:SM_A526B device:a52 transport_id:4
adb-R58M1-x (2)._adb-tls-connect._tcp device product:a52 model:SM_A526B device:a52 transport_id:5
????????????           no permissions (user in plugdev group; are your udev rules wrong?); see [https://...] usb:1-4

"""
    assert parse_devices(text) == [
        Listed("29555f15", "device", "Pixel_7"),
        Listed("emulator-5554", "offline"),
        Listed("R58M12ABCDE", "unauthorized"),
        Listed("192.168.1.5:5555", "device", "SM_A526B"),
        Listed("adb-R58M1-x (2)._adb-tls-connect._tcp", "device", "SM_A526B"),
        Listed("????????????", "no permissions"),
    ]
    assert parse_devices(text.replace("\n", "\r\n")) == parse_devices(text)
    assert parse_devices("") == parse_devices("List of devices attached\n\n") == []


def test_the_heat_of_a_real_phone() -> None:
    assert parse_thermal(THERMAL_SAMSUNG) == Thermal(0, {"cpu": 25.6, "battery": 23.8, "skin": 24.7})
    hot = THERMAL_SAMSUNG.replace("Thermal Status: 0", "Thermal Status: 3").replace("mName=LRB, mStatus=0", "mName=LRB, mStatus=3")
    assert parse_thermal(hot).status == 3
    assert parse_thermal(hot).throttling == ("skin",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Can't find service: thermalservice\n",
        THERMAL_SAMSUNG.replace("HAL Ready: true", "HAL Ready: false"),
        THERMAL_SAMSUNG.replace("IsStatusOverride: false", "IsStatusOverride: true"),  # `cmd thermalservice override-status 0`
        "Thermal Status: 9\n",
        "Permission Denial: can't dump thermalservice from pid=1, uid=2000\n",
    ],
)
def test_a_phone_that_does_not_tell_its_heat_is_not_cool(text) -> None:
    assert parse_thermal(text).status is None


def test_remembered_temperatures_are_not_taken_for_present_ones() -> None:
    remembered = "Thermal Status: 0\nCached temperatures:\n\tTemperature{mValue=99.0, mType=0, mName=BIG, mStatus=3}\n"
    assert parse_thermal(remembered) == Thermal(0, None)
    lines = [f"\tTemperature{{mValue={value}, mType=0, mName=a, mStatus=0}}\n" for value in ("NaN", "-5700.0", "1e9", "--1", "...")]
    odd = "Current temperatures from HAL:\n" + "".join(lines)
    assert parse_thermal(odd).temperatures_c is None


def test_the_battery_of_a_real_phone() -> None:
    assert parse_battery(BATTERY_SAMSUNG) == Battery(84.0, 32.6, "charging", True)
    assert parse_battery(BATTERY_SAMSUNG.replace("USB powered: true", "USB powered: false").replace("status: 2", "status: 3", 1)) == Battery(
        84.0, 32.6, "discharging", False
    )
    assert parse_battery(BATTERY_SAMSUNG.replace("present: true", "present: false")) == Battery()
    assert parse_battery("Can't find service: battery") == Battery()
    set_by_hand = BATTERY_SAMSUNG.replace("state:\n", "state:\n  (UPDATES STOPPED -- use 'reset' to restart)\n")  # `dumpsys battery unplug`
    assert parse_battery(set_by_hand) == Battery()
    later = BATTERY_SAMSUNG + "[EventLogBuffer]\n08-11 Sending ACTION_BATTERY_CHANGED: level:72, temperature:345\n  level: 3\n"
    assert parse_battery(later).level_percent == 84.0


def test_the_screen_and_settings() -> None:
    assert parse_wakefulness("  mWakefulness=Awake\n") == "awake"
    assert parse_wakefulness("  mWakefulness=Dozing\n  mWakefulnessChanging=false\nDisplay Power: state=DOZE") == "dozing"
    assert parse_wakefulness("Display Power: state=OFF\n") == "asleep"
    assert parse_wakefulness("") is None
    assert [parse_flag(text) for text in ("1\n", "0\n", "null\n", "")] == [True, False, None, None]


def test_properties_may_have_several_lines() -> None:
    text = "[ro.product.model]: [Pixel 7]\r\n[ro.vendor.note]: [a\nb]\n[empty]: []\n"
    assert parse_properties(text) == {"ro.product.model": "Pixel 7", "ro.vendor.note": "a\nb", "empty": ""}


def test_what_a_service_prints_opens_no_part_of_another() -> None:
    text = "w1 clock\n12.5 1700000000.25\nw1 battery\nbattery\nw2 thermal\nclock\nw1 power\nmWakefulness=Awake\n"
    assert parts_of(text, "w1") == {"clock": "12.5 1700000000.25\n", "battery": "battery\nw2 thermal\nclock\n", "power": "mWakefulness=Awake\n"}


def test_cores_and_ticks() -> None:
    files = core_files("0 cpuinfo_max_freq 1700000\n0 scaling_governor sched_pixel\n7 cpuinfo_max_freq 2900000\nnonsense\n")
    assert files == {0: {"cpuinfo_max_freq": "1700000", "scaling_governor": "sched_pixel"}, 7: {"cpuinfo_max_freq": "2900000"}}
    assert online_cores({"online": "0-3,6\n"}) == [0, 1, 2, 3, 6]
    assert online_cores({"online": "zero\n"}) == online_cores({}) == []
    assert busy_ticks({"stat": "cpu  10 20 30 1000 5 1 2 0 0 0"}) == 63
    assert busy_ticks({"stat": "Permission denied"}) is None
    ticks = "policy 0 1 2 3\n300000 50\n1700000 60\npolicy 7\n2900000 10\n"
    assert ticks_at({"ticks": ticks}, [7]) == {"7": {2900000: 10}}
    assert ticks_at({"ticks": ticks}, [0, 7]).keys() == {"0 1 2 3", "7"}


def test_a_phone_that_answers_nonsense_gives_a_snapshot_that_is_read() -> None:
    from device_bench.documents import SNAPSHOT

    generator = random.Random(7)
    words = [
        "-1",
        "1e999",
        "nan",
        "99999999999999999999",
        "Thermal Status: 6",
        "level: 500",
        "temperature: 999999",
        "mWakefulness=",
        "\x00",
        "é",
        "[",
        "}",
    ]
    names = ("clock", "stat", "cores", "online", "ticks", "thermal", "load", "memory", "battery", "power", "saver")
    for _ in range(300):
        parts = {
            name: "\n".join(generator.choices([*words, "0 scaling_max_freq 99999999999999", "Current Battery Service state:"], k=5)) for name in names
        }
        SNAPSHOT(snapshot_of(parts, [0]), "")
