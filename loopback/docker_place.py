"""A Docker Engine on this machine as a place where jobs run."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from loopback.docker_engine import docker_engine
from loopback.processes import processes_of


class Place:
    """The docker backend with an engine of its own; everything lies below `root`."""

    name = "docker"
    expected_after_cut = "error"
    """The engine closes the input of a container that nobody is attached to any more, and that ends the job."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.full = root / "full"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.full.mkdir(parents=True)
        # Room for the input that the full disk is tried with, of 1.2 MB, but not for the workspace beside it.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1400k", "tmpfs", self.full], check=True)
        self._stack.callback(subprocess.run, ["umount", self.full], check=True)
        self.engine = self._stack.enter_context(docker_engine(self.root / "e"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def variables(self) -> dict[str, str]:
        """What a fresh process needs to run a job here."""
        options = {f"FLYWHEEL_DOCKER_{name.upper()}": value for name, value in self.engine.options.items()}
        return {
            "FLYWHEEL_COMPUTE": self.name,
            "FLYWHEEL_DATA": str(self.data),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            **options,
        }

    def left(self) -> list[str]:
        """Containers, running or not, and processes that see a job's workspace from inside or outside."""
        return [*self.engine.containers(), *processes_of(self.data), *_contained(self.data)]

    def cut_connection(self) -> str | None:
        """Kill the engine and start it again: its clients' connections end, its containers do not at once."""
        self.engine.stop(signal.SIGKILL)
        self.engine.start()
        return None

    def full_disk(self) -> dict[str, str] | str:
        """Where workspaces lie there is room for nothing more."""
        return {"FLYWHEEL_DATA": str(self.full)}


def _contained(root: Path) -> list[str]:
    """Command lines of processes in containers into which a folder below `root` is mounted."""
    found = []
    ours = Path("/proc/self/mountinfo").read_bytes()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mounts = (process / "mountinfo").read_bytes()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended while we looked, or is a zombie
        if mounts != ours and os.fsencode(root) in mounts:
            found.append(f"{process.name} {command}")
    return found
