"""A Docker Engine as far as jobs need one: its answers, its refusals in words, its images, its containers."""

import _thread
import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar, cast

from flywheel.compute.job import Seconds
from flywheel.errors import FlywheelError

__all__ = ["DockerError", "Engine", "LastWords", "NotHere", "listening"]

T = TypeVar("T")

_PATIENCE: Final[Seconds] = 120.0
"""For one answer of the engine; a pull, which streams, has no limit."""
_PROGRESS: Final[Seconds] = 5.0
_DEFAULT_HOST: Final = "unix:///var/run/docker.sock"

_WHAT_TO_DO: Final = (
    (
        "permission denied",
        "let this user talk to Docker (group docker, then log in again), or use rootless Docker",
    ),
    (
        "could not select device driver",
        "install NVIDIA's container toolkit, or set FLYWHEEL_DOCKER_GPUS=none",
    ),
    ("nvidia-container-cli", "mend NVIDIA's driver or container toolkit, or set FLYWHEEL_DOCKER_GPUS=none"),
    ("bind source path does not exist", "the engine must run on this machine and see its folders"),
    ("mounts denied", "share that folder with Docker Desktop, under Settings, Resources, File sharing"),
    ("no space left", "free some: `docker system df` shows what takes it"),
    ("exec:", "FLYWHEEL_DOCKER_PYTHON names the image's Python, 3.11 or later"),
    ("oci runtime create failed", "FLYWHEEL_DOCKER_PYTHON names the image's Python, 3.11 or later"),
    ("network", "FLYWHEEL_DOCKER_NETWORK names one of `docker network ls`"),
)


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


def listening(host: str = "") -> str:
    """Where the engine listens: `host`, or DOCKER_HOST, or the usual socket."""
    return host or os.environ.get("DOCKER_HOST") or _DEFAULT_HOST


def _what_to_do(reason: str) -> str:
    return next((todo for sign, todo in _WHAT_TO_DO if sign in reason.lower()), "")


@dataclass(frozen=True, slots=True)
class LastWords:
    """What the engine noted of a container that has ended.

    Args:
        exit_code: of its first process, `-n` where signal `n` ended it; None where its end was not noted.
        lines: the same in words, for the end of a report.
    """

    exit_code: int | None
    lines: tuple[str, ...]

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> "LastWords":
        """Of the events of one container, as the engine gives them."""
        exit_code: int | None = None
        lines: list[str] = []
        for event in events:
            attributes = event.get("Actor", {}).get("Attributes", {})
            if event.get("Action") == "oom":
                lines.append("docker: the container ran out of memory (OOMKilled)")
            elif event.get("Action") == "kill":
                lines.append(f"docker: the container was sent signal {attributes.get('signal')}")
            elif event.get("Action") == "die" and "exitCode" in attributes:
                status = int(attributes["exitCode"])
                exit_code = 128 - status if status > 128 else status
        return cls(exit_code, tuple(dict.fromkeys(lines)))


class Engine:
    """A connection to a Docker Engine.

    Args:
        host: where it listens; empty for DOCKER_HOST, or else the usual socket.
        patience: seconds for one answer.

    Raises `NotHere` where none answers; every other method raises `DockerError`.
    """

    def __init__(self, host: str = "", *, patience: Seconds = _PATIENCE) -> None:
        try:
            import docker  # takes a third of a second, which definitions must not
        except ImportError as error:
            raise DockerError(
                f"the backend docker needs the package docker: pip install 'docker==7.1.0' ({error})"
            ) from None
        self.host = listening(host)
        self.certain = True
        """False where a creation was never answered: it may still happen."""
        try:
            if host:
                self._client = _apart(lambda: docker.DockerClient(base_url=host, timeout=patience))
            else:
                self._client = _apart(lambda: docker.from_env(timeout=patience))
        except docker.errors.DockerException as error:
            raise NotHere(self.host, str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _apart(self._client.close)

    def about(self) -> Mapping[str, Any]:
        """What `docker info` shows."""
        with self._said("docker info"):
            found: Mapping[str, Any] = _apart(self._client.info)
            return found

    def image(self, name: str) -> Mapping[str, Any] | None:
        """What `docker image inspect` shows; None where the image is not on this machine."""
        import docker

        with self._said(f"docker image inspect {name}"):
            try:
                found: Mapping[str, Any] = _apart(lambda: self._client.api.inspect_image(name))
            except docker.errors.ImageNotFound:
                return None
            return found

    def fetch(self, name: str, on_line: Callable[[str], None]) -> Mapping[str, Any]:
        """The image, pulled first where it is not here. Says every few seconds how far the pull is."""
        found = self.image(name)
        if found is None:
            on_line(f"pulling {name}: it is not on this machine yet")
            begun = time.monotonic()
            for line in _progress(name, lambda: self._client.api.pull(name, stream=True, decode=True)):
                on_line(line)
            found = self.image(name)
            if found is None:
                raise _not_pulled(name, "the pull ended, but the image is not there")
            on_line(f"pulled {name} in {time.monotonic() - begun:.0f} s")
        return found

    def create(self, image: str, **settings: Any) -> str:
        """Create a container; its id. An interrupt is raised only once it is known what was made."""
        import docker

        def made() -> str:
            self.certain = False
            try:
                container = self._client.containers.create(image, **settings)
            except docker.errors.DockerException:
                self.certain = True
                raise
            self.certain = True
            return str(container.id)

        with self._said(f"creating a container of {image}"):
            return _apart(made, to_the_end=True)

    def attach(self, container: str) -> Any:
        """A socket that is a container's standard streams, best taken before it is started."""
        parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with self._said("attaching to the container"):
            return _apart(lambda: self._client.api.attach_socket(container, params=parameters))

    def start(self, container: str) -> None:
        """Start a container that was created."""
        with self._said("starting the container"):
            _apart(lambda: self._client.api.start(container))

    def status(self, container: str) -> str | None:
        """``created``, ``running``, ``exited`` and so on; None where there is no such container."""
        import docker

        with self._said("docker inspect"):
            try:
                found = _apart(lambda: self._client.api.inspect_container(container))
                return str(found["State"]["Status"])
            except docker.errors.NotFound:
                return None

    def remove(self, container: str, within: Seconds) -> None:
        """Kill and remove a container, and wait until it is gone; one that is not there is gone."""
        import docker

        with self._said(f"docker rm --force {container}"):
            try:
                _apart(lambda: self._client.api.remove_container(container, force=True, v=True))
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                # "removal of container ... is already in progress": it removes itself.
                if error.status_code != 409:
                    raise
        deadline = time.monotonic() + within
        while self.status(container) is not None:
            if time.monotonic() > deadline:
                raise DockerError(f"the container {container} is still there {within:g} s after its removal")
            time.sleep(0.05)

    def last_words(self, container: str, since: float) -> LastWords:
        """What is known of a container that may be gone, from `since` (seconds since 1970) on."""
        with self._said("docker events"):
            span = {"since": int(since), "until": int(time.time()) + 1}
            about = {"container": container}
            return _apart(lambda: LastWords.of(self._client.api.events(**span, filters=about, decode=True)))

    @contextmanager
    def _said(self, doing: str) -> Iterator[None]:
        """Errors of the engine, and of the way to it, in words."""
        import docker
        import requests

        try:
            yield
        except docker.errors.APIError as error:
            reason = str(error.explanation or error).strip()
            todo = _what_to_do(reason)
            raise DockerError(
                f"{doing}: Docker says: {reason}" + (f". To do: {todo}" if todo else "")
            ) from None
        except docker.errors.DockerException as error:
            raise DockerError(f"{doing}: {error}") from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise DockerError(
                f"{doing}: the connection to the Docker Engine at {self.host} failed: {error}"
            ) from None


def _apart(call: Callable[[], T], *, to_the_end: bool = False) -> T:
    """The result of `call`, made in a thread of its own.

    An interrupt is raised wherever this thread is. Inside the HTTP client it could leave a lock taken, which the
    client's own clean-up would wait for, for ever. So this thread does nothing but wait, without Python's own
    locks; that a `Thread` starts with those is why a lower one is used.

    Args:
        to_the_end: raise an interrupt only after the result, so that it is known what the call did.
    """
    outcome: list[tuple[T | None, BaseException | None]] = []
    done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for it
            outcome.append((None, error))
        done.put(None)

    _thread.start_new_thread(work, ())
    try:
        done.get()
    except BaseException:
        deadline = time.monotonic() + _PATIENCE
        # Not by the queue: the interrupt may have come with its item already taken.
        while to_the_end and not outcome and time.monotonic() < deadline:
            time.sleep(0.01)
        raise
    ((result, error),) = outcome
    if error is not None:
        raise error
    return cast("T", result)


def _progress(name: str, pull: Callable[[], Iterable[Mapping[str, Any]]]) -> Iterator[str]:
    """Pull, in a thread of its own, since the engine may be silent for longer than a log should be."""
    events: queue.SimpleQueue[Mapping[str, Any] | Exception | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for event in pull():
                events.put(event)
            events.put(None)
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits for it
            events.put(error)

    _thread.start_new_thread(read, ())
    layers: dict[str, tuple[str, int]] = {}
    due = time.monotonic() + _PROGRESS
    while True:
        with suppress(queue.Empty):
            event = events.get(timeout=max(0.0, due - time.monotonic()))
            if event is None:
                return
            if isinstance(event, Exception):
                raise _not_pulled(name, str(getattr(event, "explanation", None) or event))
            if "error" in event:
                raise _not_pulled(name, str(event["error"]))
            if "id" in event and not event["status"].startswith("Pulling from"):
                before = layers.get(event["id"], ("", 0))[1]
                current = event.get("progressDetail", {}).get("current", 0)
                fetched = max(before, current if event["status"] == "Downloading" else 0)
                layers[event["id"]] = (event["status"], fetched)
        if time.monotonic() >= due:
            due = time.monotonic() + _PROGRESS
            whole = sum(status in ("Pull complete", "Already exists") for status, _ in layers.values())
            size = sum(fetched for _, fetched in layers.values()) / 1e9
            yield f"pulling {name}: {whole} of {len(layers)} layers done, {size:.2f} GB fetched"


def _not_pulled(name: str, reason: str) -> DockerError:
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
