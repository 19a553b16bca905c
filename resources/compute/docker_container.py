"""One job's container: how it is made, its lines while it runs, and what it ended by."""

import csv
import io
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from flywheel.compute.job import ComputeJob, JobFailed, JobTimedOut, Seconds
from flywheel.compute.programs import runner
from flywheel.errors import FlywheelError, Problems
from resources.compute.docker_command import Attached, DockerError, Engine
from resources.compute.leases import Lease
from resources.compute.shipment import FOLDER, Ending, StageInFailed, missing_outputs, runner_environment
from resources.compute.workspace import Workspace

__all__ = ["HOME", "ROOT", "Container", "DockerOptions"]

ROOT: Final = PurePosixPath("/workspace")
"""Where a container sees its job's workspace."""
HOME: Final = ROOT / FOLDER / "home"
_TEMPORARY: Final = PurePosixPath("/tmp")
_GPUS: Final = ("auto", "all", "none")
_QUIET: Final[Seconds] = 5.0
"""After so long without a line it is asked whether the job still runs."""
_OVER: Final = (None, "exited", "dead", "removing")
"""Statuses of a container that has ended; None of one that is gone."""
_MARGIN: Final[Seconds] = 30.0
"""How much longer than its own limits the runner may take before it is given up."""


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How containers are made; each field is also the variable ``FLYWHEEL_DOCKER_<FIELD>``.

    Args:
        image: pulled where it is not on this machine.
        gpus: ``all``, ``none``, or ``auto``: all where NVIDIA's driver and container toolkit are there. Jobs that
            ask for no GPU get none.
        shm_size: of ``/dev/shm``, which data loaders share batches through.
        python: the image's Python, 3.11 or later, as a name on its path or a file.
        mounts: more folders, read-only: ``/here=/there,/data=/data``.
        network: of jobs that need one; empty for ``bridge``. Others have none.
        user: ``uid:gid`` that jobs run as, who must be able to write to the workspace; empty for this process's
            own, so that what they write is ours.
        host: where the engine listens, as for `docker --host`; empty for what the command uses by itself:
            ``DOCKER_HOST``, or else its context.
    """

    image: str = "nvcr.io/nvidia/nemo:25.11.01"
    gpus: str = "auto"
    shm_size: str = "8g"
    python: str = "python"
    mounts: str = ""
    network: str = ""
    user: str = ""
    host: str = ""

    def __post_init__(self) -> None:
        problems = [f"{name}: a value is needed" for name in ("image", "python") if not getattr(self, name)]
        if self.gpus not in _GPUS:
            problems.append(f"gpus: found {self.gpus!r}, allowed are {', '.join(_GPUS)}")
        for here, there in self.folders:
            if not (here.startswith("/") and there.startswith("/")):
                problems.append(f"mounts: found {here}={there}, two absolute paths are needed: /here=/there")
            elif PurePosixPath(there) in (ROOT, _TEMPORARY, PurePosixPath("/")):
                problems.append(f"mounts: {there} is the job's own")
            elif not Path(here).exists():
                problems.append(f"mounts: {here}: no such folder")
        if problems:
            raise Problems("options of the backend docker", problems)

    @property
    def folders(self) -> tuple[tuple[str, str], ...]:
        """`mounts` as pairs of a path here and a path there."""
        pairs = (each.strip().partition("=") for each in self.mounts.split(",") if each.strip())
        return tuple((here.strip(), there.strip()) for here, _, there in pairs)


class Container:
    """One job's container, from before it is made until its ending is known.

    Args:
        options: how it is made.
        engine: that makes it.
        rootless: whether that engine is one without root.
        job, space: what it runs, and the folders it runs in.
        gpu: whether it gets the GPUs.
        grace: seconds between TERM and KILL.
    """

    def __init__(
        self,
        options: DockerOptions,
        engine: Engine,
        job: ComputeJob,
        space: Workspace,
        *,
        rootless: bool,
        gpu: bool,
        grace: Seconds,
    ) -> None:
        self.name = f"flywheel-{job.name}-{secrets.token_hex(4)}"
        self._options = options
        self._engine = engine
        self._job = job
        self._space = space
        self._gpu = gpu
        self._grace = grace
        self._runner = runner.Workspace(space.folder)
        self._overdue = False
        self._lost = False
        self._network = (options.network or "bridge") if job.network else "none"
        # Of a rootless engine, user 0 inside is the user who runs it.
        self._user = options.user or ("0:0" if rootless else f"{os.getuid()}:{os.getgid()}")
        self._groups = () if rootless or options.user else os.getgroups()

    def describe(self) -> str:
        """A line for the log."""
        return (
            f"container {self.name} of {self._options.image}: user {self._user}, network {self._network}, "
            f"GPUs {'all' if self._gpu else 'none'}"
        )

    def run(self, image: Mapping[str, Any], lease: Lease, note: Callable[[str], None]) -> None:
        """Create, start, pass the lines on, and come back once the job has ended or was told to."""
        self._create(lease)
        attached = self._engine.start(self.name, self._variables(image))
        try:
            self._follow(attached, note)
        finally:
            self._settle(attached)

    def ending(self) -> Ending | None:
        """What the runner noted; None where it could not."""
        return Ending.read(self._runner.ending)

    def failure(self, lines: tuple[str, ...], since: datetime, *, kept: Path | None) -> FlywheelError | None:
        """The error that the ending is; None where all is well and every output is there.

        Args:
            lines: the last ones of the job.
            since: when it was started.
            kept: where its workspace will be found.
        """
        job, ended = self._job, self.ending()
        if self._lost:
            lines += ("docker: the connection to the engine was lost, which ends the job",)
        if self._overdue:
            return JobTimedOut(job, lines, kept=kept)
        if ended is not None and (ended.stopped or ended.exit_code != -signal.SIGKILL):
            failure = ended.failure(job, lines, kept=kept)
            return failure or missing_outputs(job, self._space.folder, lines, kept=kept)
        # Killed, perhaps for its memory: only the engine knows.
        exit_code = ended.exit_code if ended else None
        try:
            words = self._engine.last_words(self.name, since.timestamp())
        except DockerError as error:
            return JobFailed(job, exit_code, (*lines, f"docker: {error}"), kept=kept)
        if ended is None and not words.started:
            return self._engine.refusal("starting the container", " | ".join(lines))
        return JobFailed(job, exit_code or words.exit_code, (*lines, *words.lines), kept=kept)

    def _create(self, lease: Lease) -> None:
        # Of this kind, mounts are refused where their source is missing; the older kind makes it, as root.
        mounts = [
            _mount(f"source={self._space.folder}", f"target={ROOT}"),
            _mount(f"source={self._space.temporary}", f"target={_TEMPORARY}"),
            *(
                _mount(f"source={here}", f"target={there}", "readonly")
                for here, there in self._options.folders
            ),
        ]
        try:
            self._engine.create(
                *("--name", self.name, "--label", f"flywheel.lease={lease.id}"),
                # Gone with its end. Fetched already, with words about how far that is.
                *("--rm", "--pull", "never"),
                # Open, and closed for good with the first connection that is attached to it.
                "--interactive",
                *(word for each in mounts for word in ("--mount", each)),
                *("--workdir", str(ROOT)),
                *(word for name, value in self._environment() for word in ("--env", f"{name}={value}")),
                *("--user", self._user),
                *(word for each in self._groups for word in ("--group-add", str(each))),
                *("--network", self._network, "--shm-size", self._options.shm_size),
                *(("--gpus", "all") if self._gpu else ()),
                # Lines come to the command that is attached; kept by the engine they would outlive what is in them.
                *("--log-driver", "none"),
                # Where SELinux rules, a job may else not read its own workspace, whose files are also ours.
                *("--security-opt", "no-new-privileges", "--security-opt", "label=disable"),
                self._options.image,
                *(
                    self._options.python,
                    "-m",
                    "flywheel.compute.programs.runner",
                    "run",
                    str(ROOT),
                    "--lifeline",
                ),
            )
        except DockerError as error:
            if "no space left" in str(error).lower():
                raise StageInFailed(self._job, str(error)) from error
            raise

    def _environment(self) -> Iterable[tuple[str, str]]:
        """The container's own variables, which anybody on this machine can read on a command line."""
        environment = runner_environment(ROOT)
        environment |= {"HOME": str(HOME), "TMPDIR": str(_TEMPORARY), "LANG": "C.UTF-8"}
        # Of our user the image has no record, and programs that ask for its name would fail.
        environment |= {"USER": "flywheel", "LOGNAME": "flywheel"}
        if not self._gpu:
            environment |= {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
        elif "CUDA_VISIBLE_DEVICES" in os.environ:
            # A machine's scheduler gave us these and nobody else's.
            environment["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
        return environment.items()

    def _variables(self, image: Mapping[str, Any]) -> bytes:
        """The job's variables, as the runner reads them: keys are in no file, command line or engine's record."""
        of_image = dict(each.partition("=")[::2] for each in image.get("Config", {}).get("Env") or ())
        paths = (
            runner_environment(ROOT)["PYTHONPATH"],
            self._job.environment.get("PYTHONPATH"),
            of_image.get("PYTHONPATH"),
        )
        variables = {**self._job.environment, "PYTHONPATH": ":".join(filter(None, paths))}
        return json.dumps(variables).encode() + b"\n"

    def _follow(self, attached: Attached, note: Callable[[str], None]) -> None:
        """Pass lines on until the container has ended."""
        until = time.monotonic() + self._job.timeout + self._grace + _MARGIN
        while not attached.ended:
            lines = attached.lines(min(_QUIET, until - time.monotonic()))
            for line in lines or ():
                note(line)
            if time.monotonic() >= until:
                self._overdue = True
                break
            if lines is None and self._is_over():
                break  # although nothing closed the connection
        self._lost = not self._overdue and not self._runner.ending.exists() and self._runner.has_runner()

    def _is_over(self) -> bool:
        return self._runner.ending.exists() or self._engine.status(self.name) in _OVER

    def _settle(self, attached: Attached) -> None:
        """Tell a job that has not ended to end, and give it its grace; what it says is dropped."""
        deadline = time.monotonic() + self._grace + _MARGIN
        try:
            if not self._runner.ending.exists():
                # Read by the runner itself, where the engine does not answer any more.
                with suppress(OSError):
                    self._runner.stop.touch()
            attached.end_input()
            with suppress(DockerError):
                while not attached.ended and time.monotonic() < deadline:
                    if attached.lines(1.0) is None and self._is_over():
                        break
            while self._runner.has_runner() and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            attached.close()


def _mount(*fields: str) -> str:
    """The value of ``--mount``, which is a line of CSV, since paths may hold commas."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(("type=bind", *fields))
    return line.getvalue()
