"""`sweep`: end what crashed runs may have left running."""

import argparse

from flywheel.cli.options import add_data
from resources.compute.resource import Compute
from resources.compute.sweep import report, swept
from resources.data_folder import DataFolder

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = """\
It looks through the leases of the data folder: each names a machine, a container or a sandbox that a run made. What is
past its deadline, or was made by a run that is gone, is ended. What living runs use is left alone.

Examples:
  flywheel sweep
  flywheel sweep --all

Exit codes: 0 nothing is left that should not be; 1 something may still be running, and costing money; 2 wrong use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--all", action="store_true", help="end what living runs use, too")
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Sweep and print what was ended; 1 where something may still be running, else 0."""
    done = swept(Compute(data=DataFolder(root=str(options.data))), everything=options.all)
    print(report(done))
    return 1 if done.failed else 0
