"""Sentences to be spoken: carriers with a gap for a term, general sentences without any, and their files."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from flywheel.corpus.terms import CONTEXT_TYPES, ENTITY_CATEGORIES, Term
from flywheel.errors import Problems
from flywheel.files import bundled
from flywheel.files.atomic import read_jsonl, write_jsonl
from flywheel.files.csv_table import CsvProblem, CsvRow, in_file_order, read_csv_table
from flywheel.scoring.term_matching import TermFinder

__all__ = [
    "BUNDLED_CARRIERS",
    "BUNDLED_GENERAL_SENTENCES",
    "CARRIER_WORDS",
    "GENERAL_WORDS",
    "MIN_CARRIERS",
    "WORDINGS",
    "Carrier",
    "GeneralSentence",
    "Sentence",
    "SentenceError",
    "compose_sentences",
    "read_carriers",
    "read_general_sentences",
    "read_sentences",
    "write_sentences",
]

BUNDLED_CARRIERS = bundled.path("carriers.csv")
BUNDLED_GENERAL_SENTENCES = bundled.path("general_sentences.csv")

WORDINGS = ("clinical", "everyday")
CARRIER_WORDS = range(8, 31)  # the term counts as one word
GENERAL_WORDS = range(6, 15)
MIN_CARRIERS = 4  # for each category and context

_GAP = "{term}"
_WORDS = re.compile(r"[a-z]+(?:'[a-z]+)*(?: [a-z]+(?:'[a-z]+)*)*")
_ALLOWED_WORDS = "lower case letters a to z, one space between words, ' inside a word, no other punctuation"
_KEYS = ("text", "context_type", "term", "entity_category")


@dataclass(frozen=True, slots=True)
class Carrier:
    """A sentence with the gap ``{term}``, for the terms of one category in one context."""

    entity_category: str
    context_type: str
    sentence: str

    def with_term(self, term: str) -> str:
        """The sentence as it is spoken with `term` in the gap."""
        return self.sentence.replace(_GAP, term)


@dataclass(frozen=True, slots=True)
class GeneralSentence:
    """A sentence about no term; `wording` is one of `WORDINGS`."""

    text: str
    wording: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is spoken in one utterance; a general sentence has no term, category and context (None)."""

    text: str
    context_type: str | None = None
    term: str | None = None
    entity_category: str | None = None


class SentenceError(Problems):
    """Sentences or carriers that cannot be used: every problem, in file order."""


def compose_sentences(
    terms: Sequence[Term], carriers: Sequence[Carrier], *, earlier: Sequence[Sentence] = ()
) -> tuple[Sentence, ...]:
    """One sentence for each term and context: terms in the order given, contexts as in `CONTEXT_TYPES`.

    Which four carriers a term gets depends on the term, its category, the carriers and the terms that
    are there, not on the order of any of them, nor on the machine. A term starts at the combination
    that the SHA-256 of its name points at and takes the first one that no other term of its category
    has. With c carriers in each cell that can be kept up for c**4 terms of a category (1296 with the
    bundled six); beyond that every combination is taken twice before any is taken three times.

    A carrier that holds one of the terms besides its gap is not used: its row would carry that term into
    rows of another one, and an unseen term into training.

    Args:
        terms: different terms.
        carriers: at least one usable one for each category of `terms` and each context.
        earlier: the sentences of an earlier cycle. A term that they hold in the same category keeps
            exactly its sentences; one whose category has changed is composed anew; terms no longer in
            `terms` and general sentences are left out. What is kept is kept whatever it holds, a term
            that the seed has gained since included: rows of an earlier cycle never change.

    Raises:
        SentenceError: a term has no usable carrier in a context, or its earlier sentences are not one for
            each context.
    """
    kept = _kept_sentences(terms, earlier)
    chosen = {term: tuple(kept[term]) for term in terms if term in kept}
    for category in dict.fromkeys(term.entity_category for term in terms):
        members = [term for term in terms if term.entity_category == category]
        if any(term not in kept for term in members):
            chosen |= _compose_category(members, _cells(category, carriers, terms), chosen)
    return tuple(sentence for term in terms for sentence in chosen[term])


@dataclass(frozen=True, slots=True)
class CycleSentences:
    """All that a cycle speaks: clinical sentences, then general ones; `warnings` say what was left out."""

    sentences: tuple[Sentence, ...]
    warnings: tuple[str, ...]


def cycle_sentences(
    terms: Sequence[Term], *, earlier: Sequence[Sentence] = (), general_file: Path = BUNDLED_GENERAL_SENTENCES
) -> CycleSentences:
    """The sentences of a cycle from the bundled carriers and the general sentences of `general_file`.

    A general sentence that holds one of the terms would be no control for forgetting: it is left out, with
    a warning. `earlier` and what is raised are as for `compose_sentences` and `read_general_sentences`.
    """
    clinical = compose_sentences(terms, read_carriers(), earlier=earlier)
    seeded = TermFinder(term.text for term in terms)
    general, warnings = [], []
    for sentence in read_general_sentences(general_file):
        if found := seeded.found_in(sentence.text):
            warnings.append(f"general sentence left out, it holds {', '.join(found)}: {sentence.text}")
        else:
            general.append(Sentence(sentence.text))
    return CycleSentences((*clinical, *general), tuple(warnings))


def read_carriers(path: Path = BUNDLED_CARRIERS) -> tuple[Carrier, ...]:
    """The carriers of a CSV with the header ``entity_category,context_type,sentence``, in file order.

    Each of the 24 cells of category and context needs `MIN_CARRIERS` different ones.

    Raises:
        SentenceError: all problems of the file, each with line, field, value found and values allowed.
    """
    table = read_csv_table(path, ("entity_category", "context_type", "sentence"))
    problems = list(table.problems)
    first_lines: dict[str, int] = {}
    for row in table.rows:
        problems += _vocabulary_problem(row, "entity_category", ENTITY_CATEGORIES)
        problems += _vocabulary_problem(row, "context_type", CONTEXT_TYPES)
        problems += _carrier_problems(row.line, row.values["sentence"])
        problems += _duplicate_problem(row, first_lines)
    # With lines that could not be read, which cells are short of carriers is not known.
    if not table.problems:
        problems += _short_cells(table.rows)
    _raise_problems(path, problems)
    return tuple(Carrier(**row.values) for row in table.rows)


def read_general_sentences(path: Path = BUNDLED_GENERAL_SENTENCES) -> tuple[GeneralSentence, ...]:
    """The sentences of a CSV with the header ``wording,sentence``, in file order.

    Raises:
        SentenceError: all problems of the file, each with line, field, value found and values allowed.
    """
    table = read_csv_table(path, ("wording", "sentence"))
    problems = list(table.problems)
    first_lines: dict[str, int] = {}
    for row in table.rows:
        problems += _vocabulary_problem(row, "wording", WORDINGS)
        problems += _wording_problems(row.line, row.values["sentence"], GENERAL_WORDS)
        problems += _duplicate_problem(row, first_lines)
    if not table.rows and not problems:
        problems.append(CsvProblem(0, "file", "a header without sentences", "at least one sentence"))
    _raise_problems(path, problems)
    return tuple(GeneralSentence(row.values["sentence"], row.values["wording"]) for row in table.rows)


def write_sentences(path: Path, sentences: Iterable[Sentence]) -> None:
    """Write one JSON object a sentence, whole file or nothing; what a general sentence lacks is left out."""
    rows = ({key: getattr(sentence, key) for key in _KEYS} for sentence in sentences)
    write_jsonl(path, ({key: value for key, value in row.items() if value is not None} for row in rows))


def read_sentences(path: Path) -> tuple[Sentence, ...]:
    """The sentences that `write_sentences` wrote, in file order.

    Raises:
        SentenceError: rows that are not sentences, all of them, each with row, field and value found.
        FlywheelError: the file is missing or is not JSON Lines.
    """
    rows = read_jsonl(path)
    problems = [problem for number, row in enumerate(rows, start=1) for problem in _row_problems(number, row)]
    if problems:
        raise SentenceError(str(path), problems)
    return tuple(Sentence(**row) for row in rows)


def _kept_sentences(terms: Sequence[Term], earlier: Sequence[Sentence]) -> dict[Term, list[Sentence]]:
    """The earlier sentences of those of `terms` that still have the same category, in order of context."""
    wanted = set(terms)
    kept: dict[Term, list[Sentence]] = {}
    for sentence in earlier:
        term = Term(sentence.term or "", sentence.entity_category or "")
        if term in wanted:
            kept.setdefault(term, []).append(sentence)
    problems = []
    for term, sentences in kept.items():
        contexts = [str(sentence.context_type) for sentence in sentences]
        if sorted(contexts) == sorted(CONTEXT_TYPES):
            sentences.sort(key=lambda sentence: CONTEXT_TYPES.index(str(sentence.context_type)))
        else:
            found, allowed = ", ".join(contexts), ", ".join(CONTEXT_TYPES)
            problems.append(f"{term.text!r}, context_type: found {found}; allowed: {allowed}, each once")
    if problems:
        raise SentenceError("earlier sentences", problems)
    return kept


def _cells(category: str, carriers: Sequence[Carrier], terms: Sequence[Term]) -> tuple[list[Carrier], ...]:
    """The usable carriers of `category` for each context, sorted: their order in a file decides nothing."""
    named = TermFinder(term.text for term in terms)
    of_category = [carrier for carrier in carriers if carrier.entity_category == category]
    cells, problems = [], []
    for context in CONTEXT_TYPES:
        found = sorted({carrier.sentence for carrier in of_category if carrier.context_type == context})
        usable = [text for text in found if not named.found_in(text)]
        cells.append([Carrier(category, context, text) for text in usable])
        if not usable:
            holding = f", {len(found)} of which hold one of the terms" if found else ""
            problems.append(
                f"{category}, {context}: found {len(found)} carriers{holding}; "
                "allowed: at least one without a term; add a carrier to the carriers file"
            )
    if problems:
        raise SentenceError("carriers", problems)
    return tuple(cells)


def _compose_category(
    terms: Sequence[Term], cells: Sequence[Sequence[Carrier]], kept: Mapping[Term, Sequence[Sentence]]
) -> dict[Term, tuple[Sentence, ...]]:
    """The sentences of those of one category's terms that are not kept from an earlier cycle."""
    total = prod(len(cell) for cell in cells)
    uses: Counter[int] = Counter()
    for term in terms:
        if term in kept:
            place = _combination_of(term, kept[term], cells)
            uses.update([] if place is None else [place])
    composed = {}
    for term in sorted((term for term in terms if term not in kept), key=lambda term: term.text):
        digest = hashlib.sha256(f"{term.entity_category}\0{term.text}".encode()).digest()
        place = int.from_bytes(digest) % total
        least = 0 if len(uses) < total else min(uses.values())
        while uses[place] > least:
            place = (place + 1) % total
        uses[place] += 1
        composed[term] = tuple(
            Sentence(carrier.with_term(term.text), carrier.context_type, term.text, term.entity_category)
            for carrier in _combination(place, cells)
        )
    return composed


def _combination(place: int, cells: Sequence[Sequence[Carrier]]) -> Iterator[Carrier]:
    """One carrier of each cell: `place` read as a number whose digits count in the sizes of the cells."""
    for cell in cells:
        place, index = divmod(place, len(cell))
        yield cell[index]


def _combination_of(
    term: Term, sentences: Sequence[Sentence], cells: Sequence[Sequence[Carrier]]
) -> int | None:
    """The place of the combination that `sentences` were made of; None if a carrier is no longer there."""
    place, unit = 0, 1
    for sentence, cell in zip(sentences, cells, strict=True):
        texts = [carrier.with_term(term.text) for carrier in cell]
        if sentence.text not in texts:
            return None
        place += unit * texts.index(sentence.text)
        unit *= len(cell)
    return place


def _vocabulary_problem(row: CsvRow, field: str, allowed: Sequence[str]) -> Iterator[CsvProblem]:
    if row.values[field] not in allowed:
        yield CsvProblem(row.line, field, repr(row.values[field]), ", ".join(allowed))


def _duplicate_problem(row: CsvRow, first_lines: dict[str, int]) -> Iterator[CsvProblem]:
    sentence = row.values["sentence"]
    first = first_lines.setdefault(sentence, row.line)
    if first != row.line:
        allowed = f"each sentence once; first seen in line {first}"
        yield CsvProblem(row.line, "sentence", f"the duplicate {sentence!r}", allowed)


def _wording_problems(line: int, words: str, count: range) -> Iterator[CsvProblem]:
    """What is wrong with the characters and the number of words of a sentence without a gap."""
    if not _WORDS.fullmatch(words):
        advice = "write numbers and abbreviations as they are spoken"
        yield CsvProblem(line, "sentence", repr(words), _ALLOWED_WORDS, advice)
    found = len(words.split())
    if found not in count:
        yield CsvProblem(line, "sentence", f"{found} words", f"{count.start} to {count.stop - 1} words")


def _carrier_problems(line: int, sentence: str) -> Iterator[CsvProblem]:
    words = sentence.split(" ")
    if sentence.count(_GAP) != 1 or words.count(_GAP) != 1:
        allowed = f"{_GAP} once, as a word of its own"
        yield CsvProblem(line, "sentence", repr(sentence), allowed)
        return
    before = words[: words.index(_GAP)]
    if before and before[-1] in ("a", "an"):
        found = f"{before[-1]!r} before {_GAP}"
        advice = "it is wrong for a term that begins with the other kind of sound"
        yield CsvProblem(line, "sentence", found, "no 'a' or 'an' before the gap", advice)
    yield from _wording_problems(line, sentence.replace(_GAP, "term"), CARRIER_WORDS)


def _short_cells(rows: Sequence[CsvRow]) -> Iterator[CsvProblem]:
    different = {row.values["sentence"]: row.values for row in reversed(rows)}
    counts = Counter((values["entity_category"], values["context_type"]) for values in different.values())
    for category in ENTITY_CATEGORIES:
        for context in CONTEXT_TYPES:
            if (found := counts[category, context]) < MIN_CARRIERS:
                allowed = f"{MIN_CARRIERS} different carriers or more for each category and context"
                yield CsvProblem(0, f"{category}, {context}", f"{found} carriers", allowed)


def _row_problems(number: int, row: Mapping[str, Any]) -> Iterator[str]:
    """What keeps one object of a sentences file from being a `Sentence`."""
    place = f"row {number}"
    if unknown := sorted(row.keys() - set(_KEYS)):
        yield f"{place}: found the fields {', '.join(unknown)}; allowed: {', '.join(_KEYS)}"
    if wrong := [key for key in _KEYS if not isinstance(row.get(key), str | None)]:
        yield f"{place}, {', '.join(wrong)}: found another type than text; allowed: text"
        return
    if not (row.get("text") or "").strip():
        yield f"{place}, text: found {row.get('text')!r}; allowed: a sentence"
    clinical = [key for key in _KEYS[1:] if row.get(key) is not None]
    if clinical and len(clinical) < len(_KEYS) - 1:
        yield f"{place}: found only {', '.join(clinical)}; allowed: all of {', '.join(_KEYS[1:])}, or none"
    for key, allowed in (("context_type", CONTEXT_TYPES), ("entity_category", ENTITY_CATEGORIES)):
        if row.get(key) is not None and row[key] not in allowed:
            yield f"{place}, {key}: found {row[key]!r}; allowed: {', '.join(allowed)}"


def _raise_problems(path: Path, problems: Sequence[CsvProblem]) -> None:
    if problems:
        raise SentenceError(str(path), [str(problem) for problem in in_file_order(problems)])
