"""One run of a cycle at a time: a lock in the data folder that names who holds it.

The kernel lets go of the lock when its process dies, however it dies. What the process wrote into the file then stays,
and says whose run it was.
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

__all__ = ["CycleBusy", "CycleLock", "Holder", "cycle_lock", "holder_of"]


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

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return self.host == socket.gethostname()

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
    holder = _read(record)
    if descriptor is None:
        named = "another run" if holder is None else str(holder)
        raise CycleBusy(f"{folder.cycle} is being run by {named}; wait for it, or terminate it in the UI")
    if holder is not None and not holder.is_here:
        os.close(descriptor)
        raise CycleBusy(
            f"{folder.cycle} was begun by {holder}, and this machine cannot tell whether that is still there; wait for "
            f"it, or remove {record} if it is gone"
        )
    write_record(
        record,
        Holder(socket.gethostname(), os.getpid(), run_id, datetime.now(UTC).isoformat(timespec="seconds")),
    )
    return CycleLock(descriptor, record)


def holder_of(folder: CycleFolder) -> Holder | None:
    """Who works on the cycle now; None where nobody does, as far as this machine can tell."""
    lock, record = _files(folder)
    holder = _read(record)
    if holder is None or not holder.is_here:
        return holder
    descriptor = try_lock(lock)
    if descriptor is None:
        return holder
    os.close(descriptor)
    return None


def _files(folder: CycleFolder) -> tuple[Path, Path]:
    locks = folder.root.parent / ".locks"
    return locks / f"{folder.cycle}.lock", locks / f"{folder.cycle}.json"


def _read(record: Path) -> Holder | None:
    if not record.is_file():
        return None
    try:
        return read_record(record, Holder)
    except FlywheelError:
        return None  # it was being written when its process was killed
