"""How far a long step is, in its log."""

import time
from collections.abc import Callable

import dagster as dg

_SECONDS_BETWEEN = 5.0


def progress_of(context: dg.AssetExecutionContext, things: str) -> Callable[[int, int], None]:
    """To be called with the number done and that of all; logs at most one line every five seconds, and the last of a
    step that took so long."""
    begun = said = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        last = done == total and now - begun >= _SECONDS_BETWEEN
        if last or now - said >= _SECONDS_BETWEEN:
            said = now
            context.log.info(f"{done} of {total} {things}")

    return report
