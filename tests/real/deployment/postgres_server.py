"""Debian's PostgreSQL, started on loopback in a folder of its own, killed as a machine's end kills it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loopback import apt

USER = "postgres"
_PATIENCE = 60.0


def why_not() -> str | None:
    """Why there can be no PostgreSQL here; None where there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "PostgreSQL is started as a user of its own, by root on Linux"
    if _programs() is None and shutil.which("apt-get") is None:
        return "there is no PostgreSQL in /usr/lib/postgresql, and no apt-get to install it"
    return None


def install() -> None:
    """Install Debian's `postgresql` unless it is there."""
    if _programs() is not None:
        return
    apt.install("postgresql")


def _programs() -> Path | None:
    """The folder of Debian's newest `initdb` and `postgres`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class PostgresServer:
    """A server with one database `dagster`, whose owner has to give a password."""

    root: Path
    port: int
    password: str = "not a secret: this server ends with its test"
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def variables(self) -> Mapping[str, str]:
        """What `deploy/dagster.yaml` asks for."""
        return {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_DB": "dagster",
            "POSTGRES_USER": "flywheel",
            "POSTGRES_PASSWORD": self.password,
        }

    def create(self) -> None:
        """Make the cluster; only who gives the password gets in."""
        shutil.chown(self.root, USER)
        secret = self.root / "password"
        secret.write_text(self.password)
        shutil.chown(secret, USER)
        access = ("--username=flywheel", f"--pwfile={secret}", "--auth=scram-sha-256")
        self._run("initdb", "--no-sync", "--encoding=UTF8", *access, f"--pgdata={self.root}/data")
        self.start()
        environment = {**os.environ, "PGPASSWORD": self.password}
        self._run("createdb", *self._address, "--username=flywheel", "dagster", env=environment)

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.root}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._program("postgres"), "-D", f"{self.root}/data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=USER,
                group=USER,
                extra_groups=[],
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while subprocess.run([self._program("pg_isready"), *self._address], capture_output=True).returncode:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL, to all of its processes at once: nothing is written down, nobody is told."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            deadline = time.monotonic() + _PATIENCE
            while _group_lives(self.process.pid):
                assert time.monotonic() < deadline, "PostgreSQL's processes do not end"
                time.sleep(0.05)

    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    @property
    def _address(self) -> tuple[str, ...]:
        return ("--host=127.0.0.1", f"--port={self.port}")

    def _program(self, name: str) -> str:
        folder = _programs()
        assert folder is not None
        return str(folder / name)

    def _run(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        command = [self._program(name), *arguments]
        done = subprocess.run(
            command, user=USER, group=USER, extra_groups=[], cwd="/", env=env, capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _group_lives(group: int) -> bool:
    """Whether a process of the group is there that has not ended."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            values = (process / "stat").read_text().rpartition(")")[2].split()
            if int(values[2]) == group and values[0] not in ("Z", "X"):
                return True
    return False


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server, killed at the end; its folder is where its user may go, unlike pytest's."""
    install()
    root = Path(tempfile.mkdtemp(prefix="flywheel-postgres-"))
    server = PostgresServer(root, free_port())
    try:
        server.create()
        yield server
    finally:
        server.kill()
        shutil.rmtree(root, ignore_errors=True)
