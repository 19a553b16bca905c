"""Jobs on an instance that NVIDIA's `brev` command makes and deletes, reached over plain ssh and rsync."""

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, Self

from flywheel.compute.costs import CONSENT, CONSENT_VARIABLE, Price, estimate, price_of, require_consent
from flywheel.compute.job import ComputeJob, JobOutcome, Seconds
from flywheel.errors import FlywheelError
from resources.compute.brev_command import BrevError
from resources.compute.brev_instances import BREV, LOOK_SECONDS, BrevInstances
from resources.compute.brev_options import BrevOptions
from resources.compute.brev_rental import Rental
from resources.compute.commands import run_command
from resources.compute.leases import Lease, Leases, TeardownFailed
from resources.compute.settings import Settings, read_options
from resources.compute.shipment import check_inputs
from resources.compute.workspace import workspace
from resources.readiness import Finding

__all__ = ["BrevBackend", "BrevOptions"]

_STAGING: Final[Seconds] = 3600.0
"""What a job may take on a ready instance beyond its own time-out: image, files there, files back."""
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

    name: ClassVar[str] = BREV

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
            options=read_options(BrevOptions, BREV, settings.options),
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
    def instances(self) -> BrevInstances:
        """What reaches and ends instances."""
        return BrevInstances(self.options, self.leases, self.grace)

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        """As `flywheel.compute.job.ComputeBackend.run` says.

        Raises `ConsentMissing` with the costs, `BrevError` in the words of `brev`, `StageInFailed` where the files
        cannot be brought there, `ConnectionLost`, and `TeardownFailed` where the instance may still be running.
        """
        check_inputs(job)
        price = price_of(self.name, self.options.gpu)
        longest = self.options.ready_timeout + self.lifetime(job) + self.options.teardown_patience
        require_consent(self.consent, estimate(price, job, at_most=longest))
        self._check_commands()
        self._check_instances()
        rental = Rental(self.instances, job, price, on_line, run_id=self.run_id, lifetime=self.lifetime(job))
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
        if reason := self.instances.why_not_ended(lease, _log.info):
            raise TeardownFailed(lease, reason)

    def readiness(self) -> tuple[Finding, ...]:
        """The command, the login, ssh, rsync, the price and the consent."""
        return (
            _finding(
                "command",
                lambda: f"{_path(self.options.command)}, {self.instances.brev.version(within=LOOK_SECONDS)}",
            ),
            _finding(
                "login",
                lambda: f"brev ls works, {len(self.instances.brev.instances(within=LOOK_SECONDS))} instances",
            ),
            _finding("ssh", lambda: _path("ssh")),
            _finding("rsync", _rsync),
            _finding("price", lambda: _hourly(price_of(self.name, self.options.gpu))),
            Finding(
                "consent",
                self.consent == CONSENT,
                "given" if self.consent == CONSENT else f"not given: {CONSENT_VARIABLE}={CONSENT} is needed",
            ),
        )

    def _check_commands(self) -> None:
        _path(self.options.command, "it is NVIDIA's: https://docs.nvidia.com/brev")
        _path("ssh", "install OpenSSH's client")
        _rsync()

    def _check_instances(self) -> None:
        """Whether there is a login at all, and the user's instance, in nobody else's hands."""
        instances = self.instances.brev.instances()
        wanted = self.options.instance
        if not wanted:
            return
        if wanted not in (names := [each.name for each in instances]):
            raise BrevError(f"`brev ls` lists no instance {wanted!r}; it lists {', '.join(names) or 'none'}")
        for lease in self.leases.all_open():
            if (lease.backend, lease.resource) == (self.name, wanted):
                raise FlywheelError(
                    f"instance {wanted!r} is used by job {lease.job} (lease {lease.id}); wait for it, or run "
                    "`flywheel sweep` if it has crashed"
                )


def _hourly(price: Price) -> str:
    return f"{price.sku} ${price.usd_per_hour:.2f} an hour ({price.dated}, {price.source})"


def _path(command: str, how: str = "install it") -> str:
    if found := shutil.which(command):
        return found
    raise FlywheelError(f"the command {command!r} is not on PATH, and the backend brev needs it; {how}")


def _rsync() -> str:
    """Where it is, and its version: what some systems call rsync is another program, without progress."""
    path = _path("rsync", "install the package rsync")
    said = run_command([path, "--version"], timeout=LOOK_SECONDS).output.decode("utf-8", "replace")
    found = re.match(r"rsync +version +v?(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < (3, 1):
        raise FlywheelError(f"{path}: rsync 3.1 or later is needed, found {said[:60]!r}")
    return f"{path}, {found[0]}"


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except FlywheelError as error:
        return Finding(what, False, str(error))
