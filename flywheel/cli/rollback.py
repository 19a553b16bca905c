"""`rollback`: go back to an earlier promoted model."""

import argparse

from flywheel.cli.options import add_data
from flywheel.recognisers.registry import Registry

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = """\
Without --to the model that was promoted before the current one becomes current again. The next cycle starts from the
current model. Nothing is deleted: going back is one more entry in the registry, and --to can go forward again.

Examples:
  flywheel rollback
  flywheel rollback --to cycle2 --reason "worse on the ward"

Exit codes: 0 done; 2 wrong use, no such model, or a registry that cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument(
        "--to", metavar="MODEL", help="the cycle it came from, or the beginning of its SHA-256"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the registry")
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Append a rollback to the registry and say which model is current now; 0."""
    entry = Registry(options.data / "models").rollback(options.to, reason=options.reason)
    print(
        f"current model: {entry.model} of {entry.cycle}"
        if entry.model
        else "no promoted model is left: the next cycle starts from the base"
    )
    return 0
