"""Section 9: the terms that are still missed, what was heard instead, why, and what to listen to."""

from collections import Counter
from collections.abc import Mapping, Sequence

from flywheel.files.markdown import code, inline, prose, table
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.slices import SUBSETS_IN_WORDS
from flywheel.report.rate_tables import Line, rate_table, section
from flywheel.scoring.numbers_as_text import counted
from flywheel.scoring.scores import Scores
from flywheel.verdict.misses import Cause, HeardInstead, MissedTerm, Misses, RowToHear

__all__ = ["MISSED_SHOWN", "ROWS_SHOWN", "what_went_wrong"]

MISSED_SHOWN = 8
"""Missed terms on the page; all of them are in `misses.json`."""
ROWS_SHOWN = 10
"""Rows to listen to on the page."""

_RENDERINGS_SHOWN = 3
_LEFT_OUT = "(left out)"
_HOW_TO_MEND: Mapping[Cause, str] = {
    "pronunciation": "listening, and correcting the pronunciation by an override",
    "noise": "noisier training rows",
    "model": "more training rows with the term",
}


def what_went_wrong(inputs: LeaderboardInputs) -> str:
    """Section 9: misses with their cause where somebody looked, else what was heard instead; then false terms."""
    if inputs.misses is None:
        found = [
            "What was heard in place of a missed term on held-out rows, most frequent first, and how often:",
            _substitution_table(inputs.before, inputs.after),
        ]
    else:
        found = _found(inputs.misses)
    return section("9. What went wrong", *found, *_false_terms(inputs))


def _found(misses: Misses) -> list[str]:
    if not misses.terms:
        return ["No term was missed on the rows that were never trained on."]
    shown, rest = misses.terms[:MISSED_SHOWN], len(misses.terms) - MISSED_SHOWN
    more = f"{counted(rest, 'more term')}, none of them worse, in `misses.json`." if rest > 0 else ""
    rows = misses.rows[:ROWS_SHOWN]
    causes = Counter(term.cause for term in misses.terms)
    mend = [
        f"{how} ({counted(causes[cause], 'term')})" for cause, how in _HOW_TO_MEND.items() if causes[cause]
    ]
    return [
        f"Missed at least once: {counted(len(misses.terms), 'term')}. What would help: {'; '.join(mend)}.",
        "How to read: each term is counted over all rows that were never trained on, unseen terms and voices included, "
        "so n is larger than in section 5. The distance compares what was spoken with what was heard, sound by sound: "
        "at 0 they sound alike and only the spelling is wrong, at 1 they have nothing in common.",
        table(
            ["term", "missed", "heard instead (times; distance)", "cause", "why"],
            [_term_cells(term) for term in shown],
            numbers_from=5,
        ),
        more,
        f"Listen to these {len(rows)} rows first:" if rows else "",
        _rows_table(rows) if rows else "",
    ]


def _term_cells(term: MissedTerm) -> list[str]:
    heard = [_heard_instead(heard) for heard in term.heard[:_RENDERINGS_SHOWN]]
    more = ", ..." if len(term.heard) > _RENDERINGS_SHOWN else ""
    return [
        *(inline(term.term), f"{term.missed} of {term.n}", ", ".join(heard) + more),
        *(term.cause, prose(term.why)),
    ]


def _heard_instead(heard: HeardInstead) -> str:
    distance = "" if heard.phone_distance is None else f"; {heard.phone_distance:.2f}"
    return f"{inline(heard.text) if heard.text else _LEFT_OUT} ({heard.count}{distance})"


def _rows_table(rows: Sequence[RowToHear]) -> str:
    return table(
        ["", "term", "heard in its place", "distance", "rows", "voice", "noise", "file in the data folder"],
        [
            [
                *(str(number), inline(row.term), inline(row.heard) or _LEFT_OUT),
                "-" if row.phone_distance is None else f"{row.phone_distance:.2f}",
                *(
                    SUBSETS_IN_WORDS.get(row.subset, inline(row.subset)),
                    inline(row.voice_id),
                    inline(row.noise_level),
                ),
                code(row.audio_filepath),
            ]
            for number, row in enumerate(rows, 1)
        ],
        numbers_from=8,
    )


def _false_terms(inputs: LeaderboardInputs) -> list[str]:
    lines = [
        Line(
            "rows with a false term, held-out",
            *inputs.both(lambda scores: scores.false_insertions("held_out")),
        ),
        Line(
            "rows with a false term, general speech",
            *inputs.both(lambda scores: scores.false_insertions("general")),
        ),
        Line(
            "terms heard that were said, held-out",
            *inputs.both(lambda scores: scores.metric("held_out", "keyword_precision")),
            absent="no term was heard",
        ),
    ]
    return [
        "A false term is a listed term that was heard where nobody said it. It should stay rare, because a model that "
        "hears drugs everywhere misses few of them, too. In the last line higher is better, and n is the number of "
        "terms heard.",
        rate_table("terms heard", lines, trained=inputs.stage == "trained"),
    ]


def _substitution_table(before: Scores, after: Scores | None) -> str:
    sides = [before.substitutions("held_out")]
    header = ["term", "heard by the baseline"]
    if after is not None:
        sides.append(after.substitutions("held_out"))
        header = ["term", "heard before", "heard after"]
    terms = list(dict.fromkeys(term for side in reversed(sides) for term in side))
    if not terms:
        return "No term was missed."
    rows = [
        [inline(term), *(_renderings(side.get(term, [])) for side in sides)] for term in terms[:MISSED_SHOWN]
    ]
    shown = table(header, rows, numbers_from=len(header))
    rest = len(terms) - MISSED_SHOWN
    return f"{shown}\n\n{counted(rest, 'more term')} in `scores.json`." if rest > 0 else shown


def _renderings(heard: Sequence[tuple[str, int]]) -> str:
    shown = [f"{inline(text) if text else _LEFT_OUT} ({count})" for text, count in heard[:_RENDERINGS_SHOWN]]
    more = ", ..." if len(heard) > _RENDERINGS_SHOWN else ""
    return ", ".join(shown) + more if shown else "-"
