"""This machine as a place where jobs run."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from loopback.processes import processes_of


class Place:
    """The local backend, with its data below `root`."""

    name = "local"
    expected_after_cut = "success"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.full = root / "full"

    def __enter__(self) -> Self:
        self.full.mkdir(parents=True)
        # One page for folders, none for a workspace's files.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", self.full], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", self.full], check=True)

    def variables(self) -> dict[str, str]:
        """What a fresh process needs to run a job here."""
        return {
            "FLYWHEEL_COMPUTE": self.name,
            "FLYWHEEL_DATA": str(self.root / "data"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    def left(self) -> list[str]:
        """Processes of jobs that are still there."""
        return processes_of(self.root / "data")

    def cut_connection(self) -> str | None:
        """There is none."""
        return "a process here has no connection to lose"

    def full_disk(self) -> dict[str, str] | str:
        """Nothing is copied to a workspace here."""
        return "inputs are links; for manifests see test_local.py"
