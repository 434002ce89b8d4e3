"""LiteRT.js and MediaPipe Web in headless Chromium: libraries from npm by a lock, and everything served from this machine.

`python tests/shipping/web/chromium.py` fetches the libraries; after that no network is needed, and the browser is given none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LOCKED = ("package.json", "package-lock.json", ".npmrc")
TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-breakpad",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr", "--v=0",
    "--remote-debugging-port=0",
]  # fmt: skip
LARGEST_ANSWER = 64 << 20


class ProgramMissingError(Exception):
    """npm or Chromium is not installed."""


class PageError(Exception):
    """The libraries cannot be fetched, or the page gave no answers."""


@dataclass
class Site:
    """What the browser may ask for, and what it told.

    Args:
        folders: Where addresses that begin with a name are found.
        held: Bytes by their address.
        answers: The page's answers, once it has posted them.
        missing: Addresses that were asked for and are not here.
    """

    folders: dict[str, Path]
    held: dict[str, bytes] = field(default_factory=dict)
    answers: Any = None
    missing: list[str] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)

    def find(self, address: str) -> bytes | None:
        """The bytes at an address, or None; nothing outside the folders."""
        address = address.partition("?")[0]
        if address in self.held:
            return self.held[address]
        _, first, rest = address.split("/", 2) if address.count("/") > 1 else ("", "", "")
        folder = self.folders.get(first)
        path = (folder / rest).resolve() if folder else None
        if path is None or folder is None or not path.is_relative_to(folder.resolve()) or not path.is_file():
            self.missing.append(address)
            return None
        return path.read_bytes()


@dataclass(frozen=True)
class Chromium:
    """A browser and the libraries that its pages use.

    Args:
        program: Chromium.
        libraries: The folder `node_modules`.
    """

    program: str
    libraries: Path

    def ask(self, page: str, jobs: list[dict[str, Any]], pages: Path = HERE, timeout_s: float = 50.0) -> list[dict[str, Any]]:
        """Opens a page, which does the jobs one after the other.

        Args:
            page: Its name in the folder of pages.
            jobs: Values for JSON; bytes in them become addresses at which the page finds them.
            pages: The folder of pages.
            timeout_s: After this the browser is stopped.

        Returns:
            One answer for each job.

        Raises:
            PageError: The page failed, asked for what is not there, or was not done in time.
        """
        site = Site({"pages": pages, "node_modules": self.libraries})
        site.held["/jobs"] = json.dumps([_with_addresses(job, site.held) for job in jobs]).encode()
        with _serving(site) as origin, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            console = self._open(f"{origin}/pages/{page}", profile, site, timeout_s)
        if not isinstance(site.answers, dict) or "answers" not in site.answers:
            raise PageError(f"{page}: {(site.answers or {}).get('failed') or f'no answer within {timeout_s:g} s'}\n{console[-2000:]}")
        if site.missing:
            raise PageError(f"{page} asked for {site.missing}")
        answers: list[dict[str, Any]] = site.answers["answers"]
        return answers

    def _open(self, address: str, profile: str, site: Site, timeout_s: float) -> str:
        """Runs the browser until the page has told something, and stops it with all its children; gives its console."""
        log = Path(profile) / "console.log"
        with log.open("wb") as console:
            command = [self.program, *FLAGS, f"--user-data-dir={profile}", address]
            browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
            try:
                end = time.monotonic() + timeout_s
                while not site.told.wait(0.2) and browser.poll() is None and time.monotonic() < end:
                    pass
            finally:
                _stop(browser)
        return "\n".join(line for line in log.read_text(errors="replace").splitlines() if ":CONSOLE" in line)


def _stop(browser: subprocess.Popen[bytes]) -> None:
    """Ends a browser and all its children, and waits until none is left."""
    for _ in range(100):
        try:
            os.killpg(browser.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        browser.poll()  # until the leader is waited for, its group exists
        time.sleep(0.05)


def _with_addresses(value: Any, held: dict[str, bytes]) -> Any:
    if isinstance(value, bytes):
        address = f"/held/{hashlib.sha256(value).hexdigest()}"
        held[address] = value
        return address
    if isinstance(value, dict):
        return {key: _with_addresses(part, held) for key, part in value.items()}
    return [_with_addresses(part, held) for part in value] if isinstance(value, list) else value


@contextmanager
def _serving(site: Site) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *values: Any) -> None:  # noqa: A002
            """Says nothing."""

        def _send(self, status: int, kind: str = "text/plain", data: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            # cross-origin isolation, without which a page gets no threads
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            data = site.find(self.path)
            kind = TYPES.get(Path(self.path).suffix, "application/octet-stream")
            self._send(404) if data is None else self._send(200, kind, data)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if self.path != "/answers" or length > LARGEST_ANSWER:
                self._send(400)
                return
            site.answers = json.loads(self.rfile.read(length))
            self._send(204)
            site.told.set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def libraries_folder() -> Path:
    """Where the libraries of this lock are kept."""
    digest = hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in LOCKED)).hexdigest()[:12]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsmobile-tests" / f"web-{digest}"


def chromium() -> Chromium:
    """The browser and its libraries, fetched where they are not in the cache yet.

    Raises:
        ProgramMissingError: npm or Chromium is not installed.
        PageError: npm cannot fetch the libraries.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise ProgramMissingError("Chromium is not installed (scripts/setup-system)")
    folder = libraries_folder()
    if not folder.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            raise ProgramMissingError("npm is not installed (scripts/setup-system)")
        _fetch(npm, folder)
    return Chromium(program, folder / "node_modules")


def _fetch(npm: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        work = Path(temporary) / "libraries"
        work.mkdir()
        for name in LOCKED:
            shutil.copy(HERE / name, work / name)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise PageError(f"the libraries cannot be fetched: {done.stderr.strip()[-500:]}")
        if not folder.is_dir():
            work.rename(folder)


if __name__ == "__main__":
    sys.stdout.write(f"{chromium().libraries}\n")
