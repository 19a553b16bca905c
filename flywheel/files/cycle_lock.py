"""One run of a cycle at a time: a lock in the data folder that names who holds it.

The kernel lets go of the lock when its process dies, however it dies: who gets the lock knows that its last holder is
gone. This holds between containers and machines that share the folder, where the file system has locks, as local disks
and NFS have.
"""

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder
from flywheel.files.locks import try_lock
from flywheel.files.records import read_record, write_record

__all__ = ["CycleBusy", "CycleLock", "Holder", "cycle_lock"]


class CycleBusy(FlywheelError):
    """Another run works on the cycle."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a cycle.

    Args:
        host, process: where, and the process's id there.
        run_id: of the Dagster run.
        since: ISO 8601 in UTC.
    """

    host: str
    process: int
    run_id: str
    since: str

    def __str__(self) -> str:
        return f"run {self.run_id[:8]} (process {self.process} on {self.host}, since {self.since})"


@dataclass(frozen=True, slots=True)
class CycleLock:
    """A held lock; `release` it at the end of the run."""

    descriptor: int
    record: Path

    def release(self) -> None:
        """Let go, and forget who held it."""
        self.record.unlink(missing_ok=True)
        os.close(self.descriptor)


def cycle_lock(folder: CycleFolder, run_id: str) -> CycleLock:
    """Hold the lock of a cycle for the run `run_id`, without waiting.

    Raises:
        CycleBusy: another run holds it; the message names that run, and what to do.
    """
    lock, record = _files(folder)
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = try_lock(lock)
    if descriptor is None:
        named = _read(record) or "another run"
        raise CycleBusy(f"{folder.cycle} is being run by {named}; wait for it, or terminate it in the UI")
    write_record(
        record,
        Holder(socket.gethostname(), os.getpid(), run_id, datetime.now(UTC).isoformat(timespec="seconds")),
    )
    return CycleLock(descriptor, record)


def _files(folder: CycleFolder) -> tuple[Path, Path]:
    locks = folder.data / "locks"
    return locks / f"{folder.cycle}.lock", locks / f"{folder.cycle}.json"


def _read(record: Path) -> Holder | None:
    if not record.is_file():
        return None
    try:
        return read_record(record, Holder)
    except FlywheelError:
        return None  # it was being written when its process was killed
