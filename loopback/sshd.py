"""A real sshd on loopback that stands for a rented machine: its own keys, port, home and PATH below one folder.

What is logged in carries the variable FLYWHEEL_MACHINE, so that `power_off` ends what a machine that is switched off
would end: the server, its connections, and whatever they left running, detached or not.

No session reaches this machine's own `shutdown`: no folder of its PATH holds it, and the first folder has programs
called `sudo` and `shutdown` that write down their arguments and do nothing else.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("sshd", "ssh", "ssh-keygen", "rsync")
PATH = ("/usr/local/bin", "/usr/bin", "/bin")
RECORDER = '#!/bin/sh\necho "$(basename "$0") $*" >> {calls}\n'


def why_not() -> str | None:
    """Why there can be no machine here; None where there can. Installs Debian's packages where they are missing."""
    if os.geteuid() != 0:
        return "sshd is started as root"
    if _missing() and shutil.which("apt-get"):
        # Here, because the fake of the brev command imports this file as a program does.
        from loopback import apt

        apt.install("openssh-server", "rsync")
    return f"{', '.join(_missing())}: not installed, and cannot be" if _missing() else None


def _missing() -> list[str]:
    return [name for name in NEEDED if _found(name) is None]


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Machine:
    """A machine whose everything lies in `folder`."""

    folder: Path

    @property
    def home(self) -> Path:
        """Of its only user."""
        return self.folder / "home"

    @property
    def programs(self) -> Path:
        """The first folder of its PATH."""
        return self.folder / "programs"

    @property
    def key(self) -> Path:
        """Of its user, private."""
        return self.folder / "user_key"

    @property
    def port(self) -> int:
        """On loopback."""
        return int((self.folder / "port").read_text())

    @property
    def calls(self) -> list[str]:
        """What `sudo` and `shutdown` were called with."""
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def power_on(self) -> None:
        """Start the server; returns when it answers."""
        self._prepare()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (self.folder / "port").write_text(str(port))
        Path("/run/sshd").mkdir(exist_ok=True)
        sshd = _found("sshd")
        assert sshd is not None
        with (self.folder / "sshd.log").open("ab") as log:
            server = subprocess.Popen(
                [sshd, "-D", "-e", "-f", str(self._config(port))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._server.write_text(str(server.pid))
        deadline = time.monotonic() + 10
        while not _answers(port):
            if time.monotonic() > deadline or server.poll() is not None:
                raise RuntimeError((self.folder / "sshd.log").read_text())
            time.sleep(0.02)

    def power_off(self) -> None:
        """End the server and all that ever came through it."""
        server = self._server_pid()
        if server is not None:
            with suppress(ProcessLookupError):
                # Stopped first, so that it takes no connection while its others are ended.
                os.kill(server, signal.SIGSTOP)
        deadline = time.monotonic() + 10
        while left := [pid for pid in self.processes() if pid != server]:
            _kill(left)
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes {left} do not end")
            time.sleep(0.01)
        if server is not None:
            _kill([server])
            with suppress(ChildProcessError):
                os.waitpid(server, 0)
        self._server.unlink(missing_ok=True)

    def cut(self) -> int:
        """Break every connection, as a network does; what was detached goes on. How many there were."""
        server = self._server_pid()
        found = [] if server is None else list(_below(server, "sshd"))
        _kill(found)
        return len(found)

    def processes(self) -> list[int]:
        """The server, its connections, and all that was started through them."""
        server = self._server_pid()
        own = [] if server is None else [server, *_below(server, "sshd")]
        marker = f"FLYWHEEL_MACHINE={self.folder}".encode()
        return sorted({*own, *(pid for pid in _pids() if marker in _read(pid, "environ").split(b"\0"))})

    def commands(self) -> list[str]:
        """Their command lines."""
        return [f"{pid} {_read(pid, 'cmdline').replace(bytes(1), b' ').decode()}" for pid in self.processes()]

    @property
    def _server(self) -> Path:
        return self.folder / "sshd.pid"

    def _server_pid(self) -> int | None:
        try:
            pid = int(self._server.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if str(self.folder).encode() in _read(pid, "cmdline") else None

    def _prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.programs.mkdir(exist_ok=True)
        path = ":".join((str(self.programs), *PATH))
        for name in ("sudo", "shutdown"):
            recorder = self.programs / name
            recorder.write_text(RECORDER.format(calls=shlex.quote(str(self.folder / "calls"))))
            recorder.chmod(0o755)
            if shutil.which(name, path=path) != str(recorder):
                raise RuntimeError(f"a session would reach another {name} than {recorder}")
        for key in (self.key, self.folder / "host_key"):
            if not key.exists():
                made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
                subprocess.run(made, check=True, stdin=subprocess.DEVNULL)

    def _config(self, port: int) -> Path:
        path = ":".join((str(self.programs), *PATH))
        lines = (
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {self.folder / 'host_key'}",
            "PidFile none",
            f"AuthorizedKeysFile {self.key}.pub",
            # Folders of tests may be anybody's.
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UseDNS no",
            "MaxStartups 100",
            f"SetEnv PATH={path} HOME={self.home} FLYWHEEL_MACHINE={self.folder}",
        )
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        return config


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (OSError, ProcessLookupError):
        return b""


def _below(root: int, name: str) -> Iterator[int]:
    """Living descendants of a process that are called `name`, through such ones."""
    parents: dict[int, list[int]] = {}
    for pid in _pids():
        command, _, rest = _read(pid, "stat").decode(errors="replace").rpartition(")")
        if command.endswith(f"({name}") and rest.split()[0] != "Z":
            parents.setdefault(int(rest.split()[1]), []).append(pid)
    pending = [root]
    while pending:
        found = parents.get(pending.pop(), [])
        pending += found
        yield from found
