"""Where everything lies: the data folder, and what is found in it by cycle."""

import os
from pathlib import Path

import dagster as dg

from flywheel.cycle.earlier import CHANGE_EARLIER_CYCLES
from flywheel.files.cycle_lock import CycleBusy, CycleLock, cycle_lock
from flywheel.files.cycles import CycleFolder
from flywheel.recognisers.registry import Registry

RECORDINGS_VARIABLE = "FLYWHEEL_RECORDINGS"

_held: dict[Path, tuple[str, CycleLock]] = {}
"""The cycles that this process works on: the run and its lock, by the cycle's folder."""


class DataFolder(dg.ConfigurableResource):
    """The folder of all audio, cycles, models and leases: `FLYWHEEL_DATA`, by default `./data`.

    `change_earlier_cycles`, or `FLYWHEEL_CHANGE_EARLIER_CYCLES=yes`, lets a run change a cycle that later ones were
    started from.
    """

    root: str = ""
    change_earlier_cycles: bool = False

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

    @property
    def may_change_earlier_cycles(self) -> bool:
        """Whether this run may change a cycle that later ones were started from."""
        return self.change_earlier_cycles or os.environ.get(CHANGE_EARLIER_CYCLES, "").lower() == "yes"

    def hold(self, cycle: str, run_id: str) -> None:
        """Hold the cycle for the run until that ends; raises `CycleBusy` where another run works on it."""
        folder = self.cycle(cycle)
        if folder.root in _held:
            holder, _lock = _held[folder.root]
            if holder != run_id:
                raise CycleBusy(f"{cycle} is being run by run {holder[:8]} in this process; wait for it")
            return
        _held[folder.root] = (run_id, cycle_lock(folder, run_id))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Let go of what the run held."""
        run_id = context.run.run_id if context.run else ""
        for root, (holder, lock) in list(_held.items()):
            if holder == run_id:
                del _held[root]
                lock.release()

    def cycle(self, name: str) -> CycleFolder:
        """The folder of the cycle `name`, e.g. ``cycle1``."""
        return CycleFolder(self.path, name)
