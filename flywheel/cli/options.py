"""Options that several commands have."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from flywheel.cli.foreign_files import HYPOTHESIS_FIELDS, ID_FIELDS, REFERENCE_FIELDS
from flywheel.cli.pairing import FieldNames
from flywheel.cli.spoken_terms import read_terms
from flywheel.files.cycles import data_folder
from flywheel.scoring.normalizers import CLINICAL, NORMALIZERS

__all__ = [
    "FILES",
    "add_data",
    "add_fields",
    "add_json",
    "add_normalizer",
    "add_seed",
    "add_terms",
    "at_least_one",
    "field_names",
    "fraction",
    "listed_terms",
]

FILES = """\
Files are JSON Lines (a NeMo manifest, or what its transcription scripts write), CSV with a header (commas, semicolons
or tabs), Kaldi's `text` (an id, then words) or sclite's `.trn` (words, then the id in brackets), all in UTF-8. Rows
are paired by id, in any order. Where the id is a path, its file name without the suffix is enough if it is unique. A
row without a hypothesis counts as heard empty, and is named. It is an error if a hypothesis belongs to no row, if an
id occurs twice, or if it is not clear which field holds what."""


_SEED_DIGITS = 18  # of any 64 bits


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on standard output; notes go to standard error"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data`."""
    parser.add_argument(
        "--data",
        type=data_folder,
        default=data_folder(),
        metavar="DIR",
        help="the data folder (default: FLYWHEEL_DATA, or ./data)",
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
            help=f"the field that {what}; give several and the first that a file has counts (default: "
            f"{', '.join(names)})",
        )


def add_terms(parser: argparse.ArgumentParser) -> None:
    """`--terms`."""
    parser.add_argument(
        "--terms",
        type=Path,
        metavar="FILE",
        help=(
            "the terms to look for: a CSV with `term` and, if you like, `entity_category`, or one term a line; used "
            "where no row has a field `term`"
        ),
    )


def add_normalizer(parser: argparse.ArgumentParser) -> None:
    """`--normalizer`."""
    parser.add_argument(
        "--normalizer",
        choices=sorted(NORMALIZERS),
        default=CLINICAL.name,
        help="how both texts are normalised before they are compared (default: %(default)s)",
    )


def add_seed(
    parser: argparse.ArgumentParser,
    *,
    default: int = 42,
    of: str = "the seed of the bootstrap that gives the intervals",
) -> None:
    """`--seed`."""
    parser.add_argument("--seed", type=_seed, default=default, help=f"{of} (default: %(default)s)")


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
