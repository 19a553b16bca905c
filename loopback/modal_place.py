"""A place where the backend modal runs jobs: the service on loopback, and what points a process to it."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from loopback.modal_servicer import FULL_TOKEN, TOKEN, ModalOnLoopback


class Place:
    """As the table of endings needs it; everything lies below `root`."""

    name = "modal"
    expected_after_cut = "success"

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.service = ModalOnLoopback(root / "modal")

    def __enter__(self) -> Self:
        self.service.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.service.__exit__(kind, error, trace)

    def variables(self) -> dict[str, str]:
        """For a process that uses the backend."""
        return {
            "FLYWHEEL_COMPUTE": self.name,
            "FLYWHEEL_DATA": str(self.root / "data"),
            "FLYWHEEL_CONSENT_TO_COST": "YES",
            "FLYWHEEL_MODAL_PYTHON": sys.executable,
            "MODAL_SERVER_URL": self.service.url,
            "MODAL_TOKEN_ID": TOKEN[0],
            "MODAL_TOKEN_SECRET": TOKEN[1],
            # Whatever this machine's user has there is none of a test's business.
            "MODAL_CONFIG_PATH": str(self.root / "no-modal.toml"),
            "NO_PROXY": "127.0.0.1",
            "PATH": os.environ["PATH"],
        }

    def left(self) -> list[str]:
        """Sandboxes, volumes and processes that are still there."""
        volumes = [volume.name for volume in list(self.service.answers.volumes.values())]
        processes = [f"process {pid}" for pid in self.service.processes()]
        return [*(f"sandbox {each}" for each in self.service.running()), *volumes, *processes]

    def cut_connection(self) -> str | None:
        """Break every connection, and take none for a second."""
        self.service.cut(deaf=1.0)
        return None

    def full_disk(self) -> dict[str, str] | str:
        """The token of a workspace whose storage is used up."""
        return {"MODAL_TOKEN_ID": FULL_TOKEN[0], "MODAL_TOKEN_SECRET": FULL_TOKEN[1]}
