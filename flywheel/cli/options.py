"""What the commands that read references and hypotheses have in common on their command lines."""

import argparse
import textwrap
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from flywheel.cli.foreign_files import HYPOTHESIS_FIELDS, ID_FIELDS, REFERENCE_FIELDS
from flywheel.cli.pairing import FieldNames
from flywheel.cli.spoken_terms import read_terms
from flywheel.scoring.normalizers import CLINICAL, NORMALIZERS

__all__ = [
    "FILES",
    "add_fields",
    "add_json",
    "add_normalizer",
    "add_seed",
    "add_terms",
    "at_least_one",
    "command_parser",
    "field_names",
    "fraction",
    "listed_terms",
]

FILES = """\
Files: JSON Lines (a NeMo manifest, or what its transcription scripts write), CSV with a header (comma, semicolon
or tab), Kaldi's `text` (id, then words) or sclite's `.trn` (words, then the id in brackets), all in UTF-8. Rows
are paired by id, in any order; of a path its file name without suffix counts, where that is unique. A row without
a hypothesis counts as heard empty, and is named. Hypotheses of unknown rows, ids that occur twice, and fields that
could be either are refused."""


_SEED_DIGITS = 18  # of any 64 bits


class _HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs to the width of the terminal, and leaves indented lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = groupby(text.split("\n"), key=lambda line: not line or line.startswith("  "))
        return "\n".join(
            line
            for is_kept, lines in blocks
            for line in (lines if is_kept else textwrap.wrap(" ".join(lines), width))
        )


def command_parser(name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    """A parser whose help ends in `epilog`: paragraphs, and indented lines that keep their ends."""
    return argparse.ArgumentParser(
        prog=f"python -m flywheel {name}", description=summary, epilog=epilog, formatter_class=_HelpFormatter
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on standard output; notes go to standard error"
    )


def add_fields(parser: argparse.ArgumentParser) -> None:
    """`--id-field`, `--reference-field`, `--hypothesis-field`."""
    for option, what, names in (
        ("--id-field", "names the row", ID_FIELDS),
        ("--reference-field", "holds what was said", REFERENCE_FIELDS),
        ("--hypothesis-field", "holds what was heard", HYPOTHESIS_FIELDS),
    ):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="FIELD",
            help=f"the field that {what}; repeatable, the first that a file has; else {', '.join(names)}",
        )


def add_terms(parser: argparse.ArgumentParser) -> None:
    """`--terms`."""
    parser.add_argument(
        "--terms",
        type=Path,
        metavar="FILE",
        help=(
            "the terms to look for: a CSV with `term` and perhaps `entity_category`, or a term a line; gives the "
            "rows their terms where no row has a `term`"
        ),
    )


def add_normalizer(parser: argparse.ArgumentParser) -> None:
    """`--normalizer`."""
    parser.add_argument(
        "--normalizer",
        choices=sorted(NORMALIZERS),
        default=CLINICAL.name,
        help="what both texts go through before they are compared; %(default)s unless told otherwise",
    )


def add_seed(
    parser: argparse.ArgumentParser, *, default: int = 42, of: str = "of the intervals' bootstrap"
) -> None:
    """`--seed`."""
    parser.add_argument("--seed", type=_seed, default=default, help=f"{of}; %(default)s")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _SEED_DIGITS:
        raise argparse.ArgumentTypeError(
            f"found {text!r}; allowed: a whole number of at most {_SEED_DIGITS} digits, without a sign"
        )
    return int(text)


def fraction(text: str) -> float:
    """A number from 0 to 1, as an argument's type."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(
            f"found {text!r}; allowed: a fraction from 0 to 1, 0.01 is one hundredth"
        )
    return value


def at_least_one(text: str) -> int:
    """A whole number from 1, as an argument's type."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed: a whole number from 1")
    return int(text)


def field_names(options: argparse.Namespace) -> FieldNames:
    """The fields that were named."""
    return FieldNames(options.id_field, options.reference_field, options.hypothesis_field)


def listed_terms(options: argparse.Namespace) -> Mapping[str, str] | None:
    """The terms of `--terms`, each with its category."""
    return None if options.terms is None else read_terms(options.terms)
