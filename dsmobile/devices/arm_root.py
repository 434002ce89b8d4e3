"""A Debian root for an ARM processor, made on any Debian machine in seconds.

Packages are fetched by apt, which checks signatures and hashes, and unpacked. No maintainer script runs: what a Python or an SSH server
needs of their work is written by hand. A root is made once and kept in the cache; whoever starts it writes elsewhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dsmobile.errors import DeviceError, UsageError, nearest
from dsmobile.files import explained

ARCHITECTURES = ("arm64", "armhf")
SUITES = ("bullseye", "bookworm", "trixie")
# A command line and a Python, as a small Raspberry Pi OS has them.
COMMAND_LINE = tuple(
    "base-files bash coreutils dash dpkg findutils gawk grep hostname libc-bin libstdc++6 login mount procps python3 sed tar util-linux".split()
)
SERVER = ("openssh-client", "openssh-server", "openssh-sftp-server")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LEFT_OUT = ("./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/info", "./usr/share/lintian", "./usr/share/perl*")
_FOLDERS = "dev etc home proc root run/sshd sys tmp usr/bin usr/sbin usr/lib usr/local/bin var/tmp var/lib/dpkg".split()
_ACCOUNTS = {
    "passwd": """root:x:0:0:root:/root:/bin/bash
sshd:x:105:65534::/run/sshd:/usr/sbin/nologin
pi:x:1000:1000::/home/pi:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
""",
    "group": "root:x:0:\npi:x:1000:\nnogroup:x:65534:\n",
    "shadow": "root:*:1::::::\nsshd:*:1::::::\npi:*:1::::::\nnobody:*:1::::::\n",
}
PI = 1000
UNFINISHED = ".unfinished-"
# Left uncompiled; the last is a configuration file, which somebody may change.
_NOT_COMPILED = "/(test|idlelib|lib2to3|tkinter|distutils|ensurepip|pydoc_data|turtledemo|wsgiref|xmlrpc|sqlite3|curses|dbm|asyncio)/|sitecustomize"
_APT_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Root:
    """Which root.

    Args:
        architecture: `arm64` or `armhf`, as Debian calls it.
        suite: `bullseye`, `bookworm` or `trixie`.
        packages: What is installed, with all that it depends on.
    """

    architecture: str
    suite: str
    packages: tuple[str, ...] = (*COMMAND_LINE, *SERVER)

    @property
    def key(self) -> str:
        """A name that changes with what is made and how."""
        recipe = "\0".join([self.architecture, self.suite, *self.packages]).encode() + Path(__file__).read_bytes()
        return f"{self.suite}-{self.architecture}-{hashlib.sha256(recipe).hexdigest()[:12]}"


def cached_root(root: Root, cache: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """A root from the cache, made if it is not there; it is shared, so nobody may write to it.

    Args:
        root: Which.
        cache: The folder that keeps roots.
        say: Told what takes time.

    Raises:
        UsageError: There is no such root.
        DeviceError: This machine cannot make it.
    """
    place = cache / root.key
    with alone(cache):
        if not place.is_dir():
            say(f"making a {root.suite} {root.architecture} root")
            temporary = Path(tempfile.mkdtemp(dir=cache, prefix=UNFINISHED))
            try:
                make_root(root, temporary / "root")
                (temporary / "root").replace(place)
            finally:
                shutil.rmtree(temporary)
    return place


def make_root(root: Root, place: Path) -> None:
    """Makes a root.

    Args:
        root: Which.
        place: A folder that does not exist yet.

    Raises:
        UsageError: There is no such root.
        DeviceError: This machine has no apt or no Debian mirror, or the mirror did not deliver.
    """
    if root.architecture not in ARCHITECTURES:
        raise UsageError(f"there is no ARM root for {root.architecture!r}", nearest(root.architecture, ARCHITECTURES))
    if root.suite not in SUITES:
        raise UsageError(f"there is no ARM root of {root.suite!r}", nearest(root.suite, SUITES))
    with tempfile.TemporaryDirectory(prefix="dsmobile-apt-") as name:
        packages = download(root, Path(name))
        for folder in _FOLDERS:
            (place / folder).mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        for folder in ("tmp", "var/tmp"):
            (place / folder).chmod(0o1777)
        for folder in ("bin", "sbin", "lib"):
            (place / folder).symlink_to(f"usr/{folder}")
        for package in packages:
            unpack(package, place)
    _stand_in_for_scripts(place)
    _compile_python(place)


def download(root: Root, state: Path) -> list[Path]:
    """Fetches packages and all that they depend on by apt, which checks the mirror's signature and every hash; nothing is installed.

    Args:
        root: Which architecture, suite and packages.
        state: An empty folder for apt's lists and the packages.

    Returns:
        The packages.

    Raises:
        DeviceError: As in `make_root`.
    """
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    line = f"deb [arch={root.architecture} signed-by={_keyring()}] {debian_mirror()} {root.suite} main\n"
    (state / "sources.list").write_text(line, encoding="utf-8")
    settings = {
        "APT::Architecture": root.architecture,
        "APT::Architectures::": root.architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "1",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
    }
    options: list[str] = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    _apt([*options, "update"], f"its lists of {root.suite} for {root.architecture}")
    _apt([*options, "--download-only", "install", *root.packages], f"the packages of {root.suite} for {root.architecture}")
    return sorted((state / "archives").glob("*.deb"))


def unpack(package: Path, place: Path) -> None:
    """Unpacks a package's files, documentation left out.

    Raises:
        DeviceError: It cannot be unpacked.
    """
    leave_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    reader = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    command = ["tar", "-x", "-C", str(place), "--keep-directory-symlink", *leave_out]
    done = subprocess.run(command, stdin=reader.stdout, capture_output=True, text=True, check=False)
    assert reader.stdout is not None  # noqa: S101
    reader.stdout.close()
    if reader.wait() or done.returncode:
        raise DeviceError(f"{package.name} cannot be unpacked: {done.stderr.strip()[-300:]}", "see whether the disk is full, then try again")


def debian_mirror() -> str:
    """The Debian mirror that this machine uses, or the one that DSMOBILE_DEBIAN_MIRROR names.

    Raises:
        DeviceError: There is none.
    """
    given = os.environ.get("DSMOBILE_DEBIAN_MIRROR")
    if given:
        return given
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DeviceError("this machine has no apt, which fetches Debian's packages for ARM", "use a Debian or Ubuntu machine or container")
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Origin: Debian", "Component: main"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        address, _, release = line.partition(" ")
        if release and "-" not in release and "/" not in release:  # bookworm, not bookworm-security: that is another place
            return address
    raise DeviceError(
        "apt on this machine knows no Debian mirror", "run `apt-get update`, or name a mirror with the environment variable DSMOBILE_DEBIAN_MIRROR"
    )


def _keyring() -> Path:
    """Debian's public keys, from this machine's own package of them: what the mirror sends must be signed by one of these."""
    if not _KEYRING.exists():
        raise DeviceError("this machine does not know Debian's keys", "install debian-archive-keyring")
    return _KEYRING


def _apt(arguments: Sequence[str], wanted: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            ["apt-get", "-q", "-y", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            timeout=_APT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"apt did not fetch {wanted} within {_APT_TIMEOUT_S:g} s", "check the connection to the mirror") from error
    # A mirror that cannot be reached, or whose signature is missing, is only a warning to apt.
    complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    serious = [line for line in complaints if line.startswith("E:") or "Failed to fetch" in line or "NO_PUBKEY" in line]
    if done.returncode or serious:
        said = " / ".join(serious or complaints)[-500:] or f"exit status {done.returncode}"
        advice = "upgrade debian-archive-keyring" if "NO_PUBKEY" in said else "check the connection to the mirror, then try again"
        raise DeviceError(f"apt could not fetch {wanted}: {said}", advice)


def _stand_in_for_scripts(place: Path) -> None:
    """What the packages' maintainer scripts would have done, as far as a Python and an SSH server need it."""
    for name, target in (("sh", "dash"), ("awk", "gawk")):
        (place / "usr/bin" / name).unlink(missing_ok=True)
        (place / "usr/bin" / name).symlink_to(target)
    for name, text in _ACCOUNTS.items():
        (place / "etc" / name).write_text(text, encoding="utf-8")
    (place / "etc/shadow").chmod(0o640)
    for library in (place / "usr/lib").glob("*-linux-gnu*/*/lib*.so.3"):  # BLAS and LAPACK are chosen by a script
        link = library.parent.parent / library.name
        if library.parent.name in ("blas", "lapack") and not link.exists():
            link.symlink_to(f"{library.parent.name}/{library.name}")
    home = place / "home/pi"
    home.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(home, PI, PI)


def _compile_python(place: Path) -> None:
    """Compiles the root's standard library, so that a processor that is emulated need not at every start; where that cannot be, it does.

    Python of the same version here does it at once; else the root's own does, where this machine runs programs for ARM.
    """
    for library in (place / "usr/lib").glob("python3.[0-9]*"):
        inside = f"/{library.relative_to(place)}"
        options = ["-m", "compileall", "-q", "-x", _NOT_COMPILED, "--invalidation-mode", "unchecked-hash"]
        if library.name == f"python{sys.version_info[0]}.{sys.version_info[1]}":
            command = [sys.executable, "-I", *options, "-s", str(place), "-p", "/", str(library)]
        elif os.geteuid() == 0:
            command = ["chroot", str(place), "/usr/bin/python3", "-I", *options, inside]
        else:
            return
        environment = {"PATH": "/usr/sbin:/usr/bin", "QEMU_CPU": "cortex-a72" if (place / "lib/ld-linux-aarch64.so.1").exists() else "cortex-a15"}
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Lets one process at a time make something in a cache; clears away what killed ones left."""
    with explained(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in cache.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
