"""The pronunciations of a cycle: one for each term, and for other words that somebody has prescribed."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_jsonl, write_jsonl
from flywheel.pronunciation.prescriptions import Prescription, prescribed_in

__all__ = [
    "DICTIONARY",
    "OVERRIDE",
    "Candidate",
    "Lexicon",
    "Pronunciation",
    "g2p_source",
    "read_lexicon",
    "write_lexicon",
]

OVERRIDE = "override"
DICTIONARY = "merriam-webster"
"""Values of `ipa_source`; the third is `g2p_source` of the engine."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pronunciation that is proposed for a term and never used unasked; `reason` says where it comes from."""

    ipa: str
    reason: str


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """How one term or word is spoken.

    Args:
        words: lower case, one space between them; what is looked for in a sentence, whole words only.
        ipa: what is prescribed; None leaves it to the engine.
        ipa_source: `override`, `merriam-webster` or `<engine>_g2p`.
        is_term: False for a word of the sentences that has an override and is no term of the seed.
        candidates: only for what is left to the engine.
        notes: what is worth knowing, e.g. why the dictionary's entry could not be used; or empty.
    """

    words: str
    ipa: str | None
    ipa_source: str
    is_term: bool = True
    candidates: tuple[Candidate, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class Lexicon:
    """All pronunciations of a cycle, each of `words` once."""

    entries: tuple[Pronunciation, ...]

    @cached_property
    def _by_words(self) -> dict[str, Pronunciation]:
        return {entry.words: entry for entry in self.entries}

    @cached_property
    def _prescriptions(self) -> dict[str, Prescription]:
        return {
            entry.words: Prescription(entry.words, entry.ipa)
            for entry in self.entries
            if entry.ipa is not None
        }

    def prescribed_in(self, text: str) -> tuple[Prescription, ...]:
        """What is prescribed for `text`, in the order in which it stands there."""
        return prescribed_in(text, self._prescriptions)

    def source_of(self, term: str) -> str:
        """The `ipa_source` of a term; `FlywheelError` where the lexicon does not hold it."""
        if term not in self._by_words:
            raise FlywheelError(
                f"no pronunciation is known of the term {term!r}; materialise pronunciations again"
            )
        return self._by_words[term].ipa_source


def write_lexicon(path: Path, lexicon: Lexicon) -> None:
    """Write one JSON object an entry, whole file or nothing."""
    write_jsonl(path, (asdict(entry) for entry in lexicon.entries))


def read_lexicon(path: Path) -> Lexicon:
    """The lexicon that `write_lexicon` wrote; a file that is missing or is none is a `FlywheelError`."""
    entries: list[Pronunciation] = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            candidates = tuple(Candidate(**each) for each in row.pop("candidates"))
            entries.append(Pronunciation(**row, candidates=candidates))
        except (TypeError, KeyError, AttributeError):
            raise FlywheelError(
                f"{path}:{number}: not an entry of a lexicon; materialise pronunciations again"
            ) from None
    return Lexicon(tuple(entries))


def g2p_source(engine: str) -> str:
    """The `ipa_source` of a term whose pronunciation was left to the engine."""
    return f"{engine}_g2p"
