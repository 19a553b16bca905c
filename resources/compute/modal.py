"""Jobs in sandboxes of Modal, which are rented by the second."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar, Final, Self

from flywheel.compute.costs import CONSENT, CONSENT_VARIABLE, Price, estimate, price_of, require_consent
from flywheel.compute.job import ComputeJob, JobOutcome, Seconds
from flywheel.errors import FlywheelError
from resources.compute.leases import Lease, Leases, TeardownFailed
from resources.compute.modal_options import ModalOptions
from resources.compute.modal_sandbox import LOOK, Patience, Stay, end
from resources.compute.modal_service import Service, package, token
from resources.compute.settings import Settings, read_options
from resources.compute.shipment import check_inputs
from resources.readiness import Finding

__all__ = ["ModalBackend", "ModalOptions"]

_LONGEST: Final[Seconds] = 24 * 3600.0
"""Modal ends any sandbox after this time."""
_GLANCE: Final[Seconds] = 4.0
"""What one look at readiness may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalBackend:
    """Runs a job as the command of a sandbox, over a volume of its own that is its workspace.

    The files are sent to the volume and looked at there before the sandbox, with its GPU, is asked for. The job's
    variables are an unnamed secret. The volume keeps the outputs and how the job ended, so a connection that breaks
    costs nothing but the wait. Volume and sandbox have the name of the lease, by which a sweep finds them even if
    the answer to their creation never came; the sandbox ends itself after the job's time-out.

    Args:
        options: what a sandbox is made of.
        work_root: the folder where files are laid together before they are sent.
        leases: where sandbox and volume are noted.
        run_id: the Dagster run that is served.
        grace: seconds between TERM and KILL.
        consent: ``YES`` where the user agreed to pay.
        teardown_pauses: seconds between the attempts to end a sandbox.
        commit_patience: seconds that a volume may take to show what an ended sandbox wrote.
        join_patience: seconds without a connection after which a running job is given up.
    """

    name: ClassVar[str] = "modal"

    options: ModalOptions
    work_root: Path
    leases: Leases
    run_id: str = ""
    grace: Seconds = 10.0
    consent: str = ""
    teardown_pauses: tuple[Seconds, ...] = (0.5, 1.0, 2.0)
    commit_patience: Seconds = 60.0
    join_patience: Seconds = 300.0
    beside_job: Seconds = 60.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """As configured; see `ModalOptions`."""
        return cls(
            options=read_options(ModalOptions, cls.name, settings.options),
            work_root=settings.work_root,
            leases=settings.leases,
            run_id=settings.run_id,
            grace=settings.grace,
            consent=settings.consent,
        )

    @property
    def has_accelerator(self) -> bool:
        """Whether sandboxes are configured to have a GPU."""
        return bool(self.options.gpu)

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        """As `flywheel.compute.job.ComputeBackend.run` says.

        Raises, beside those errors: `ConsentMissing`, `StageInFailed`, `ModalError` for what the service refuses,
        and `TeardownFailed` where sandbox or volume may still be there.
        """
        check_inputs(job)
        price, lifetime = self.price(job), self.lifetime(job)
        require_consent(self.consent, estimate(price, job, at_most=lifetime))
        with Service() as service:
            service.hello()
            stay = Stay(
                service=service,
                job=job,
                options=self.options,
                gpu=self._gpu(job),
                grace=self.grace,
                lifetime=lifetime,
                patience=Patience(self.commit_patience, self.join_patience),
                on_line=on_line,
            )
            stay.prepare()
            try:
                outcome = stay.outcome(outputs_to, self.work_root, self.leases, self.run_id, price)
            except BaseException as error:
                self._release(stay, error)
                raise
            self._release(stay)
            return outcome

    def _release(self, stay: Stay, error: BaseException | None = None) -> None:
        """End what the job held, close its lease; if that fails, say so together with the job's own error."""
        if stay.lease is None:
            return
        try:
            self.teardown(stay.lease)
        except TeardownFailed as failed:
            if error is None:
                raise
            why = f"{failed.__cause__}. It was to be ended because of {type(error).__name__}: {error}"
            raise TeardownFailed(stay.lease, why) from error
        self.leases.close(stay.lease)

    def teardown(self, lease: Lease) -> None:
        """End the sandbox and delete the volume of `lease`; idempotent. Each attempt has a connection of its own.

        Raises `TeardownFailed` after the last attempt.
        """
        pauses = iter(self.teardown_pauses)
        while True:
            try:
                with Service(connect_within=LOOK) as service:
                    end(service, lease)
                return
            except (FlywheelError, OSError) as error:
                pause = next(pauses, None)
                if pause is None:
                    raise TeardownFailed(lease, str(error)) from error
                time.sleep(pause)

    def readiness(self) -> tuple[Finding, ...]:
        """Whether package, token, registry login, price and consent are there. Nothing is started."""
        try:
            found = Finding("package", True, f"modal {version('modal')}")
        except PackageNotFoundError:
            found = Finding("package", False, "not installed: pip install 'modal==1.6.4'")
        return (found, *self._login(), self._priced(), self._consented())

    def _login(self) -> tuple[Finding, ...]:
        doing = "token"
        try:
            token()
            with Service(connect_within=_GLANCE) as service:
                service.hello(within=_GLANCE)
                accepted = Finding(doing, True, "accepted by Modal")
                doing = "image"
                if self.options.registry_secret:
                    secret = package().Secret.from_name(self.options.registry_secret)
                    service.call(secret.hydrate.aio(service.client), "looking for the secret", within=_GLANCE)
        except FlywheelError as error:
            wrong = Finding(doing, False, " ".join(str(error).split()))
            return (wrong,) if doing == "token" else (accepted, wrong)
        login = (
            f"login from the secret {self.options.registry_secret}"
            if self.options.registry_secret
            else "no login"
        )
        return accepted, Finding(
            "image", True, f"{self.options.image}, {login}; pulled when it is first used"
        )

    def _priced(self) -> Finding:
        try:
            price = self.price(ComputeJob(name="any", argv=("true",), timeout=1, accelerator=True))
        except FlywheelError as error:
            return Finding("price", False, " ".join(str(error).split()))
        return Finding("price", True, f"{price.sku}: ${price.usd_per_hour:.2f} an hour, dated {price.dated}")

    def _consented(self) -> Finding:
        if self.consent == CONSENT:
            return Finding("consent", True, "given")
        return Finding(
            "consent", False, f"set {CONSENT_VARIABLE}={CONSENT} to agree to pay; found {self.consent!r}"
        )

    def price(self, job: ComputeJob) -> Price:
        """Of the GPU, if the job has one, and of the cores and memory beside it: Modal bills them one by one."""
        options, gpu = self.options, self._gpu(job)
        core, gib = price_of(self.name, "CPU core"), price_of(self.name, "memory GiB")
        memory = options.memory_mb / 1024
        hourly = core.usd_per_hour * options.cpu + gib.usd_per_hour * memory
        beside = f"{options.cpu:g} cores, {memory:g} GiB"
        if gpu is None:
            return replace(core, sku=beside, usd_per_hour=hourly)
        price = price_of(self.name, gpu)
        return replace(price, sku=f"{gpu}, {beside}", usd_per_hour=price.usd_per_hour + hourly)

    def _gpu(self, job: ComputeJob) -> str | None:
        return self.options.gpu if self.options.gpu and job.accelerator else None

    def lifetime(self, job: ComputeJob) -> int:
        """Seconds after which Modal ends the sandbox by itself, whatever became of this process."""
        needed = job.timeout + self.grace + self.beside_job
        if needed > _LONGEST:
            raise FlywheelError(
                f"job {job.name}: a time-out of {job.timeout:g} s is too long for the backend modal, which ends any "
                f"sandbox after {_LONGEST:g} s; allow the job at most {_LONGEST - self.grace - self.beside_job:g} s"
            )
        return math.ceil(min(_LONGEST, needed + self.options.start_timeout))
