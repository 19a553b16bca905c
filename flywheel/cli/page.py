"""`page`: the answer of a cycle, and where its pages are."""

import argparse
from pathlib import Path

from flywheel.cli.options import add_data
from flywheel.cycle.page import cycle_headline, newest_page, page_as_html
from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder, all_cycles
from flywheel.speech.audition.policy import read_state

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = """\
It prints the headline of the cycle's page and where the page lies, as markdown and as HTML. If the cycle waits for
someone to judge pronunciations, it says what to judge and where.

Examples:
  flywheel page
  flywheel page cycle1
  flywheel page cycle2 --data /data/flywheel

Exit codes: 0 there is a page, or the cycle waits for verdicts; 2 wrong use, or a cycle that has no page yet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("cycle", nargs="?", metavar="CYCLE", help="cycle1, cycle2, ... (default: the newest)")
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Print the answer; 0."""
    folder = _newest(options.data) if options.cycle is None else CycleFolder(options.data, options.cycle)
    audition = read_state(folder)
    if audition is not None and not audition.open:
        print(f"\n{folder.cycle}: {audition.advice}\n\n{audition.page}\n{audition.verdicts}")
        return 0
    page = newest_page(folder)
    if page is None:
        raise FlywheelError(f"{folder.root} has no leaderboard; run the cycle first")
    pages = filter(Path.exists, (page, page_as_html(page)))
    print("\n".join(["", cycle_headline(folder), "", *map(str, pages)]))
    return 0


def _newest(data: Path) -> CycleFolder:
    cycles = all_cycles(data)
    if not cycles:
        raise FlywheelError(f"{data}: holds no cycle; `make run` runs the first, --data names another folder")
    return cycles[-1]
