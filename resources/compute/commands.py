"""Commands of other programs (`brev`, `ssh`, `rsync`): bounded in time, and ended with the process that uses them."""

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import flywheel
from flywheel.compute.job import Seconds

__all__ = ["PROGRESS_EVERY", "SUPERVISOR", "Ended", "RunningCommand", "Ticker", "run_command", "words_of"]

PROGRESS_EVERY: Final[Seconds] = 8.0
"""How long a step may take without saying what it is doing."""
SUPERVISOR: Final = Path(flywheel.__file__ or "").absolute().parent / "compute" / "programs" / "supervisor.py"
"""The program between a backend and what it starts; run by its path, so that it needs Python alone."""
_GRACE: Final[Seconds] = 2.0
"""Between TERM and KILL of a command that is not wanted any more."""
_MARGIN: Final[Seconds] = 10.0
_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended.

    Args:
        exit_code: its status; None where it could not be executed, or was stopped after its time.
        output, errors: what it wrote to standard output and standard error.
        problem: why there is no exit code; empty where there is one.
    """

    exit_code: int | None
    output: bytes
    errors: bytes
    problem: str = ""

    @property
    def words(self) -> str:
        """What it said last, for an error: one line."""
        said = words_of(self.errors) or words_of(self.output)
        return "; ".join(filter(None, (self.problem or f"exit status {self.exit_code}", said)))


def words_of(written: bytes, *, lines: int = 6, longest: int = 1000) -> str:
    """The last lines of what a program wrote, as one."""
    text = written[-64 * longest :].decode("utf-8", "replace").replace("\r", "\n")
    found = [line.strip() for line in text.split("\n") if line.strip()]
    return " | ".join(found[-lines:])[-longest:]


class RunningCommand:
    """A command that runs for at most `timeout` seconds; a context, at whose end nothing of it is left.

    Standard input is empty. It runs under `flywheel.compute.programs.supervisor` in a session of its own: a terminal's
    Ctrl+C does not reach it, and it is ended with all it started when this process ends, by SIGKILL too.
    """

    def __init__(self, command: Sequence[str], *, timeout: Seconds) -> None:
        self._timeout = timeout
        self._said = b""
        self._finished = False
        self._silent = False
        # Standard error goes to a file, so that a full pipe that nobody reads cannot stop the command.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._control, theirs = socket.socketpair()
        with theirs:
            settings = [str(theirs.fileno()), str(os.getpid()), str(timeout), str(_GRACE)]
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SUPERVISOR), *settings, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        try:
            self._process.wait(_GRACE + _MARGIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for each in (self._control, self._output, self._errors):
            each.close()

    @property
    def finished(self) -> bool:
        """Whether it has ended and all of its output was read."""
        return self._finished

    def read(self, wait: Seconds) -> bytes:
        """What it wrote to standard output since the last call; empty where nothing came within `wait` seconds."""
        until = time.monotonic() + wait
        while not self._finished:
            if data := self._ready(max(0.0, until - time.monotonic())):
                return data
            if time.monotonic() >= until:
                break
        return b""

    def ended(self, output: bytes = b"") -> Ended:
        """How it ended; `output` is what was read of it before. Only for a finished command."""
        said: dict[str, Any] = {}
        for line in self._said.splitlines():
            said |= json.loads(line)
        self._errors.seek(0)
        problem = said.get("error", "")
        if said.get("stopped") == "time-out":
            problem = f"no end after {self._timeout:g} s"
        elif not problem and said.get("exit_code") is None:
            problem = "it was killed from outside"
        return Ended(None if problem else said["exit_code"], output, self._errors.read(), problem)

    def _ready(self, wait: Seconds) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            if not self._silent:
                selector.register(self._output, selectors.EVENT_READ)
            ready = {key.fileobj for key, _ in selector.select(wait)}
        if self._output in ready:
            data = self._written()
            self._silent = not data
            return data
        if self._control in ready:
            said = self._control.recv(_CHUNK)
            self._said += said
            # Its last word counts as its end: nothing of the command lives then, and all it wrote is in the pipe.
            if not said or b'"exit_code"' in self._said or b'"error"' in self._said:
                rest = b""
                while data := self._written():
                    rest += data
                self._finished = True
                return rest
        return b""

    def _written(self) -> bytes:
        with suppress(BlockingIOError):
            return os.read(self._output.fileno(), _CHUNK)
        return b""


def _latest(output: bytes) -> str:
    return words_of(output, lines=1, longest=200)


def run_command(
    command: Sequence[str],
    *,
    timeout: Seconds,
    progress: Callable[[str], None] | None = None,
    every: Seconds = PROGRESS_EVERY,
    summary: Callable[[bytes], str] = _latest,
) -> Ended:
    """Run a command to its end.

    Args:
        command: the program and its arguments, which anybody on this machine can read: no keys.
        timeout: seconds after which it is stopped.
        progress: is told every `every` seconds how long it has taken, and the summary of what it wrote.
        summary: of all that it wrote so far, in one line; what it wrote last, if not told otherwise.
    """
    begun = time.monotonic()
    spoken = begun
    output = b""
    with RunningCommand(command, timeout=timeout) as running:
        while not running.finished:
            output += running.read(min(1.0, every))
            now = time.monotonic()
            if progress is not None and now - spoken >= every:
                spoken = now
                said = summary(output)
                progress(f"{now - begun:.0f} s" + (f": {said}" if said else ""))
        return running.ended(output)


class Ticker:
    """Says now and then how far something is."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = self._spoken = time.monotonic()

    @property
    def seconds(self) -> Seconds:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def tick(self, text: str) -> None:
        """Say it if it is time to."""
        if time.monotonic() - self._spoken >= PROGRESS_EVERY:
            self._spoken = time.monotonic()
            self._say(f"{text}, {self.seconds:.0f} s")
