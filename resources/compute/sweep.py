"""Ends what crashed runs may have left running: `python -m resources.compute.sweep`.

Looks through the leases below the data folder and ends whatever is past its deadline, or whose holder is gone.
The exit status is 1 where something may still be running. `--all` ends what living runs hold, too.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from flywheel.errors import FlywheelError
from resources.compute.leases import Swept, sweep
from resources.compute.resource import Compute
from resources.data_folder import DataFolder


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="resources.compute.sweep", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--all", action="store_true", help="end what living runs hold, too")
    asked = parser.parse_args(arguments)
    try:
        done = swept(Compute(data=DataFolder()), everything=asked.all)
    except FlywheelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report(done))
    return 1 if done.failed else 0


if __name__ == "__main__":
    sys.exit(main())
