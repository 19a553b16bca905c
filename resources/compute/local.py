"""Jobs as processes on this machine."""

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import flywheel
from flywheel.compute.job import (
    BASE_ENVIRONMENT,
    PYTHON,
    TAIL_LINES,
    ComputeJob,
    JobError,
    JobOutcome,
    LineSplitter,
    Seconds,
)
from flywheel.corpus.manifest import write_manifest
from resources.compute.commands import SUPERVISOR
from resources.compute.leases import Lease
from resources.compute.settings import Settings
from resources.compute.shipment import Ending, StageInFailed, bring, check_inputs, missing_outputs, read_rows
from resources.compute.workspace import Workspace, workspace
from resources.readiness import Finding

__all__ = ["LocalBackend", "lists_gpu"]

_DISK_NEEDED_GB: Final = 2


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def lists_gpu(within: Seconds = 30.0) -> bool:
    """Whether NVIDIA's driver lists a GPU on this machine; raises `subprocess.TimeoutExpired` where it hangs."""
    if shutil.which("nvidia-smi") is None:
        return False
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=within)
    return listed.returncode == 0 and "GPU" in listed.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBackend:
    """Runs a job as a process on this machine, in a workspace folder that is removed afterwards.

    Inputs are symbolic links to the originals; manifests are copies with absolute audio paths. The job
    gets PATH, HOME and LANG of this process, a temporary folder of its own as TMPDIR, and what it names;
    beside that only what makes `flywheel` importable, lines unbuffered, and the GPUs visible (those this
    process may use) or invisible.

    Args:
        work_root: the folder that holds the workspaces, e.g. ``data/work``; made if need be.
        grace: seconds between TERM and KILL.
        keep_failed: leave the workspace of a failed job where it is, and say so in the error. It is then
            the reader's to delete.
        supervisor_margin: how much longer than its own limits the supervisor may take before it is given up and
            killed.
    """

    name: ClassVar[str] = "local"

    work_root: Path
    grace: Seconds = 10.0
    keep_failed: bool = False
    supervisor_margin: Seconds = 10.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """As configured; this backend has no options of its own."""
        return cls(work_root=settings.work_root, grace=settings.grace, keep_failed=settings.keep_failed)

    @property
    def has_accelerator(self) -> bool:
        """Whether NVIDIA's driver lists a GPU here."""
        return lists_gpu()

    def readiness(self) -> tuple[Finding, ...]:
        """The processor counts as ready; a GPU is better."""
        gpu = self.has_accelerator
        free = shutil.disk_usage(_existing(self.work_root)).free / 1e9
        return (
            Finding("python", True, f"{sys.executable}, {os.cpu_count()} cores"),
            Finding(
                "driver", True, "an NVIDIA GPU" if gpu else "no GPU: the bundled base is trained on the CPU"
            ),
            Finding("disk", free > _DISK_NEEDED_GB, f"{free:.0f} GB free, {_DISK_NEEDED_GB} GB are needed"),
        )

    def teardown(self, lease: Lease) -> None:
        """Nothing: its jobs are bound to their backend's process, and it takes no leases."""

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        """As `flywheel.compute.job.ComputeBackend.run` says.

        Workspaces that a killed process left behind under `work_root` are removed first. If this process
        is killed, the job is stopped within `grace` seconds by its supervisor.
        """
        check_inputs(job)
        with workspace(self.work_root.absolute(), job.name) as space:
            try:
                _stage(job, space.folder)
            except OSError as error:
                raise StageInFailed(job, str(error)) from error
            last_lines: deque[str] = deque(maxlen=TAIL_LINES)

            def note(line: str) -> None:
                last_lines.append(line)
                on_line(line)

            started_at = datetime.now(UTC)
            ending = self._supervised(job, space, note)
            failure = self._failure(job, space, ending, tuple(last_lines))
            if failure is not None:
                space.kept = self.keep_failed
                raise failure
            outputs = {
                relative: bring(space.folder / relative, outputs_to / relative) for relative in job.outputs
            }
            return JobOutcome(0, float(ending["seconds"]), outputs, started_at)

    def _failure(
        self, job: ComputeJob, space: Workspace, ending: Mapping[str, Any], lines: tuple[str, ...]
    ) -> JobError | None:
        kept = space.folder if self.keep_failed else None
        ended = Ending(
            exit_code=ending.get("exit_code"),
            seconds=ending.get("seconds", 0.0),
            stopped=ending.get("stopped"),
            error=ending.get("error"),
        )
        failure = ended.failure(job, lines, kept=kept)
        return failure or missing_outputs(job, space.folder, lines, kept=kept)

    def _supervised(
        self, job: ComputeJob, space: Workspace, on_line: Callable[[str], None]
    ) -> Mapping[str, Any]:
        """Run the command under a supervisor; what the supervisor said of its start and end."""
        # From the first line on: whatever ends this block closes `ours`, and that stops the job.
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    self._command(job, theirs.fileno()),
                    cwd=space.folder,
                    env=_environment(job, space.temporary),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # With the lock inherited, nobody sweeps the workspace while the supervisor is at work.
                    pass_fds=(theirs.fileno(), space.lock),
                    start_new_session=True,
                )
            stream = _Stream(process, ours)
            try:
                for line in stream.lines(
                    until=time.monotonic() + job.timeout + self.grace + self.supervisor_margin
                ):
                    on_line(line)
            finally:
                _shut(ours, socket.SHUT_WR)
                self._end(process, stream, ours)
            return stream.said()

    def _command(self, job: ComputeJob, lifeline: int) -> list[str]:
        program = sys.executable if job.argv[0] == PYTHON else job.argv[0]
        settings = [str(lifeline), str(os.getpid()), str(job.timeout), str(self.grace)]
        # -I -S: a plain interpreter that heeds none of the job's variables and starts in milliseconds.
        return [sys.executable, "-I", "-S", str(SUPERVISOR), *settings, program, *job.argv[1:]]

    def _end(self, process: subprocess.Popen[bytes], stream: "_Stream", control: socket.socket) -> None:
        """Wait for a supervisor that was asked to stop, and do its work should it fail to."""
        try:
            process.wait(self.grace + self.supervisor_margin)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _shut(control, socket.SHUT_RD)
        stream.finish()
        said = stream.said()
        if "pid" in said and "exit_code" not in said:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(said["pid"], signal.SIGKILL)


class _Stream:
    """A supervised job's lines, read by a thread so that a slow log does not slow the job.

    Args:
        process: the supervisor, with its output piped.
        control: our end of the supervisor's socket.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        assert process.stdout is not None
        self._output = process.stdout
        self._control = control
        self._said = b""
        self._splitter = LineSplitter()
        self._backlog = _Backlog()
        self._thread = threading.Thread(target=self._read, name="job-lines", daemon=True)
        self._thread.start()

    def lines(self, *, until: float) -> Iterator[str]:
        """Lines as they come. Ends with the job, or where nothing comes after `until` (monotonic clock)."""
        while lines := self._backlog.take(max(0.0, until - time.monotonic())):
            yield from lines

    def finish(self) -> None:
        """Drop the lines that nobody took, and wait for the thread. The supervisor has ended by now."""
        self._backlog.drop()
        self._thread.join()
        self._output.close()

    def said(self) -> dict[str, Any]:
        """All that the supervisor said so far, in one object."""
        said: dict[str, Any] = {}
        for line in self._said.splitlines():
            said |= json.loads(line)
        return said

    def _read(self) -> None:
        try:
            os.set_blocking(self._output.fileno(), False)
            with selectors.DefaultSelector() as selector:
                selector.register(self._output, selectors.EVENT_READ)
                selector.register(self._control, selectors.EVENT_READ)
                while not self._supervisor_done(selector):
                    pass
            # The rest of a full pipe. Bounded, for where a process escaped and goes on writing.
            for _ in range(64):
                if not self._forward():
                    break
            self._backlog.put(self._splitter.close())
        finally:
            self._backlog.close()

    def _supervisor_done(self, selector: selectors.BaseSelector) -> bool:
        for key, _ in selector.select():
            if key.fileobj is self._control:
                data = self._control.recv(65536)
                self._said += data
                # Its last word counts as its end: a process forked by another thread of ours may hold a
                # copy of its socket open for longer.
                if not data or b'"exit_code"' in self._said:
                    return True
            elif not self._forward():
                selector.unregister(self._output)
        return False

    def _forward(self) -> bool:
        """Pass on what can be read at once; false where there is nothing (any more)."""
        try:
            data = os.read(self._output.fileno(), 65536)
        except BlockingIOError:
            return False
        if lines := self._splitter.feed(data):
            self._backlog.put(lines)
        return bool(data)


class _Backlog:
    """Lines on their way from the reading thread to the caller's."""

    # Characters: how far a job may run ahead of its log before it has to wait.
    _LIMIT: Final = 16_000_000

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._size = 0
        self._closed = False
        self._dropped = False

    def put(self, lines: list[str]) -> None:
        """Add lines; waits while too many are there already."""
        with self._changed:
            self._changed.wait_for(lambda: self._size < self._LIMIT or self._dropped)
            self._lines += lines
            self._size += sum(map(len, lines))
            self._changed.notify()

    def take(self, timeout: Seconds) -> list[str]:
        """All lines that are there, at least one; none at the end, or where `timeout` passes without any."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed, timeout)
            taken, self._lines, self._size = self._lines, [], 0
            self._changed.notify()
            return taken

    def close(self) -> None:
        """No more lines will come."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def drop(self) -> None:
        """No more lines will be taken."""
        with self._changed:
            self._dropped = True
            self._changed.notify()


def _shut(control: socket.socket, direction: int) -> None:
    """Shut the connection itself, also for a process that another thread forked with a copy of the socket."""
    # Some systems refuse it once the other end is closed, which is what is wanted anyway.
    with suppress(OSError):
        control.shutdown(direction)


def _stage(job: ComputeJob, folder: Path) -> None:
    for relative in (*job.inputs, *job.manifests, *job.outputs):
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    for relative, path in job.inputs.items():
        (folder / relative).symlink_to(path.absolute())
    for relative, path in job.manifests.items():
        write_manifest(folder / relative, read_rows(path))


def _environment(job: ComputeJob, temporary: Path) -> dict[str, str]:
    environment = {name: os.environ[name] for name in BASE_ENVIRONMENT if name in os.environ}
    environment["TMPDIR"] = str(temporary)
    # Without it Python holds back the lines that go to a pipe until it has some kilobytes of them.
    environment["PYTHONUNBUFFERED"] = "1"
    if not job.accelerator:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    elif "CUDA_VISIBLE_DEVICES" in os.environ:
        # A machine's scheduler gave us these and nobody else's.
        environment["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"]
    environment |= job.environment
    if source := _package_source():
        paths = [str(source), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


def _package_source() -> Path | None:
    """The folder that holds `flywheel`, unless the interpreter looks there anyway.

    An installed package's folder must not be named: its neighbours would then hide the standard library.
    """
    folder = Path(flywheel.__file__ or "").absolute().parent.parent
    installed = {Path(sysconfig.get_path(scheme)).absolute() for scheme in ("purelib", "platlib")}
    return None if folder in installed else folder
