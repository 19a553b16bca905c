"""Parts of a run: files of W&B's own format, written in a process of their own and sent by `wandb sync`.

A cycle's run has a part for each training and one for its results. W&B's server joins them, for all have the run's
id and ask to resume it. Every part is first written here, without a network; what does not arrive stays, and is
sent again by the next run of the cycle or by a person.
"""

import json
import os
import re
import selectors
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from flywheel.compute.job import Seconds
from resources.compute.commands import RunningCommand, words_of
from resources.tracking.account import KEY_VARIABLE

__all__ = ["NotTracked", "PartWriter", "Sending", "command_for", "pending", "sending"]

_STARTS_WITHIN: Final[Seconds] = 60.0
_ENDS_WITHIN: Final[Seconds] = 300.0
"""A model of several GB is hashed by then."""
_PASSED_ON: Final = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {name for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for name in (proxy, proxy.lower())}
)
_PATIENCE: Final = {
    "WANDB_HTTP_TIMEOUT": "20",
    "WANDB__GRAPHQL_RETRY_MAX": "4",
    "WANDB__FILE_STREAM_RETRY_MAX": "4",
    "WANDB__FILE_STREAM_TIMEOUT_SECONDS": "20",
    "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "5",
    "WANDB__FILE_TRANSFER_RETRY_MAX": "4",
}
"""How long the client tries: by default it would go on for hours. Of a transfer of files alone the time is not
bounded, for nobody knows how long a model takes."""
_SYNCED: Final = ".synced"
"""What `wandb sync` adds to the name of a file that it has sent."""
_ERROR: Final = re.compile(r"wandb: ERROR (?P<what>.+)")
_SECRETS_OF_A_URL: Final = re.compile(r"(?<=\?)[^\s\"']+")
# A server of an older version than the client's knows no list of its features.
_HARMLESS: Final = "featurechecker:"


class NotTracked(Exception):
    """A part that could not be written, and why."""


def _client_settings(folder: Path, scratch: Path) -> dict[str, str]:
    """Where the client may write, and that it reports to nobody. `folder` is that of all runs."""
    return {
        "WANDB_DIR": str(scratch),
        "WANDB_CACHE_DIR": str(scratch),
        "WANDB_CONFIG_DIR": str(scratch),
        # Content of artifacts that are not sent yet.
        "WANDB_DATA_DIR": str(folder / "artifacts"),
        "WANDB_ERROR_REPORTING": "false",
        "NETRC": os.devnull,
    }


class PartWriter:
    """A part of a run that is being written.

    Args:
        folder: of all runs.
        part: where this part lies; made if need be.
        run: the first message to the writer, see `resources.tracking.writer`, without its folder.

    Raises:
        NotTracked: the writer did not start, with its last words.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, part: Path, run: Mapping[str, Any]) -> None:
        part.mkdir(parents=True)
        # The client's service ends a moment after the client, and may still write its log.
        self._scratch = tempfile.TemporaryDirectory(prefix="flywheel-", ignore_cleanup_errors=True)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_clear`
        passed = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
        self._process = subprocess.Popen(
            # Without its own folder on the path: a module there is called as one of Python's own.
            [sys.executable, "-P", str(Path(__file__).with_name("writer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._scratch.name,
            env={**passed, **_client_settings(folder, Path(self._scratch.name))},
            # A terminal's Ctrl+C is not for it: it ends when its input does.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._input = self._process.stdin
        # The sender never waits for it: what is sent one by one is small, and a pipe holds a lot of it.
        os.set_blocking(self._input.fileno(), False)
        try:
            self.send({"run": {**run, "folder": str(part)}})
            self.file = self._answer()
        except BaseException:
            self._clear()
            raise

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over a small message; raises `NotTracked` where the writer does not take it."""
        line = _line(message)
        try:
            whole = os.write(self._input.fileno(), line) == len(line)
        except (BrokenPipeError, BlockingIOError):
            whole = False
        if not whole:
            raise NotTracked(f"W&B's client takes no more{self._last_words()}")

    def close(self, messages: Sequence[Mapping[str, Any]] = (), *, within: Seconds = _ENDS_WITHIN) -> None:
        """Hand over the last messages and end the part; raises `NotTracked` where that did not work in time."""
        try:
            self._process.communicate(b"".join(map(_line, messages)), timeout=within)
            if status := self._process.returncode:
                raise NotTracked(f"W&B's client ended with status {status}{self._last_words()}")
        except subprocess.TimeoutExpired:
            raise NotTracked(f"W&B's client did not end within {within:g} s") from None
        finally:
            self._clear()

    def _answer(self) -> Path:
        assert self._process.stdout is not None
        said, until = b"", time.monotonic() + _STARTS_WITHIN
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                ready = selector.select(max(0.0, until - time.monotonic()))
                data = os.read(self._process.stdout.fileno(), 65536) if ready else b""
                if not data:
                    raise NotTracked(f"W&B's client did not start{self._last_words()}")
                said += data
        return Path(json.loads(said)["file"])

    def _last_words(self) -> str:
        self._errors.seek(0)
        words = words_of(self._errors.read(), lines=2)
        return f": {words}" if words else ""

    def _clear(self) -> None:
        """End whatever is left of it: its service ends with it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # What was not taken cannot be flushed either.
            with suppress(BrokenPipeError, BlockingIOError):
                if pipe is not None:
                    pipe.close()
        self._errors.close()
        self._scratch.cleanup()


def _line(message: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(message)}\n".encode()


def pending(folder: Path, run_id: str) -> list[Path]:
    """The files of a run's parts that were not sent, in the order in which they were begun."""
    files = folder.glob(f"*/wandb/offline-run-*/run-{run_id}.wandb")
    unsent = [file for file in files if not _marker(file).exists()]
    return sorted(unsent, key=lambda file: (file.parent.name, file.parent.parent.parent.name))


def command_for(files: Sequence[Path]) -> str:
    """What a person types to send them."""
    command = shlex.join(["wandb", "sync", *(str(file.parent) for file in files)])
    server = os.environ.get("WANDB_BASE_URL", "")
    # An address may carry a password.
    return f"WANDB_BASE_URL={shlex.quote(server)} {command}" if server and "@" not in server else command


class Sending:
    """Files that are being sent.

    Args:
        files: of parts.
        scratch: where the client writes its log.
        running: the client.
    """

    def __init__(self, files: Sequence[Path], scratch: Path, running: RunningCommand) -> None:
        self._files, self._scratch, self._running = files, scratch, running
        self._output = b""

    def is_over(self, wait: Seconds) -> bool:
        """Whether the client has ended, after at most `wait` seconds."""
        until = time.monotonic() + wait
        while not self._running.finished:
            self._output += self._running.read(min(1.0, max(0.0, until - time.monotonic())))
            if time.monotonic() >= until:
                break
        return self._running.finished

    def url(self) -> str:
        """The run's page, as the client said it; empty where it did not come so far."""
        found = re.search(r"View run .* at (\S+)", self._said())
        return found[1] if found else ""

    def problem(self) -> str:
        """Why not all has arrived; empty where it has. What has not is pending again.

        The client's exit status is 0 whatever happened, and it marks a part as sent whose artifacts were refused:
        that stands in its log alone.
        """
        if not self._running.finished:
            return "sending did not end in time"
        errors = self._logged_errors()
        if not errors and all(_marker(file).exists() for file in self._files):
            return ""
        for file in self._files:
            _marker(file).unlink(missing_ok=True)
        said = [found["what"] for found in _ERROR.finditer(self._said())]
        ended = self._running.ended(self._output)
        # What the client says while it is being ended is no reason of its own.
        why = [ended.words] if ended.exit_code is None else [*said, *errors, ended.words]
        return _without_secrets(why[0])

    def _said(self) -> str:
        if not self._running.finished:
            return self._output.decode("utf-8", "replace")
        ended = self._running.ended(self._output)
        return (ended.output + b"\n" + ended.errors).decode("utf-8", "replace")

    def _logged_errors(self) -> list[str]:
        logs = sorted(self._scratch.rglob("debug-sync*.log"))
        lines = [line for log in logs for line in log.read_text("utf-8", "replace").splitlines()]
        errors = [json.loads(line) for line in lines if '"level":"ERROR"' in line]
        words = [str(error["msg"]) for error in errors if not str(error["msg"]).startswith(_HARMLESS)]
        # A request that failed is followed by what it was for, which says more.
        return sorted(words, key=lambda said: said.startswith("api:"))


@contextmanager
def sending(
    folder: Path, files: Sequence[Path], *, timeout: Seconds, live: bool = False
) -> Iterator[Sending]:
    """Send parts by `wandb sync`; `live` follows one that is still being written.

    The client runs for at most `timeout` seconds; at the end of the block it is ended. It has the key from this
    process's environment, and of that only what it needs.
    """
    with tempfile.TemporaryDirectory(prefix="flywheel-", ignore_cleanup_errors=True) as scratch:
        unwanted = [name for name in os.environ if name not in {*_PASSED_ON, KEY_VARIABLE, "WANDB_BASE_URL"}]
        settings = {**_client_settings(folder, Path(scratch)), **_PATIENCE}
        environment = [
            *(word for name in unwanted for word in ("-u", name)),
            *(f"{name}={value}" for name, value in settings.items()),
        ]
        sync = ("beta", "sync", "--yes", "--live") if live else ("sync",)
        command = ["env", *environment, sys.executable, "-P", "-m", "wandb", *sync, *map(str, files)]
        with RunningCommand(command, timeout=timeout) as running:
            yield Sending(files, Path(scratch), running)


def _marker(file: Path) -> Path:
    return file.with_name(file.name + _SYNCED)


def _without_secrets(words: str) -> str:
    """One line of at most 300 characters; what signs an address is left out."""
    return _SECRETS_OF_A_URL.sub("...", " ".join(words.split()))[:300]
