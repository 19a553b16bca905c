"""Errors between a reference and a hypothesis: counts first, rates from sums of counts.

Everything here takes normalised text (one space between words, none around) and agrees with jiwer 4,
which is built on the same rapidfuzz: same minimum, same choice among alignments that cost the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rapidfuzz.distance.Levenshtein import editops

__all__ = [
    "Edit",
    "ErrorCounts",
    "TermStand",
    "character_errors",
    "counts_of_edits",
    "edits_between",
    "substituted_with",
    "sum_counts",
    "term_stand",
    "word_errors",
]

Edit = tuple[str, int, int]
"""One edit: `replace`, `delete` or `insert`; the index in the reference, the index in the hypothesis."""


# A named tuple where the other value types are frozen dataclasses: three are made for each row, and it is
# made in less than half the time.
class ErrorCounts(NamedTuple):
    """What it takes to turn a reference into a hypothesis, in words or in characters."""

    substitutions: int
    deletions: int
    insertions: int
    reference_length: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors by reference length; can be above 1. Of an empty reference, as in jiwer, the insertions."""
        return self.errors / self.reference_length if self.reference_length else float(self.insertions)


# Half the time of calling the class; a noticeable part of what counting a short row takes.
_new_tuple = tuple.__new__


def sum_counts(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """The counts added up, field by field: what a micro average is the `rate` of."""
    substitutions = deletions = insertions = reference_length = 0
    for count in counts:
        substitutions += count.substitutions
        deletions += count.deletions
        insertions += count.insertions
        reference_length += count.reference_length
    return ErrorCounts(substitutions, deletions, insertions, reference_length)


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Word errors; words are what white space separates."""
    words = reference.split()
    if reference == hypothesis:
        return ErrorCounts(0, 0, 0, len(words))
    return counts_of_edits(edits_between(words, hypothesis.split()), len(words))


def character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Character errors, spaces between words included, white space around the text not."""
    reference, hypothesis = reference.strip(), hypothesis.strip()
    if reference == hypothesis:
        return ErrorCounts(0, 0, 0, len(reference))
    return counts_of_edits(edits_between(reference, hypothesis), len(reference))


def edits_between(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Edit]:
    """The edits of the minimal alignment of two lists of words, or of two texts by characters.

    In order, left to right; an insertion's index in the reference is that of what it stands before.
    """
    # rapidfuzz's stub promises `Editop` objects; `as_list` gives tuples.
    return editops(reference, hypothesis).as_list()  # type: ignore[return-value]


def counts_of_edits(edits: Sequence[Edit], reference_length: int) -> ErrorCounts:
    """The edits counted by kind."""
    substitutions = deletions = 0
    for kind, _, _ in edits:
        if kind == "replace":
            substitutions += 1
        elif kind == "delete":
            deletions += 1
    insertions = len(edits) - substitutions - deletions
    return _new_tuple(ErrorCounts, (substitutions, deletions, insertions, reference_length))


class TermStand(NamedTuple):
    """A term's place in an aligned pair: the errors on its words, and what stands there in the hypothesis."""

    counts: ErrorCounts
    heard: str


def term_stand(
    term: str, reference: Sequence[str], hypothesis: Sequence[str], edits: Sequence[Edit]
) -> TermStand | None:
    """Where the term's first occurrence in the reference went; None where the reference does not hold it.

    Args:
        term: normalised.
        reference, hypothesis: the words of the two.
        edits: `edits_between(reference, hypothesis)`.

    An inserted word belongs to the term where it stands inside it, or touches a word of it that is itself
    wrong: of `on cefazolin today` heard as `on cefa zolin today`, both `cefa` and `zolin` do.
    """
    words = term.split()
    start = _first_place(words, reference)
    if start is None:
        return None
    end = start + len(words)
    wrong = {place for kind, place, _ in edits if kind != "insert" and start <= place < end}
    first, last = start + (start not in wrong), end - (end - 1 not in wrong)
    substitutions = deletions = insertions = shift_before = 0
    for kind, place, _ in edits:
        if kind == "insert":
            insertions += first <= place <= last
            shift_before += place < first
        elif kind == "delete":
            deletions += start <= place < end
            shift_before -= place < start
        else:
            substitutions += start <= place < end
    heard_from = start + shift_before
    heard = hypothesis[heard_from : heard_from + len(words) + insertions - deletions]
    return TermStand(ErrorCounts(substitutions, deletions, insertions, len(words)), " ".join(heard))


def _first_place(words: list[str], text: Sequence[str]) -> int | None:
    for place, word in enumerate(text):
        if word == words[0] and list(text[place : place + len(words)]) == words:
            return place
    return None


def substituted_with(term: str, reference: str, hypothesis: str) -> str | None:
    """What stands in the hypothesis where the term stands in the reference; all three normalised.

    Empty where the term was deleted; None where the reference does not hold the term. Of several
    occurrences the first counts.
    """
    words, heard = reference.split(), hypothesis.split()
    stand = term_stand(term, words, heard, edits_between(words, heard))
    return None if stand is None else stand.heard
