"""Where everything lies: the data folder, and what is found in it by cycle."""

import os
from pathlib import Path

import dagster as dg

from flywheel.files.cycles import CycleFolder
from flywheel.recognisers.registry import Registry

RECORDINGS_VARIABLE = "FLYWHEEL_RECORDINGS"


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
    def overrides(self) -> Path:
        """Pronunciations that a person has verified: `FLYWHEEL_OVERRIDES`, or a CSV in the folder."""
        given = os.environ.get("FLYWHEEL_OVERRIDES")
        return Path(given).absolute() if given else self.path / "pronunciation_overrides.csv"

    @property
    def recordings(self) -> Path:
        """Where a team drops recordings of its own: `FLYWHEEL_RECORDINGS`, or a folder in this one.

        Of a bucket, `s3://name/prefix`, it is the folder of copies that `resources.recordings` brings here.
        """
        given = os.environ.get(RECORDINGS_VARIABLE, "")
        if given.startswith("s3://"):
            return self.path / "recordings-from-bucket"
        return Path(given).absolute() if given else self.path / "recordings"

    @property
    def dictionary(self) -> Path:
        """The dictionary's answers, kept for good: one file for each word that was asked."""
        return self.path / "dictionary"

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
