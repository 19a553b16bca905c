"""What is said while much is sent or fetched, and work for several threads."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final, TypeVar

from resources.object_store.options import MIB, Seconds

__all__ = ["Log", "Progress", "in_threads"]

Log = Callable[[str], None]
_Value = TypeVar("_Value")
_BETWEEN: Final[Seconds] = 5.0


class Progress:
    """Counts bytes and says how many, at most every five seconds; several threads may use it.

    Args:
        log: takes a line.
        doing: e.g. ``sent``.
        total: bytes there are.
    """

    def __init__(self, log: Log, doing: str, total: int) -> None:
        self._log = log
        self._doing = doing
        self._total = total
        self._bytes = 0
        self._said = time.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """So many bytes more."""
        with self._lock:
            self._bytes += count
            if time.monotonic() - self._said < _BETWEEN:
                return
            self._said = time.monotonic()
            self._log(f"{self._doing} {self._bytes / MIB:.1f} of {self._total / MIB:.1f} MiB")


def in_threads(threads: int, work: Iterable[Callable[[], _Value]]) -> list[_Value]:
    """The results of `work`, in no order. The first error ends it: what has not begun by then does not begin."""
    with ThreadPoolExecutor(threads, thread_name_prefix="bucket") as pool:
        try:
            return [each.result() for each in as_completed([pool.submit(task) for task in work])]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
