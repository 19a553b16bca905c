"""A small process between a backend and a job: it starts the job, and ends all of it.

    python supervisor.py LIFELINE PARENT TIMEOUT GRACE COMMAND...

LIFELINE is the descriptor of a socket whose other end the backend holds. When that end closes, the
supervisor stops the job. It closes because the backend wants so, or because the backend's process
died, SIGKILL included: so one mechanism serves every way a run can end, and no thread or exit hook of
the backend has to survive. The time-out is kept here too, and holds even while the backend is busy.

Stopping is TERM, at most GRACE seconds of waiting, then KILL, for the job's process group and (on
Linux) for every descendant that left the group. The same is done to what a job leaves running when it
ends by itself.

What the supervisor says on the socket, a JSON object a line: `{"pid"}` or `{"error"}` at the start;
`{"exit_code", "seconds", "stopped"}` at the end, `stopped` being null, "time-out" or "request".

It runs as a plain script on the standard library alone: it must start in milliseconds and must not
see the job's Python path. `flywheel.compute.programs.runner` uses its `JobTree` where the job is far from its backend.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_LINUX: Final = sys.platform == "linux"
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AFTER_KILL: Final = 5.0
"""Seconds in which killed processes must be gone; only one stuck in the kernel is not."""


class JobTree:
    """A started job and all its descendants."""

    def __init__(self, command: list[str]) -> None:
        # One thread only, so a death signal is tied to the process and code between fork and exec is safe.
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_die_with_supervisor if _LINUX else None,
        )
        self.pid = self._child.pid
        self.exit_code: int | None = None

    def reap(self) -> bool:
        """Collect processes that ended, adopted ones too; true while a child is still running."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                self._child.returncode = self.exit_code

    def stop(self, grace: float, wake: int) -> None:
        """TERM, wait at most `grace` seconds, KILL; returns when nothing is left."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _AFTER_KILL)):
            deadline = time.monotonic() + patience
            if self._alive():
                self._send(number)
            while self._alive() and time.monotonic() < deadline:
                if number == signal.SIGKILL:
                    # Again and again: a process may have forked between the look and the signal.
                    self._send(number)
                _drain(wake, min(0.02, max(0.0, deadline - time.monotonic())))
        if self._alive():
            sys.stderr.write(
                f"processes of group {self.pid} are still there {_AFTER_KILL:g} s after SIGKILL\n"
            )

    def _alive(self) -> bool:
        if self.reap():
            return True
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        for pid in _descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) != self.pid:
                    os.kill(pid, number)


def _descendants(root: int) -> Iterator[int]:
    """Process ids below `root`. Elsewhere than on Linux none: there only the process group is reached."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat") if _LINUX else ():
        with suppress(OSError):
            # The command's name, in brackets, may itself hold spaces and brackets.
            parent = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    pending = [root]
    while pending:
        found = children.get(pending.pop(), [])
        pending.extend(found)
        yield from found


def _die_with_supervisor() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, instead of init."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def wake_on_signals() -> int:
    """A descriptor that receives the number of each signal that arrives."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        # A handler, not SIG_IGN: an ignored signal would stay ignored in the job.
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return readable


def _drain(wake: int, seconds: float) -> bytes:
    """Wait at most `seconds` for a signal; the numbers of those that arrived."""
    select.select([wake], [], [], seconds)
    with suppress(BlockingIOError):
        return os.read(wake, 1024)
    return b""


def watch(
    tree: JobTree, lifeline: int, wake: int, timeout: float, unwanted: Callable[[], bool]
) -> str | None:
    """Wait until the job ends (None), its time is up ("time-out") or it shall stop ("request").

    It shall stop when `lifeline` can be read, when a signal says so, and when `unwanted`, asked once a second,
    is true.
    """
    deadline = time.monotonic() + timeout
    while True:
        tree.reap()
        if tree.exit_code is not None:
            return None
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return "time-out"
        ready, _, _ = select.select([lifeline, wake], [], [], min(remaining, 1.0))
        if lifeline in ready or unwanted():
            return "request"
        if wake in ready and any(number in _STOP_SIGNALS for number in _drain(wake, 0)):
            return "request"


def _tell(lifeline: int, **said: object) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        os.write(lifeline, json.dumps(said).encode() + b"\n")


def main(arguments: list[str]) -> int:
    """Run one job as the module describes; the status is 0 whatever became of the job."""
    lifeline, parent = int(arguments[0]), int(arguments[1])
    timeout, grace = float(arguments[2]), float(arguments[3])
    wake = wake_on_signals()
    adopt_orphans()
    begun = time.monotonic()
    try:
        tree = JobTree(arguments[4:])
    except OSError as error:
        _tell(lifeline, error=f"{error.strerror}: {error.filename}")
        return 0
    _tell(lifeline, pid=tree.pid)
    # The look at the parent is for a backend whose end of the lifeline was inherited by a process that it
    # forked and that lives on.
    stopped = watch(tree, lifeline, wake, timeout, lambda: os.getppid() != parent)
    seconds = time.monotonic() - begun
    tree.stop(grace, wake)
    _tell(lifeline, exit_code=tree.exit_code, seconds=seconds, stopped=stopped)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
