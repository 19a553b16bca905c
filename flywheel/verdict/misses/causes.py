"""Whether a miss is the model's, the pronunciation's or the noise's: rules, in order, and the reason in words.

1. Every clean row was found: **noise**. How likely chance alone leaves all misses to noisy rows is said.
2. Its missed rows were spoken as a person or the dictionary says it: **model**; the speech is not to blame.
3. The same term was spoken in both ways, in clean rows. Found where the pronunciation is verified (a person's own
   recording counts) and missed where an engine chose it: **pronunciation**. Missed in both: **model**.
4. Only for a term that the model was not fine-tuned on, of which an engine chose the pronunciation, and of which more
   than 30 % of the clean rows are missed, **pronunciation** where one of these holds:
   a. the engine speaks fewer vowels than the spelling shows (`flywheel.verdict.misses.spelling`);
   b. the lexicon proposes a pronunciation that is clearly another, and what was heard follows what was spoken: the
      model is right about the sounds, and the sounds are in doubt;
   c. it is the gate's pronunciation case over all such terms: clean rows with a verified pronunciation are found, and
      those that an engine pronounced are not.
5. Otherwise **model**. The sentence says whether only new voices are missed, how much what was heard sounds like what
   was spoken, and, where an engine's pronunciation may still be wrong, to listen to a row: numbers do not tell that.

Rule 4 leaves out what was trained on: such a model has been taught to write the term for exactly these sounds, right
or wrong, so a miss is no longer theirs. A small phone distance alone blames nobody: a model that does not know a word
writes what it hears, and so does one that was told another word.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

from flywheel.scoring.numbers_as_text import carries, counted, listed, p_value, too_few
from flywheel.verdict.gate import GateSettings
from flywheel.verdict.misses.evidence import Tally, TermEvidence
from flywheel.verdict.misses.findings import Cause
from flywheel.verdict.misses.spelling import missing_vowels

__all__ = ["Peers", "Verdict", "cause_of", "chance_of_so_few"]

_FOUND = GateSettings().well_spoken_ker
_MISSED = GateSettings().mispronounced_ker
"""The gate's own bounds for a pronunciation case, 0.1 and 0.3."""

_SOUNDS_CLOSE = 0.25
_LIKENESS = ((_SOUNDS_CLOSE, "close to"), (0.5, "partly like"), (1.0, "unlike"))
"""By the median phone distance: `metropolol` is 0.20 from `metoprolol`, `something` 0.54 from `cefazolin`."""

_ANOTHER_PRONUNCIATION = 0.1
"""One phone in ten: what is nearer differs in stress, which does not count, or in how full a vowel is."""

_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Peers:
    """All terms that the model was not fine-tuned on: their clean rows with a verified pronunciation, and those that an
    engine pronounced."""

    verified: Tally
    engine: Tally


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cause and its reason, one sentence."""

    cause: Cause
    why: str


def cause_of(evidence: TermEvidence, peers: Peers) -> Verdict:
    """Why a term is missed, as far as its rows tell; the first rule that applies decides."""
    verdict = next(found for rule in _RULES if (found := rule(evidence, peers)) is not None)
    if carries(evidence.rows):
        return Verdict(verdict.cause, f"{verdict.why}.")
    return Verdict(verdict.cause, f"{verdict.why}; {too_few(evidence.rows)} to be sure of it.")


def chance_of_so_few(spared: Tally, others: Tally) -> float:
    """The probability that chance alone spares `spared` as much, where a miss falls on any row alike.

    Of the misses of both, drawn from the rows of both, at most `spared.missed` fall on `spared`: one side of Fisher's
    exact test.
    """
    missed, n = spared.missed + others.missed, spared.n + others.n
    ways = (comb(spared.n, few) * comb(others.n, missed - few) for few in range(spared.missed + 1))
    return sum(ways) / comb(n, missed)


def _noise(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    clean, noisy = evidence.clean, evidence.noisy
    if not clean.n or clean.missed:
        return None
    found = "the only clean row" if clean.n == 1 else f"all {clean.n} clean rows"
    chance = _by_chance(clean, noisy)
    return Verdict("noise", f"Found in {found} and missed in {_of(noisy, 'noisy')}: in noise alone, {chance}")


def _verified(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    if evidence.speaker != "verified":
        return None
    return Verdict(
        "model",
        f"{_missed(evidence)}; its pronunciation is verified (`{evidence.ipa_source}`), so that the speech is not to "
        f"blame{_sound(evidence)}",
    )


def _both_ways(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    verified, engine = evidence.verified, evidence.engine
    if not verified.n or not engine.n or engine.rate <= _MISSED:
        return None
    if verified.rate < _FOUND:
        return Verdict(
            "pronunciation",
            f"Missed in {_of(engine, 'clean')} that the engine pronounced and in {verified} with a verified "
            f"pronunciation, {_by_chance(verified, engine)}: speak all rows with the verified one",
        )
    if verified.rate > _MISSED:
        return Verdict(
            "model",
            f"Missed in {_of(engine, 'clean')} that the engine pronounced and in {verified} with a verified "
            "pronunciation, too; so the engine's pronunciation alone does not explain it",
        )
    return None


def _missing_vowel(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    if not _pronunciation_in_doubt(evidence):
        return None
    missing = missing_vowels(evidence.term, evidence.ipa)
    if not missing:
        return None
    words = [
        f"`{each.word}` with {counted(each.spoken, 'vowel')} (`{each.ipa}`) where its spelling shows {each.spelt}"
        for each in missing
    ]
    return Verdict(
        "pronunciation",
        f"{_missed(evidence)}; the engine speaks {listed(words)}, so that it probably leaves a syllable out: listen "
        "to one clean row and, if so, write an override before the model is blamed",
    )


def _proposed(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    distance = evidence.distance
    if not _pronunciation_in_doubt(evidence) or distance is None or distance > _SOUNDS_CLOSE:
        return None
    for proposal in evidence.proposals:
        told = proposal.nearer_to_spoken + proposal.nearer_to_candidate
        if proposal.distance >= _ANOTHER_PRONUNCIATION and proposal.nearer_to_spoken > told / 2:
            return Verdict(
                "pronunciation",
                f"{_missed(evidence)}; the engine says `{evidence.ipa}`, {proposal.candidate.reason} suggests "
                f"`{proposal.candidate.ipa}` (phone distance {proposal.distance:.2f}), and what was heard follows the "
                f"engine in {proposal.nearer_to_spoken} of the {told} misses that tell: listen to both and write an "
                "override",
            )
    return None


def _pronunciation_case(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    verified, engine = peers.verified, peers.engine
    if evidence.speaker != "engine" or evidence.training_rows or evidence.clean.rate <= _MISSED:
        return None
    if not (carries(verified.n) and carries(engine.n)) or verified.rate >= _FOUND or engine.rate <= _MISSED:
        return None
    return Verdict(
        "pronunciation",
        f"{_missed(evidence)}; over all terms {_of(verified, 'clean')} with a verified pronunciation are missed and "
        f"{engine} that an engine pronounced, which points to the engine: listen to one clean row and, if the word is "
        "said wrongly, write an override",
    )


def _new_voices(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    known, new = evidence.known_voices, evidence.new_voices
    if not evidence.training_rows or not known.n or known.missed:
        return None
    found = "the only row" if known.n == 1 else f"all {known.n} rows"
    return Verdict(
        "model",
        f"Found in {found} of voices that it was trained on and missed in {_of(new)} of other voices: in these alone, "
        f"{_by_chance(known, new)}{_sound(evidence)}",
    )


def _model(evidence: TermEvidence, peers: Peers) -> Verdict | None:
    said = f"{_missed(evidence)}{_sound(evidence)}"
    if evidence.speaker == "unknown":
        return Verdict(
            "model",
            f"{said}; who pronounced it (`{evidence.ipa_source}`) is not known here: listen to how it is said",
        )
    if evidence.training_rows or evidence.speaker == "verified":
        return Verdict("model", said)
    row = "one clean row" if evidence.clean.missed else "one row"
    return Verdict(
        "model",
        f"{said}; listen to {row}: whether the engine says the word rightly these numbers do not tell",
    )


_RULES: tuple[Callable[[TermEvidence, Peers], Verdict | None], ...] = (
    _noise,
    _verified,
    _both_ways,
    _missing_vowel,
    _proposed,
    _pronunciation_case,
    _new_voices,
    _model,
)


def _pronunciation_in_doubt(evidence: TermEvidence) -> bool:
    """Whether an engine's known pronunciation, that the model was not taught, may explain what was missed."""
    return (
        evidence.speaker == "engine"
        and evidence.ipa_known
        and not evidence.training_rows
        and evidence.clean.rate > _MISSED
    )


def _missed(evidence: TermEvidence) -> str:
    """How often it was missed, and what training had to do with it."""
    clean, noisy = evidence.clean, evidence.noisy
    if clean.n and noisy.n:
        missed = f"Missed in {_of(clean, 'clean')} and {noisy} noisy ones"
    else:
        missed = f"Missed in {_of(clean, 'clean') if clean.n else _of(noisy, 'noisy')}, all there are"
    if not evidence.fine_tuned:
        return missed
    if not evidence.training_rows:
        return f"{missed}, and no training row holds it"
    return (
        f"{missed} after training on {counted(evidence.training_rows, 'row')} with it "
        f"(before: {evidence.missed_before} of {evidence.rows})"
    )


def _sound(evidence: TermEvidence) -> str:
    """How what was written sounds beside what was spoken; empty where that is not known."""
    said = ""
    if evidence.confusions:
        other, count = evidence.confusions[0]
        said = f"; in {counted(count, 'row')} it writes `{other}`, another term of the seed"
    distance = evidence.distance
    if distance is None:
        return said
    likeness = next(words for most, words in _LIKENESS if distance <= most)
    figures = f"median phone distance {distance:.2f}, n = {len(evidence.distances)}"
    return f"{said}; what it writes sounds {likeness} what was spoken ({figures})"


def _by_chance(spared: Tally, others: Tally) -> str:
    chance = chance_of_so_few(spared, others)
    if chance < _SIGNIFICANT:
        return f"which chance hardly explains ({p_value(chance)})"
    falls = "a single miss" if others.missed == 1 else f"{others.missed} misses"
    return f"though {falls} may fall there by chance ({p_value(chance)})"


def _of(tally: Tally, kind: str = "") -> str:
    """`3 of 8 clean rows`."""
    return f"{tally.missed} of {counted(tally.n, f'{kind} row'.strip())}"
