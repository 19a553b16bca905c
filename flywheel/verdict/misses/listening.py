"""Which missed rows to listen to, and in which order."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice

from flywheel.verdict.misses.findings import RowToHear
from flywheel.verdict.misses.outcomes import Outcome
from flywheel.verdict.misses.sounds import Sounds

__all__ = ["ROWS_KEPT", "TURN", "rows_to_hear"]

ROWS_KEPT = 40
"""More than a person listens to at a sitting."""
_HARDLY_HEARD = 0.5
"""The share of the words beside the term that are wrong, from which on a row tells next to nothing of the term."""
TURN = 2
"""Rows of one term before the other terms have their turn."""


def rows_to_hear(missed: Iterable[Outcome], sounds: Sounds) -> tuple[RowToHear, ...]:
    """The worst of the missed rows, at most `ROWS_KEPT`.

    Rows of which not even half was heard come last: they tell of the recogniser, not of the term. Of the others
    worse is a miss in clean speech than one in noise; among these one that the base missed, too; among these the one
    that sounds least like what was spoken. Terms take turns of `TURN` rows, the term with the worst row first; of one
    term, other speech comes before the same speech in other noise.
    """
    of_term: dict[str, list[tuple[Outcome, float | None]]] = defaultdict(list)
    heard = [(row, sounds.distance_of(row)) for row in missed]
    for row, distance in sorted(heard, key=lambda each: _badness(*each)):
        of_term[row.term].append((row, distance))
    turns = _turns([_other_speech_first(rows) for rows in of_term.values()])
    return tuple(_to_hear(row, distance) for row, distance in islice(turns, ROWS_KEPT))


def _badness(row: Outcome, distance: float | None) -> tuple[bool, bool, bool, float, str]:
    """Sorts the worst first; the id makes it the one order."""
    return (
        _unheard(row),
        not row.clean,
        not row.missed_before,
        0.0 if distance is None else -distance,
        row.row.id,
    )


def _unheard(row: Outcome) -> bool:
    others = row.score.other_words
    return others is not None and others.errors >= _HARDLY_HEARD * others.reference_length > 0


def _other_speech_first(
    rows: Sequence[tuple[Outcome, float | None]],
) -> list[tuple[Outcome, float | None]]:
    """Those that repeat a synthesis after those that do not, otherwise in their order."""
    seen: Counter[str] = Counter()
    repeats: dict[str, int] = {}
    for row, _distance in rows:
        repeats[row.row.id] = seen[row.row.synthesis_group]
        seen[row.row.synthesis_group] += 1
    return sorted(rows, key=lambda each: repeats[each[0].row.id])


def _turns(
    terms: Sequence[Sequence[tuple[Outcome, float | None]]],
) -> Iterator[tuple[Outcome, float | None]]:
    """`TURN` rows of each term, then the next of each, until none is left."""
    for start in count(0, TURN):
        turn = [row for rows in terms for row in rows[start : start + TURN]]
        if not turn:
            return
        yield from turn


def _to_hear(outcome: Outcome, distance: float | None) -> RowToHear:
    row = outcome.row
    return RowToHear(
        id=row.id,
        term=outcome.term,
        subset=row.subset or "",
        voice_id=row.voice_id,
        noise_level=row.noise_level,
        ipa_source=row.ipa_source,
        reference=outcome.score.reference,
        hypothesis=outcome.score.hypothesis,
        before=outcome.before.hypothesis,
        heard=outcome.score.heard or "",
        phone_distance=distance,
        audio_filepath=row.audio_filepath,
    )
