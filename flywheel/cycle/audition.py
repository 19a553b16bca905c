"""One audition of a cycle: from its lexicon and the verdicts to a page, to overrides and to an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flywheel.corpus.terms import read_term_seed
from flywheel.files.atomic import write_text
from flywheel.files.cycles import CycleFolder
from flywheel.files.markdown import inline, table
from flywheel.files.records import write_record
from flywheel.pronunciation.lexicon import read_lexicon
from flywheel.pronunciation.overrides import Override, append_override, read_overrides
from flywheel.report.audition.page import AuditionPage, render_page
from flywheel.scoring.numbers_as_text import counted
from flywheel.speech.audition.clips import (
    CLIPS,
    Speaker,
    plan_clips,
    publish_clips,
    reported_ipa,
    speak_clips,
)
from flywheel.speech.audition.judgements import Judgement, judge
from flywheel.speech.audition.policy import OFF, AuditionState, decide_audition, state_file
from flywheel.speech.audition.verdicts import read_verdicts

__all__ = ["AuditionFiles", "hold_audition", "open_ends_table"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class AuditionFiles:
    """What an audition reads and writes outside the cycle's folder, shared by all cycles.

    Args:
        verdicts: the CSV of verdicts, see `audition.verdicts`; only read.
        overrides: the CSV of overrides; an approved candidate is added to it.
    """

    verdicts: Path
    overrides: Path


def hold_audition(
    folder: CycleFolder, speaker: Speaker, files: AuditionFiles, *, policy: str, with_candidates: bool = True
) -> tuple[AuditionState, tuple[Judgement, ...]]:
    """Judge the cycle's pronunciations by the verdicts, make the page, and write and return the answer.

    With the policy `off` nothing is read or spoken. Candidates that were approved are added to the overrides, once;
    they count from the next time that pronunciations are chosen.

    Args:
        with_candidates: whether candidates get clips, too; where speech is paid they are paid as well.

    Raises:
        VerdictsError: the file of verdicts cannot be used.
        SpeechRefused: the engine could speak none of them.
    """
    page = folder.audition / "index.html"
    judgements: tuple[Judgement, ...] = ()
    unspoken: dict[str, str] = {}
    if policy != OFF:
        lexicon = read_lexicon(folder.pronunciations)
        verdicts = read_verdicts(files.verdicts)
        judgements = judge(lexicon, verdicts, engine=speaker.engine, voice=speaker.voice_id)
        _add_chosen(judgements, files.overrides, cycle=folder.cycle, log=speaker.log)
        heard = plan_clips(lexicon, speaker, with_candidates=with_candidates)
        faults = speak_clips(heard, speaker)
        unspoken = {
            each.pronunciation.words: faults[each.clip.file] for each in heard if each.clip.file in faults
        }
        publish_clips(heard, speaker, folder.audition / CLIPS, without=faults)
        shown = AuditionPage(
            cycle=folder.cycle,
            engine=speaker.engine,
            voice=speaker.voice_id,
            policy=policy,
            heard=heard,
            judgements=judgements,
            faults=faults,
            reported=reported_ipa(heard, speaker),
            categories={term.text: term.entity_category for term in read_term_seed(folder.term_seed)},
            verdicts=verdicts,
            verdicts_path=files.verdicts,
        )
        write_text(page, render_page(shown))
    state = decide_audition(policy, judgements, page=page, verdicts=files.verdicts, unspoken=unspoken)
    write_record(state_file(folder), state)
    return state, judgements


def _add_chosen(
    judgements: Sequence[Judgement], overrides: Path, *, cycle: str, log: Callable[[str], None]
) -> None:
    """Add each approved candidate to the overrides, unless the term has an override there already, which then is
    this one or another decision of a person's."""
    there = {each.term: each for each in read_overrides(overrides)}
    for each in judgements:
        candidate, verdict = each.chosen, each.verdict
        if candidate is None or verdict is None:
            continue
        held = there.get(verdict.term)
        if held is not None:
            if held.ipa != candidate.ipa:
                log(
                    f"{verdict.term}: {candidate.ipa} was approved, but {overrides} has {held.ipa} by "
                    f"{held.verified_by}, which holds; materialise pronunciations again and judge that"
                )
            continue
        reason = f"approved in the audition of {cycle}: {candidate.reason}"
        notes = " ".join((f"{reason}; {verdict.note}" if verdict.note else reason).split())
        append_override(
            overrides, Override(verdict.term, candidate.ipa, verdict.judged_by, verdict.judged_at, notes)
        )
        log(
            f"{verdict.term}: {candidate.ipa} was approved by {verdict.judged_by} and is in {overrides} now; it "
            "counts once pronunciations are materialised again"
        )


def open_ends_table(judgements: Sequence[Judgement]) -> str:
    """What is not approved as it is, the first 20, as a markdown table; a sentence where there is nothing."""
    open_ends = [each for each in judgements if each.status != "approved"]
    if not open_ends:
        return "Nothing is left to judge."
    # The sort keeps the lexicon's order; what a person turned down comes first.
    open_ends.sort(key=lambda each: each.status != "rejected")
    rows = [
        (
            inline(each.pronunciation.words),
            "a candidate is approved" if each.status == "chosen" else each.status,
            inline(each.pronunciation.ipa or "left to the engine"),
            each.pronunciation.ipa_source,
            inline(each.verdict.note if each.verdict else ""),
        )
        for each in open_ends[:_SHOWN]
    ]
    lines = table(("term", "status", "IPA", "ipa_source", "note"), rows, numbers_from=5)
    left_out = len(open_ends) - _SHOWN
    return f"{lines}\n\nand {counted(left_out, 'other')}" if left_out > 0 else lines
