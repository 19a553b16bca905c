"""One utterance scored: everything that any table or comparison needs of it, counted once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flywheel.scoring.doses import DoseErrors, dose_errors
from flywheel.scoring.errors import (
    Edit,
    ErrorCounts,
    TermStand,
    character_errors,
    counts_of_edits,
    edits_between,
    term_stand,
)
from flywheel.scoring.garbage_collection import no_cycle_collection
from flywheel.scoring.normalizers import CLINICAL, Normalizer
from flywheel.scoring.slices import HUMAN
from flywheel.scoring.term_matching import TermFinder, term_found
from flywheel.scoring.transcripts import ScoringError, Transcript

__all__ = ["RowScore", "score_rows"]


@dataclass(frozen=True, slots=True)
class RowScore:
    """The errors of one utterance, counted on normalised text.

    Args:
        transcript: the row as it was read.
        normalizer: label of the normaliser.
        reference, hypothesis: normalised.
        words, characters: errors of the whole row.
        term_missed: whether the hypothesis lacks the row's term; None for a row without term.
        term_words: errors on the words of the term; None for a row without term, and where normalising
            left the term unrecognisable in the reference.
        heard: what stands in the place of a missed term, empty where it was left out; None where the
            term was found or `term_words` is None.
        true_terms: how many seeded terms the hypothesis and the reference both hold.
        false_insertions: the seeded terms that the hypothesis holds and the reference does not.
        doses: what became of the reference's quantities; None where the normaliser leaves them unreadable, as
            that of the published recipe does (`0.5 mg` becomes `05 mg`): a count of those would be made up.
    """

    transcript: Transcript
    normalizer: str
    reference: str
    hypothesis: str
    words: ErrorCounts
    characters: ErrorCounts
    term_missed: bool | None
    term_words: ErrorCounts | None
    heard: str | None
    true_terms: int
    false_insertions: tuple[str, ...]
    doses: DoseErrors | None

    @property
    def id(self) -> str:
        """The id of the row."""
        return self.transcript.id

    @property
    def sentence_wrong(self) -> bool:
        """Whether reference and hypothesis differ at all: what the SER counts."""
        return self.reference != self.hypothesis

    @property
    def other_words(self) -> ErrorCounts | None:
        """Errors on the words that are not the term's; None where `term_words` is."""
        if self.term_words is None:
            return None
        return ErrorCounts(
            *(of_all - of_term for of_all, of_term in zip(self.words, self.term_words, strict=True))
        )

    @property
    def cluster(self) -> str:
        """Rows with the same label fail together, and are resampled together.

        People's speech clusters by who speaks: one speaker's rows share an accent, a microphone and a room, and a
        rate of it is about speakers who were not recorded. Rows that do not say who speaks are one cluster: they
        carry no interval. Synthetic speech clusters by term, since its voices are given while the terms stand for
        others; without a term by sentence.
        """
        row = self.transcript
        if row.subset == HUMAN:
            return f"speaker {row.voice_id}"
        return f"sentence {self.reference}" if row.term is None else f"term {row.term}"


def score_rows(
    rows: Iterable[Transcript], normalizer: Normalizer, terms: Iterable[str] = ()
) -> list[RowScore]:
    """The scores of the rows, in their order.

    Args:
        rows: the transcripts.
        normalizer: applied to references, hypotheses and terms alike.
        terms: the seeded terms to look for in hypotheses; the terms of the rows are added.

    Raises:
        ScoringError: names each term of which the normaliser leaves nothing.
    """
    rows = list(rows)
    spellings = _normalized_terms((*terms, *(row.term for row in rows if row.term is not None)), normalizer)
    seed = _SeededTerms(spellings)
    reads_doses = normalizer == CLINICAL
    # Voices and noise levels share their sentences, many are heard without error, and an error is often made again:
    # a reference is read once, and a pair of texts counted once.
    texts: dict[str, _Text] = {}
    counted: dict[tuple[str, str, str | None], _Counted] = {}
    scores = []
    with no_cycle_collection():
        for row in rows:
            reference = texts.get(row.text)
            if reference is None:
                reference = texts[row.text] = seed.read(normalizer(row.text))
            hypothesis = texts.get(row.pred_text)
            if hypothesis is None:
                heard = normalizer(row.pred_text)
                if heard == reference.text:
                    hypothesis = texts[row.pred_text] = reference
                else:
                    hypothesis = seed.read(heard)
            spelling = None if row.term is None else spellings[row.term]
            pair = (reference.text, hypothesis.text, spelling)
            errors = counted.get(pair)
            if errors is None:
                errors = counted[pair] = _counted(reference, hypothesis, spelling, reads_doses)
            scores.append(RowScore(row, normalizer.label, reference.text, hypothesis.text, *errors))
    return scores


@dataclass(frozen=True, slots=True)
class _Text:
    """A normalised text, its words, and the seeded terms that it holds."""

    text: str
    words: tuple[str, ...]
    terms: frozenset[str]


def _normalized_terms(terms: Iterable[str], normalizer: Normalizer) -> dict[str, str]:
    spellings = {term: normalizer(term) for term in dict.fromkeys(terms)}
    if lost := [term for term, spelling in spellings.items() if not spelling]:
        raise ScoringError(
            f"normalizer {normalizer.label}",
            [f"term {term!r}: nothing is left of it; a term needs a letter or a digit" for term in lost],
        )
    return spellings


class _SeededTerms:
    """Reads texts for the seeded terms that they hold."""

    def __init__(self, spellings: dict[str, str]) -> None:
        # Terms that normalise alike are one keyword; the first of them stands for all.
        first = {spelling: term for term, spelling in reversed(spellings.items())}
        self._finder = TermFinder(first.values(), spelling=spellings.__getitem__)

    def read(self, text: str) -> _Text:
        """`text` (normalised) with the terms that it holds."""
        words = tuple(text.split())
        return _Text(text, words, frozenset(self._finder.found_among(words)))


class _Counted(NamedTuple):
    """What a `RowScore` holds of a pair of texts, in its order."""

    words: ErrorCounts
    characters: ErrorCounts
    term_missed: bool | None
    term_words: ErrorCounts | None
    heard: str | None
    true_terms: int
    false_insertions: tuple[str, ...]
    doses: DoseErrors | None


def _counted(reference: _Text, hypothesis: _Text, spelling: str | None, reads_doses: bool) -> _Counted:
    edits: Sequence[Edit] = (
        () if reference.text == hypothesis.text else edits_between(reference.words, hypothesis.words)
    )
    missed = stand = None
    if spelling is not None:
        missed = not term_found(spelling, hypothesis.text)
        if edits:
            stand = term_stand(spelling, reference.words, hypothesis.words, edits)
        elif not missed:
            stand = TermStand(ErrorCounts(0, 0, 0, len(spelling.split())), spelling)
    true_terms = reference.terms & hypothesis.terms
    return _Counted(
        words=counts_of_edits(edits, len(reference.words)),
        characters=character_errors(reference.text, hypothesis.text),
        term_missed=missed,
        term_words=None if stand is None else stand.counts,
        heard=stand.heard if missed and stand is not None else None,
        true_terms=len(true_terms),
        false_insertions=tuple(sorted(hypothesis.terms - true_terms)),
        doses=dose_errors(reference.text, hypothesis.text) if reads_doses else None,
    )
