"""What people said of pronunciations that they heard: a CSV that only grows, shared by all cycles.

    term,verdict,ipa,note,judged_by,judged_at,ipa_source,engine,voice
    cefazolin,approve,sɛfˈæzəlɪn,,A. Person,2026-01-31T10:15:00Z,override,espeak 1.52.0/1,espeak:en-us+m3

The page of an audition writes such a file; it may take the place of the one that is there, or be added at its end,
header and all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from flywheel.errors import Problems
from flywheel.files.csv_table import CsvProblem, CsvRow, in_file_order, read_csv_table
from flywheel.scoring.term_matching import plain_text

__all__ = ["APPROVE", "COLUMNS", "REJECT", "Verdict", "VerdictsError", "read_verdicts"]

APPROVE = "approve"
REJECT = "reject"


class VerdictsError(Problems):
    """A file of verdicts that cannot be used: every problem of it, in file order."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one person said of one pronunciation of one term or word.

    Args:
        term: lower case, one space between words.
        verdict: `approve` or `reject`.
        ipa: what was heard; empty where the engine followed its own rules.
        note: for people.
        judged_by: the person.
        judged_at: a day or a moment, ISO 8601; UTC where it does not say.
        ipa_source: where what was heard came from, e.g. ``espeak_g2p`` or ``candidate``.
        engine: name and version of the engine that spoke.
        voice: `voice_id` of who spoke.
    """

    term: str
    verdict: str
    ipa: str
    note: str
    judged_by: str
    judged_at: str
    ipa_source: str
    engine: str
    voice: str

    @property
    def moment(self) -> datetime:
        """`judged_at`, comparable."""
        return _moment(self.judged_at)


COLUMNS = tuple(field.name for field in fields(Verdict))
_MAY_BE_EMPTY = {"ipa", "note"}


def read_verdicts(path: Path) -> tuple[Verdict, ...]:
    """All verdicts of a CSV with the header `COLUMNS`, in file order; none where there is no file yet.

    A line that repeats the header is skipped, so that files can be put one behind the other.

    Raises:
        VerdictsError: all problems of the file, each with line, field, value found and values allowed.
    """
    if not path.exists():
        return ()
    table = read_csv_table(path, COLUMNS)
    rows = [row for row in table.rows if tuple(row.values[name] for name in COLUMNS) != COLUMNS]
    problems = [*table.problems, *(problem for row in rows for problem in _row_problems(row))]
    if problems:
        raise VerdictsError(str(path), [str(problem) for problem in in_file_order(problems)])
    return tuple(Verdict(**row.values) for row in rows)


def _row_problems(row: CsvRow) -> Iterator[CsvProblem]:
    values = row.values
    for name in COLUMNS:
        if name not in _MAY_BE_EMPTY and not values[name].strip():
            yield CsvProblem(
                row.line, name, repr(values[name]), "a value", "fill it in, or leave the line out"
            )
    plain = plain_text(values["term"])
    if plain and values["term"] != plain:
        allowed = "lower case, one space between words"
        yield CsvProblem(row.line, "term", repr(values["term"]), allowed, f"write {plain!r}")
    if values["verdict"].strip() and values["verdict"] not in (APPROVE, REJECT):
        yield CsvProblem(row.line, "verdict", repr(values["verdict"]), f"{APPROVE}, {REJECT}")
    if values["judged_at"].strip():
        try:
            _moment(values["judged_at"])
        except ValueError:
            allowed = "a day such as 2026-01-31 or a moment such as 2026-01-31T10:15:00Z"
            yield CsvProblem(row.line, "judged_at", repr(values["judged_at"]), allowed)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
