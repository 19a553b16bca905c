"""Leases: what may be running somewhere, noted before it is made, until it is known to be gone.

A lease is a file `data/leases/<id>.json`. It is written before a machine, a container or a sandbox is created,
so that a crash at any moment leaves a trace of what may have been left behind; `sweep` follows the traces.
A closed lease is moved to `data/leases/closed/`. Leases hold names and times, never keys.
"""

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from flywheel.compute.job import Seconds
from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json, write_json

__all__ = ["Holder", "Lease", "Leases", "Swept", "TeardownFailed", "sweep"]


class TeardownFailed(FlywheelError):
    """A machine that may still be running, and costing money, after every attempt to end it."""

    def __init__(self, lease: "Lease", reason: str) -> None:
        self.lease = lease
        super().__init__(
            f"{lease.backend} could not end {lease.resource!r}: {reason}. IT MAY STILL BE RUNNING AND COSTING "
            f"MONEY: end it by hand, or run `flywheel sweep` again (lease {lease.id})"
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """Something that may be running.

    Args:
        id: of the lease; part of its file's name.
        backend: the backend that can end it, by name.
        resource: what it is called there: the name of an instance, a container, a sandbox. Chosen before it is
            made, so that it is known even if the answer to its creation never came.
        job: the name of the job it is for.
        run_id: the Dagster run that it serves; empty outside Dagster.
        host, pid: the process that holds it.
        pid_started: the kernel's start time of that process, which tells it from a later one of the same number.
        created_at, deadline: in UTC, ISO 8601; past the deadline nobody may need it any more.
        details: what else its backend needs in order to end it.
    """

    id: str
    backend: str
    resource: str
    job: str
    run_id: str
    host: str
    pid: int
    pid_started: int | None
    created_at: str
    deadline: str
    details: Mapping[str, Any]

    def holder_lives(self) -> bool | None:
        """Whether the process that holds it is there; None where that was on another host."""
        if self.host != socket.gethostname():
            return None
        return _start_of(self.pid) == self.pid_started if self.pid_started is not None else None

    def overdue(self, now: datetime) -> bool:
        """Whether its deadline has passed."""
        return now >= datetime.fromisoformat(self.deadline)


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases below a folder, e.g. ``data/leases``."""

    folder: Path

    def open(
        self,
        *,
        backend: str,
        resource: str,
        job: str,
        lifetime: Seconds,
        run_id: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> Lease:
        """Note a resource that is about to be made and should be gone after `lifetime` seconds at the latest."""
        now = datetime.now(UTC)
        lease = Lease(
            id=f"{backend}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            backend=backend,
            resource=resource,
            job=job,
            run_id=run_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            pid_started=_start_of(os.getpid()),
            created_at=now.isoformat(timespec="seconds"),
            deadline=(now + timedelta(seconds=lifetime)).isoformat(timespec="seconds"),
            details=dict(details or {}),
        )
        write_json(self._file(lease), asdict(lease))
        return lease

    def note(self, lease: Lease, **details: Any) -> Lease:
        """Add what became known of an open lease, e.g. the id the service gave it; returns it with that."""
        noted = replace(lease, details={**lease.details, **details})
        write_json(self._file(noted), asdict(noted))
        return noted

    def close(self, lease: Lease) -> None:
        """The resource is known to be gone. Closing twice changes nothing."""
        file = self._file(lease)
        target = self.folder / "closed" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a sweep was faster
            file.replace(target)

    def all_open(self) -> tuple[Lease, ...]:
        """Every lease that is not closed, the oldest first. Raises `FlywheelError` for a file that is no lease."""
        found, unreadable = self.read()
        if unreadable:
            raise unreadable[0]
        return found

    def read(self) -> tuple[tuple[Lease, ...], tuple[FlywheelError, ...]]:
        """As `all_open`, and an error for each file that is no lease instead of the first one raised."""
        found: list[Lease] = []
        unreadable: list[FlywheelError] = []
        # A name that begins with a dot is of a file that is being written, or of a writer that was killed.
        for file in sorted(self.folder.glob("[!.]*.json")):
            try:
                found.append(_lease_in(file))
            except FlywheelError as error:
                if file.exists():  # else it was closed meanwhile
                    unreadable.append(error)
        found.sort(key=lambda lease: (lease.created_at, lease.id))
        return tuple(found), tuple(unreadable)

    def _file(self, lease: Lease) -> Path:
        return self.folder / f"{lease.id}.json"


def _lease_in(file: Path) -> Lease:
    try:
        lease = Lease(**read_json(file))
        lease.overdue(datetime.now(UTC))  # whether its deadline is one
    except (TypeError, ValueError) as error:
        raise FlywheelError(
            f"{file}: not a lease ({error}). WHAT IT IS FOR MAY STILL BE RUNNING AND COSTING MONEY: look into the "
            "file, end that by hand, then remove the file"
        ) from None
    return lease


def _start_of(pid: int) -> int | None:
    """The kernel's start time of a process in clock ticks since boot; None where there is no such process."""
    try:
        values = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    # One that has ended and that its parent has not asked about yet is still listed.
    return None if values[0] in ("Z", "X") else int(values[19])


class Holder(Protocol):
    """What a sweep needs of a backend."""

    def teardown(self, lease: Lease) -> None:
        """End what `lease` names, and return only when it is gone; something that is not there is gone.

        Raises `TeardownFailed` after the last of several attempts.
        """
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: leases it closed, with why; errors of those it could not, or not read; how many it left."""

    closed: tuple[tuple[Lease, str], ...]
    failed: tuple[FlywheelError, ...]
    left: int


def sweep(
    leases: Leases,
    holder_of: Callable[[str], Holder],
    *,
    run_ended: Callable[[str], bool] = lambda run_id: False,
    now: datetime | None = None,
    everything: bool = False,
) -> Swept:
    """End whatever is past its deadline, or whose Dagster run or holding process has ended.

    Args:
        leases: to look through.
        holder_of: the backend of a name, able to tear down.
        run_ended: whether the Dagster run of that id is known to be over.
        now: the time that deadlines are held against.
        everything: end the leases of living holders, too.
    """
    closed: list[tuple[Lease, str]] = []
    failed: list[FlywheelError] = []
    found, unreadable = leases.read()
    for lease in found:
        reason = "asked for" if everything else _why_over(lease, run_ended, now or datetime.now(UTC))
        if reason is None:
            continue
        try:
            holder_of(lease.backend).teardown(lease)
            leases.close(lease)
        except TeardownFailed as error:
            failed.append(error)
        except Exception as error:  # noqa: BLE001 (whatever it was, the other leases have their turn)
            # A backend that cannot even be asked is as bad as one that cannot end it.
            why = str(error) if isinstance(error, FlywheelError) else f"{type(error).__name__}: {error}"
            failed.append(TeardownFailed(lease, why))
        else:
            closed.append((lease, reason))
    left = len(found) - len(closed) - len(failed)
    return Swept(tuple(closed), (*failed, *unreadable), left)


def _why_over(lease: Lease, run_ended: Callable[[str], bool], now: datetime) -> str | None:
    if lease.overdue(now):
        return f"its deadline {lease.deadline} has passed"
    if lease.run_id and run_ended(lease.run_id):
        return f"its run {lease.run_id} has ended"
    if lease.holder_lives() is False:
        return f"the process {lease.pid} that held it has ended"
    return None
