"""The browser of these tests: what it fetches is pinned, it reaches nothing else, it says what failed, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ship

HERE = Path(__file__).parent
PAGE = '<link rel="icon" href="data:,"><script type="module">{}</script>'
POST = "await fetch('/answers', {{method: 'POST', body: JSON.stringify({})}})"


def test_lock_names_no_host() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    wanted = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    packages = {name.removeprefix("node_modules/"): package for name, package in lock["packages"].items() if name}
    assert "://" not in json.dumps(lock)
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert {name: packages[name]["version"] for name in wanted} == wanted


def test_documentation_shows_the_functions_that_are_tested() -> None:
    functions = (HERE / "preprocessing.js").read_text(encoding="utf-8").replace("export function", "function")
    assert functions in (HERE.parents[2] / "docs" / "web.md").read_text(encoding="utf-8")


def test_these_tests_would_see_a_fault(web: Any, chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach = "await fetch(a).then(() => 'reached', () => 'nothing')"
    outside = PAGE.format(f"const a = 'http://example.com/'; {POST.format(f'{{answers: [{{got: {reach}}}]}}')}")
    pages = {
        "outside": outside,
        "silent": PAGE.format("while (true) {}"),
        "broken": PAGE.format(POST.format("{failed: 'a reason'}")),
        "absent": PAGE.format(f"await fetch('absent.bin'); {POST.format('{answers: []}')}"),
        "above": PAGE.format(f"await fetch('/pages/%2e%2e/%2e%2e/conftest.py'); {POST.format('{answers: []}')}"),
    }
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[int] = []
    watch = threading.Timer(1.0, lambda: seen.append(_processes(tmp_path)))
    watch.start()
    for name, reason in {"silent": "no answer within 4 s", "broken": "a reason", "absent": "absent.bin", "above": "conftest.py"}.items():
        with pytest.raises(web.PageError, match=reason):
            chromium.ask(f"{name}.html", [], tmp_path, timeout_s=4)
    watch.join()
    assert chromium.ask("outside.html", [], tmp_path) == [{"got": "nothing"}]
    assert seen[0] > 0
    assert _processes(tmp_path) == 0


def _processes(profiles: Path) -> int:
    """How many processes of browsers run whose profiles are in a folder."""
    commands = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended
            commands.append(process.read_bytes())
    return sum(b"--user-data-dir=" + bytes(profiles) in command for command in commands)
