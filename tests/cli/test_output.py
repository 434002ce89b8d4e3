"""What reaches a terminal: text of strangers never acts on it; and streams that are closed."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsmobile.cli import output

HOSTILE = "x\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2066\x08\x7f\ud800\u2028y"
HARMLESS = "x[2J]0;owned31mgnp.exey"


def acting(text: str) -> list[str]:
    return [character for character in text if not character.isprintable() and character not in "\n\t"]


def test_plain_keeps_what_is_written_in_other_languages() -> None:
    assert output.plain(HOSTILE) == HARMLESS
    text = "Größe 大小 حجم \N{FAMILY} a\u200db\tc\nd"
    assert output.plain(text) == text


def printed(capsys: pytest.CaptureFixture, *things, **options) -> str:
    output.console(stderr=False).print(*things, **options)
    return capsys.readouterr().out


def test_no_text_table_or_markup_acts_on_a_terminal(capsys, monkeypatch) -> None:
    from rich.table import Table
    from rich.text import Text

    monkeypatch.setenv("COLUMNS", "200")
    table = Table("a", HOSTILE)
    table.add_row(HOSTILE, Text(HOSTILE))
    for thing in (HOSTILE, Text(HOSTILE), Text.assemble(("Error: ", "bold"), HOSTILE), table):
        shown = printed(capsys, thing, soft_wrap=True)
        assert "gnp.exe" in shown
        assert acting(shown) == []
    assert printed(capsys, HOSTILE, markup=False, soft_wrap=True) == HARMLESS + "\n"
    assert printed(capsys, "[bold]a[/bold]", "b") == "a b\n"


def test_colours_are_still_ours() -> None:
    out = output.console()
    out.file, out._force_terminal, out._color_system = io.StringIO(), True, 1  # a terminal
    from rich.text import Text

    out.print(Text.assemble(("Error: ", "bold"), HOSTILE))
    assert out.file.getvalue() == f"\x1b[1mError: \x1b[0m{HARMLESS}\n"


def test_json_says_all_of_it_and_acts_on_no_terminal() -> None:
    document = {"a": [HOSTILE], "ü大": 1.5}
    line = output.to_json(document)
    assert json.loads(line) == document
    assert acting(line) == []
    assert "ü大" in line


FAILING = """
from dsmobile.cli import output
from dsmobile.errors import ModelError
def action(): raise ModelError({text!r}, {text!r})
output.run(action, as_json={as_json}, show=print)
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_acts_on_no_terminal(as_json) -> None:
    done = subprocess.run([sys.executable, "-c", FAILING.format(text=HOSTILE, as_json=as_json)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert acting(done.stdout + done.stderr) == []
    assert "gnp.exe" in (done.stdout if as_json else done.stderr)


FULL = """
from dsmobile.cli import output
def action(): raise OSError(28, 'No space left on device', '/tmp/x')
output.run(action, as_json=True, show=print)
"""


def test_a_full_disk_is_no_fault_of_ours() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["kind"] == "OutputError"


def test_a_setup_of_a_strange_device_acts_on_no_terminal(capsys) -> None:
    from dsmobile.cli import devices

    devices._show_setup(
        {
            "address": "ssh:pi@pi",
            "kind": "ssh",
            "python_version": HOSTILE,
            "userland": {"system": HOSTILE, "os_release": {"id": HOSTILE}, "architecture": HOSTILE, "pointer_bits": 64},
            "pushed": [HOSTILE],
            "pushed_bytes": 1,
            "runtimes": [{"name": HOSTILE, "version": HOSTILE, "error": HOSTILE}],
            "impossible": [{"runtime": HOSTILE, "reason": HOSTILE}],
            "advice": [HOSTILE],
        }
    )
    shown = capsys.readouterr().out
    assert "gnp.exe" in shown
    assert acting(shown) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("verb", ["bench {model}", "devices doctor local"])
def test_closed_streams_are_no_reason_to_fail(tmp_path: Path, verb, closed) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(b"no model")
    command = [sys.executable, "-m", "dsmobile", *verb.format(model=model).split(), "--json"]
    log = tmp_path / "log"
    redirected = closed if "2>" in closed else f"{closed} 2>{str(log)!r}"
    shell = f"exec {' '.join(command)} {redirected}"
    done = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, env={**os.environ, "DSMOBILE_CACHE": str(tmp_path)}, cwd=tmp_path, check=False)
    assert done.returncode in ((3,) if "bench" in verb else (0, 7)), log.read_text() if log.exists() else ""
    if ">&- " not in closed + " " or closed == "2>&-":
        document = json.loads(done.stdout)
        assert document.get("error", {}).get("kind") in (None, "ModelError")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("verb", ["bench m.tflite", "devices doctor local", "devices setup ssh:nobody@no-such-host.invalid"])
def test_for_a_person_too_a_closed_standard_input_is_no_reason_to_fail(tmp_path: Path, verb) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    shell = f"exec {sys.executable} -m dsmobile {verb} <&-"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode in (0, 3, 5, 7), done.stderr
    assert "fault in dsmobile" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_nobody_is_asked_where_standard_input_is_closed() -> None:
    code = "from dsmobile.cli import output; raise SystemExit(int(output.interactive(as_json=False)))"
    assert subprocess.run(["sh", "-c", f"exec {sys.executable} -c {code!r} <&-".replace("'", '"')], check=False).returncode == 0
