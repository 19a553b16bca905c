"""One job on one rented instance: taking it, running the job there, giving it back."""

import json
import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from flywheel.compute.costs import Price
from flywheel.compute.job import TAIL_LINES, ComputeJob, JobFailed, JobOutcome, LineSplitter, Seconds
from resources.compute.brev_command import BrevError, Instance
from resources.compute.brev_instances import BREV, LOOKS, BrevInstances
from resources.compute.commands import Ended, RunningCommand, Ticker
from resources.compute.leases import Lease, TeardownFailed
from resources.compute.shipment import StageInFailed, bring, missing_outputs, pack, runner_environment
from resources.compute.ssh import Container, RemoteJob

__all__ = ["Rental"]

_PATIENCE: Final[Seconds] = 16.0
_log = logging.getLogger(__name__)


class Rental:
    """An instance held for one job."""

    def __init__(
        self,
        instances: BrevInstances,
        job: ComputeJob,
        price: Price,
        on_line: Callable[[str], None],
        *,
        run_id: str,
        lifetime: Seconds,
    ) -> None:
        self._instances = instances
        self._options = instances.options
        self._brev = instances.brev
        self._run_id = run_id
        self._lifetime = lifetime
        self._job = job
        self._price = price
        self._on_line = on_line
        self._name = instances.options.instance or f"flywheel-{secrets.token_hex(4)}"
        self._host = instances.host(self._name)
        self._lease: Lease | None = None
        self._remote: RemoteJob | None = None
        self._may_run = False
        self._begun = time.monotonic()
        self.billed: Seconds = 0.0

    def take(self, longest: Seconds) -> None:
        """Have an instance that can be reached and will end itself; `longest` is when nobody may need it any more."""
        self._begun = time.monotonic()
        self._lease = self._instances.leases.open(
            backend=BREV,
            resource=self._name,
            job=self._job.name,
            lifetime=longest,
            run_id=self._run_id,
            # One that never became ready cannot be stopped, only deleted.
            details={
                "after": self._options.afterwards if self._options.instance else "delete",
                "seen": bool(self._options.instance),
            },
        )
        until = self._begun + self._options.ready_timeout
        self._ask(until)
        home = self._reach(until)
        self._note(after=self._options.afterwards, switch=self._set_switch())
        root = (
            PurePosixPath(self._options.folder or home) / f"flywheel-{self._job.name}-{secrets.token_hex(4)}"
        )
        container = None
        if self._options.container:
            container = Container(
                image=self._options.container,
                name=root.name,
                gpus=self._job.accelerator,
                network=self._job.network,
            )
        self._remote = RemoteJob(
            job=self._job, host=self._host, root=root, python=self._options.python, container=container
        )
        self._note(
            workspace=str(root),
            python=self._remote.python_there,
            container=container.name if container else "",
        )

    def run(self, folder: Path, outputs_to: Path) -> JobOutcome:
        """Bring the job there, run it, bring its outputs back; `folder` is empty and on the same disk as they."""
        remote = self._remote
        assert remote is not None
        sent, brought = folder / "sent", folder / "brought"
        try:
            sent.mkdir()
            pack(self._job, sent, remote.seen_at, grace=self._instances.grace)
        except OSError as error:
            raise StageInFailed(self._job, str(error)) from error
        remote.upload(sent, self._say)
        remote.prepare(self._say)
        remote.give(json.dumps(self._environment(remote)).encode(), self._say)
        self._say(f"starting the job {self._job.name}")
        started_at = datetime.now(UTC)
        self._may_run = True
        remote.start(self._say)
        last_lines = self._lines(remote)
        ending = remote.ending(self._say)
        if ending is None:
            raise JobFailed(self._job, None, last_lines)
        self._may_run = False
        if failure := ending.failure(self._job, last_lines):
            raise failure
        if self._job.outputs:
            remote.download(brought, self._say)
        if missing := missing_outputs(self._job, brought, last_lines):
            raise missing
        outputs = {
            relative: bring(brought / relative, outputs_to / relative) for relative in self._job.outputs
        }
        return JobOutcome(0, ending.seconds, outputs, started_at)

    def give_back(self, error: BaseException | None) -> None:
        """End the job and the instance, and close the lease; raises `TeardownFailed`, with `error` in its message.

        An interrupt in here leaves the lease open, which a sweep follows.
        """
        if self._lease is None:
            return
        after = self._lease.details["after"]
        if after == "stop" or (after == "delete" and self._may_run):
            self._talk("ending the job")
            if reason := self._instances.why_job_not_ended(self._lease, remove=after == "stop"):
                self._talk(f"the job could not be ended by itself ({reason}); its instance will be")
        self._talk(f"{self._name}: {after}")
        reason = self._instances.why_not_ended(self._lease, self._talk)
        self.billed = time.monotonic() - self._begun
        if reason is not None:
            if error is not None:
                reason += f". Before that, {type(error).__name__}: {error}"
            raise TeardownFailed(self._lease, reason) from error
        self._instances.leases.close(self._lease)
        done = {
            "delete": "is deleted",
            "stop": "is stopped (its disk still costs)",
            "keep": "runs on, as asked",
        }
        self._talk(
            f"{self._name} {done[after]}; held for {self.billed:.0f} s, about "
            f"${self._price.cost(self.billed):.2f}"
        )

    def _ask(self, until: float) -> None:
        """Create or start the instance, and wait until it is ready."""
        options = self._options
        found = self._brev.find(self._name) if options.instance else None
        if found is not None and found.running:
            self._say(f"using {self._name}")
            self._await_ready(None, until)
            return
        if options.instance:
            command = self._brev.starting(self._name)
        else:
            command = self._brev.creation(self._name, options.gpu, options.disk_gb)
        self._say(f"{' '.join(command)} (${self._price.usd_per_hour:.2f} an hour)")
        with RunningCommand(command, timeout=options.create_timeout) as asking:
            self._await_ready(asking, until)

    def _await_ready(self, asking: RunningCommand | None, until: float) -> None:
        ticker = Ticker(self._say)
        said, missed = b"", 0
        while True:
            if asking is None or asking.finished:
                time.sleep(self._options.poll)
            else:
                said += asking.read(self._options.poll)
            try:
                found = self._brev.find(self._name)
            except BrevError as error:
                state = str(error)  # this once, maybe
            else:
                missed = 0 if found else missed + 1
                state = str(found) if found else "not listed"
                if found and not self._seen:
                    self._note(seen=True)
                if found and found.ready:
                    return
                ended = asking.ended(said) if asking and asking.finished else None
                if reason := self._hopeless(found, missed, ended):
                    raise BrevError(reason)
            if time.monotonic() >= until:
                raise BrevError(
                    f"{self._name} was not ready after {self._options.ready_timeout:g} s: {state}"
                )
            ticker.tick(f"waiting for {self._name}: {state}")

    def _hopeless(self, found: Instance | None, missed: int, asked: Ended | None) -> str | None:
        """Why the instance will not become ready, if so.

        Args:
            found: what `brev ls` says of it.
            missed: how often in a row it did not list it.
            asked: how the command that asked for it has ended, if it has.
        """
        if found and found.broken:
            return f"{self._name} cannot become ready: {found}"
        if self._seen and missed >= LOOKS:
            return f"{self._name} was listed by `brev ls`, and is not any more"
        nothing_came = missed > 1 and not self._seen
        if asked and asked.exit_code != 0 and (nothing_came or (found and found.status == "STOPPED")):
            return (
                f"`brev {'start' if self._options.instance else 'create'}` gave no instance: {asked.words}. Where "
                "quota or capacity lacks, another gpu (FLYWHEEL_BREV_GPU; `brev search` lists them) or a later "
                "attempt may help"
            )
        if nothing_came and time.monotonic() - self._begun > self._options.create_timeout:
            return f"`brev ls` does not list {self._name} after {self._options.create_timeout:g} s"
        return None

    @property
    def _seen(self) -> bool:
        return bool(self._lease and self._lease.details["seen"])

    def _reach(self, until: float) -> str:
        """The home of its user, once ssh reaches it."""
        ticker = Ticker(self._say)
        while True:
            try:
                self._brev.refresh()
                done = self._host.once('printf %s "$HOME"', timeout=_PATIENCE)
                if done.exit_code == 0 and done.output.startswith(b"/"):
                    return done.output.decode()
                words = done.words
            except BrevError as error:
                words = str(error)
            if time.monotonic() >= until:
                raise BrevError(
                    f"{self._name} runs, but ssh did not reach it within {self._options.ready_timeout:g} s: {words}"
                )
            ticker.tick(f"waiting for ssh to reach {self._name}: {words}")
            time.sleep(self._options.poll)

    def _set_switch(self) -> bool:
        """Let the instance shut itself down one day, whatever becomes of us."""
        minutes = math.ceil(self._lifetime / 60)
        done = self._host.run(f"sudo -n shutdown -h +{minutes}", "setting its shutdown", self._say)
        if done.exit_code == 0:
            self._say(f"{self._name} shuts itself down in {minutes} minutes at the latest")
            return True
        self._say(f"{self._name} WILL NOT SHUT ITSELF DOWN, `sudo -n shutdown` failed there: {done.words}")
        _log.warning("%s: no shutdown could be set: %s", self._name, done.words)
        return False

    def _lines(self, remote: RemoteJob) -> tuple[str, ...]:
        """Hand over the job's lines until it has ended; the last of them."""
        last_lines: deque[str] = deque(maxlen=TAIL_LINES)
        splitter = LineSplitter()

        def note(lines: list[str]) -> None:
            for line in lines:
                last_lines.append(line)
                self._on_line(line)

        for data in remote.follow(self._say):
            note(splitter.feed(data))
        note(splitter.close())
        return tuple(last_lines)

    def _environment(self, remote: RemoteJob) -> dict[str, str]:
        own = self._job.environment
        paths = [runner_environment(remote.seen_at)["PYTHONPATH"], own.get("PYTHONPATH", "")]
        hidden = {} if self._job.accelerator else {"CUDA_VISIBLE_DEVICES": ""}
        return {**hidden, **own, "PYTHONPATH": ":".join(filter(None, paths))}

    def _note(self, **details: object) -> None:
        assert self._lease is not None
        self._lease = self._instances.leases.note(self._lease, **details)

    def _say(self, text: str) -> None:
        self._on_line(f"brev: {text}")

    def _talk(self, text: str) -> None:
        """Say it, but let nothing that a log does keep an instance alive."""
        with suppress(BaseException):
            self._say(text)
