"""The device's side of adb over TCP, so that the real `adb` client can talk to a folder on this machine as if it were a phone.

python adb_daemon.py CONTROL.json: the file tells `root` (the folder that files are pushed below), `shell` (an argument list; the command comes
last), `environment`, `product` and, at any time, `full` (pushing fails as on a full disk, or with the words given),
`silent` (never answers a connection: offline),
`stranger` (asks for a key that it never accepts: unauthorised) and `features`. It prints its port. SIGUSR1 pulls the cable.

Protocol: AOSP, packages/modules/adb: protocol.txt, SYNC.TXT, shell_protocol.h, daemon/shell_service.cpp (a lost client gives the shell a SIGHUP).
"""

import asyncio
import json
import os
import signal
import struct
import sys
from pathlib import Path

MOST = 256 * 1024
CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (struct.unpack("<I", word)[0] for word in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE"))
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
children: set[asyncio.subprocess.Process] = set()
links: set["Link"] = set()


class LostError(Exception):
    """The other side has gone."""


class Phone:
    def __init__(self, control: Path) -> None:
        self.control = control

    def __getitem__(self, name: str):
        return json.loads(self.control.read_text()).get(name)

    def path(self, place: str) -> Path:
        root = Path(self["root"]).resolve()
        full = (root / place.lstrip("/")).resolve()
        if root not in (full, *full.parents):
            raise PermissionError(1, "Operation not permitted")
        return full


class Stream:
    """One service that the client opened; each write waits for the client's OKAY."""

    def __init__(self, link: "Link", mine: int, theirs: int) -> None:
        self.link, self.mine, self.theirs = link, mine, theirs
        self.ready, self.arrived = asyncio.Event(), asyncio.Event()
        self.kept, self.ended = bytearray(), False

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.link.largest):
            if self.ended:
                raise LostError
            self.ready.clear()
            self.link.send(WRTE, self.mine, self.theirs, data[start : start + self.link.largest])
            await self.ready.wait()

    async def read(self, count: int = 0) -> bytes:
        """Exactly so many bytes; 0: whatever there is."""
        while len(self.kept) < max(count, 1):
            if self.ended:
                raise LostError
            self.arrived.clear()
            await self.arrived.wait()
        taken = bytes(self.kept[: count or None])
        del self.kept[: len(taken)]
        return taken

    def end(self) -> None:
        self.ended = True
        self.ready.set()
        self.arrived.set()


class Link:
    """One connection of an adb server."""

    def __init__(self, phone: Phone, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.phone, self.reader, self.writer = phone, reader, writer
        self.streams: dict[int, Stream] = {}
        self.largest, self.version, self.count = 4096, 0x01000000, 0

    def send(self, command: int, one: int, two: int, data: bytes = b"") -> None:
        checked = sum(data) & 0xFFFFFFFF if self.version < 0x01000001 else 0
        self.writer.write(struct.pack("<6I", command, one, two, len(data), checked, command ^ 0xFFFFFFFF) + data)

    async def serve(self) -> None:
        links.add(self)
        try:
            while True:
                command, one, two, length, _, _ = struct.unpack("<6I", await self.reader.readexactly(24))
                await self.take(command, one, two, await self.reader.readexactly(length) if length else b"")
                await self.writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            links.discard(self)
            for stream in list(self.streams.values()):
                stream.end()
            self.writer.close()

    async def take(self, command: int, one: int, two: int, data: bytes) -> None:
        if command in (CNXN, AUTH):
            self.greet(command, one, two)
        elif command == OPEN:
            self.count += 1
            stream = self.streams[self.count] = Stream(self, self.count, one)
            self.opening = asyncio.ensure_future(self.open(stream, data.rstrip(b"\0").decode("utf-8", "surrogateescape")))
        elif two not in self.streams:
            if command == WRTE:
                self.send(CLSE, 0, one)
        elif command == OKAY:
            self.streams[two].ready.set()
        elif command == WRTE:
            self.streams[two].kept += data
            self.streams[two].arrived.set()
            self.send(OKAY, two, one)
        elif command == CLSE:
            self.streams.pop(two).end()

    def greet(self, command: int, one: int, two: int) -> None:
        if self.phone["silent"]:
            return
        if self.phone["stranger"]:
            self.send(AUTH, 1, 0, bytes(20))
            return
        if command == CNXN:
            self.version, self.largest = min(one, 0x01000001), min(two, MOST)
        product = "".join(f"{name}={value};" for name, value in self.phone["product"].items())
        features = self.phone["features"]
        self.send(CNXN, 0x01000001, MOST, f"device::{product}features={'shell_v2,cmd,stat_v2' if features is None else features}".encode())

    async def open(self, stream: Stream, service: str) -> None:
        name, _, argument = service.partition(":")
        kind, *options = name.split(",")
        try:
            if kind in ("shell", "exec"):
                self.send(OKAY, stream.mine, stream.theirs)
                await run_command(self.phone, stream, argument, framed="v2" in options)
            elif kind == "sync":
                self.send(OKAY, stream.mine, stream.theirs)
                await sync(self.phone, stream)
        except (LostError, ConnectionError):
            pass
        finally:
            if self.streams.pop(stream.mine, None):
                self.send(CLSE, stream.mine, stream.theirs)
            stream.end()


async def run_command(phone: Phone, stream: Stream, command: str, *, framed: bool) -> None:
    """A shell with a command; where the client goes away, the shell gets a SIGHUP, and nobody else."""
    environment = {**phone["environment"], "DEVICE_BENCH_ROOT": phone["root"]}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *phone["shell"],
        command,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe if framed else asyncio.subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    children.add(process)

    async def tell(source: asyncio.StreamReader, number: int) -> None:
        while data := await source.read(65536):
            await stream.write(struct.pack("<BI", number, len(data)) + data if framed else data)

    async def feed() -> None:
        while True:
            if framed:
                number, length = struct.unpack("<BI", await stream.read(5))
                data = await stream.read(length) if length else b""
                if number == CLOSE_STDIN:
                    process.stdin.close()
                    continue
            else:
                number, data = STDIN, await stream.read()
            if number == STDIN and data:
                process.stdin.write(data)
                await process.stdin.drain()

    feeding = asyncio.ensure_future(feed())
    sources = [(process.stdout, STDOUT), *([(process.stderr, STDERR)] if framed else [])]
    telling = asyncio.gather(*(tell(*source) for source in sources))
    try:
        while not telling.done():
            await asyncio.wait({feeding, telling}, return_when=asyncio.FIRST_COMPLETED)
            if feeding.done() and (isinstance(feeding.exception(), LostError) or stream.ended):
                raise LostError
            if feeding.done():
                await telling
        await telling
        status = await process.wait()
        if framed:
            await stream.write(struct.pack("<BIB", EXIT, 1, status & 255))
    finally:
        feeding.cancel()
        telling.cancel()
        if process.returncode is None:
            hang_up(process)
            await process.wait()
        children.discard(process)


def hang_up(process: asyncio.subprocess.Process) -> None:
    try:
        if process.stdin:
            process.stdin.close()
        os.kill(process.pid, signal.SIGHUP)
    except ProcessLookupError:
        pass


async def sync(phone: Phone, stream: Stream) -> None:
    """Files: only what `adb push` needs."""
    while True:
        word, length = struct.unpack("<4sI", await stream.read(8))
        if word == b"QUIT":
            return
        name = (await stream.read(length)).decode("utf-8", "surrogateescape") if length else ""
        try:
            if word in (b"STAT", b"STA2", b"LST2"):
                await stream.write(status_of(phone, word, name))
            elif word == b"SEND":
                await receive(phone, stream, name)
            else:
                raise OSError(38, f"no such request {word!r}")
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            said = (error.strerror or str(error)).encode()
            await stream.write(struct.pack("<4sI", b"FAIL", len(said)) + said)


def status_of(phone: Phone, word: bytes, name: str) -> bytes:
    try:
        found, error = phone.path(name).stat(), 0
    except OSError as caught:
        found, error = None, caught.errno or 2
    mode, size, changed = (found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)
    if word == b"STAT":
        return struct.pack("<4s3I", word, mode, size, changed)
    return struct.pack("<4sI2Q4IQ3q", word, error, 1, 1, mode, 1, 0, 0, size, changed, changed, changed)


async def receive(phone: Phone, stream: Stream, name: str) -> None:
    """The client sends everything before it looks at the answer."""
    place, _, mode = name.rpartition(",")
    data, stopped = bytearray(), phone["full"]
    while True:
        word, length = struct.unpack("<4sI", await stream.read(8))
        if word == b"DONE":
            break
        data += await stream.read(length)
    if stopped:
        raise OSError(28, stopped if isinstance(stopped, str) else "No space left on device")
    path = phone.path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(int(mode) & 0o777 | 0o600)
    await stream.write(struct.pack("<4sI", b"OKAY", 0))


async def main() -> None:
    phone = Phone(Path(sys.argv[1]))
    server = await asyncio.start_server(lambda reader, writer: Link(phone, reader, writer).serve(), "127.0.0.1", 0)

    def unplug() -> None:
        server.close()
        for link in list(links):
            link.writer.transport.abort()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, unplug)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended.wait()
    unplug()
    for process in list(children):
        hang_up(process)
    await asyncio.sleep(0.2 if children else 0)


if __name__ == "__main__":
    asyncio.run(main())
