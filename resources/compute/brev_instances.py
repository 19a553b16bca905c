"""The instances of brev as this machine reaches and ends them: by ssh, and by what `brev ls` says of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeAlias

from flywheel.compute.job import Seconds
from resources.compute.brev_command import Brev, BrevError
from resources.compute.brev_options import BrevOptions
from resources.compute.commands import Ticker
from resources.compute.leases import Lease, Leases
from resources.compute.ssh import Host, end_job

__all__ = ["BREV", "LOOKS", "LOOK_SECONDS", "BrevInstances"]

Say: TypeAlias = Callable[[str], None]

BREV: Final = "brev"
"""The name of the backend, in leases and prices."""
LOOKS: Final = 3
"""How often in a row `brev ls` must not list an instance that was there: now and then its list is empty."""
LOOK_SECONDS: Final[Seconds] = 8.0
"""For one short question to `brev` or to an instance."""


@dataclass(frozen=True)
class BrevInstances:
    """What ends an instance, and a job on it.

    Args:
        options: see `BrevOptions`.
        leases: where instances are noted.
        grace: seconds between TERM and KILL.
    """

    options: BrevOptions
    leases: Leases
    grace: Seconds

    @property
    def brev(self) -> Brev:
        """The vendor's command."""
        return Brev(self.options.command)

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
            within=self.grace + 2 * LOOK_SECONDS,
            remove=remove,
        )


class _Gone:
    """The steps to an instance that is deleted, or stopped."""

    def __init__(self, instances: BrevInstances, lease: Lease) -> None:
        self._brev = instances.brev
        self._name = lease.resource
        self._after = lease.details["after"]
        # One that was never listed may still turn up: its creation may be under way at the service.
        self._settled_at = time.monotonic() + (
            0 if lease.details["seen"] else instances.options.appears_within
        )
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

    def __init__(self, instances: BrevInstances, lease: Lease) -> None:
        self._instances = instances
        self._lease = lease

    def step(self) -> str | None:
        """None when nothing of the job is left there, else why not."""
        found = self._instances.brev.find(self._lease.resource)
        if found is None or found.status in ("STOPPED", "DELETING"):
            return None
        if reason := self._instances.why_job_not_ended(self._lease, remove=True):
            return reason
        if not self._lease.details.get("switch"):
            return None
        done = self._instances.host(self._lease.resource).once("sudo -n shutdown -c", timeout=LOOK_SECONDS)
        return None if done.exit_code == 0 else f"its shutdown could not be cancelled: {done.words}"
