"""One job in one sandbox of Modal: its files sent and looked at, its lines followed, its outputs fetched, its end."""

import asyncio
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from flywheel.compute.costs import Price
from flywheel.compute.job import (
    TAIL_LINES,
    ComputeJob,
    JobError,
    JobFailed,
    JobNotStarted,
    JobOutcome,
    JobTimedOut,
    LineSplitter,
    OutputMissing,
    Seconds,
)
from resources.compute.leases import Lease, Leases
from resources.compute.modal_options import ModalOptions
from resources.compute.modal_service import (
    ConnectionLost,
    LimitReached,
    ModalError,
    NotInTime,
    NotThere,
    Service,
    package,
)
from resources.compute.shipment import FOLDER, Ending, StageInFailed, bring, pack, runner_environment
from resources.compute.workspace import workspace

__all__ = ["LOOK", "Output", "Patience", "Stay", "end", "environment_of"]

T = TypeVar("T")

_ROOT: Final = PurePosixPath("/workspace")
_TAG: Final = "flywheel"
"""Of a sandbox; its value is the name of the lease's resource."""
_ONE_STREAM: Final = ("sh", "-c", 'exec "$0" "$@" 2>&1')
"""Modal keeps the two outputs apart, and with them the order of their lines is lost."""
_TRANSFER: Final[Seconds] = 2 * 3600.0
"""What sending the files may take, and what fetching them may. No sandbox runs meanwhile."""
_IMAGE: Final[Seconds] = 2 * 3600.0
LOOK: Final[Seconds] = 20.0
"""What one look or one order at the end may take."""
_SETTLING: Final[Seconds] = 2.0
"""When a sandbox that was asked for may still turn up, after the asking was broken off."""
_TIMED_OUT: Final = 124
_TERMINATED: Final = 137
_NOT_EXECUTED: Final = (126, 127)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: for what an ended sandbox wrote to show in its volume; for a lost connection to come back."""

    commit: Seconds
    join: Seconds


@dataclass(slots=True, kw_only=True)
class Stay:
    """A job's stay at Modal.

    Args:
        service: the connection.
        job: what to run.
        options: what the sandbox is made of.
        gpu: the kind of its GPU; None for none.
        grace: seconds between TERM and KILL.
        lifetime: seconds after which the sandbox ends itself.
        patience: how long to wait for what may come late.
        on_line: is given each line.
        lease: what may be there and has to be ended; None until something may.
    """

    service: Service
    job: ComputeJob
    options: ModalOptions
    gpu: str | None
    grace: Seconds
    lifetime: int
    patience: Patience
    on_line: Callable[[str], None]
    lease: Lease | None = None
    _app: Any = None
    _image: Any = None
    _last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def prepare(self) -> None:
        """Find the app, and have the image built, which costs nothing and leaves nothing running."""
        modal, options = package(), self.options
        find = modal.App.lookup.aio(options.app, client=self.service.client, create_if_missing=True)
        self._app = self.service.call(find, f"looking up the app {options.app}")
        login = modal.Secret.from_name(options.registry_secret) if options.registry_secret else None
        image = modal.Image.from_registry(options.image, secret=login)
        doing = f"preparing the image {options.image}"
        try:
            self._image = self.service.call(
                image.build.aio(self._app), doing, within=_IMAGE, say=self.on_line
            )
        except ConnectionLost:
            raise
        except ModalError as error:
            raise ModalError(
                f"{error}. Is FLYWHEEL_MODAL_IMAGE={options.image} right? If it needs a login, name a Modal secret "
                "with REGISTRY_USERNAME and REGISTRY_PASSWORD in FLYWHEEL_MODAL_REGISTRY_SECRET; the log of the "
                "build is on modal.com"
            ) from None

    def outcome(
        self, outputs_to: Path, work_root: Path, leases: Leases, run_id: str, price: Price
    ) -> JobOutcome:
        """Note the lease, run the job, bring its outputs; what was made stays to be ended by the caller."""
        resource = f"{self.options.volume_prefix}-{self.job.name}-{secrets.token_hex(4)}"
        self.lease = leases.open(
            backend="modal",
            resource=resource,
            job=self.job.name,
            lifetime=self.lifetime + self.options.start_timeout + 2 * _TRANSFER,
            run_id=run_id,
            details={"app": self.options.app},
        )
        with workspace(work_root.absolute(), self.job.name) as space:
            volume = self._send(space.folder / "sent", resource)
            self.lease = leases.note(self.lease, asked=True)
            # From the asking on, although a wait for a free machine is not billed: rather too much than too little.
            since = time.monotonic()
            sandbox = self._start(volume, resource)
            self.lease = leases.note(self.lease, sandbox=sandbox)
            status = self._follow(sandbox)
            held, ended_at = time.monotonic() - since, datetime.now(UTC)
            ending = self._ending(volume, status)
            outputs = self._fetch(volume, space.folder / "fetched", outputs_to)
        started_at = ended_at - timedelta(seconds=ending.seconds)
        return JobOutcome(0, ending.seconds, outputs, started_at, held, price.cost(held))

    def _send(self, folder: Path, resource: str) -> Any:
        """Lay the files together, make the volume, send them, look at each of them there; the volume."""
        try:
            folder.mkdir()
            pack(self.job, folder, _ROOT, grace=self.grace)
            sizes = {str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)}
        except OSError as error:
            raise StageInFailed(self.job, str(error)) from error
        doing = f"sending {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB, to the volume {resource}"
        self.on_line(f"modal: {doing}")
        # One kind of volume everywhere, whatever the workspace's default is.
        volume = package().Volume.from_name(
            resource, create_if_missing=True, version=1, client=self.service.client
        )
        try:
            self.service.call(volume.hydrate.aio(), f"making the volume {resource}")
            self.service.call(_upload(volume, folder), doing, within=_TRANSFER, say=self.on_line)
            there = self._sizes(volume)
        except ModalError as error:
            raise StageInFailed(self.job, str(error)) from error
        wrong = [
            f"{path}: {there.get(path, 'nothing')} bytes are in the volume, {size} were sent"
            for path, size in sizes.items()
            if there.get(path) != size
        ]
        if wrong:
            raise StageInFailed(self.job, "; ".join(wrong))
        return volume

    def _sizes(self, volume: Any) -> Mapping[str, int]:
        """Bytes of every file in the volume."""
        modal = package()
        entries = self.service.call(
            volume.listdir.aio("/", recursive=True), "listing the volume", within=_TRANSFER, say=self.on_line
        )
        file = modal.volume.FileEntryType.FILE
        return {entry.path.lstrip("/"): entry.size for entry in entries if entry.type == file}

    def _start(self, volume: Any, resource: str) -> str:
        """Have the sandbox made; its id, once it has been given a machine."""
        modal, options = package(), self.options
        kind = self.gpu or "no GPU"
        create = modal.Sandbox.create.aio(
            *_ONE_STREAM,
            *(options.python, "-m", "flywheel.compute.programs.runner", "run", str(_ROOT)),
            app=self._app,
            name=resource,
            tags={_TAG: resource},
            image=self._image,
            secrets=[modal.Secret.from_dict(environment_of(self.job, self.gpu))],
            timeout=self.lifetime,
            gpu=self.gpu,
            cpu=options.cpu,
            memory=options.memory_mb,
            block_network=not self.job.network,
            volumes={str(_ROOT): volume},
            client=self.service.client,
        )
        doing = f"waiting for a sandbox with {kind}"
        self.on_line(f"modal: {doing}")
        try:
            sandbox = self.service.call(create, doing, within=options.start_timeout, say=self.on_line)
        except NotInTime:
            raise ModalError(
                f"Modal started no sandbox with {kind} within {options.start_timeout:g} s: none is free, or the image "
                "is large. Allow more by FLYWHEEL_MODAL_START_TIMEOUT, or choose another FLYWHEEL_MODAL_GPU"
            ) from None
        except LimitReached as error:
            raise LimitReached(
                f"{error}; end what is not needed, or choose another FLYWHEEL_MODAL_GPU"
            ) from None
        self.on_line(f"modal: sandbox {sandbox.object_id} runs the job on {kind}")
        return str(sandbox.object_id)

    def _follow(self, sandbox_id: str) -> int:
        """Pass on the lines until the job ends, through lost connections; the sandbox's exit status."""
        output = Output(self._note)
        until = time.monotonic() + self.lifetime + self.patience.join
        status = self._insist(lambda: self._joined(sandbox_id, output, until), lambda: output.passed)
        if output.close():
            self.on_line("modal: where the connection broke, lines of the job may be missing or twice")
        return status

    def _insist(self, attempt: Callable[[], T], progress: Callable[[], int] = int) -> T:
        """What `attempt` returns, tried again while the connection is lost, and patience since `progress` lasts."""
        lost_at, before, pause = math.inf, -1, 0.5
        while True:
            try:
                return attempt()
            except ConnectionLost as error:
                now = time.monotonic()
                if progress() != before:
                    lost_at, before, pause = now, progress(), 0.5
                if now - lost_at > self.patience.join:
                    raise ConnectionLost(
                        f"{error}. This has lasted {self.patience.join:g} s: the job is given up"
                    ) from None
                self.on_line(f"modal: {error}; trying again, the job and its files are safe there")
                time.sleep(pause)
                pause = min(2 * pause, 10.0)

    def _joined(self, sandbox_id: str, output: "Output", until: float) -> int:
        """Pass on the lines of a running sandbox, as far as they are new; its exit status."""
        find = package().Sandbox.from_id.aio(sandbox_id, client=self.service.client)
        sandbox = self.service.call(find, "joining the sandbox")
        # The service tells everything again to a new reader.
        output.begin()
        pieces = sandbox.stdout.__aiter__()
        while text := self.service.call(
            _next(pieces), "reading the job's lines", within=max(1.0, until - time.monotonic())
        ):
            output.feed(text)
        return self.service.call(_ended(sandbox), "waiting for the sandbox to end")

    def _note(self, line: str) -> None:
        self._last_lines.append(line)
        self.on_line(line)

    def _ending(self, volume: Any, status: int) -> Ending:
        """How the job ended well; raises what it is where it did not."""
        found = None
        patience = 0.0 if status in _NOT_EXECUTED else self.patience.commit
        with suppress(NotThere):
            text = self._insist(
                lambda: self.service.call(
                    _read_soon(volume, f"{FOLDER}/ending.json", patience),
                    "reading how the job ended",
                    within=patience + 60,
                    say=self.on_line,
                )
            )
            found = Ending.from_json(text)
        failure = self._unnoted(status) if found is None else found.failure(self.job, tuple(self._last_lines))
        if failure is not None:
            raise failure
        assert found is not None
        return found

    def _unnoted(self, status: int) -> JobError:
        """The error for a sandbox that ended without the runner having noted how."""
        if status == _TIMED_OUT:
            return JobTimedOut(self.job, tuple(self._last_lines))
        if status in _NOT_EXECUTED:
            said = self._last_lines[-1] if self._last_lines else f"status {status}"
            return JobNotStarted(
                self.job, f"{said}. The image needs sh and FLYWHEEL_MODAL_PYTHON={self.options.python}"
            )
        ended = "was ended from outside" if status == _TERMINATED else f"ended with status {status}"
        self._note(
            f"modal: the sandbox {ended} before the runner could note how: out of memory, or preempted?"
        )
        return JobFailed(self.job, None, tuple(self._last_lines))

    def _fetch(self, volume: Any, folder: Path, outputs_to: Path) -> Mapping[str, Path]:
        """Fetch every output into `folder`, then move all to their places."""
        there = self._insist(lambda: self._sizes(volume))
        missing = [relative for relative in self.job.outputs if relative not in there]
        if missing:
            raise OutputMissing(self.job, missing, tuple(self._last_lines))
        for relative in self.job.outputs:
            self._download(volume, relative, folder / relative, there[relative])
        return {relative: bring(folder / relative, outputs_to / relative) for relative in self.job.outputs}

    def _download(self, volume: Any, relative: str, target: Path, size: int) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        doing = f"fetching {relative}, {size / 1e6:.1f} MB"
        self._insist(
            lambda: self.service.call(
                _download(volume, relative, target), doing, within=_TRANSFER, say=self.on_line
            )
        )
        if (came := target.stat().st_size) != size:
            raise ModalError(f"Modal, {doing}: {came} bytes came, {size} are there")


class Output:
    """A job's output as it comes, through streams that begin anew after a lost connection.

    Args:
        note: is given each line once.
    """

    _HEAD: Final = 1000

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._splitter = LineSplitter()
        self._seen = 0
        self._head = ""
        self._torn = False
        self.passed = 0

    def begin(self) -> None:
        """A new stream begins."""
        self._seen = 0

    def feed(self, text: str) -> None:
        """Pass on what is new of the stream's next piece."""
        start, self._seen = self._seen, self._seen + len(text)
        known = self._head[start : start + len(text)]
        if not text.startswith(known):
            # Not what came at first: the service no longer has the beginning.
            self._torn, start = True, self.passed
            self._seen = start + len(text)
        fresh = text[max(0, self.passed - start) :]
        self.passed = max(self.passed, self._seen)
        self._head += fresh[: self._HEAD - len(self._head)]
        for line in self._splitter.feed(fresh.encode()):
            self._note(line)

    def close(self) -> bool:
        """Pass on a last line without an end; whether something may be missing."""
        for line in self._splitter.close():
            self._note(line)
        return self._torn or self._seen < self.passed


def end(service: Service, lease: Lease) -> None:
    """End every sandbox of `lease` and delete its volume; return when they are known to be gone."""
    for sandbox in _sandboxes(service, lease):
        with suppress(NotThere):
            service.call(sandbox.terminate.aio(), "ending the sandbox", within=LOOK)
            service.call(_ended(sandbox), "waiting for the sandbox to end", within=LOOK)
    delete = package().Volume.objects.delete.aio(lease.resource, allow_missing=True, client=service.client)
    with suppress(NotThere):
        service.call(delete, "deleting the volume", within=LOOK)


def _sandboxes(service: Service, lease: Lease) -> list[Any]:
    """The sandboxes of `lease` that may be running: by their id, if it was noted, and by their tag."""
    sandbox, client = package().Sandbox, service.client
    found = []
    if known := lease.details.get("sandbox"):
        with suppress(NotThere):
            found.append(
                service.call(sandbox.from_id.aio(known, client=client), "finding the sandbox", within=LOOK)
            )
    try:
        find_app = package().App.lookup.aio(lease.details["app"], client=client)
        app = service.call(find_app, "finding the app", within=LOOK)
    except NotThere:
        return found
    # Without an answer to its creation it may turn up a little later.
    for pause in (0.0, _SETTLING) if lease.details.get("asked") and not known else (0.0,):
        time.sleep(pause)
        listed = _listed(sandbox.list.aio(app_id=app.app_id, tags={_TAG: lease.resource}, client=client))
        found += service.call(listed, "listing the sandboxes", within=LOOK)
    return found


def environment_of(job: ComputeJob, gpu: str | None) -> dict[str, str]:
    """What the sandbox's command sees beside the image's own variables."""
    runner = runner_environment(_ROOT)
    hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    paths = [runner["PYTHONPATH"], job.environment.get("PYTHONPATH", "")]
    here = {"TMPDIR": "/tmp", "LANG": "C.UTF-8"}
    return {**runner, **here, **hidden, **job.environment, "PYTHONPATH": ":".join(filter(None, paths))}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


async def _upload(volume: Any, folder: Path) -> None:
    async with volume.batch_upload() as batch:
        batch.put_directory(folder, "/")


async def _next(pieces: Any) -> str:
    """The next piece of a stream; empty at its end."""
    return str(await anext(pieces, ""))


async def _ended(sandbox: Any) -> int:
    """The exit status of a sandbox, as soon as it has one."""
    while (status := await sandbox.poll.aio()) is None:
        await asyncio.sleep(0.2)
    return int(status)


async def _listed(found: Any) -> list[Any]:
    return [each async for each in found]


async def _read_soon(volume: Any, path: str, patience: Seconds) -> bytes:
    """A small file of a volume that may take up to `patience` seconds to show what was written last."""
    until = time.monotonic() + patience
    while True:
        try:
            return b"".join([piece async for piece in volume.read_file.aio(path)])
        except FileNotFoundError:
            if time.monotonic() >= until:
                raise
            await asyncio.sleep(0.5)


async def _download(volume: Any, path: str, target: Path) -> None:
    with target.open("wb") as file:
        async for piece in volume.read_file.aio(path):
            file.write(piece)
