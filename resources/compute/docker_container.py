"""One job's container: how it is made, its lines while it runs, and what it ended by."""

import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from flywheel.compute.job import ComputeJob, JobError, JobFailed, JobTimedOut, LineSplitter, Seconds
from flywheel.compute.programs import runner
from flywheel.errors import Problems
from resources.compute.docker_service import DockerError, Engine
from resources.compute.leases import Lease
from resources.compute.shipment import FOLDER, Ending, StageInFailed, missing_outputs, runner_environment
from resources.compute.workspace import Workspace

__all__ = ["HOME", "ROOT", "Container", "DockerOptions", "Lines", "Wire"]

ROOT: Final = PurePosixPath("/workspace")
"""Where a container sees its job's workspace."""
HOME: Final = ROOT / FOLDER / "home"
_TEMPORARY: Final = PurePosixPath("/tmp")
_GPUS: Final = ("auto", "all", "none")
_QUIET: Final[Seconds] = 5.0
"""After so long without a line it is asked whether the job still runs."""
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
        host: where the engine listens; empty for ``DOCKER_HOST``, or else the usual socket.
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
        rootless = any("rootless" in each for each in engine.about().get("SecurityOptions") or ())
        own = "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"
        self._user = options.user or own
        self._groups = [] if rootless or options.user else [str(group) for group in os.getgroups()]

    def describe(self) -> str:
        """A line for the log."""
        return (
            f"container {self.name} of {self._options.image}: user {self._user}, network {self._network}, "
            f"GPUs {'all' if self._gpu else 'none'}"
        )

    def run(self, image: Mapping[str, Any], lease: Lease, note: Callable[[str], None]) -> None:
        """Create, start, pass the lines on, and come back once the job has ended or was told to."""
        container = self._create(image, lease)
        # Before the start, so that no line is missed and no moment exists in which nobody holds the input.
        wire = Wire(self._engine.attach(container))
        try:
            self._engine.start(container)
            self._follow(wire, note)
        finally:
            self._settle(wire)

    def ending(self) -> Ending | None:
        """What the runner noted; None where it could not."""
        return Ending.read(self._runner.ending)

    def failure(self, lines: tuple[str, ...], since: datetime, *, kept: Path | None) -> JobError | None:
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
        return JobFailed(job, exit_code or words.exit_code, (*lines, *words.lines), kept=kept)

    def _create(self, image: Mapping[str, Any], lease: Lease) -> str:
        from docker.types import DeviceRequest, LogConfig, Mount

        own = ((str(self._space.folder), str(ROOT)), (str(self._space.temporary), str(_TEMPORARY)))
        # Mounts of this kind are refused where their source is missing; the older kind makes it, as root.
        mounts = [Mount(there, here, type="bind") for here, there in own]
        mounts += [Mount(there, here, type="bind", read_only=True) for here, there in self._options.folders]
        gpus = [DeviceRequest(count=-1, capabilities=[["gpu"]])] if self._gpu else []
        try:
            return self._engine.create(
                self._options.image,
                command=[
                    self._options.python,
                    "-m",
                    "flywheel.compute.programs.runner",
                    "run",
                    str(ROOT),
                    "--lifeline",
                ],
                name=self.name,
                labels={"flywheel.lease": lease.id},
                environment=self._environment(image),
                working_dir=str(ROOT),
                mounts=mounts,
                user=self._user,
                group_add=self._groups,
                network_mode=self._network,
                device_requests=gpus,
                shm_size=self._options.shm_size,
                # Open, and closed for good with the first connection that is attached to it.
                stdin_open=True,
                auto_remove=True,
                # Lines come over the wire; kept by the engine they would outlive what may be in them.
                log_config=LogConfig(type="none"),
                # Where SELinux rules, a job may else not read its own workspace, whose files are also ours.
                security_opt=["no-new-privileges", "label=disable"],
            )
        except DockerError as error:
            if "no space left" in str(error).lower():
                raise StageInFailed(self._job, str(error)) from error
            raise

    def _environment(self, image: Mapping[str, Any]) -> dict[str, str]:
        own = runner_environment(ROOT)
        environment = own | {"HOME": str(HOME), "TMPDIR": str(_TEMPORARY), "LANG": "C.UTF-8"}
        # Of our user the image has no record, and programs that ask for its name would fail.
        environment |= {"USER": "flywheel", "LOGNAME": "flywheel"}
        if not self._gpu:
            environment |= {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
        elif "CUDA_VISIBLE_DEVICES" in os.environ:
            # A machine's scheduler gave us these and nobody else's.
            environment["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
        environment |= self._job.environment
        of_image = dict(each.partition("=")[::2] for each in image.get("Config", {}).get("Env") or ())
        paths = (own["PYTHONPATH"], self._job.environment.get("PYTHONPATH"), of_image.get("PYTHONPATH"))
        environment["PYTHONPATH"] = ":".join(filter(None, paths))
        return environment

    def _follow(self, wire: "Wire", note: Callable[[str], None]) -> None:
        """Pass lines on until the container has ended."""
        lines = Lines()
        until = time.monotonic() + self._job.timeout + self._grace + _MARGIN
        while True:
            data = wire.read(min(_QUIET, until - time.monotonic()))
            if data:
                for line in lines.feed(data):
                    note(line)
            elif data is not None:
                break
            elif self._runner.ending.exists() or self._engine.status(self.name) != "running":
                break  # ended, although the engine has not closed the wire
            if time.monotonic() >= until:
                self._overdue = True
                break
        for line in lines.close():
            note(line)
        self._lost = not self._overdue and not self._runner.ending.exists() and self._runner.has_runner()

    def _settle(self, wire: "Wire") -> None:
        """Tell a job that has not ended to end, and give it its grace."""
        deadline = time.monotonic() + self._grace + _MARGIN
        try:
            if not self._runner.ending.exists():
                # Read by the runner itself, where the engine does not answer any more.
                with suppress(OSError):
                    self._runner.stop.touch()
            wire.end_input()
            with suppress(DockerError):
                while self._writes(wire, deadline):
                    pass
            while self._runner.has_runner() and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            wire.close()

    def _writes(self, wire: "Wire", deadline: float) -> bool:
        """Whether the container still has something to say, or lives; what it says is dropped."""
        data = wire.read(min(1.0, deadline - time.monotonic()))
        if data is None:
            return time.monotonic() < deadline and self._engine.status(self.name) == "running"
        return bool(data)


class Wire:
    """The standard streams of a container: what it writes, and the input whose end tells it to stop.

    The kernel closes it when this process dies, however it dies.
    """

    def __init__(self, attached: Any) -> None:
        self._attached = attached  # kept, for its collection would close the connection
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._socket.settimeout(None)

    def read(self, within: Seconds) -> bytes | None:
        """What comes next; nothing at the end; None where nothing comes in time."""
        readable, _, _ = select.select([self._socket], [], [], max(0.0, within))
        if not readable:
            return None
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""

    def end_input(self) -> None:
        """Close the container's standard input."""
        with suppress(OSError):  # the other end may be gone, which is as good
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of the connection."""
        self.end_input()
        self._attached.close()
        self._socket.close()


class Lines:
    """Lines of a container's output, which comes in frames of 8 bytes (stream, 3 x 0, size as 4 bytes) and content.

    Standard output and standard error each have lines of their own, so that one does not cut the other's.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._streams = {1: LineSplitter(), 2: LineSplitter()}

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        self._waiting += data
        lines: list[str] = []
        while len(self._waiting) >= 8:
            end = 8 + int.from_bytes(self._waiting[4:8], "big")
            if len(self._waiting) < end:
                break
            lines += self._streams[2 if self._waiting[0] == 2 else 1].feed(bytes(self._waiting[8:end]))
            del self._waiting[:end]
        return lines

    def close(self) -> list[str]:
        """The last lines, if they were not ended."""
        return [line for splitter in self._streams.values() for line in splitter.close()]
