"""Whether a text holds a term: its words in order and adjacent, by a named rule of what the words of a text are.

    holds("given cefazolin, iv", "cefazolin", bare_words)    # True
    TermFinder(["cefazolin", "iron"]).found_in("cefa zolin")  # (): a pharmacy look-up would fail, too

Whole words only, whatever the rule: `cefazolin` is not found in `cefa zolin`, nor `statin` in `atorvastatin`.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

__all__ = [
    "TermFinder",
    "WordRule",
    "bare_words",
    "holds",
    "letter_words",
    "normalised_words",
    "plain_text",
    "term_found",
]

WordRule: TypeAlias = Callable[[str], Sequence[str]]
"""What the words of a text are."""

_EDGE_PUNCTUATION = re.compile(r"^\W+|\W+$")
_LETTERS_AND_DIGITS = re.compile(r"[^\W_]+")


def plain_text(text: str) -> str:
    """`text` in lower case with one space between words and none around: what terms are compared as."""
    return " ".join(text.lower().split())


def normalised_words(text: str) -> Sequence[str]:
    """Of a text that a normaliser made: what stands between spaces."""
    return text.split()


def bare_words(text: str) -> Sequence[str]:
    """Of a manifest's text: in lower case, without the punctuation at the ends of words.

    Punctuation inside a word counts, since a perfect transcript of ``cefazolin-induced`` would not be a hit for
    ``cefazolin`` either.
    """
    words = (_EDGE_PUNCTUATION.sub("", word) for word in unicodedata.normalize("NFKC", text).lower().split())
    return [word for word in words if word]


def letter_words(text: str) -> Sequence[str]:
    """Of any text, for leaks: runs of letters and digits without case or accents, so that nothing that sounds alike
    passes for different."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return _LETTERS_AND_DIGITS.findall(
        "".join(part for part in decomposed if not unicodedata.combining(part))
    )


def holds(text: str, term: str, words: WordRule) -> bool:
    """Whether `text` holds `term` by the rule `words`; a term without a word is held by nothing."""
    wanted = " ".join(words(term))
    return bool(wanted) and f" {wanted} " in f" {' '.join(words(text))} "


def term_found(term: str, hypothesis: str) -> bool:
    """`holds` for two texts that one normaliser made, where a term that is empty is a mistake of the caller's.

    Raises:
        ValueError: the term is empty: every hypothesis would hold it.
    """
    if not term:
        raise ValueError("an empty term cannot be looked for: it is in every hypothesis")
    return f" {term} " in f" {hypothesis} "


class TermFinder:
    """Finds which of many terms a text holds, by looking only at those that begin with one of its words.

    Args:
        terms: what to look for. A term without a word is never found.
        words: the rule for texts and spellings.
        spelling: what is looked for in place of a term, e.g. what a normaliser makes of it.
    """

    def __init__(
        self,
        terms: Iterable[str],
        words: WordRule = normalised_words,
        *,
        spelling: Callable[[str], str] = str,
    ) -> None:
        self._words = words
        self._rank = {term: rank for rank, term in enumerate(dict.fromkeys(terms))}
        self._by_first_word: dict[str, list[tuple[str, str]]] = {}
        for term in self._rank:
            if wanted := words(spelling(term)):
                self._by_first_word.setdefault(wanted[0], []).append((f" {' '.join(wanted)} ", term))
        self._first_words = frozenset(self._by_first_word)

    def found_in(self, text: str) -> tuple[str, ...]:
        """The terms that `text` holds, in the order in which they were given."""
        return self.found_among(self._words(text))

    def found_among(self, words: Sequence[str]) -> tuple[str, ...]:
        """The terms in a text whose words are known already."""
        first_words = self._first_words.intersection(words)
        if not first_words:
            return ()
        padded = f" {' '.join(words)} "
        found = (
            term
            for first in first_words
            for spelling, term in self._by_first_word[first]
            if spelling in padded
        )
        return tuple(sorted(found, key=self._rank.__getitem__))
