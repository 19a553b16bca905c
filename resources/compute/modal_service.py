"""Calls to Modal's service from ordinary code: bounded in time, interruptible, with errors that say what to do.

Modal's client is asynchronous inside and its ordinary calls wait for ever. Here each call runs in an event loop
of its own thread, so that the caller's thread can report progress meanwhile, give up after a time, and pass an
interrupt on into the call, which then ends what it had begun.
"""

import asyncio
import errno
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for_futures
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from flywheel.compute.job import Seconds
from flywheel.errors import FlywheelError

__all__ = [
    "ConnectionLost",
    "LimitReached",
    "ModalError",
    "NotInTime",
    "NotThere",
    "Service",
    "TokenRefused",
    "package",
    "token",
]

T = TypeVar("T")

_EVERY: Final[Seconds] = 8.0
"""How often a call that takes long says that it is still at it."""
_TIDYING: Final[Seconds] = 5.0
"""How long an interrupted call may take to end what it had begun."""
_CALL: Final[Seconds] = 60.0

_NETWORK: Final = (
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
)
_LOGIN: Final = "run `modal token new`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"


class ModalError(FlywheelError):
    """Something that Modal's service refused, or did not do."""


class TokenRefused(ModalError):
    """There is no token, or it is not accepted."""


class LimitReached(ModalError):
    """The workspace may not have that much, or the service has no more."""


class NotThere(ModalError):
    """Something that the service does not know (any more)."""


class ConnectionLost(ModalError):
    """No answer. What was asked for may have been done all the same."""


class NotInTime(ConnectionLost):
    """No answer within the time that a call may take."""


def package() -> Any:
    """The package `modal`, ready for use; raises `ModalError` where it is not installed or not configured.

    It loads slowly, so it is loaded when it is used. Sandboxes without a GPU are made in the same way as those with
    one (the client's default since 1.6 is another service for them, with other look-ups): one way to create, find
    and end them all.
    """
    try:
        from grpclib import GRPCError
    except ImportError as error:
        raise ModalError(
            f"the backend modal needs its package: pip install 'modal==1.6.4' ({error})"
        ) from None
    try:
        import modal
        from modal.config import config
    except ImportError as error:
        raise ModalError(
            f"the backend modal needs its package: pip install 'modal==1.6.4' ({error})"
        ) from None
    except GRPCError as error:  # of which the package's own errors are kinds
        raise ModalError(f"Modal's configuration (~/.modal.toml) cannot be read: {error}") from None
    config.override_locally("sandbox_v2", "0")
    return modal


def token() -> tuple[str, str]:
    """Id and secret from the environment or ``~/.modal.toml``; raises `TokenRefused` where there is none."""
    package()
    from modal.config import config

    name, secret = config.get("token_id"), config.get("token_secret")
    if not (name and secret):
        raise TokenRefused(f"no Modal token was found: {_LOGIN}")
    return name, secret


class Service:
    """A connection to Modal's service; a context manager, for one thread of one process.

    `client` is a `modal.Client` of its own, which no other process or fork shares.
    Opening it takes at most `connect_within` seconds.
    """

    client: Any

    def __init__(self, *, connect_within: Seconds = _CALL) -> None:
        self._connect_within = connect_within
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modal-calls", daemon=True)
        self._opened = False

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            client = package().Client.from_credentials.aio(*token())
            self.client = self.call(client, "connecting", within=self._connect_within)
            self._opened = True
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def hello(self, *, within: Seconds = _CALL) -> None:
        """Ask whether the token is accepted; raises `TokenRefused` or `ConnectionLost`."""
        self.call(self.client.hello.aio(), "logging in", within=within)

    def call(
        self,
        coroutine: Coroutine[Any, Any, T],
        doing: str,
        *,
        within: Seconds = _CALL,
        say: Callable[[str], None] | None = None,
    ) -> T:
        """The result of a call.

        Args:
            coroutine: the call, e.g. ``client.hello.aio()``.
            doing: what it does, for messages: "uploading 3 files".
            within: seconds after which it is given up, with `NotInTime`.
            say: is told every 8 s that it still goes on.

        Raises:
            ModalError: or one of its kinds, for whatever the service or the connection does.
        """
        running: list[asyncio.Task[T]] = []
        future = asyncio.run_coroutine_threadsafe(_bounded(coroutine, within, running), self._loop)
        begun = time.monotonic()
        try:
            while not wait_for_futures([future], timeout=_EVERY).done:
                if say:
                    say(f"modal: {doing}, for {time.monotonic() - begun:.0f} s so far")
        except BaseException:
            # An interrupt, or what `say` raised.
            self._abandon(future, running)
            raise
        error = None if future.cancelled() else future.exception()
        if isinstance(error, Exception):
            raise _translated(error, doing, within) from None
        return future.result()

    def _abandon(self, future: "Future[T]", running: list["asyncio.Task[T]"]) -> None:
        """Interrupt a call and wait, though not for ever, until it has ended what it had begun."""
        if running:
            self._loop.call_soon_threadsafe(running[0].cancel)
        else:
            future.cancel()
        wait_for_futures([future], timeout=_TIDYING)

    def _close(self) -> None:
        try:
            if self._opened:
                self._opened = False
                closing = asyncio.run_coroutine_threadsafe(self.client.close.aio(), self._loop)
                wait_for_futures([closing], timeout=_TIDYING)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_TIDYING)
            if not self._thread.is_alive():
                self._loop.close()


async def _bounded(coroutine: Coroutine[Any, Any, T], within: Seconds, running: list["asyncio.Task[T]"]) -> T:
    """Run `coroutine` as a task, which is put into `running`; if it takes too long, interrupt it and go on."""
    task = asyncio.ensure_future(coroutine)
    assert isinstance(task, asyncio.Task)
    running.append(task)
    done, _ = await asyncio.wait({task}, timeout=within)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=_TIDYING)
        raise TimeoutError
    return task.result()


def _translated(error: Exception, doing: str, within: Seconds) -> Exception:
    """The error to raise for `error`; itself, if it is about this machine and not about the service."""
    from aiohttp import ClientConnectionError
    from grpclib.exceptions import StreamTerminatedError
    from h2.exceptions import ProtocolError
    from modal import exception as of_modal

    if isinstance(error, FlywheelError):
        return error
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, of_modal.AuthError):
        return TokenRefused(f"Modal refused the token while {doing}: {said}. To renew it, {_LOGIN}")
    if isinstance(error, of_modal.NotFoundError | FileNotFoundError):
        return NotThere(f"Modal, {doing}: not there: {said}")
    if isinstance(error, of_modal.ResourceExhaustedError):
        return LimitReached(
            f"Modal, {doing}: a limit is reached: {said}. Usage and limits are shown on modal.com"
        )
    if type(error) is TimeoutError:
        return NotInTime(f"Modal, {doing}: no answer within {within:g} s")
    lost = (of_modal.ConnectionError, of_modal.ServiceError, of_modal.InternalError)
    broken = (StreamTerminatedError, ProtocolError, ClientConnectionError, ConnectionError, CancelledError)
    # An error of the network often has no number; one of this machine's disk has.
    network = isinstance(error, OSError) and (error.errno is None or error.errno in _NETWORK)
    if network or isinstance(error, (*lost, *broken)):
        return ConnectionLost(f"Modal, {doing}: no answer: {said}")
    if isinstance(error, of_modal.Error):
        return ModalError(f"Modal, {doing}: {said}")
    return error
