"""Runs a compute job in a workspace that its backend cannot watch: in a container, a sandbox, on a rented machine.

    python -m flywheel.compute.programs.runner run FOLDER [--lifeline]
        checks the files, runs the command, notes its end
    python -m flywheel.compute.programs.runner follow FOLDER OFFSET
        a detached job's output from a byte on, until it ends
    python -m flywheel.compute.programs.runner stop FOLDER
        ends a job; returns when nothing of it is left

The backend has laid `FOLDER/.flywheel/job.json` there: `{"argv", "timeout", "grace", "outputs", "files": {path:
bytes}}`. `run` first looks at every file where the job will see it, then starts the command in FOLDER under
`supervisor.JobTree`. The command writes to the standard output of this program, which a backend
that detaches it sends to `.flywheel/output`.

How it ended is `.flywheel/ending.json`: `{"exit_code", "seconds", "stopped", "error", "problems"}`. `stopped` is
null, "time-out" or "request"; `error` says why the command could not be executed; `problems` lists files that are
missing or cut, in which case nothing was started. A job that has such a file has finished and is not run again.

Variables of the job are those of this program and of `.flywheel/environment`, a JSON object in a file that only
its owner may read; it is removed as soon as it was read. With `--lifeline`, more of them are the first line of
standard input, again a JSON object, and the job ends when standard input does. Standard library only.
"""

import argparse
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from flywheel.compute.programs import supervisor

FOLDER: Final = ".flywheel"
NOT_STARTED: Final = 71
"""Status of `run` where the command was not started; `ending.json` says why."""
LOST: Final = 72
"""Status of `follow` and `stop` where the runner is gone and has not noted an ending."""
_POLL: Final = 0.1
_LOOKS: Final = 0.5
"""Seconds in which `follow` and `stop`, which hold the lock for an instant to look at it, let go of it."""


class Workspace:
    """The files beside a job in its workspace. While a runner lives it holds `lock`, which no kill can leave taken."""

    def __init__(self, root: Path) -> None:
        self.root = root
        folder = root / FOLDER
        self.job = folder / "job.json"
        self.output = folder / "output"
        self.ending = folder / "ending.json"
        self.environment = folder / "environment"
        self.lock = folder / "lock"
        self.stop = folder / "stop"

    def note_ending(
        self,
        *,
        exit_code: int | None = None,
        seconds: float = 0.0,
        stopped: str | None = None,
        error: str | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        """Write how the job ended, whole or not at all."""
        ending = {
            "exit_code": exit_code,
            "seconds": seconds,
            "stopped": stopped,
            "error": error,
            "problems": list(problems),
        }
        temporary = self.ending.with_suffix(".part")
        temporary.write_text(json.dumps(ending), encoding="utf-8")
        temporary.replace(self.ending)

    def taken(self) -> int | None:
        """The lock, as a descriptor to be kept; None where a living runner has it."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def has_runner(self) -> bool:
        """Whether a runner lives, in whatever container of this machine."""
        descriptor = self.taken()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False


def run(root: Path, *, lifeline: bool) -> int:
    """Check, start, watch, note the ending; the status is the command's own where it was started."""
    root = root.absolute()  # the job's folder is also where this program goes
    space = Workspace(root)
    latest = time.monotonic() + _LOOKS
    while (lock := space.taken()) is None and time.monotonic() < latest:
        time.sleep(_POLL / 10)
    # Variables that were sent to a job that has finished are removed as well.
    environment = {} if lock is None else _environment(space)
    if lock is None or space.ending.exists():
        print("this job runs already, or has finished: it is not started again", file=sys.stderr, flush=True)
        return NOT_STARTED
    job = json.loads(space.job.read_text(encoding="utf-8"))
    if problems := tuple(_problems(root, job["files"])):
        space.note_ending(problems=problems)
        return NOT_STARTED
    sent = _first_line() if lifeline else b"{}\n"
    if space.stop.exists() or not sent.endswith(b"\n"):  # given up before it began
        space.note_ending(stopped="request")
        return NOT_STARTED
    for output in job["outputs"]:
        (root / output).parent.mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    os.environ.update({**environment, **json.loads(sent)})
    wake = supervisor.wake_on_signals()
    supervisor.adopt_orphans()
    begun = time.monotonic()
    program = sys.executable if job["argv"][0] == "python" else job["argv"][0]
    try:
        tree = supervisor.JobTree([program, *job["argv"][1:]])
    except OSError as error:
        space.note_ending(error=f"{error.strerror}: {error.filename}")
        return NOT_STARTED
    end_of_input = sys.stdin.fileno() if lifeline else os.pipe()[0]
    stopped = supervisor.watch(tree, end_of_input, wake, job["timeout"], space.stop.exists)
    seconds = time.monotonic() - begun
    tree.stop(job["grace"], wake)
    for output in job["outputs"]:
        _without_link(root / output)
    space.note_ending(exit_code=tree.exit_code, seconds=seconds, stopped=stopped)
    status = 1 if tree.exit_code is None else tree.exit_code
    return status if status >= 0 else 128 - status


def _first_line() -> bytes:
    """Of standard input, and not a byte more, which would look to `watch` as if nothing came."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as unbuffered:
        return unbuffered.readline()


def _without_link(path: Path) -> None:
    """Put a copy in the place of a link: seen from outside, where this folder has another name, it leads elsewhere."""
    if path.is_symlink():
        target = path.resolve() if path.is_file() else None  # a loop has no end to resolve to
        path.unlink()
        if target is not None:
            shutil.copyfile(target, path)


def _environment(space: Workspace) -> Mapping[str, str]:
    given: dict[str, str] = {"PYTHONUNBUFFERED": "1"}
    if space.environment.exists():
        given |= json.loads(space.environment.read_text(encoding="utf-8"))
        space.environment.unlink()
    return given


def _problems(root: Path, files: Mapping[str, int]) -> Iterator[str]:
    for relative, size in files.items():
        path = root / relative
        if not path.is_file():
            yield f"{relative}: is not there"
        elif (found := path.stat().st_size) != size:
            yield f"{relative}: {found} bytes are there, {size} were sent"


def follow(root: Path, offset: int) -> int:
    """Copy the output from byte `offset` on to standard output, as it grows, until the job has ended."""
    space = Workspace(root)
    while True:
        # Asked before the output is read, so that nothing written before the end is missed.
        ended, alive = space.ending.exists(), space.has_runner()
        offset += _copy_from(space.output, offset)
        if ended:
            return 0
        if not alive and not space.ending.exists():
            return LOST
        time.sleep(_POLL)


def _copy_from(output: Path, offset: int) -> int:
    """Copy what stands behind `offset`; how many bytes that was."""
    if not output.exists():
        return 0
    copied = 0
    with output.open("rb") as file:
        file.seek(offset)
        while data := file.read(65536):
            sys.stdout.buffer.write(data)
            copied += len(data)
    sys.stdout.buffer.flush()
    return copied


def stop(root: Path) -> int:
    """Ask the runner to end its job, and wait until it has gone."""
    space = Workspace(root)
    space.stop.touch()
    while space.has_runner():
        time.sleep(_POLL)
    return 0 if space.ending.exists() else LOST


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="flywheel.compute.programs.runner", description=(__doc__ or "").split("\n")[0]
    )
    commands: Any = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "follow", "stop"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        if name == "run":
            command.add_argument("--lifeline", action="store_true")
        if name == "follow":
            command.add_argument("offset", type=int)
    asked = parser.parse_args(arguments)
    if asked.command == "run":
        return run(asked.folder, lifeline=asked.lifeline)
    if asked.command == "follow":
        return follow(asked.folder, asked.offset)
    return stop(asked.folder)


if __name__ == "__main__":
    sys.exit(main())
