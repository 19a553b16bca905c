"""Pronunciations that a person has verified: a CSV that is only ever added to.

    term,ipa,verified_by,verified_at,notes
    cefazolin,sɛˈfæzəlɪn,a pharmacist,2026-03-01,as on the ward

A later line of the same words supersedes an earlier one, which stays as the record of what was spoken before.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

from flywheel.errors import FlywheelError, Problems
from flywheel.files.atomic import write_bytes
from flywheel.files.csv_table import CsvProblem, in_file_order, read_csv_table
from flywheel.files.locks import held
from flywheel.pronunciation.ipa import normalised_ipa
from flywheel.scoring.term_matching import plain_text

__all__ = ["Override", "OverridesError", "append_override", "read_overrides"]

# What is looked for in a sentence is words of these, so anything else would never be found there.
_WORDS = re.compile(r"[^\W_]+(?:['-][^\W_]+)*(?: [^\W_]+(?:['-][^\W_]+)*)*")
_BREAKS = re.compile(r"[\r\n\0\ufeff]")
_ALLOWED_WORDS = "letters and digits, one space between words, the plain ' and - inside a word"


@dataclass(frozen=True, slots=True)
class Override:
    """One line of the file.

    Args:
        term: words as they stand in sentences, whatever their case; they need not be a term of the seed.
        ipa: how they are spoken.
        verified_by: who says so.
        verified_at: when, an ISO 8601 date or date and time.
        notes: anything, in one line; or empty.
    """

    term: str
    ipa: str
    verified_by: str
    verified_at: str
    notes: str = ""


_COLUMNS = tuple(field.name for field in fields(Override))


class OverridesError(Problems):
    """Overrides that cannot be used: every problem of the file, in file order."""


def read_overrides(path: Path) -> tuple[Override, ...]:
    """The overrides that hold, in the order of their lines; no file is no overrides.

    `term` comes in lower case with one space between words, `ipa` as `normalised_ipa` gives it.

    Raises:
        OverridesError: all problems of the file, each with line, field, value found and values allowed.
    """
    if not path.exists():
        return ()
    table = read_csv_table(path, _COLUMNS)
    problems = [*table.problems, *(each for row in table.rows for each in _problems(row.line, row.values))]
    if problems:
        raise OverridesError(str(path), [str(problem) for problem in in_file_order(problems)])
    holding: dict[str, Override] = {}
    for row in table.rows:
        term = plain_text(row.values["term"])
        holding.pop(term, None)
        holding[term] = Override(**{**row.values, "term": term, "ipa": normalised_ipa(row.values["ipa"])})
    return tuple(holding.values())


def append_override(path: Path, override: Override) -> None:
    """Add a line to the file, which is made with its header if need be; what stands there stays as it is.

    Processes may add at once, and a killed one leaves the file as it was.

    Raises:
        OverridesError: `override` is not fit for the file, or the file already has problems; nothing is written.
    """
    values = asdict(override)
    problems = [str(problem) for problem in _problems(0, values)]
    if problems:
        raise OverridesError(f"{path}: the override of {override.term!r} was not added", problems)
    values |= {"term": plain_text(override.term), "ipa": normalised_ipa(override.ipa)}
    with held(path.with_name(f".{path.name}.lock")):
        before = path.read_bytes() if path.exists() else b""
        if before.strip():
            read_overrides(path)
            before += b"" if before.endswith((b"\n", b"\r")) else b"\n"
        else:
            before = f"{','.join(_COLUMNS)}\n".encode()
        write_bytes(path, before + _line(values).encode())


def _line(values: Mapping[str, str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([values[name] for name in _COLUMNS])
    return text.getvalue()


def _problems(line: int, values: Mapping[str, str]) -> Iterator[CsvProblem]:
    term = plain_text(values["term"])
    if not _WORDS.fullmatch(term):
        yield CsvProblem(line, "term", repr(values["term"]), _ALLOWED_WORDS)
    try:
        normalised_ipa(values["ipa"])
    except FlywheelError as error:
        yield CsvProblem(line, "ipa", repr(values["ipa"]), "IPA of General American", str(error))
    if not values["verified_by"].strip():
        yield CsvProblem(line, "verified_by", repr(values["verified_by"]), "who verified it", "fill it in")
    try:
        datetime.fromisoformat(values["verified_at"])
    except ValueError:
        allowed = "an ISO 8601 date, or date and time"
        yield CsvProblem(line, "verified_at", repr(values["verified_at"]), allowed, "write e.g. 2026-03-01")
    for name in ("verified_by", "notes"):
        if _BREAKS.search(values[name]):
            yield CsvProblem(line, name, repr(values[name]), "one line of text")
