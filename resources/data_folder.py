"""Where everything lies: the data folder, and what is found in it by cycle."""

import os
from pathlib import Path

import dagster as dg

from flywheel.cycles import CycleFolder
from flywheel.registry import Registry


class DataFolder(dg.ConfigurableResource):
    """The folder of all audio, cycles, models and leases: `FLYWHEEL_DATA`, by default `./data`."""

    root: str = ""

    @property
    def path(self) -> Path:
        """The folder, absolute; it need not exist yet."""
        return Path(self.root or os.environ.get("FLYWHEEL_DATA", "data")).absolute()

    @property
    def speech(self) -> Path:
        """The content-addressed audio cache."""
        return self.path / "speech"

    @property
    def work(self) -> Path:
        """Workspaces of jobs that are running."""
        return self.path / "work"

    @property
    def registry(self) -> Registry:
        """The promoted models."""
        return Registry(self.path / "models")

    def cycle(self, name: str) -> CycleFolder:
        """The folder of the cycle `name`, e.g. ``cycle1``."""
        return CycleFolder(self.path, name)
