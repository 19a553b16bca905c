"""A Docker Engine of its own, and an image that needs no registry: empty folders to mount this machine into."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loopback import apt

IMAGE = "flywheel-test:empty"
_PATIENCE = 60.0
_FOLDERS = (
    *("tmp", "proc", "dev", "sys", "etc", "etc/ssl", "root", "workspace"),
    *("usr", "lib", "lib64", "bin"),
)
_MACHINE = ("/usr", "/lib", "/lib64", "/bin", "/etc/ssl")


def why_not() -> str | None:
    """Why no Docker Engine can be started here; None where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a Docker Engine is started by root on Linux"
    if shutil.which("dockerd") is None and shutil.which("apt-get") is None:
        return "there is no dockerd, and no apt-get to install it"
    return None


def install() -> None:
    """Install Debian's `docker.io` unless there is a `dockerd`; newer releases pack the command line apart."""
    if shutil.which("dockerd") is None:
        apt.install("docker.io")
    if shutil.which("docker") is None:
        apt.install("docker-cli")


@dataclass(frozen=True)
class DockerEngine:
    """An engine whose every file lies below `root`. Of networks it has ``none`` and ``host`` only."""

    root: Path

    @property
    def url(self) -> str:
        return f"unix://{self.root}/d.sock"

    @property
    def options(self) -> Mapping[str, str]:
        """The backend's options under which jobs run with this machine's programs and this Python."""
        return {
            "host": self.url,
            "image": IMAGE,
            "python": sys.executable,
            "mounts": ",".join(f"{path}={path}" for path in mounted()),
        }

    def start(self) -> None:
        """Start `dockerd`, and wait until it answers."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *("dockerd", "--iptables=false", "--bridge=none", "--storage-driver=vfs"),
                    *("--host", self.url, "--pidfile", str(self.root / "pid")),
                    *("--data-root", str(self.root / "data"), "--exec-root", str(self.root / "exec")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self.answers():
            assert process.poll() is None and time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.1)
        # Reaped by this thread's waiting in `kill`; the object itself would only warn when it is collected.
        process.returncode = 0

    def answers(self) -> bool:
        return self._call("version").returncode == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the engine that `start` started, by its process id, and wait for its end.

        Killed, it leaves its containers alive for the next start to find; `containerd` goes with it.
        """
        for pid_file in (self.root / "pid", self.root / "exec" / "containerd" / "containerd.pid"):
            if pid_file.exists():
                _end(int(pid_file.read_text()), number)
                # An engine that finds it takes a zombie for a living process.
                pid_file.unlink(missing_ok=True)

    def left(self) -> list[int]:
        """Processes that the engine started and did not take with it."""
        lines = ((int(each.name), each / "cmdline") for each in Path("/proc").glob("[0-9]*"))
        return [pid for pid, file in lines if os.fsencode(f"{self.root}/exec") in _read(file)]

    def docker(self, *arguments: str, given: bytes = b"") -> bytes:
        """What `docker ARGUMENTS` writes, asked of this engine; `given` is its standard input."""
        done = self._call(*arguments, given=given)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def _call(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ["docker", "--host", self.url, *arguments]
        return subprocess.run(command, input=given, capture_output=True, timeout=20)

    def import_image(self) -> None:
        """A file system of empty folders becomes an image."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for folder in _FOLDERS:
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
                archive.addfile(entry)
        self.docker("import", "-", IMAGE, given=content.getvalue())

    def containers(self) -> list[str]:
        """What `docker ps -a` lists: name and status of each."""
        return self.docker("ps", "--all", "--format", "{{.Names}} {{.Status}}").decode().splitlines()

    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")


def mounted() -> list[str]:
    """The folders of this machine that a job's Python needs: the system's, the interpreter's, the environment's."""
    needed = [Path(path) for path in (*_MACHINE, sys.base_prefix, sys.prefix)]
    found: list[str] = []
    for path in needed:
        if path.exists() and not any(path.is_relative_to(other) for other in found if other != "/usr/lib"):
            found.append(str(path))
    return found


@contextlib.contextmanager
def docker_engine(root: Path) -> Iterator[DockerEngine]:
    """A running engine with the image, ended at the end, its mounts too."""
    install()
    engine = DockerEngine(root)
    try:
        engine.start()
        engine.import_image()
        yield engine
    finally:
        engine.stop()
        for pid in engine.left():
            _end(pid, signal.SIGKILL)
        for point in _mounts_below(root):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def _end(pid: int, number: int) -> None:
    """Send a signal, and wait until the process has ended; whose child it is does not matter."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    deadline = time.monotonic() + _PATIENCE
    while _alive(pid):
        assert time.monotonic() < deadline, f"process {pid} does not end on signal {number}"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    status = _read(Path(f"/proc/{pid}/stat"))
    return bool(status) and status.rpartition(b")")[2].split()[0] != b"Z"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""  # it ended while we looked


def _mounts_below(root: Path) -> list[str]:
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((point for point in points if Path(point).is_relative_to(root)), reverse=True)
