"""The compute backends as a Dagster resource: chosen by one word, made for the run that uses them."""

import os
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from flywheel.compute.costs import CONSENT_VARIABLE
from resources.compute import Backend, backend_named
from resources.compute.leases import Leases
from resources.compute.settings import Settings
from resources.data_folder import DataFolder

BACKEND_VARIABLE = "FLYWHEEL_COMPUTE"


class Compute(dg.ConfigurableResource):
    """Where jobs run: `backend`, or `FLYWHEEL_COMPUTE`, by default `local`.

    `consent_to_cost`, or `FLYWHEEL_CONSENT_TO_COST`, is `YES` where a backend may cost money. `options` are those
    of that backend, by name; each can also be a variable, e.g. `FLYWHEEL_DOCKER_IMAGE`. `grace_seconds` is the time
    between TERM and KILL; `keep_failed` leaves the workspace of a failed job to be looked at.
    """

    data: dg.ResourceDependency[DataFolder]
    backend: str = ""
    consent_to_cost: str = ""
    options: dict[str, Any] = {}
    grace_seconds: float = 10.0
    keep_failed: bool = False
    _run_id: str = PrivateAttr(default="")

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember the run, which leases name."""
        self._run_id = context.run.run_id if context.run else ""

    @property
    def chosen(self) -> str:
        """The name of the backend that jobs run on unless their asset says otherwise; it may be a wrong one."""
        return self.backend or os.environ.get(BACKEND_VARIABLE) or "local"

    def connect(self, backend: str = "") -> Backend:
        """The backend called `backend`, else the configured one; a wrong name is a `FlywheelError` that lists the
        right ones."""
        return backend_named(backend or self.chosen)(
            Settings(
                work_root=self.data.work,
                leases=self.leases,
                run_id=self._run_id,
                grace=self.grace_seconds,
                keep_failed=self.keep_failed,
                consent=self.consent_to_cost or os.environ.get(CONSENT_VARIABLE, ""),
                options=self.options if backend in ("", self.chosen) else {},
            )
        )

    @property
    def leases(self) -> Leases:
        """What may be running on any backend."""
        return Leases(self.data.path / "leases")
