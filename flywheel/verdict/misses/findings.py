"""What went wrong, as `misses.json` holds it: the terms that a model misses, and the rows to listen to."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Cause", "HeardInstead", "MissedTerm", "Misses", "RowToHear"]

Cause: TypeAlias = Literal["model", "pronunciation", "noise"]
"""Where a miss is mended: by training, by a pronunciation that somebody checks, or by speech with less noise."""


@dataclass(frozen=True, slots=True)
class HeardInstead:
    """One text that was heard in a term's place.

    Args:
        text: normalised; empty where the term was left out.
        count: rows in which it was heard.
        phone_distance: from what was spoken, 0 (sounds the same) to 1; None where the row's text does not hold the
            term as it is normalised, or where a pronunciation cannot be read as phones.
    """

    text: str
    count: int
    phone_distance: float | None = None


@dataclass(frozen=True, slots=True)
class MissedTerm:
    """One term that was missed at least once, and what the misses have in common.

    Args:
        term, entity_category: of the rows.
        ipa_source: of the rows; where they have several, the one that most missed rows have.
        ipa: what was spoken: the prescribed pronunciation, else the engine's own reading of the term.
        missed, n: rows in which it was missed, of those in which it was spoken.
        heard: what was heard instead, the most frequent first.
        cause: what the numbers point to; `model` where they do not tell.
        why: one sentence, with its numbers.
    """

    term: str
    entity_category: str
    ipa_source: str
    ipa: str
    missed: int
    n: int
    heard: tuple[HeardInstead, ...]
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class RowToHear:
    """One missed row that is worth listening to.

    Args:
        id, term, subset, voice_id, noise_level, ipa_source, audio_filepath: the manifest's.
        reference, hypothesis: normalised.
        before: the base's hypothesis, normalised; equal to `hypothesis` where nothing was trained.
        heard: what stands in the term's place; empty where it was left out.
        phone_distance: from what was spoken to `heard`, as in `HeardInstead`.
    """

    id: str
    term: str
    subset: str
    voice_id: str
    noise_level: str
    ipa_source: str
    reference: str
    hypothesis: str
    before: str
    heard: str
    phone_distance: float | None
    audio_filepath: str


@dataclass(frozen=True, slots=True)
class Misses:
    """What `model` missed of the rows that were only measured on: terms and rows, worst first."""

    model: str
    terms: tuple[MissedTerm, ...]
    rows: tuple[RowToHear, ...]
