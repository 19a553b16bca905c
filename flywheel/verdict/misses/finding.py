"""From the scores of rows to what went wrong with each term."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from flywheel.corpus.manifest import ManifestRow
from flywheel.pronunciation.lexicon import Lexicon
from flywheel.scoring import RowScore
from flywheel.verdict.misses.causes import Peers, cause_of
from flywheel.verdict.misses.evidence import Tally, TermEvidence, evidence_of
from flywheel.verdict.misses.findings import HeardInstead, MissedTerm, Misses
from flywheel.verdict.misses.listening import rows_to_hear
from flywheel.verdict.misses.outcomes import Outcome, outcomes
from flywheel.verdict.misses.sounds import Sounds

__all__ = ["HEARD_KEPT", "find_misses"]

HEARD_KEPT = 5
"""Of each term; all are in `results.csv`."""


def find_misses(
    rows: Sequence[ManifestRow],
    lexicon: Lexicon,
    before: Sequence[RowScore],
    after: Sequence[RowScore] | None,
    phones: Callable[[str], str],
    *,
    model: str = "",
) -> Misses:
    """What is missed of the rows that were only measured on: by the fine-tuned model or, where there is none, the base.

    Args:
        rows: of the manifest, with their subsets; every scored row is among them.
        lexicon: of the cycle.
        before: the base's scores.
        after: the fine-tuned model's of the same rows; None where nothing was trained.
        phones: a text's pronunciation by the embedded engine's rules, in the project's IPA; may raise `FlywheelError`
            for a text that has none.
        model: the name of the model whose misses these are.

    Returns:
        Terms worst first: by the share that is missed, then by their number. Rows as `rows_to_hear` orders them.

    Raises:
        ScoringError: a scored row is not in the manifest or has another subset there; only one model heard a row.
    """
    of_term: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes(rows, before, after):
        of_term[outcome.term].append(outcome)
    # What a base was trained on is not known here: this cycle's training rows are new to it.
    taught = Counter(
        row.term for row in rows if row.subset == "train" and row.is_clinical and after is not None
    )
    measured = {term: [row for row in its if row.measured] for term, its in of_term.items()}
    peers = _peers(row for term, its in measured.items() if not taught[term] for row in its)
    sounds = Sounds(lexicon, phones)
    terms = [
        _missed_term(
            evidence_of(of_term[term], sounds, fine_tuned=after is not None, training_rows=taught[term]),
            [row for row in its if row.missed],
            peers,
            sounds,
        )
        for term, its in measured.items()
        if any(row.missed for row in its)
    ]
    return Misses(
        model=model,
        terms=tuple(sorted(terms, key=lambda term: (-term.missed / term.n, -term.missed, term.term))),
        rows=rows_to_hear((row for its in measured.values() for row in its if row.missed), sounds),
    )


def _peers(rows: Iterable[Outcome]) -> Peers:
    clean = [row for row in rows if row.clean]
    return Peers(
        verified=Tally.of(row for row in clean if row.speaker == "verified"),
        engine=Tally.of(row for row in clean if row.speaker == "engine"),
    )


def _missed_term(
    evidence: TermEvidence, missed: Sequence[Outcome], peers: Peers, sounds: Sounds
) -> MissedTerm:
    verdict = cause_of(evidence, peers)
    return MissedTerm(
        term=evidence.term,
        entity_category=missed[0].row.entity_category or "",
        ipa_source=evidence.ipa_source,
        ipa=evidence.ipa,
        missed=len(missed),
        n=evidence.rows,
        heard=_heard_instead(missed, sounds),
        cause=verdict.cause,
        why=verdict.why,
    )


def _heard_instead(missed: Sequence[Outcome], sounds: Sounds) -> tuple[HeardInstead, ...]:
    """The most frequent; of those as frequent, what sounds most like what was spoken."""
    first: dict[str, Outcome] = {}
    counts: Counter[str] = Counter()
    for row in missed:
        if row.score.heard is not None:
            first.setdefault(row.score.heard, row)
            counts[row.score.heard] += 1
    heard = [HeardInstead(text, counts[text], sounds.distance_of(row)) for text, row in first.items()]
    return tuple(sorted(heard, key=_rank)[:HEARD_KEPT])


def _rank(heard: HeardInstead) -> tuple[int, float, str]:
    return -heard.count, 1.0 if heard.phone_distance is None else heard.phone_distance, heard.text
