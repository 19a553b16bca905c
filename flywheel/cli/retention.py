"""`retention`: remove audio that only old cycles use."""

import argparse

from flywheel.cli.options import add_data
from flywheel.cycle.retention import KEEP_VARIABLE, cycles_to_keep, plan, report, retain

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = """\
The newest cycles keep their audio. What only older cycles name is removed from the data folder's `speech`; manifests,
scores, pages and models always stay. A list of terms that only grows frees nothing, because the newest cycle still uses
all of its audio; a changed voice or pronunciation and removed terms do. Bought speech stays unless --paid is given,
because it would have to be bought again. Recordings always stay.

Examples:
  flywheel retention --keep 3 --dry-run
  flywheel retention --keep 3

Exit codes: 0 done, or nothing to remove; 2 wrong use, a manifest that cannot be read, or audio that is in use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help=f"how many cycles keep their audio (default: {KEEP_VARIABLE}, or 3)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--paid", action="store_true", help="remove bought speech, too")
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Remove, or only say what would be removed, and print what stays and why; 0."""
    keep = cycles_to_keep() if options.keep is None else options.keep
    act = plan if options.dry_run else retain
    print(report(act(options.data, keep=keep, paid=options.paid), only_planned=options.dry_run))
    return 0
