"""Which verdicts count for what a cycle has now."""

from dataclasses import replace

import pytest

from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation
from flywheel.speech.audition.judgements import Status, heard_as, judge
from flywheel.speech.audition.verdicts import Verdict

ENGINE, VOICE = "espeak 1.52.0/1", "espeak:en-us+m3"
OWN = Pronunciation("vancomycin", None, "espeak_g2p", candidates=(Candidate("ˌvæŋkəˈmaɪsən", "-mycin"),))
OVERRIDDEN = Pronunciation("vancomycin", "ˌvæŋkəˈmaɪsən", "override")


def said(verdict: str, ipa: str = "", at: str = "2026-01-31", **other: str) -> Verdict:
    heard = Verdict("vancomycin", verdict, ipa, "", "A. Person", at, "espeak_g2p", ENGINE, VOICE)
    return replace(heard, **other)  # type: ignore[arg-type]


CASES: dict[str, tuple[Pronunciation, list[Verdict], Status]] = {
    "nobody said anything": (OWN, [], "unjudged"),
    "approved as it is": (OWN, [said("approve")], "approved"),
    "rejected": (OWN, [said("reject")], "rejected"),
    "a candidate approved": (OWN, [said("approve", "ˌvæŋkəˈmaɪsən")], "chosen"),
    "a candidate approved, and an override since": (
        OVERRIDDEN,
        [said("reject"), said("approve", "ˌvæŋkəˈmaɪsən", at="2026-02-01")],
        "approved",
    ),
    "the dictionary's, the same as was approved as an override": (
        replace(OVERRIDDEN, ipa_source="merriam-webster"),
        [said("approve", "ˌvæŋkəˈmaɪsən", ipa_source="override")],
        "approved",
    ),
    "rejecting a candidate says nothing of the term": (OWN, [said("reject", "ˌvæŋkəˈmaɪsən")], "unjudged"),
    "another pronunciation was heard": (OWN, [said("approve", "ˈvæŋkoʊ")], "unjudged"),
    "the rules were heard before the override": (OVERRIDDEN, [said("approve")], "unjudged"),
    "another engine": (OWN, [said("approve", engine="hume 2/1")], "unjudged"),
    "another version": (OWN, [said("approve", engine="espeak 1.52.0/2")], "unjudged"),
    "another voice": (OWN, [said("approve", voice="espeak:en-us+f1")], "unjudged"),
    "another term": (OWN, [said("approve", term="gentamicin")], "unjudged"),
    "the latest counts": (OWN, [said("approve", at="2026-03-01"), said("reject")], "approved"),
    "of equally late ones the last counts": (OWN, [said("approve"), said("reject")], "rejected"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_judgement(case: str) -> None:
    entry, verdicts, status = CASES[case]
    (judgement,) = judge(Lexicon((entry,)), verdicts, engine=ENGINE, voice=VOICE)
    assert judgement.status == status
    assert judgement.pronunciation is entry
    assert (judgement.chosen is not None) == (status == "chosen")
    assert (judgement.verdict is None) == (status == "unjudged")


def test_what_was_said_of_another_pronunciation_is_kept_for_people() -> None:
    old = said("reject", note="the z")
    (judgement,) = judge(Lexicon((OVERRIDDEN,)), [old], engine=ENGINE, voice=VOICE)
    assert judgement.stale == old


def test_a_term_sounds_otherwise_when_one_of_its_words_is_prescribed() -> None:
    term = Pronunciation("vancomycin trough", None, "espeak_g2p")
    before, after = Lexicon((term,)), Lexicon((term, OVERRIDDEN))
    assert heard_as(term, before) == ""
    assert heard_as(term, after) == "/ˌvæŋkəˈmaɪsən/ trough"
    approved = [said("approve", term="vancomycin trough")]
    assert judge(before, approved, engine=ENGINE, voice=VOICE)[0].status == "approved"
    assert judge(after, approved, engine=ENGINE, voice=VOICE)[0].status == "unjudged"
