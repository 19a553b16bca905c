"""Docker's command line as far as jobs need it: its answers, its refusals in words, its images, its containers.

The command finds the engine as its user does: by `--host`, DOCKER_HOST or the current context, over ssh too.
"""

import _thread
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from flywheel.compute.job import LineSplitter, Seconds
from flywheel.errors import FlywheelError
from resources.compute.commands import Ended, run_command, words_of

__all__ = ["Attached", "DockerError", "Engine", "LastWords", "NotHere", "not_pulled", "pull_progress"]

_PATIENCE: Final[Seconds] = 120.0
"""For one answer of the engine."""
_MARGIN: Final[Seconds] = 30.0
_PULL: Final[Seconds] = 24 * 3600.0
_FROM_ENGINE: Final = "Error response from daemon: "
_UNREACHABLE: Final = (
    "cannot connect to the docker daemon",
    "failed to connect to the docker api",
    "error during connect",
    "permission denied while trying to connect",
    "unable to resolve docker endpoint",
    "unable to parse docker host",
    "no end after",
)
_WHAT_TO_DO: Final = (
    (
        "permission denied while trying to connect",
        "let this user talk to Docker (group docker, then log in again), or use rootless Docker",
    ),
    (
        "could not select device driver",
        "install NVIDIA's container toolkit, or set FLYWHEEL_DOCKER_GPUS=none",
    ),
    ("nvidia-container-cli", "mend NVIDIA's driver or container toolkit, or set FLYWHEEL_DOCKER_GPUS=none"),
    ("shm-size", "FLYWHEEL_DOCKER_SHM_SIZE is a number and a unit, as 8g"),
    ("bind source path does not exist", "the engine must run on this machine and see its folders"),
    ("mounts denied", "share that folder with Docker Desktop, under Settings, Resources, File sharing"),
    ("no space left", "free some: `docker system df` shows what takes it"),
    ("exec:", "FLYWHEEL_DOCKER_PYTHON names the image's Python, 3.11 or later"),
    ("oci runtime create failed", "FLYWHEEL_DOCKER_PYTHON names the image's Python, 3.11 or later"),
    ("network", "FLYWHEEL_DOCKER_NETWORK names one of `docker network ls`"),
)
_ON_A_TERMINAL: Final = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
"""Only to a terminal does `docker pull` say how much of a layer has come."""


_LAYER: Final = re.compile(
    r"\b(?P<layer>[0-9a-f]{12}): (?P<status>(?!Pulling from)[A-Z][A-Za-z ]*[a-z])"
    r"(?: *\[.*?\])?(?: *(?P<number>[\d.]+)(?P<unit>[kMGT]?)B)?"
)
_UNITS: Final = MappingProxyType({"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12})
_MOVES: Final = re.compile(rb"\x1b\[\d*[A-Z]")
"""Of a terminal's cursor, from line to line."""


class DockerError(FlywheelError):
    """Docker refused something, or does not answer; the message says what to do."""


class NotHere(DockerError):
    """No Docker Engine answers."""

    def __init__(self, host: str, reason: str) -> None:
        if "permission denied" in reason.lower():
            todo = f"this user may not talk to it: {_what_to_do(reason)}"
        else:
            todo = (
                "start Docker (`sudo systemctl start docker`, or Docker Desktop), or name where it listens in "
                "DOCKER_HOST or FLYWHEEL_DOCKER_HOST (`docker context ls` shows it)"
            )
        super().__init__(f"no Docker Engine answers at {host}: {todo}. Found: {reason}")


def _what_to_do(reason: str) -> str:
    return next((todo for sign, todo in _WHAT_TO_DO if sign in reason.lower()), "")


@dataclass(frozen=True, slots=True)
class LastWords:
    """What the engine noted of a container that has ended.

    Args:
        started: whether it was started at all.
        exit_code: of its first process, `-n` where signal `n` ended it; None where its end was not noted.
        lines: the same in words, for the end of a report.
    """

    started: bool
    exit_code: int | None
    lines: tuple[str, ...]

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> "LastWords":
        """Of the events of one container, as `docker events` gives them."""
        started = False
        exit_code: int | None = None
        lines: list[str] = []
        for event in events:
            attributes = event.get("Actor", {}).get("Attributes", {})
            if event.get("Action") == "start":
                started = True
            elif event.get("Action") == "oom":
                lines.append("docker: the container ran out of memory (OOMKilled)")
            elif event.get("Action") == "kill":
                lines.append(f"docker: the container was sent signal {attributes.get('signal')}")
            elif event.get("Action") == "die" and "exitCode" in attributes:
                status = int(attributes["exitCode"])
                exit_code = 128 - status if status > 128 else status
        return cls(started, exit_code, tuple(dict.fromkeys(lines)))


class Engine:
    """The Docker Engine that the command `docker` talks to.

    Args:
        host: where it listens; empty for what the command uses by itself.
        patience: seconds for one answer.

    Every method raises `DockerError`; `NotHere` where no engine answers.
    """

    def __init__(self, host: str = "", *, patience: Seconds = _PATIENCE) -> None:
        self._docker = ["docker", *(["--host", host] if host else [])]
        self._patience = patience
        self.host = host or self._answer("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        self.certain = True
        """False where a creation was never answered: it may still happen."""

    def about(self) -> Mapping[str, Any]:
        """What `docker info` shows."""
        found: Mapping[str, Any] = json.loads(self._answer("info", "--format", "{{json .}}"))
        # Older clients count an engine that does not answer as an answer.
        if errors := found.get("ServerErrors"):
            raise NotHere(self.host, "; ".join(errors))
        return found

    def image(self, name: str) -> Mapping[str, Any] | None:
        """What `docker image inspect` shows; None where the image is not on this machine."""
        said = self._found("image", "inspect", "--format", "{{json .}}", name, absent=("no such image",))
        return json.loads(said) if said else None

    def fetch(self, name: str, on_line: Callable[[str], None], *, every: Seconds) -> Mapping[str, Any]:
        """The image, pulled first where it is not here. Says every so many seconds how far the pull is."""
        if (found := self.image(name)) is not None:
            return found
        on_line(f"pulling {name}: it is not on this machine yet")
        begun = time.monotonic()
        done = run_command(
            [sys.executable, "-I", "-c", _ON_A_TERMINAL, *self._docker, "pull", name],
            timeout=_PULL,
            progress=lambda how_far: on_line(f"pulling {name}: {how_far}"),
            every=every,
            summary=pull_progress,
        )
        if done.exit_code != 0:
            raise not_pulled(name, done.problem or words_of(_MOVES.sub(b"\n", done.output), lines=1))
        if (found := self.image(name)) is None:
            raise not_pulled(name, "the pull ended, but the image is not there")
        on_line(f"pulled {name} in {time.monotonic() - begun:.0f} s")
        return found

    def create(self, *arguments: str) -> None:
        """`docker create`. An interrupt is raised only once it is known what was made."""
        outcome: list[Ended] = []
        latest = time.monotonic() + self._patience + _MARGIN

        def create() -> None:
            outcome.append(run_command([*self._docker, "create", *arguments], timeout=self._patience))

        def wait() -> None:
            while not outcome and time.monotonic() < latest:
                time.sleep(0.005)
            self.certain = bool(outcome) and outcome[0].exit_code is not None

        self.certain = False
        # Apart, because an interrupt is raised wherever this thread is; not by `Thread`, whose start it could cut.
        _thread.start_new_thread(create, ())
        try:
            wait()
        finally:
            wait()
        done = outcome[0] if outcome else Ended(None, b"", b"", f"no end after {self._patience:g} s")
        if done.exit_code != 0:
            raise self._refusal("creating a container", done)

    def start(self, container: str, first: bytes) -> "Attached":
        """Start a container that was created, attached to its standard streams; its input begins with `first`."""
        return Attached([*self._docker, "start", "--attach", "--interactive", container], first)

    def status(self, container: str) -> str | None:
        """``created``, ``running``, ``exited`` and so on; None where there is no such container."""
        inspect = ("container", "inspect", "--format", "{{.State.Status}}", container)
        return self._found(*inspect, absent=("no such container",))

    def remove(self, container: str, within: Seconds) -> None:
        """Kill and remove a container, and wait until it is gone; one that is not there is gone."""
        # The second is said of one that removes itself.
        absent = ("no such container", "is already in progress")
        if self._found("rm", "--force", "--volumes", container, absent=absent) is not None:
            return
        deadline = time.monotonic() + within
        while self.status(container) is not None:
            if time.monotonic() > deadline:
                raise DockerError(f"the container {container} is still there {within:g} s after its removal")
            time.sleep(0.05)

    def last_words(self, container: str, since: float) -> LastWords:
        """What is known of a container that may be gone, from `since` (seconds since 1970) on."""
        span = ("--since", str(int(since)), "--until", str(int(time.time()) + 1))
        said = self._answer("events", *span, "--filter", f"container={container}", "--format", "{{json .}}")
        return LastWords.of(json.loads(line) for line in said.splitlines())

    def refusal(self, doing: str, reason: str) -> DockerError:
        """What Docker said when it refused something, with what to do."""
        if not reason.startswith(_FROM_ENGINE) and any(sign in reason.lower() for sign in _UNREACHABLE):
            return NotHere(self.host, reason)
        todo = _what_to_do(reason)
        said = f"{doing}: Docker says: {reason.removeprefix(_FROM_ENGINE)}"
        return DockerError(said + (f". To do: {todo}" if todo else ""))

    def _answer(self, *arguments: str) -> str:
        """What `docker ARGUMENTS` writes."""
        done = run_command([*self._docker, *arguments], timeout=self._patience)
        if done.exit_code != 0:
            raise self._refusal(f"docker {' '.join(arguments)}", done)
        return done.output.decode("utf-8", "replace").strip()

    def _found(self, *arguments: str, absent: tuple[str, ...]) -> str | None:
        """As `_answer`; None where it is refused in words that say that something is not there."""
        try:
            return self._answer(*arguments)
        except DockerError as error:
            if any(sign in str(error).lower() for sign in absent):
                return None
            raise

    def _refusal(self, doing: str, done: Ended) -> DockerError:
        if done.problem.startswith("No such file"):
            return DockerError(
                f"the backend docker needs the command `docker`, which is not on the PATH ({done.problem}): "
                "install Docker, or its command line alone where the engine is elsewhere (https://docs.docker.com)"
            )
        # Of a wrong option, what is wrong comes first, and how to use it after that.
        said = re.split(r" \| (?:Usage:|See 'docker)", words_of(done.errors))[0]
        return self.refusal(doing, "; ".join(filter(None, (done.problem, said))) or done.words)


class Attached:
    """The command that runs a container, attached to it: the lines that it writes, and its standard input.

    The input is held open by this process, and ends with it, however it ends; that tells the job to stop.

    Args:
        command: as `Engine.start` has it.
        first: what the input begins with.
    """

    def __init__(self, command: Sequence[str], first: bytes) -> None:
        self._input, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl+C is for this process alone
            )
        self._selector = selectors.DefaultSelector()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            # Each has lines of its own, so that one does not cut the other's.
            self._selector.register(stream, selectors.EVENT_READ, LineSplitter())
        # One that has ended already says why in its lines.
        with suppress(OSError):
            self._input.sendall(first)

    @property
    def ended(self) -> bool:
        """Whether no more lines will come."""
        return not self._selector.get_map()

    def lines(self, within: Seconds) -> list[str] | None:
        """The lines that what came has ended; None where nothing came within so many seconds."""
        ready = self._selector.select(max(0.0, within))
        found: list[str] = []
        for key, _ in ready:
            splitter: LineSplitter = key.data
            if data := os.read(key.fd, 65536):
                found += splitter.feed(data)
            else:
                found += splitter.close()
                self._selector.unregister(key.fileobj)
        return found if ready else None

    def end_input(self) -> None:
        """Close the container's standard input."""
        # Shut, not closed: a process that another thread forked may have a copy. The other end may be gone.
        with suppress(OSError):
            self._input.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go of the container; what is left of the command is ended."""
        self.end_input()
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for each in (self._input, self._process.stdout, self._process.stderr):
            if each is not None:
                each.close()


def pull_progress(written: bytes) -> str:
    """How far a pull is, of all that `docker pull` wrote to a terminal."""
    layers: dict[str, tuple[str, float]] = {}
    for found in _LAYER.finditer(written.decode("utf-8", "replace")):
        _, fetched = layers.get(found["layer"], ("", 0.0))
        if found["status"] == "Downloading" and found["number"]:
            fetched = max(fetched, float(found["number"]) * _UNITS[found["unit"]])
        layers[found["layer"]] = (found["status"], fetched)
    whole = sum(status in ("Pull complete", "Already exists") for status, _ in layers.values())
    size = sum(fetched for _, fetched in layers.values()) / 1e9
    return f"{whole} of {len(layers)} layers done, {size:.2f} GB fetched"


def not_pulled(name: str, reason: str) -> DockerError:
    """The error of an image that could not be pulled, with what to do."""
    reason = reason.removeprefix(_FROM_ENGINE)
    registry, _, rest = name.partition("/")
    registry = registry if rest and ("." in registry or ":" in registry) else "docker.io"
    refused = ("denied", "unauthorized", "authentication required", "401", "403")
    if any(sign in reason.lower() for sign in refused):
        key = " (user $oauthtoken, password: an NGC API key)" if registry == "nvcr.io" else ""
        todo = f"log in first: `docker login {registry}`{key}"
    else:
        todo = _what_to_do(reason) or (
            f"try `docker pull {name}`, or name an image that is here in FLYWHEEL_DOCKER_IMAGE (`docker images`)"
        )
    return DockerError(
        f"the image {name} is not on this machine and could not be pulled: {reason}. To do: {todo}"
    )
