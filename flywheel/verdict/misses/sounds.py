"""What was spoken and what was heard in the terms' places, as phones."""

from collections.abc import Callable
from functools import cache

from flywheel.errors import FlywheelError
from flywheel.pronunciation.lexicon import Candidate, Lexicon, g2p_source
from flywheel.verdict.misses.outcomes import Outcome
from flywheel.verdict.misses.phones import phone_distance

__all__ = ["Sounds"]

_READ_HERE = g2p_source("espeak")
"""The one `*_g2p` source whose pronunciations are known without listening."""


class Sounds:
    """Reads each text once and compares each pair once.

    Args:
        lexicon: the cycle's.
        phones: a text's pronunciation by the embedded engine's rules, in the project's IPA; `FlywheelError` for a
            sound that is none of the project's.
    """

    def __init__(self, lexicon: Lexicon, phones: Callable[[str], str]) -> None:
        self._entries = {entry.words: entry for entry in lexicon.entries}
        self._phones = phones
        # Bound to the instance, so that they end with it.
        self._read = cache(self._read_once)
        self.distance = cache(self._compared)
        """From a pronunciation to a text that was heard; None where the text has no phones."""

    def spoken(self, term: str, ipa_source: str) -> str | None:
        """How `term` was spoken: as prescribed, else as the embedded engine reads it; None where that has no phones."""
        return self._prescribed(term, ipa_source) or self._read(term) or None

    def known(self, term: str, ipa_source: str) -> bool:
        """Whether `spoken` is what was spoken; not where another engine, or an earlier lexicon, chose."""
        return ipa_source == _READ_HERE or self._prescribed(term, ipa_source) is not None

    def candidates(self, term: str) -> tuple[Candidate, ...]:
        """The pronunciations that the lexicon proposes for `term`."""
        return self._entries[term].candidates if term in self._entries else ()

    def distance_of(self, outcome: Outcome) -> float | None:
        """From what was spoken to what was heard in the term's place; None where that cannot be told."""
        spoken = self.spoken(outcome.term, outcome.row.ipa_source)
        heard = outcome.score.heard
        return None if spoken is None or heard is None else self.distance(spoken, heard)

    def _prescribed(self, term: str, ipa_source: str) -> str | None:
        entry = self._entries.get(term)
        return entry.ipa if entry is not None and entry.ipa_source == ipa_source else None

    def _compared(self, ipa: str, text: str) -> float | None:
        heard = self._read(text)
        return None if heard is None else phone_distance(ipa, heard)

    def _read_once(self, text: str) -> str | None:
        # A hypothesis may hold any letters, and so sounds that the project's phonemes do not cover.
        try:
            return self._phones(text)
        except FlywheelError:
            return None
