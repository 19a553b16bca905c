"""A compute job, what comes back from it, and what every compute backend promises.

A job is a command. It names its files relative to a workspace of its own and never learns where that
workspace is: a folder here, a mounted folder in a container, a folder on a rented machine. Only the
backend knows, and it alone rewrites paths for it.
"""

import codecs
import math
import re
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeAlias

from flywheel.errors import FlywheelError, Problems

__all__ = [
    "BASE_ENVIRONMENT",
    "PYTHON",
    "TAIL_LINES",
    "ComputeBackend",
    "ComputeJob",
    "InputMissing",
    "InvalidJob",
    "JobError",
    "JobFailed",
    "JobNotStarted",
    "JobOutcome",
    "JobTimedOut",
    "LineSplitter",
    "OutputMissing",
    "Seconds",
]

Seconds: TypeAlias = float

PYTHON = "python"
"""As the first word of a command: the backend's own Python, which can import `flywheel`."""

BASE_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR")
"""The variables a job has without naming them; a backend sets them to what is right where the job runs."""

TAIL_LINES = 20
"""How many of a job's last lines an error carries."""

_JOB_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class InvalidJob(Problems):
    """A job whose description cannot be right, whatever the backend. Lists every problem."""


# The names of the errors below say what happened, so they need no suffix (N818).
class JobError(FlywheelError):
    """A job that did not do what it was asked for."""


class InputMissing(JobError):
    """Files that a job reads and that are not there. Nothing was started."""

    def __init__(self, job: "ComputeJob", missing: Mapping[str, Path]) -> None:
        self.missing = dict(missing)
        files = "\n  ".join(f"{relative}: no such file: {path}" for relative, path in missing.items())
        super().__init__(f"job {job.name} was not started, inputs are missing:\n  {files}")


class JobNotStarted(JobError):
    """A job whose command could not be executed at all."""

    def __init__(self, job: "ComputeJob", reason: str) -> None:
        super().__init__(f"job {job.name} could not start {shlex.join(job.argv)}: {reason}")


class JobFailed(JobError):
    """A job whose command ended with a status that is not 0.

    Args:
        job: the job.
        exit_code: the status; `-n` where signal `n` ended the command; None where nobody could tell.
        last_lines: the last lines the job wrote, at most `TAIL_LINES`.
        kept: where the workspace can be looked at, if the backend kept it.
    """

    def __init__(
        self,
        job: "ComputeJob",
        exit_code: int | None,
        last_lines: Sequence[str],
        *,
        kept: Path | None = None,
    ) -> None:
        self.exit_code = exit_code
        self.last_lines = tuple(last_lines)
        what = f"job {job.name} failed: {_ending(exit_code)}"
        super().__init__(_report(what, job, self.last_lines, kept))


class JobTimedOut(JobError):
    """A job that was stopped because its time was up. Arguments as for `JobFailed`."""

    def __init__(self, job: "ComputeJob", last_lines: Sequence[str], *, kept: Path | None = None) -> None:
        self.timeout = job.timeout
        self.last_lines = tuple(last_lines)
        what = f"job {job.name} was stopped after its time-out of {job.timeout:g} s; allow it more time"
        super().__init__(_report(what, job, self.last_lines, kept))


class OutputMissing(JobError):
    """A job that ended well without leaving every file it promised. None of its outputs was taken over."""

    def __init__(
        self,
        job: "ComputeJob",
        missing: Sequence[str],
        last_lines: Sequence[str],
        *,
        kept: Path | None = None,
    ) -> None:
        self.missing = tuple(missing)
        self.last_lines = tuple(last_lines)
        what = f"job {job.name} ended well but did not leave {', '.join(self.missing)}"
        super().__init__(_report(what, job, self.last_lines, kept))


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "it was stopped from outside, its exit status is unknown"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    # The kernel's out-of-memory killer is the usual sender, and says so only in the system's log.
    return f"ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _report(what: str, job: "ComputeJob", last_lines: Sequence[str], kept: Path | None) -> str:
    lines = [what, f"  command: {shlex.join(job.argv)}"]
    if kept is not None:
        lines.append(f"  workspace kept in {kept}")
    if last_lines:
        lines.append("  its last lines:")
        lines.extend(f"    {line}" for line in last_lines)
    else:
        lines.append("  it wrote no lines")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeJob:
    """A command, the files it reads and leaves, and what it may see.

    Args:
        name: lower-case letters, digits and hyphens, at most 40: it names folders, containers, machines.
        argv: the command. `"python"` as its first word is the backend's Python, where `-m flywheel.compute.programs.x`
            works. The command starts in its workspace.
        inputs: files to place in the workspace, by their path there.
        manifests: manifests to place in the workspace, by their path there. The backend makes the audio
            they name reachable, rewrites their paths in a copy, and checks every file before the start.
        outputs: files the job leaves, by their path in the workspace. One that is missing is an error.
        environment: all the job sees beside `BASE_ENVIRONMENT`. Keys go here, never into `argv`.
        timeout: seconds the command may take; staging is not counted.
        accelerator: whether the command uses a GPU where the backend has one. Without it none is visible.
        network: whether the command needs a network, e.g. to fetch a published model. A backend that can deny
            it does so otherwise.
        expected: about how many seconds the command takes, for estimates of its cost; None where unknown.

    Raises:
        InvalidJob: listing everything that is wrong.
    """

    name: str
    argv: tuple[str, ...]
    timeout: Seconds
    inputs: Mapping[str, Path] = field(default_factory=dict)
    manifests: Mapping[str, Path] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    # Not in the representation, which ends in logs and tracebacks: keys travel here.
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    accelerator: bool = False
    network: bool = False
    expected: Seconds | None = None

    def __post_init__(self) -> None:
        # Copies, so that a caller's later change does not reach into an immutable value.
        for name in ("inputs", "manifests", "environment"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        for name in ("argv", "outputs"):
            if isinstance(getattr(self, name), str):
                raise InvalidJob(
                    f"job {self.name}", [f"{name}: a tuple of strings is needed, found one string"]
                )
            object.__setattr__(self, name, tuple(getattr(self, name)))
        problems = [*_command_problems(self), *_path_problems(self), *_environment_problems(self)]
        if problems:
            raise InvalidJob(f"job {self.name}", problems)


def _command_problems(job: ComputeJob) -> list[str]:
    problems: list[str] = []
    if not _JOB_NAME.fullmatch(job.name):
        problems.append(f"name: {job.name!r}: 1 to 40 of a-z, 0-9 and inner hyphens are allowed")
    if not job.argv or not job.argv[0]:
        problems.append("argv: a command is needed, found none")
    if any("\0" in word for word in job.argv):
        problems.append("argv: a word holds a NUL character")
    if not (math.isfinite(job.timeout) and job.timeout > 0):
        problems.append(f"timeout: {job.timeout!r}: a finite number of seconds above 0 is needed")
    return problems


def _path_problems(job: ComputeJob) -> list[str]:
    problems: list[str] = []
    named = [("inputs", path) for path in job.inputs]
    named += [("manifests", path) for path in job.manifests]
    named += [("outputs", path) for path in job.outputs]
    owner: dict[str, str] = {}
    for group, path in named:
        if reason := _workspace_path_problem(path):
            problems.append(f"{group}: {path!r}: {reason}")
        elif path in owner:
            # An output that is also an input would be there even if the job did nothing.
            problems.append(f"{group}: {path!r} is already one of {owner[path]}")
        else:
            owner[path] = group
    for group, path in named:
        above = {str(parent) for parent in PurePosixPath(path).parents} & set(owner)
        problems.extend(
            f"{group}: {path!r} lies below {folder!r}, which is a file" for folder in sorted(above)
        )
    return problems


def _workspace_path_problem(path: str) -> str | None:
    if not path or path == ".":
        return "a file name is needed"
    if path.startswith("/"):
        return "absolute; a path inside the workspace is needed"
    if ".." in path.split("/"):
        return "leads out of the workspace"
    if any(ord(character) < 32 for character in path) or "\\" in path:
        return "control characters and backslashes are not allowed"
    if str(PurePosixPath(path)) != path:
        return f"write it as {str(PurePosixPath(path))!r}"
    return None


def _environment_problems(job: ComputeJob) -> list[str]:
    # Names only: a value may be a key, and this text is printed.
    problems = [
        f"environment: {name!r} is not a variable's name"
        for name in job.environment
        if not _VARIABLE.fullmatch(name)
    ]
    return problems + [
        f"environment: the value of {name} holds a NUL"
        for name, value in job.environment.items()
        if "\0" in value
    ]


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What came back from a job that ended well.

    Args:
        exit_code: always 0 at present; other endings raise.
        seconds: wall time of the command alone, without staging.
        outputs: where each output lies now, by its path in the workspace, in the job's order.
        started_at: when the command started, in UTC.
        billed_seconds: how long a machine was held for it, start and staging included; 0 where none is paid for.
        cost_usd: what that cost by the table of prices, in US dollars.
    """

    exit_code: int
    seconds: Seconds
    outputs: Mapping[str, Path]
    started_at: datetime
    billed_seconds: Seconds = 0.0
    cost_usd: float = 0.0


class ComputeBackend(Protocol):
    """Somewhere a job can run."""

    @property
    def name(self) -> str:
        """The name it is chosen by, e.g. ``"local"``."""
        ...

    @property
    def has_accelerator(self) -> bool:
        """Whether its jobs can use a GPU."""
        ...

    def run(self, job: ComputeJob, outputs_to: Path, on_line: Callable[[str], None]) -> JobOutcome:
        """Stage the inputs, run the command, bring the outputs back, and leave nothing running.

        Args:
            job: what to run.
            outputs_to: the folder that receives the outputs, each under its path in the workspace. Each
                file arrives whole or not at all, and only after all of them were found. What lay there
                before stays as it was if the job fails.
            on_line: is given each line of standard output and standard error, while the job runs, in the
                thread that called `run`. What it raises stops the job and is raised here.

        Raises:
            InputMissing: before anything is started.
            FlywheelError: for a manifest or audio that fails its check, before anything is started.
            JobNotStarted, JobFailed, JobTimedOut, OutputMissing: as their names say.

        Whatever ends the call, an interrupt included, every process of the job has ended by then.
        """
        ...


class LineSplitter:
    """Cuts a job's raw output into lines that are fit for a log.

    A line ends at a line feed or a carriage return, so that each state of a progress bar is a line.
    Blank lines are dropped, trailing white space too. Bytes that are not UTF-8 become U+FFFD. A line
    longer than `longest` characters is cut, and says how much of it is missing.
    """

    def __init__(self, longest: int = 4000) -> None:
        self._longest = longest
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""
        self._cut = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        return self._take(self._decoder.decode(data))

    def close(self) -> list[str]:
        """The last line, if it was not ended."""
        return self._take(self._decoder.decode(b"", final=True) + "\n")

    def _take(self, text: str) -> list[str]:
        *ended, rest = text.replace("\r", "\n").split("\n")
        lines: list[str] = []
        for piece in ended:
            self._extend(piece)
            line = self._open.rstrip()
            if self._cut:
                line += f" … [{self._cut} more characters]"
            if line:
                lines.append(line)
            self._open, self._cut = "", 0
        self._extend(rest)
        return lines

    def _extend(self, piece: str) -> None:
        # Held back at most `longest` characters, so that a job without line ends cannot fill the memory.
        room = self._longest - len(self._open)
        self._open += piece[:room]
        self._cut += max(0, len(piece) - room)
