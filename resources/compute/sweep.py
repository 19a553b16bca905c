"""Ends what crashed runs may have left running.

Looks through the leases below the data folder and ends whatever is past its deadline, or whose holder is gone.
"""

from collections.abc import Callable

from resources.compute.leases import Swept, sweep
from resources.compute.resource import Compute


def swept(
    compute: Compute, *, run_ended: Callable[[str], bool] = lambda run_id: False, everything: bool = False
) -> Swept:
    """Sweep the leases of `compute`; see `resources.compute.leases.sweep`."""
    return sweep(compute.leases, compute.connect, run_ended=run_ended, everything=everything)


def report(done: Swept) -> str:
    """What a sweep did, a line each, the failures last and loud."""
    lines = [f"ended {lease.backend} {lease.resource}: {reason}" for lease, reason in done.closed]
    lines += [str(error) for error in done.failed]
    left = f"{done.left} left to the runs that hold them" if done.left else "nothing else is open"
    return "\n".join([*lines, f"{len(done.closed)} ended, {len(done.failed)} failed, {left}"])
