"""Jobs in containers of a Docker Engine on this machine."""

import logging
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from flywheel.compute.job import TAIL_LINES, ComputeJob, JobOutcome, Seconds
from resources.compute.docker_command import DockerError, Engine
from resources.compute.docker_container import HOME, ROOT, Container, DockerOptions
from resources.compute.leases import Lease, Leases, TeardownFailed
from resources.compute.local import lists_gpu
from resources.compute.settings import Settings, read_options
from resources.compute.shipment import StageInFailed, bring, check_inputs, pack
from resources.compute.workspace import workspace
from resources.readiness import Finding

__all__ = ["DockerBackend", "DockerOptions"]

_LEASE_MARGIN: Final[Seconds] = 600.0
_REMOVAL: Final[Seconds] = 10.0
_LOOK: Final[Seconds] = 5.0
"""For one answer where the backend's readiness is asked for."""
_ROOM: Final = {True: 2, False: 40}
"""GB that should be free where images lie, by whether the image is there: NeMo's takes about 12 packed, 30 unpacked."""
_NO_GPU: Final = "nvidia-smi lists no GPU here"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerBackend:
    """Runs a job in a container of its own, which is gone afterwards.

    The workspace is a folder here that the container sees as ``/workspace``; its ``/tmp`` is a folder here too.
    The container's standard input is held open by this process, and ends with it, SIGKILL included: then the job
    is stopped, and the container removes itself. A lease covers what a kill can leave before its start.

    Args:
        work_root: the folder that holds the workspaces, e.g. ``data/work``; the engine must see it.
        leases: where containers are noted before they are made.
        options: how they are made.
        run_id: the Dagster run that this serves; empty outside Dagster.
        grace: seconds between TERM and KILL.
        keep_failed: leave the workspace of a failed job where it is, and say so in the error.
        pauses: seconds before each further attempt to remove a container.
        progress_every: seconds between two lines about a pull.
    """

    name: ClassVar[str] = "docker"

    work_root: Path
    leases: Leases
    options: DockerOptions = field(default_factory=DockerOptions)
    run_id: str = ""
    grace: Seconds = 10.0
    keep_failed: bool = False
    pauses: tuple[Seconds, ...] = (0.5, 1.5, 3.0)
    progress_every: Seconds = 5.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """As configured."""
        return cls(
            work_root=settings.work_root,
            leases=settings.leases,
            options=read_options(DockerOptions, "docker", settings.options),
            run_id=settings.run_id,
            grace=settings.grace,
            keep_failed=settings.keep_failed,
        )

    @property
    def has_accelerator(self) -> bool:
        """Whether its jobs can use a GPU. Raises `DockerError` where that cannot be asked."""
        return self._offers_gpu(Engine(self.options.host).about())

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        """As `flywheel.compute.job.ComputeBackend.run` says; `DockerError` for whatever Docker refuses.

        Workspaces that a killed process left behind under `work_root` are removed first.
        """
        check_inputs(job)
        engine = Engine(self.options.host)
        about = engine.about()
        image = engine.fetch(self.options.image, on_line, every=self.progress_every)
        with workspace(self.work_root.absolute(), job.name) as space:
            self._stage(job, space.folder)
            last_lines: deque[str] = deque(maxlen=TAIL_LINES)

            def note(line: str) -> None:
                last_lines.append(line)
                on_line(line)

            container = Container(
                self.options,
                engine,
                job,
                space,
                rootless=any("rootless" in each for each in about.get("SecurityOptions") or ()),
                gpu=job.accelerator and self._offers_gpu(about),
                grace=self.grace,
            )
            started_at = datetime.now(UTC)
            with self._leased(job, container.name, engine) as lease:
                on_line(container.describe())
                container.run(image, lease, note)
                kept = space.folder if self.keep_failed else None
                failure = container.failure(tuple(last_lines), started_at, kept=kept)
                if failure is not None:
                    space.kept = self.keep_failed
                    raise failure
                ending = container.ending()
                outputs = {
                    relative: bring(space.folder / relative, outputs_to / relative)
                    for relative in job.outputs
                }
            return JobOutcome(0, ending.seconds if ending else 0.0, outputs, started_at)

    def teardown(self, lease: Lease) -> None:
        """Kill and remove the container of a lease; one that is not there is gone.

        Raises `TeardownFailed` after the last of `pauses`.
        """
        for pause in (*self.pauses, None):
            try:
                self._engine_of(lease).remove(lease.resource, _REMOVAL)
                return
            except DockerError as error:
                if pause is None:
                    raise TeardownFailed(lease, str(error)) from error
                time.sleep(pause)

    def readiness(self) -> tuple[Finding, ...]:
        """What is there and what is missing. Starts nothing."""
        try:
            engine = Engine(self.options.host, patience=_LOOK)
            about = engine.about()
            image = engine.image(self.options.image)
        except DockerError as error:
            return (Finding("daemon", False, str(error)),)
        name = self.options.image
        return (
            Finding("daemon", True, f"Docker Engine {about.get('ServerVersion')} at {engine.host}"),
            Finding("image", True, f"{name}, {image.get('Size', 0) / 1e9:.1f} GB")
            if image
            else Finding(
                "image",
                False,
                f"{name} is not here: the first job pulls it, or `docker pull {name}`",
                needed=False,
            ),
            self._gpu_finding(about),
            _disk(str(about.get("DockerRootDir", "")), has_image=image is not None),
        )

    def _gpu_finding(self, about: Mapping[str, Any]) -> Finding:
        if self.options.gpus == "none":
            return Finding("GPU", True, "none is asked for")
        missing = _why_no_gpu(about)
        if missing is None:
            return Finding("GPU", True, "driver and container toolkit are there")
        if self.options.gpus == "auto" and missing == _NO_GPU:
            return Finding("GPU", True, f"{missing}: jobs run on the CPU")
        return Finding("GPU", False, missing)

    def _engine_of(self, lease: Lease) -> Engine:
        """Where the lease's container is, which a sweep with other options must not miss."""
        engine = Engine(self.options.host)
        noted = str(lease.details.get("host", engine.host))
        # Named only where it must be: a context knows more of its engine than the host, such as its keys.
        return engine if noted == engine.host else Engine(noted)

    def _offers_gpu(self, about: Mapping[str, Any]) -> bool:
        if self.options.gpus == "auto":
            return _why_no_gpu(about) is None
        return self.options.gpus == "all"

    def _stage(self, job: ComputeJob, folder: Path) -> None:
        try:
            pack(job, folder, ROOT, grace=self.grace)
            (folder / HOME.relative_to(ROOT)).mkdir()
        except OSError as error:
            # Of a folder's files that could not be copied, each with its reason, the first says enough.
            reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error
            raise StageInFailed(job, f"{reason}; {_free(folder)}") from error

    @contextmanager
    def _leased(self, job: ComputeJob, container: str, engine: Engine) -> Iterator[Lease]:
        """A lease for the container; at the end, whatever the end, the container is gone and the lease closed."""
        lease = self.leases.open(
            backend=self.name,
            resource=container,
            job=job.name,
            lifetime=job.timeout + self.grace + _LEASE_MARGIN,
            run_id=self.run_id,
            details={"host": engine.host},
        )
        try:
            yield lease
        except BaseException as error:
            self._give_back(lease, engine, error)
            raise
        self._give_back(lease, engine, None)

    def _give_back(self, lease: Lease, engine: Engine, error: BaseException | None) -> None:
        try:
            self.teardown(lease)
        except TeardownFailed as failed:
            if error is None:
                raise
            if isinstance(error, Exception):
                raise TeardownFailed(lease, f"{failed.__cause__}. Before that: {error}") from error
            # An interrupt must stay one.
            _log.error("%s", failed)
            error.add_note(str(failed))
            return
        if engine.certain:
            self.leases.close(lease)
        else:
            _log.warning(
                "whether %s was made is not known: its lease stays open for the sweep", lease.resource
            )


def _why_no_gpu(about: Mapping[str, Any]) -> str | None:
    """Why containers of the engine that `about` describes cannot use a GPU; None where they can."""
    try:
        if not lists_gpu(_LOOK):
            return _NO_GPU
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer: {error}"
    known = "nvidia" in about.get("Runtimes", {}) or bool(about.get("DiscoveredDevices"))
    if not known and shutil.which("nvidia-container-runtime-hook") is None:
        return "NVIDIA's container toolkit is not installed"
    return None


def _free(folder: Path) -> str:
    """How much room there is in the file system of a folder."""
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.0f} MB are free in {folder}"
    except OSError as error:
        return str(error)


def _disk(folder: str, *, has_image: bool) -> Finding:
    try:
        free = shutil.disk_usage(folder).free / 1e9
    except OSError:
        return Finding("disk", True, f"images lie in {folder or 'a place'} that cannot be seen from here")
    needed = _ROOM[has_image]
    return Finding("disk", free >= needed, f"{free:.0f} GB free in {folder}, {needed} GB should be")
