"""A line every few seconds while something silent goes on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def heartbeat(doing: str) -> Iterator[None]:
    """Print `doing` now, and again with the seconds so far, until the block ends."""
    done = threading.Event()
    started = time.monotonic()
    print(doing, flush=True)

    def beat() -> None:
        while not done.wait(_SECONDS_BETWEEN_LINES):
            print(f"{doing}, {time.monotonic() - started:.0f} s so far", flush=True)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
