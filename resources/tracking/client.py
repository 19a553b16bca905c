"""W&B's client, in processes of its own: one writes a part of a run, `wandb sync` sends parts.

A cycle's run has a part for each training and one for its results. W&B's server joins them, because all have the run's
id and ask to resume it. Every part is first written here, without a network; what does not arrive stays, and is sent
again by the next run of the cycle or by a person.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from flywheel.compute.job import Seconds
from resources.compute.commands import RunningCommand, words_of
from resources.tracking.account import KEY_VARIABLE, SERVER_VARIABLE

__all__ = ["NotTracked", "PartWriter", "Sending", "command_for", "pending", "sending"]

_VARIABLES: Final = "WANDB_"
"""Of these the client gets only what is said here."""
_PIPE_BYTES: Final = 1024 * 1024
_ENDS_WITHIN: Final[Seconds] = 300.0
"""A model of several GB is hashed by then."""
_ERROR: Final = re.compile(r"wandb: ERROR (.+)")
_PAGE: Final = re.compile(r"View run .* at (?P<url>\S+)")
_SECRETS_OF_A_URL: Final = re.compile(r"(?<=\?)[^\s\"']+")
# A server of an older version than the client's knows no list of its features.
_HARMLESS: Final = "featurechecker:"


class NotTracked(Exception):
    """A part that could not be written, and why."""


def _settings(folder: Path, scratch: Path) -> dict[str, str]:
    """Where the client may write, `folder` being that of all runs; no reports to anybody, no keys of this user's."""
    return {
        **dict.fromkeys(("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"), str(scratch)),
        # Content of artifacts that are not sent yet.
        "WANDB_DATA_DIR": str(folder / "artifacts"),
        "WANDB_ERROR_REPORTING": "false",
        "NETRC": os.devnull,
    }


class PartWriter:
    """A part of a run that is being written. A context, at whose end nothing of the writer is left.

    Args:
        folder: of all runs.
        part: where this part lies; made if need be.
        run: the first message to the writer, see `resources.tracking.writer`, without its folder.

    Raises `OSError` where the folder cannot be written, `NotTracked` where the writer takes nothing.
    """

    def __init__(self, folder: Path, part: Path, run: Mapping[str, Any]) -> None:
        part.mkdir(parents=True)
        self._part = part
        # The client's service ends a moment after the client, and may still write its log.
        self._scratch = tempfile.TemporaryDirectory(prefix="flywheel-", ignore_cleanup_errors=True)
        scratch = Path(self._scratch.name)
        self._printed = scratch / "printed"
        others = {name: value for name, value in os.environ.items() if not name.startswith(_VARIABLES)}
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(
                # Without its own folder on the path: a module there is called as one of Python's own.
                [sys.executable, "-P", str(Path(__file__).with_name("writer.py"))],
                stdin=subprocess.PIPE,
                pipesize=_PIPE_BYTES,
                stdout=printed,
                stderr=printed,
                cwd=scratch,
                env={**others, **_settings(folder, scratch)},
                # A terminal's Ctrl+C is not for it: it ends when its input does.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._input = self._process.stdin
        # The sender never waits for it, nor for its start: the pipe holds thousands of lines of losses.
        os.set_blocking(self._input.fileno(), False)
        try:
            self.send({"run": {**run, "folder": str(part)}})
        except NotTracked:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End whatever is left of it: its service ends with it."""
        self._process.kill()
        self._process.wait()
        # What was not taken cannot be flushed either.
        with suppress(BrokenPipeError, BlockingIOError):
            self._input.close()
        self._scratch.cleanup()

    @property
    def begun(self) -> Path | None:
        """The run's folder, once something stands in its file."""
        files = (file for file in self._part.glob("wandb/*/*.wandb") if file.stat().st_size)
        return next((file.parent for file in files), None)

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over a small message; raises `NotTracked` where the writer does not take it."""
        line = _line(message)
        try:
            whole = os.write(self._input.fileno(), line) == len(line)
        except (BrokenPipeError, BlockingIOError):
            whole = False
        if not whole:
            raise NotTracked(f"W&B's client takes no more: {self._last_words()}")

    def finish(self, messages: Sequence[Mapping[str, Any]] = (), *, within: Seconds = _ENDS_WITHIN) -> None:
        """Hand over the last messages and end the part; raises `NotTracked` where that did not work in time."""
        try:
            self._process.communicate(b"".join(map(_line, messages)), timeout=within)
        except subprocess.TimeoutExpired:
            raise NotTracked(f"W&B's client did not end within {within:g} s") from None
        if status := self._process.returncode:
            raise NotTracked(f"W&B's client ended with status {status}: {self._last_words()}")

    def _last_words(self) -> str:
        return words_of(self._printed.read_bytes(), lines=2)


def _line(message: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(message)}\n".encode()


class Sending:
    """Parts that are being sent by `wandb sync`.

    Args:
        parts: the folders of runs, as `pending` gives them.
        scratch: where the client writes its log.
        running: the client.
    """

    def __init__(self, parts: Sequence[Path], scratch: Path, running: RunningCommand) -> None:
        self._parts, self._scratch, self._running = parts, scratch, running
        self.url = ""
        """The run's page, once the client has said it and has ended."""

    def problem(self, wait: Seconds) -> str:
        """Why not all has arrived after at most `wait` seconds; empty where it has. What has not is pending again.

        `wandb sync` ends with status 0 whatever happened, and marks a part as sent whose artifacts were refused: that
        stands in its log alone (tried with 0.31.0).
        """
        until = time.monotonic() + wait
        while not self._running.finished and (left := until - time.monotonic()) > 0:
            self._running.read(left)
        if not self._running.finished:
            return "sending did not end in time"
        ended = self._running.ended()
        said = ended.errors.decode("utf-8", "replace")
        if found := _PAGE.search(said):
            self.url = found["url"]
        refused = self._logged_errors()
        if not refused and all(_is_sent(part) for part in self._parts):
            return ""
        for part in self._parts:
            for marker in part.glob(_SENT):
                marker.unlink()
        # What the client says while it is being ended is no reason of its own.
        why = [ended.words] if ended.exit_code is None else [*_ERROR.findall(said), *refused, ended.words]
        # One line of at most 300 characters; what signs an address is left out.
        return _SECRETS_OF_A_URL.sub("...", " ".join(why[0].split()))[:300]

    def _logged_errors(self) -> list[str]:
        logs = sorted(self._scratch.rglob("debug-sync*.log"))
        lines = [line for log in logs for line in log.read_text("utf-8", "replace").splitlines()]
        errors = [str(json.loads(line)["msg"]) for line in lines if '"level":"ERROR"' in line]
        words = [error for error in errors if not error.startswith(_HARMLESS)]
        # A request that failed is followed by what it was for, which says more.
        return sorted(words, key=lambda said: said.startswith("api:"))


@contextmanager
def sending(
    folder: Path, parts: Sequence[Path], *, timeout: Seconds, live: bool = False
) -> Iterator[Sending]:
    """Send parts for at most `timeout` seconds, and no longer than the block; `live` follows one that is being written.

    `folder` is that of all runs. The key comes from this process's environment.
    """
    with tempfile.TemporaryDirectory(prefix="flywheel-", ignore_cleanup_errors=True) as scratch:
        kept = {KEY_VARIABLE, SERVER_VARIABLE}
        unwanted = [name for name in os.environ if name.startswith(_VARIABLES) and name not in kept]
        environment = [
            *(word for name in unwanted for word in ("-u", name)),
            *(f"{name}={value}" for name, value in _settings(folder, Path(scratch)).items()),
        ]
        sync = ("beta", "sync", "--yes", "--live") if live else ("sync",)
        command = ["env", *environment, sys.executable, "-P", "-m", "wandb", *sync, *map(str, parts)]
        with RunningCommand(command, timeout=timeout) as running:
            yield Sending(parts, Path(scratch), running)


_SENT: Final = "*.wandb.synced"
"""How `wandb sync` marks a run's folder that it has sent, and knows not to send it again."""


def _is_sent(part: Path) -> bool:
    return any(part.glob(_SENT))


def pending(folder: Path, run_id: str) -> list[Path]:
    """The folders of a run's parts that were not sent, in the order in which they were begun.

    W&B names them by the second; of two that were begun in one, the results come after the training.
    """
    unsent = [part for part in folder.glob(f"*/wandb/offline-run-*-{run_id}") if not _is_sent(part)]
    return sorted(unsent, key=lambda part: (part.name, part.parent.parent.name.startswith("results")))


def command_for(parts: Sequence[Path]) -> str:
    """What a person types to send them."""
    command = shlex.join(["wandb", "sync", *map(str, parts)])
    server = os.environ.get(SERVER_VARIABLE, "")
    # An address may carry a password.
    return f"{SERVER_VARIABLE}={shlex.quote(server)} {command}" if server and "@" not in server else command
