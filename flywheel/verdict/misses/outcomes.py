"""One row of the manifest, and how the models did on it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from flywheel.corpus.manifest import ManifestRow
from flywheel.pronunciation.lexicon import DICTIONARY, OVERRIDE, g2p_source
from flywheel.scoring import RowScore, ScoringError
from flywheel.scoring.slices import HUMAN
from flywheel.scoring.transcripts import shown
from flywheel.speech.noise import CLEAN

__all__ = ["Outcome", "Speaker", "outcomes", "speaker_by"]

_MEASURED = ("validation", "unseen_term", "unseen_voice", "unseen_engine")
_NEW_VOICES = ("unseen_voice", "unseen_engine")
_BY_RULES = g2p_source("")

Speaker: TypeAlias = Literal["verified", "engine", "unknown"]
"""Who answers for a pronunciation: a person or a dictionary; an engine's own rules; nobody that is known."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One clinical row.

    Args:
        row: of the manifest.
        term: the row's.
        score: of the model whose misses are looked for.
        before: the base's; the same where nothing was trained.
    """

    row: ManifestRow
    term: str
    score: RowScore
    before: RowScore

    @property
    def missed(self) -> bool:
        """Whether the model missed the term."""
        return bool(self.score.term_missed)

    @property
    def missed_before(self) -> bool:
        """Whether the base missed it."""
        return bool(self.before.term_missed)

    @property
    def clean(self) -> bool:
        """Whether no noise was added."""
        return self.row.noise_level == CLEAN

    @property
    def measured(self) -> bool:
        """Whether the row was only measured on; people's speech, a measure of its own, is not counted in."""
        return self.row.subset in _MEASURED

    @property
    def new_voice(self) -> bool:
        """Whether no training row has its voice."""
        return self.row.subset in _NEW_VOICES

    @property
    def speaker(self) -> Speaker:
        """Who answers for how the term was pronounced; for their own speech people do."""
        return "verified" if self.row.subset == HUMAN else speaker_by(self.row.ipa_source)


def speaker_by(ipa_source: str) -> Speaker:
    """Who answers for pronunciations of an `ipa_source`."""
    if ipa_source in (OVERRIDE, DICTIONARY):
        return "verified"
    return "engine" if ipa_source.endswith(_BY_RULES) else "unknown"


def outcomes(
    rows: Iterable[ManifestRow], before: Sequence[RowScore], after: Sequence[RowScore] | None
) -> tuple[Outcome, ...]:
    """The clinical rows that were scored, in the order of the scores.

    Args:
        rows: of the manifest, each with the subset that the split gave it.
        before: the base's scores.
        after: the fine-tuned model's; None where nothing was trained.

    Raises:
        ScoringError: a scored row is not in the manifest or has another subset there; only one model heard a row.
    """
    manifest = {row.id: row for row in rows}
    base = {score.id: score for score in before}
    scores = before if after is None else after
    if problems := list(_problems(manifest, base, scores)):
        raise ScoringError("misses", problems)
    return tuple(
        Outcome(manifest[score.id], score.transcript.term, score, base[score.id])
        for score in scores
        if score.transcript.term is not None
    )


def _problems(
    manifest: Mapping[str, ManifestRow], base: Mapping[str, RowScore], scores: Sequence[RowScore]
) -> Iterator[str]:
    heard = {score.id: score for score in scores}
    again = "transcribe the same rows with both models"
    for ids, what, advice in (
        ([each for each in base if each not in heard], "were heard by the base alone", again),
        ([each for each in heard if each not in base], "were not heard by the base", again),
        ([each for each in heard if each not in manifest], "are not in the manifest", "give the rows scored"),
        (
            [
                each.id
                for each in scores
                if each.id in manifest and manifest[each.id].subset != each.transcript.subset
            ],
            "have another subset in the manifest",
            "give the rows after the split",
        ),
    ):
        if ids:
            yield f"{len(ids)} rows {what}: {shown(ids)}; {advice}"
