"""Which cause is told from which evidence, and in which words."""

from dataclasses import replace

import pytest

from flywheel.pronunciation.lexicon import Candidate
from flywheel.verdict.misses.causes import Peers, cause_of, chance_of_so_few
from flywheel.verdict.misses.evidence import Proposal, Tally, TermEvidence
from flywheel.verdict.misses.findings import Cause

NO_PEERS = Peers(Tally(0, 0), Tally(0, 0))
PRONUNCIATION_CASE = Peers(verified=Tally(1, 20), engine=Tally(25, 30))

BASE = TermEvidence(
    term="sarcoidosis",
    ipa_source="espeak_g2p",
    ipa="ˌsɑɹkɔɪˈdoʊsɪs",
    ipa_known=True,
    clean=Tally(8, 8),
    noisy=Tally(8, 8),
    engine=Tally(8, 8),
    known_voices=Tally(16, 16),
    missed_before=16,
    distances=(0.1, 0.3, 0.8),
)
"""Missed everywhere by a base, which says nothing about why."""
UNSEEN = replace(BASE, fine_tuned=True)
TAUGHT = replace(UNSEEN, training_rows=12)
DROPPED = replace(BASE, term="furosemide", ipa="ˈfjʊɹoʊˌsmaɪd")
PROPOSED = replace(
    BASE,
    term="dalteparin",
    ipa="ˈdɔltɪpɚˌɹɪn",
    distances=(0.1, 0.1, 0.2),
    proposals=(
        Proposal(
            Candidate("ˌdɔltˈpɛɹən", "clinical suffix -parin"),
            0.14,
            nearer_to_spoken=6,
            nearer_to_candidate=1,
        ),
    ),
)
TWO_WAYS = replace(BASE, clean=Tally(7, 14), verified=Tally(0, 6), engine=Tally(7, 8))


def proposal(**changes: object) -> TermEvidence:
    return replace(PROPOSED, proposals=(replace(PROPOSED.proposals[0], **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("evidence", "peers", "cause", "said"),
    [
        # 1: the noise
        (
            replace(BASE, clean=Tally(0, 12), noisy=Tally(9, 16)),
            NO_PEERS,
            "noise",
            "Found in all 12 clean rows and missed in 9 of 16 noisy rows: in noise alone, which chance hardly "
            "explains (p = 0.002).",
        ),
        (
            replace(BASE, clean=Tally(0, 6), noisy=Tally(1, 6)),
            NO_PEERS,
            "noise",
            "Found in all 6 clean rows and missed in 1 of 6 noisy rows: in noise alone, though a single miss may fall "
            "there by chance (p = 0.500).",
        ),
        (
            replace(BASE, clean=Tally(0, 1), noisy=Tally(2, 3)),
            NO_PEERS,
            "noise",
            "Found in the only clean row and missed in 2 of 3 noisy rows: in noise alone, though 2 misses may fall "
            "there by chance (p = 0.500); too few rows (n = 4; 12 needed) to be sure of it.",
        ),
        # 2: a verified pronunciation is not to blame, whatever else is odd
        (
            replace(
                DROPPED, ipa_source="override", verified=Tally(8, 8), engine=Tally(0, 0), distances=(0.1, 0.2)
            ),
            PRONUNCIATION_CASE,
            "model",
            "Missed in 8 of 8 clean rows and 8 of 8 noisy ones; its pronunciation is verified (`override`), so that "
            "the speech is not to blame; what it writes sounds close to what was spoken (median phone distance 0.15, "
            "n = 2).",
        ),
        # 3: the same term, spoken in both ways
        (
            TWO_WAYS,
            NO_PEERS,
            "pronunciation",
            "Missed in 7 of 8 clean rows that the engine pronounced and in 0 of 6 with a verified pronunciation, which "
            "chance hardly explains (p = 0.002): speak all rows with the verified one.",
        ),
        (
            replace(TWO_WAYS, verified=Tally(0, 1), engine=Tally(2, 4)),
            NO_PEERS,
            "pronunciation",
            "Missed in 2 of 4 clean rows that the engine pronounced and in 0 of 1 with a verified pronunciation, "
            "though 2 misses may fall there by chance (p = 0.600): speak all rows with the verified one.",
        ),
        (
            replace(TWO_WAYS, verified=Tally(5, 6)),
            PRONUNCIATION_CASE,
            "model",
            "Missed in 7 of 8 clean rows that the engine pronounced and in 5 of 6 with a verified pronunciation, too; "
            "so the engine's pronunciation alone does not explain it.",
        ),
        # 4a: a syllable that nobody speaks
        (
            DROPPED,
            NO_PEERS,
            "pronunciation",
            "Missed in 8 of 8 clean rows and 8 of 8 noisy ones; the engine speaks `furosemide` with 3 vowels "
            "(`ˈfjʊɹoʊˌsmaɪd`) where its spelling shows 4, so that it probably leaves a syllable out: listen to one "
            "clean row and, if so, write an override before the model is blamed.",
        ),
        # 4b: the lexicon knows better, and the model heard what was said
        (
            PROPOSED,
            NO_PEERS,
            "pronunciation",
            "Missed in 8 of 8 clean rows and 8 of 8 noisy ones; the engine says `ˈdɔltɪpɚˌɹɪn`, clinical suffix -parin "
            "suggests `ˌdɔltˈpɛɹən` (phone distance 0.14), and what was heard follows the engine in 6 of the 7 misses "
            "that tell: listen to both and write an override.",
        ),
        # 4c: the gate's pronunciation case
        (
            UNSEEN,
            PRONUNCIATION_CASE,
            "pronunciation",
            "Missed in 8 of 8 clean rows and 8 of 8 noisy ones, and no training row holds it; over all terms 1 of 20 "
            "clean rows with a verified pronunciation are missed and 25 of 30 that an engine pronounced, which points "
            "to the engine: listen to one clean row and, if the word is said wrongly, write an override.",
        ),
        # 5: the model, or nobody knows
        (
            UNSEEN,
            NO_PEERS,
            "model",
            "Missed in 8 of 8 clean rows and 8 of 8 noisy ones, and no training row holds it; what it writes sounds "
            "partly like what was spoken (median phone distance 0.30, n = 3); listen to one clean row: whether the "
            "engine says the word rightly these numbers do not tell.",
        ),
        (
            replace(TAUGHT, clean=Tally(1, 8), noisy=Tally(3, 8), distances=(0.02,)),
            NO_PEERS,
            "model",
            "Missed in 1 of 8 clean rows and 3 of 8 noisy ones after training on 12 rows with it (before: 16 of 16); "
            "what it writes sounds close to what was spoken (median phone distance 0.02, n = 1).",
        ),
        (
            replace(TAUGHT, clean=Tally(3, 6), known_voices=Tally(0, 8), new_voices=Tally(6, 8)),
            NO_PEERS,
            "model",
            "Found in all 8 rows of voices that it was trained on and missed in 6 of 8 rows of other voices: in these "
            "alone, which chance hardly explains (p = 0.003); what it writes sounds partly like what was spoken "
            "(median phone distance 0.30, n = 3).",
        ),
        (
            replace(
                BASE,
                clean=Tally(0, 0),
                noisy=Tally(2, 3),
                distances=(0.9, 1.0),
                confusions=(("losartan", 2),),
            ),
            NO_PEERS,
            "model",
            "Missed in 2 of 3 noisy rows, all there are; in 2 rows it writes `losartan`, another term of the "
            "seed; what it writes sounds unlike what was spoken (median phone distance 0.95, n = 2); listen to one "
            "row: whether the engine says the word rightly these numbers do not tell; too few rows (n = 3; 12 needed) "
            "to be sure of it.",
        ),
        (
            replace(BASE, ipa_source="recording", distances=()),
            PRONUNCIATION_CASE,
            "model",
            "Missed in 8 of 8 clean rows and 8 of 8 noisy ones; who pronounced it (`recording`) is not known here: "
            "listen to how it is said.",
        ),
    ],
)
def test_a_cause_is_told_in_a_sentence(evidence: TermEvidence, peers: Peers, cause: Cause, said: str) -> None:
    verdict = cause_of(evidence, peers)
    assert (verdict.cause, verdict.why) == (cause, said)


@pytest.mark.parametrize(
    ("evidence", "peers"),
    [
        pytest.param(
            replace(DROPPED, fine_tuned=True, training_rows=12), NO_PEERS, id="it was taught these sounds"
        ),
        pytest.param(replace(DROPPED, ipa_known=False), NO_PEERS, id="another engine spoke"),
        pytest.param(replace(DROPPED, clean=Tally(2, 8)), NO_PEERS, id="most clean rows are found"),
        pytest.param(proposal(distance=0.05), NO_PEERS, id="the candidate is much the same"),
        pytest.param(
            proposal(nearer_to_spoken=1, nearer_to_candidate=6), NO_PEERS, id="the candidate was heard"
        ),
        pytest.param(proposal(nearer_to_spoken=0, nearer_to_candidate=0), NO_PEERS, id="nothing tells"),
        pytest.param(replace(PROPOSED, distances=(0.6,)), NO_PEERS, id="what was heard is far from both"),
        pytest.param(TAUGHT, PRONUNCIATION_CASE, id="the case is over what was not taught"),
        pytest.param(UNSEEN, Peers(Tally(0, 11), Tally(25, 30)), id="few verified rows"),
        pytest.param(UNSEEN, Peers(Tally(8, 20), Tally(25, 30)), id="verified rows are missed, too"),
        pytest.param(UNSEEN, Peers(Tally(1, 20), Tally(5, 30)), id="other terms of the engine are found"),
        pytest.param(replace(TWO_WAYS, engine=Tally(2, 8)), NO_PEERS, id="the engine's rows are found, too"),
    ],
)
def test_the_pronunciation_is_not_blamed_without_a_reason(evidence: TermEvidence, peers: Peers) -> None:
    assert cause_of(evidence, peers).cause == "model"


@pytest.mark.parametrize(
    ("spared", "others", "chance"),
    [
        (Tally(0, 6), Tally(1, 6), 0.5),
        (Tally(0, 4), Tally(2, 4), 3 / 14),
        (Tally(0, 8), Tally(4, 8), 1 / 26),
        (Tally(1, 4), Tally(3, 4), 17 / 70),  # Fisher's tea: three of four cups told rightly
        (Tally(4, 4), Tally(0, 4), 1.0),
    ],
)
def test_the_chance_is_fishers(spared: Tally, others: Tally, chance: float) -> None:
    assert chance_of_so_few(spared, others) == pytest.approx(chance)
