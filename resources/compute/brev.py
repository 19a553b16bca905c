"""Jobs on an instance that NVIDIA's `brev` command makes and deletes, reached over plain ssh and rsync."""

import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final, Self

from flywheel.compute import ComputeJob, JobOutcome, Seconds
from flywheel.costs import CONSENT, CONSENT_VARIABLE, Price, estimate, price_of, require_consent
from flywheel.errors import FlywheelError
from resources.compute.brev_command import Brev, BrevError
from resources.compute.brev_options import BrevOptions
from resources.compute.brev_rental import LOOKS, Rental
from resources.compute.commands import Ticker, run_command
from resources.compute.leases import Lease, Leases, TeardownFailed
from resources.compute.settings import Settings, read_options
from resources.compute.shipment import check_inputs
from resources.compute.ssh import Host, end_job
from resources.compute.workspace import workspace
from resources.readiness import Finding

__all__ = ["BrevBackend", "BrevOptions"]

Say = Callable[[str], None]

_STAGING: Final[Seconds] = 3600.0
"""What a job may take on a ready instance beyond its own time-out: image, files there, files back."""
_LOOK: Final[Seconds] = 8.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrevBackend:
    """Runs each job on an instance of its own, or on one of the user's, in the NeMo container there.

    The instance's name is chosen, and its lease written, before it is asked for. It shuts itself down in the end
    if nobody else does. The job is detached from the connection, which may break and is joined again.

    Args:
        options: see `BrevOptions`.
        work_root: the folder for what is sent and brought back, e.g. ``data/work``.
        leases: where instances are noted.
        run_id: the Dagster run it serves; empty outside Dagster.
        grace: seconds between TERM and KILL.
        consent: ``YES`` where the user agreed to pay.
    """

    name: ClassVar[str] = "brev"

    options: BrevOptions
    work_root: Path
    leases: Leases
    run_id: str = ""
    grace: Seconds = 10.0
    consent: str = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """As configured; the options are those of `BrevOptions`."""
        return cls(
            options=read_options(BrevOptions, "brev", settings.options),
            work_root=settings.work_root,
            leases=settings.leases,
            run_id=settings.run_id,
            grace=settings.grace,
            consent=settings.consent,
        )

    @property
    def has_accelerator(self) -> bool:
        """Always: an instance is rented for its GPU."""
        return True

    @property
    def brev(self) -> Brev:
        """The vendor's command."""
        return Brev(self.options.command)

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        """As `flywheel.compute.ComputeBackend.run` says.

        Raises `ConsentMissing` with the costs, `BrevError` in the words of `brev`, `StageInFailed` where the files
        cannot be brought there, `ConnectionLost`, and `TeardownFailed` where the instance may still be running.
        """
        check_inputs(job)
        price = price_of(self.name, self.options.gpu)
        longest = self.options.ready_timeout + self.lifetime(job) + self.options.teardown_patience
        require_consent(self.consent, estimate(price, job, at_most=longest))
        self._check_commands()
        self._check_instances()
        rental = Rental(self, job, price, on_line)
        with workspace(self.work_root.absolute(), job.name) as space:
            try:
                rental.take(longest)
                outcome = rental.run(space.folder, outputs_to)
            except BaseException as error:
                rental.give_back(error)
                raise
            rental.give_back(None)
        return replace(outcome, billed_seconds=rental.billed, cost_usd=price.cost(rental.billed))

    def lifetime(self, job: ComputeJob) -> Seconds:
        """How long an instance may live once it is ready, before it shuts itself down."""
        return self.options.max_lifetime_hours * 3600 or job.timeout + _STAGING

    def teardown(self, lease: Lease) -> None:
        """Delete or stop the instance, as the lease says, and see that it is gone; raises `TeardownFailed`."""
        if reason := self.why_not_ended(lease, _log.info):
            raise TeardownFailed(lease, reason)

    def readiness(self) -> tuple[Finding, ...]:
        """The command, the login, ssh, rsync, the price and the consent."""
        return (
            _finding("command", lambda: f"{_path(self.options.command)}, {self.brev.version(within=_LOOK)}"),
            _finding("login", lambda: f"brev ls works, {len(self.brev.instances(within=_LOOK))} instances"),
            _finding("ssh", lambda: _path("ssh")),
            _finding("rsync", _rsync),
            _finding("price", lambda: _hourly(price_of(self.name, self.options.gpu))),
            Finding(
                "consent",
                self.consent == CONSENT,
                "given" if self.consent == CONSENT else f"not given: {CONSENT_VARIABLE}={CONSENT} is needed",
            ),
        )

    def host(self, name: str) -> Host:
        """The instance `name` as ssh knows it."""

        def why_gone() -> str | None:
            try:
                found = self.brev.find(name)
            except BrevError:
                return None  # nobody can tell now
            if found is None:
                return f"`brev ls` does not list {name} any more"
            if found.running:
                return None
            return f"`brev ls` says of {name}: {found}; somebody ended it, or its own shutdown came"

        return Host(
            name=name,
            config=self.options.ssh_config,
            patience=self.options.reconnect_for,
            why_gone=why_gone,
        )

    def why_not_ended(self, lease: Lease, say: Say) -> str | None:
        """Do with the instance what the lease says, until that is done or `teardown_patience` is over.

        Returns None when it is done, else what was wrong last.
        """
        ends = _Freed(self, lease) if lease.details["after"] == "keep" else _Gone(self, lease)
        ticker = Ticker(say)
        pause = min(1.0, self.options.poll)
        while True:
            try:
                reason = ends.step()
            except BrevError as error:
                reason = str(error)
            if reason is None or ticker.seconds + pause > self.options.teardown_patience:
                return reason
            ticker.tick(f"ending {lease.resource}: {reason}")
            time.sleep(pause)
            pause = min(2 * pause, 2 * self.options.poll)

    def why_job_not_ended(self, lease: Lease, *, remove: bool) -> str | None:
        """End the lease's job on its instance in one attempt; None when it has ended, else what was wrong."""
        if "workspace" not in lease.details:
            return None
        return end_job(
            self.host(lease.resource),
            PurePosixPath(lease.details["workspace"]),
            python=lease.details["python"],
            container=lease.details["container"],
            within=self.grace + 2 * _LOOK,
            remove=remove,
        )

    def _check_commands(self) -> None:
        _path(self.options.command, "it is NVIDIA's: https://docs.nvidia.com/brev")
        _path("ssh", "install OpenSSH's client")
        _rsync()

    def _check_instances(self) -> None:
        """Whether there is a login at all, and the user's instance, in nobody else's hands."""
        instances = self.brev.instances()
        wanted = self.options.instance
        if not wanted:
            return
        if wanted not in (names := [each.name for each in instances]):
            raise BrevError(f"`brev ls` lists no instance {wanted!r}; it lists {', '.join(names) or 'none'}")
        for lease in self.leases.all_open():
            if (lease.backend, lease.resource) == (self.name, wanted):
                raise FlywheelError(
                    f"instance {wanted!r} is used by job {lease.job} (lease {lease.id}); wait for it, or run "
                    "`python -m resources.compute.sweep` if it has crashed"
                )


class _Gone:
    """The steps to an instance that is deleted, or stopped."""

    def __init__(self, backend: BrevBackend, lease: Lease) -> None:
        self._brev = backend.brev
        self._name = lease.resource
        self._after = lease.details["after"]
        # One that was never listed may still turn up: its creation may be under way at the service.
        self._settled_at = time.monotonic() + (0 if lease.details["seen"] else backend.options.appears_within)
        self._missed = 0

    def step(self) -> str | None:
        """Look, and ask once more if need be; None when it is gone, else why not."""
        found = self._brev.find(self._name)
        if found is None:
            self._missed += 1
            if self._missed >= LOOKS and time.monotonic() >= self._settled_at:
                return None
            return "it is not listed; looking again, in case it turns up"
        self._missed = 0
        if self._after == "delete":
            if found.status != "DELETING":
                self._brev.delete(self._name)
            return f"{self._name} after `brev delete`: {found}"
        if found.status == "STOPPED":
            return None
        if found.status not in ("STOPPING", "DELETING"):
            self._brev.stop(self._name)
        return f"{self._name} after `brev stop`: {found}"


class _Freed:
    """The step to an instance of the user's that is left running, without the job and without a shutdown to come."""

    def __init__(self, backend: BrevBackend, lease: Lease) -> None:
        self._backend = backend
        self._lease = lease

    def step(self) -> str | None:
        """None when nothing of the job is left there, else why not."""
        found = self._backend.brev.find(self._lease.resource)
        if found is None or found.status in ("STOPPED", "DELETING"):
            return None
        if reason := self._backend.why_job_not_ended(self._lease, remove=True):
            return reason
        if not self._lease.details.get("switch"):
            return None
        done = self._backend.host(self._lease.resource).once("sudo -n shutdown -c", timeout=_LOOK)
        return None if done.exit_code == 0 else f"its shutdown could not be cancelled: {done.words}"


def _hourly(price: Price) -> str:
    return f"{price.sku} ${price.usd_per_hour:.2f} an hour ({price.dated}, {price.source})"


def _path(command: str, how: str = "install it") -> str:
    if found := shutil.which(command):
        return found
    raise FlywheelError(f"the command {command!r} is not on PATH, and the backend brev needs it; {how}")


def _rsync() -> str:
    """Where it is, and its version: what some systems call rsync is another program, without progress."""
    path = _path("rsync", "install the package rsync")
    said = run_command([path, "--version"], timeout=_LOOK).output.decode("utf-8", "replace")
    found = re.match(r"rsync +version +v?(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < (3, 1):
        raise FlywheelError(f"{path}: rsync 3.1 or later is needed, found {said[:60]!r}")
    return f"{path}, {found[0]}"


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except FlywheelError as error:
        return Finding(what, False, str(error))
