"""Instances of a `brev` that is not NVIDIA's, reached by a real sshd and rsync, as a place where jobs run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from loopback.fake_brev import State
from loopback.processes import processes_of
from loopback.sshd import Machine, why_not

HERE = Path(__file__).parent


class Place:
    """The brev backend, with the service and its machines below `root`."""

    name = "brev"
    expected_after_cut = "success"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = State(root / "brev")
        self.full = root / "full"

    def __enter__(self) -> Self:
        if reason := why_not():
            pytest.skip(reason)
        (self.state.folder / "switches").mkdir(parents=True)
        self._put_on_path()
        self._service = subprocess.Popen(
            [sys.executable, str(HERE / "fake_brev.py"), "service"],
            env={**os.environ, "FAKE_BREV": str(self.state.folder)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.kill()
        self._service.wait()
        for machine in self.machines():
            machine.power_off()
        if self.full.is_mount():
            subprocess.run(["umount", self.full], check=True)

    def variables(self) -> dict[str, str]:
        """What a fresh process needs to run a job here."""
        return {
            "FLYWHEEL_COMPUTE": self.name,
            "FLYWHEEL_DATA": str(self.root / "data"),
            "FLYWHEEL_CONSENT_TO_COST": "YES",
            "FLYWHEEL_BREV_IMAGE": "none",
            "FLYWHEEL_BREV_PYTHON": sys.executable,
            "FLYWHEEL_BREV_SSH_CONFIG": str(self.state.folder / "ssh_config"),
            "FLYWHEEL_BREV_POLL": "0.1",
            "FLYWHEEL_BREV_APPEARS_WITHIN": "2",
            "FAKE_BREV": str(self.state.folder),
            "PATH": os.pathsep.join(
                [str(self.root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
        }

    def left(self) -> list[str]:
        """Instances, what runs on them, and processes here that work for jobs."""
        with self.state.instances() as instances:
            found = [f"instance {name} {each['status']}" for name, each in instances.items()]
        found += [command for machine in self.machines() for command in machine.commands()]
        return found + processes_of(self.root / "data")

    def cut_connection(self) -> str | None:
        """Break every connection of ssh."""
        cut = sum(machine.cut() for machine in self.machines())
        return None if cut else "there is no connection now"

    def full_disk(self) -> dict[str, str] | str:
        """Jobs' folders on a disk that is too small for anything."""
        if not self.full.is_mount():
            self.full.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", self.full], check=True)
        return {"FLYWHEEL_BREV_FOLDER": str(self.full)}

    def set(self, switch: str, value: str = "") -> None:
        """Let `brev` fail in one of its ways; see `fake_brev`."""
        (self.state.folder / "switches" / switch).write_text(value)

    def calls(self, command: str) -> list[list[str]]:
        """The arguments of each call of a command of `brev`."""
        file = self.state.folder / "calls"
        calls = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [call for call in calls if call[0] == command]

    def machines(self) -> list[Machine]:
        """All there ever were."""
        return [Machine(folder) for folder in sorted((self.state.folder / "machines").glob("*"))]

    def _put_on_path(self) -> None:
        brev = self.root / "bin" / "brev"
        brev.parent.mkdir(parents=True)
        brev.write_text(f'#!/bin/sh\nexec {sys.executable} -S {HERE / "fake_brev.py"} "$@"\n')
        brev.chmod(0o755)
