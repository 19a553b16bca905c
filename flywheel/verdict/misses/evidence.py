"""What the rows of one term say about why it is missed: counts and phone distances, nothing concluded yet."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

from flywheel.pronunciation.lexicon import Candidate
from flywheel.scoring import term_found
from flywheel.verdict.misses.outcomes import Outcome, Speaker, speaker_by
from flywheel.verdict.misses.phones import phone_distance
from flywheel.verdict.misses.sounds import Sounds

__all__ = ["Proposal", "Tally", "TermEvidence", "evidence_of"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows in which a term was missed, of those in which it was spoken."""

    missed: int
    n: int

    @classmethod
    def of(cls, rows: Iterable[Outcome]) -> Self:
        """The tally of some rows."""
        missed = [row.missed for row in rows]
        return cls(sum(missed), len(missed))

    @property
    def rate(self) -> float:
        """The share that was missed; of no rows, 0."""
        return self.missed / self.n if self.n else 0.0

    def __str__(self) -> str:
        return f"{self.missed} of {self.n}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pronunciation that the lexicon proposes in place of the engine's.

    Args:
        candidate: what is proposed.
        distance: the phone distance between it and what was spoken.
        nearer_to_spoken: misses in which what was heard is nearer to what was spoken than to the candidate.
        nearer_to_candidate: misses in which it is the other way round.
    """

    candidate: Candidate
    distance: float
    nearer_to_spoken: int
    nearer_to_candidate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TermEvidence:
    """All that a cause is told from.

    Args:
        term: missed in at least one measured row.
        ipa_source: of most of its missed rows.
        ipa: what was spoken in these; empty where it cannot be read as phones.
        ipa_known: whether `ipa` is what was spoken, and not the embedded engine's reading in its place.
        clean, noisy: measured rows without and with noise.
        verified: clean rows with a verified pronunciation, people's own speech among them.
        engine: clean rows that an engine pronounced.
        known_voices, new_voices: measured rows of voices that training rows have, and of others.
        fine_tuned: whether the model was fine-tuned in this cycle.
        training_rows: rows with the term that it was fine-tuned on; 0 for a base.
        missed_before: how many of the measured rows the base missed.
        distances: the phone distance of each clean miss; of each noisy one where no clean row was missed.
        proposals: of the lexicon.
        confusions: other seeded terms that were written in its place, and in how many rows.
    """

    term: str
    ipa_source: str
    ipa: str
    ipa_known: bool
    clean: Tally
    noisy: Tally
    verified: Tally = Tally(0, 0)
    engine: Tally = Tally(0, 0)
    known_voices: Tally = Tally(0, 0)
    new_voices: Tally = Tally(0, 0)
    fine_tuned: bool = False
    training_rows: int = 0
    missed_before: int = 0
    distances: tuple[float, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    confusions: tuple[tuple[str, int], ...] = ()

    @property
    def speaker(self) -> Speaker:
        """Who answers for the pronunciation of most of the missed rows."""
        return speaker_by(self.ipa_source)

    @property
    def rows(self) -> int:
        """The measured rows of the term."""
        return self.clean.n + self.noisy.n

    @property
    def distance(self) -> float | None:
        """The median of `distances`, None where there are none."""
        return median(self.distances) if self.distances else None


def evidence_of(
    rows: Sequence[Outcome], sounds: Sounds, *, fine_tuned: bool, training_rows: int
) -> TermEvidence:
    """The evidence on one term.

    Args:
        rows: all rows of the term that were heard, of any subset; at least one measured one was missed.
        sounds: of the cycle.
        fine_tuned: whether the model was fine-tuned in this cycle.
        training_rows: rows with the term that it was fine-tuned on.
    """
    measured = [row for row in rows if row.measured]
    missed = [row for row in measured if row.missed]
    telling = [row for row in missed if row.clean] or missed
    term, source = rows[0].term, _most_frequent(row.row.ipa_source for row in missed)
    ipa = sounds.spoken(term, source)
    return TermEvidence(
        term=term,
        ipa_source=source,
        ipa=ipa or "",
        ipa_known=ipa is not None and sounds.known(term, source),
        clean=Tally.of(row for row in measured if row.clean),
        noisy=Tally.of(row for row in measured if not row.clean),
        verified=Tally.of(row for row in rows if _testifies(row) and row.speaker == "verified"),
        engine=Tally.of(row for row in rows if _testifies(row) and row.speaker == "engine"),
        known_voices=Tally.of(row for row in measured if not row.new_voice),
        new_voices=Tally.of(row for row in measured if row.new_voice),
        fine_tuned=fine_tuned,
        training_rows=training_rows,
        missed_before=sum(row.missed_before for row in measured),
        distances=tuple(each for row in telling if (each := sounds.distance_of(row)) is not None),
        proposals=() if ipa is None else _proposals(term, ipa, telling, sounds),
        confusions=_confusions(missed),
    )


def _testifies(row: Outcome) -> bool:
    """Whether a row says something about its pronunciation: people's speech does, though its misses are not counted."""
    return row.clean and (row.measured or row.row.is_human)


def _most_frequent(values: Iterable[str]) -> str:
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def _proposals(term: str, ipa: str, missed: Sequence[Outcome], sounds: Sounds) -> tuple[Proposal, ...]:
    heard = [row.score.heard for row in missed if row.score.heard is not None]
    proposals = []
    for candidate in sounds.candidates(term):
        nearer = Counter(
            to_spoken < to_candidate
            for text in heard
            if (to_spoken := sounds.distance(ipa, text)) is not None
            and (to_candidate := sounds.distance(candidate.ipa, text)) is not None
            and to_spoken != to_candidate
        )
        proposals.append(Proposal(candidate, phone_distance(ipa, candidate.ipa), nearer[True], nearer[False]))
    return tuple(proposals)


def _confusions(missed: Iterable[Outcome]) -> tuple[tuple[str, int], ...]:
    """The seeded terms that stand in the place of the missed one, the most frequent first."""
    counts = Counter(
        other
        for row in missed
        if row.score.heard
        for other in row.score.false_insertions
        if term_found(other, row.score.heard)
    )
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
