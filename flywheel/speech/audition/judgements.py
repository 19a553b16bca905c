"""What the verdicts mean for the pronunciations that a cycle has now."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation
from flywheel.pronunciation.prescriptions import with_prescriptions
from flywheel.speech.audition.verdicts import APPROVE, Verdict

__all__ = ["STATUSES", "Judgement", "Status", "heard_as", "judge"]

Status = Literal["unjudged", "rejected", "chosen", "approved"]

STATUSES: tuple[Status, ...] = ("unjudged", "rejected", "chosen", "approved")
"""In the order in which a person cares for them. `chosen`: one of the candidates was approved, and the
pronunciations have not been chosen again since."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How things stand with one pronunciation.

    Args:
        verdict: the one that counts; None where there is none.
        stale: the latest verdict on another pronunciation of the term, or on another engine or voice; only
            where there is none that counts.
    """

    pronunciation: Pronunciation
    status: Status
    verdict: Verdict | None = None
    stale: Verdict | None = None

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that was approved, where one was."""
        if self.status != "chosen" or self.verdict is None:
            return None
        return next(each for each in self.pronunciation.candidates if each.ipa == self.verdict.ipa)


def judge(lexicon: Lexicon, verdicts: Sequence[Verdict], *, engine: str, voice: str) -> tuple[Judgement, ...]:
    """A judgement for each entry of the lexicon, in its order.

    A verdict counts while pronunciation, engine (name and version) and voice are those that were heard; of several
    the latest counts, of equally late ones the last in the file. Where a pronunciation came from may change: a
    candidate that was approved is an override afterwards, and sounds the same.
    """
    by_term: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_term[verdict.term].append(verdict)
    judgements = []
    for entry in lexicon.entries:
        of_term, now = by_term[entry.words], heard_as(entry, lexicon)
        counting = [
            each
            for each in of_term
            if (each.engine, each.voice) == (engine, voice) and _is_about(each, entry, now)
        ]
        judgements.append(_judgement(entry, now, _latest(counting), _latest(of_term)))
    return tuple(judgements)


def heard_as(entry: Pronunciation, lexicon: Lexicon) -> str:
    """What a verdict on the entry is about: its IPA; empty where the engine follows its own rules; where only some
    of the words are prescribed, the words with the IPA of those between slashes."""
    if entry.ipa is not None:
        return entry.ipa
    prescribed = lexicon.prescribed_in(entry.words)
    return with_prescriptions(entry.words, prescribed, lambda ipa: f"/{ipa}/") if prescribed else ""


def _judgement(entry: Pronunciation, now: str, counts: Verdict | None, latest: Verdict | None) -> Judgement:
    if counts is None:
        return Judgement(entry, "unjudged", stale=latest)
    if counts.verdict != APPROVE:
        return Judgement(entry, "rejected", counts)
    return Judgement(entry, "approved" if counts.ipa == now else "chosen", counts)


def _is_about(verdict: Verdict, entry: Pronunciation, now: str) -> bool:
    """Whether it is about what can be heard of the entry now. Rejecting a candidate says nothing about the term."""
    approved = verdict.verdict == APPROVE
    return verdict.ipa == now or (approved and verdict.ipa in {each.ipa for each in entry.candidates})


def _latest(verdicts: Sequence[Verdict]) -> Verdict | None:
    # `max` keeps the first of equals, so the last in the file comes first here.
    return max(reversed(verdicts), key=lambda verdict: verdict.moment, default=None)
