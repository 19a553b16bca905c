"""The term seed: which clinical terms the flywheel is about, and the vocabularies that are fixed."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flywheel.errors import Problems
from flywheel.files.atomic import write_text
from flywheel.files.csv_table import CsvProblem, CsvRow, in_file_order, read_csv_table
from flywheel.scoring.term_matching import plain_text

__all__ = [
    "CONTEXT_TYPES",
    "ENTITY_CATEGORIES",
    "MAX_TERM_WORDS",
    "PRIORITY_CATEGORIES",
    "RECORDING",
    "Term",
    "TermSeedError",
    "read_term_seed",
    "write_term_seed",
]

ENTITY_CATEGORIES = ("drug", "procedure", "anatomy", "condition", "lab", "role")
PRIORITY_CATEGORIES = ("drug",)
"""The categories that the gate and the decision look at, unless a run says otherwise."""
CONTEXT_TYPES = ("dictation", "handoff", "chart_note", "history")

RECORDING = "recording"
"""The `ipa_source` of a recording: nobody prescribed how its speaker pronounces the term, and no engine chose it."""

# Carriers are sentences of 8 to 30 words; a longer term would drown the context it stands in.
MAX_TERM_WORDS = 5

_COLUMNS = ("term", "entity_category")
_TERM_SHAPE = re.compile(r"[a-z]+(?:['-][a-z]+)*(?: [a-z]+(?:['-][a-z]+)*)*")
_SMART_QUOTES = {"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "“": "", "”": "", "„": "", "«": "", "»": ""}
_ALLOWED_TERM = "lower case letters a to z, one space between words, ' and - inside a word"


@dataclass(frozen=True, slots=True)
class Term:
    """One clinical term: lower case, words separated by one space; one of `ENTITY_CATEGORIES`."""

    text: str
    entity_category: str


class TermSeedError(Problems):
    """A term seed that cannot be used: every problem of the file, in file order."""


def read_term_seed(path: Path) -> tuple[Term, ...]:
    """The terms of a seed CSV with the header ``term,entity_category``, in file order.

    A term is what is spoken, taught and searched for in hypotheses, so nothing is repaired silently:
    digits and symbols would be read aloud differently from how they are written, and upper case or
    doubled spaces would make two terms of one.

    Raises:
        TermSeedError: all problems of the file, each with line, field, value found and values allowed.
    """
    table = read_csv_table(path, _COLUMNS)
    problems = list(table.problems)
    first_lines: dict[str, int] = {}
    for row in table.rows:
        problems += _row_problems(row, first_lines)
    if not table.rows and not problems:
        advice = "add a line such as cefazolin,drug"
        problems.append(CsvProblem(0, "file", "a header without terms", "at least one term", advice))
    if problems:
        raise TermSeedError(str(path), [str(problem) for problem in in_file_order(problems)])
    return tuple(Term(row.values["term"], row.values["entity_category"]) for row in table.rows)


def write_term_seed(path: Path, terms: Iterable[Term]) -> None:
    """Write a seed that `read_term_seed` reads; a term needs no quoting."""
    lines = [",".join(_COLUMNS), *(f"{term.text},{term.entity_category}" for term in terms)]
    write_text(path, "\n".join(lines) + "\n")


def _row_problems(row: CsvRow, first_lines: dict[str, int]) -> Iterator[CsvProblem]:
    term, category = row.values["term"], row.values["entity_category"]
    yield from _term_problems(row.line, term)
    key = plain_text(term)
    if key:
        first = first_lines.setdefault(key, row.line)
        if first != row.line:
            allowed = f"each term once, whatever its category; first seen in line {first}"
            yield CsvProblem(row.line, "term", f"the duplicate {term!r}", allowed, "leave one of them out")
    if category not in ENTITY_CATEGORIES:
        meant = plain_text(category)
        advice = f"write {meant}" if meant in ENTITY_CATEGORIES else ""
        yield CsvProblem(row.line, "entity_category", repr(category), ", ".join(ENTITY_CATEGORIES), advice)


def _term_problems(line: int, term: str) -> Iterator[CsvProblem]:
    """What is wrong with one term; several kinds of wrong characters are several problems."""
    plain = plain_text(term)
    if not plain:
        yield CsvProblem(line, "term", repr(term), "a term", "fill it in, or leave the line out")
        return
    wrong = list(_character_problems(line, term, plain))
    yield from wrong
    if term != plain:
        found = f"upper case in {term!r}" if term != term.lower() else f"extra spaces in {term!r}"
        yield CsvProblem(line, "term", found, _ALLOWED_TERM, f"write {plain!r}" if not wrong else "")
    elif not wrong and not _TERM_SHAPE.fullmatch(plain):
        yield CsvProblem(line, "term", repr(term), _ALLOWED_TERM)
    if len(plain) == 1:
        yield CsvProblem(line, "term", repr(term), "2 letters or more", "spell it as it is spoken")
    words = len(plain.split(" "))
    if words > MAX_TERM_WORDS:
        yield CsvProblem(line, "term", f"{words} words in {term!r}", f"at most {MAX_TERM_WORDS} words")


def _character_problems(line: int, term: str, plain: str) -> Iterator[CsvProblem]:
    """One problem for each thing to do about characters that are not allowed."""
    names: dict[str, list[str]] = {}
    for character in sorted(set(re.sub(r"[a-z '-]", "", plain))):
        name = f"{character!r} (U+{ord(character):04X} {unicodedata.name(character, 'no name').lower()})"
        names.setdefault(_character_advice(character), []).append(name)
    for advice, found in names.items():
        yield CsvProblem(line, "term", f"{', '.join(found)} in {term!r}", _ALLOWED_TERM, advice)


def _character_advice(character: str) -> str:
    if character in _SMART_QUOTES:
        return "write the plain ' instead" if _SMART_QUOTES[character] else "leave the quotes out"
    if character.isdigit():
        return "spell numbers out as they are spoken"
    if character == ",":
        return "give each term a line of its own"
    bare = "".join(part for part in unicodedata.normalize("NFKD", character) if "a" <= part <= "z")
    return f"write {bare!r} instead" if bare else "leave it out, or write it as it is spoken"
