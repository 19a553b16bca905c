"""The sections after the published five: what was never trained on, the decision, where it is all from."""

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.gate import GateDecision
from flywheel.leaderboard.inputs import LeaderboardInputs
from flywheel.leaderboard.lines import Line, ker_table, rate_table, section
from flywheel.leaderboard.markdown import inline, table
from flywheel.score_reading import ScoreReader
from flywheel.scoring.intervals import Estimate
from flywheel.terms import HUMAN
from flywheel.wording import counted, missed_of, negated, percent

__all__ = ["all_rows", "beyond_held_out", "decision_and_reasons", "provenance", "wrong_terms"]

_RENDERINGS_SHOWN = 3
_PUBLISHED = (
    "The published result of this recipe, a KER that fell by 75 % (39 rows: 20 missed before, 5 after), was "
    "measured over all rows, training rows included."
)
_CRITERIA = {
    "priority_ker": "KER of the priority categories",
    "manifest_rows": "clinical rows in the manifest",
    "rows_per_priority_category": "rows in each priority category",
    "pronunciation": "pronunciations: not the cause",
}


def beyond_held_out(inputs: LeaderboardInputs) -> str:
    """Section 6: unseen terms, unseen voices and general speech; people's speech where somebody was recorded."""
    trained = inputs.stage == "trained"
    unseen = [
        _slice_line(inputs, "unseen terms", "unseen_term", "ker", "no term is set aside"),
        _slice_line(inputs, "unseen voices", "unseen_voice", "ker", "no voice is set aside"),
    ]
    general = [_slice_line(inputs, "WER, general speech", "general", "wer", "no general speech is set aside")]
    return section(
        "6. Unseen terms, unseen voices, general speech",
        "How to read: the held-out rows above share their terms and voices with the training rows. Here are "
        "terms that no training row holds, and voices that the trainer never hears: what to expect of a new "
        "term, and of a new speaker.",
        ker_table("KER of", unseen, trained=trained),
        "General speech holds no clinical term: if its WER rises, the model pays for new terms with everyday "
        "words.",
        rate_table("metric", general, trained=trained),
        *_human_speech(inputs),
    )


def _human_speech(inputs: LeaderboardInputs) -> tuple[str, ...]:
    """What people's recordings show; nothing where there are none."""
    speakers = inputs.before.speakers(HUMAN)
    if not speakers:
        return ()
    trained = inputs.stage == "trained"
    kers = [_slice_line(inputs, "human speech", HUMAN, "ker", "no recording holds a term")]
    wers = [_slice_line(inputs, "WER, human speech", HUMAN, "wer", "no recordings")]
    return (
        f"Human speech: recordings of people ({counted(speakers, 'speaker')}), whom no training hears; what they say "
        "may stand in training rows, in synthetic voices. No other figure of this page counts them, and neither gate "
        "nor decision does: those are about the same rows from one cycle to the next, and who is recorded changes.",
        ker_table("KER of", kers, trained=trained),
        rate_table("metric", wers, trained=trained),
    )


def decision_and_reasons(inputs: LeaderboardInputs) -> str:
    """Section 7: the decision with its reasons, or why there is none; the gate's criteria in any case."""
    gate, decision = inputs.gate, inputs.decision
    criteria = "" if gate is None else _criteria_table(gate)
    if inputs.stage == "trained" and decision is not None:
        verdict = "promote the new model" if decision.promote else "the new model is not promoted"
        parts = [
            f"**{decision.action}**: {verdict}.",
            _bullets(decision.reasons),
            f"Advice: {inline(decision.advice)}",
            f"The gate had been open:\n\n{criteria}" if criteria else "",
        ]
    elif gate is None:
        parts = ["None yet: the gate has not been evaluated."]
    elif gate.open:
        parts = [
            "None yet: the gate is open, and no fine-tuned model has been evaluated.",
            criteria,
            inline(gate.advice),
        ]
    else:
        failed = [criterion.reason for criterion in gate.criteria if not criterion.passed]
        parts = [
            "**not_trained**: the gate is closed, so nothing was trained. This is a result, not a fault.",
            criteria,
            _bullets(failed),
            f"Advice: {inline(gate.advice)}",
        ]
    return section("7. Decision", *parts)


def all_rows(inputs: LeaderboardInputs) -> str:
    """Section 8: the figure that the published result is to be compared with."""

    def line(label: str, slice_name: str, metric: str) -> Line:
        rates = inputs.published_both(lambda scores: scores.metric(slice_name, metric))
        return Line(label, *rates, absent="no clinical rows")

    def mean_of_rows(label: str, metric: str) -> Line:
        rates = inputs.published_both(lambda scores: scores.macro("all", metric))
        return Line(label, *rates, absent="not among the scores")

    kers = [line("all rows", "all", "ker"), line("held-out rows alone", "held_out", "ker")]
    rates = [
        line("WER", "all", "wer"),
        mean_of_rows("WER, mean of the rows", "wer"),
        line("CER", "all", "cer"),
        mean_of_rows("CER, mean of the rows", "cer"),
        line("SER", "all", "ser"),
    ]
    trained = inputs.stage == "trained"
    return section(
        "8. All rows, training rows included",
        f"How to read: for comparison only; the decision does not use it. {_PUBLISHED} Here is the same "
        f"figure, scored as it was published ({inline(inputs.published_before.normalizer)}). A model that "
        "knows its training rows by heart looks good in it, too.",
        _relative_change(*inputs.published_both(lambda scores: scores.metric("all", "ker"))),
        ker_table("KER of", kers, trained=trained),
        rate_table("all rows", rates, trained=trained),
    )


def wrong_terms(inputs: LeaderboardInputs) -> str:
    """Section 9: terms that were heard and not said, and what was heard instead of those that were said."""
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
    return section(
        "9. False insertions and substitutions",
        "How to read: a false term is one of the list that was heard where nobody said it. It should stay "
        "rare: a model that hears drugs everywhere misses few of them. Of the last line higher is better, "
        "and n is the number of terms heard.",
        rate_table("terms heard", lines, trained=inputs.stage == "trained"),
        "What was heard in place of a missed term on held-out rows, most frequent first, and how often:",
        _substitution_table(inputs.before, inputs.after),
    )


def provenance(inputs: LeaderboardInputs) -> str:
    """Section 10: what made these numbers."""
    before, after = inputs.before, inputs.after
    models = [("model", before.model)]
    if after is not None:
        models = [("model before", before.model), ("model after", after.model)]
    facts: list[tuple[str, Any]] = [
        *models,
        ("normaliser", before.normalizer),
        ("published normaliser", inputs.published_before.normalizer),
        *inputs.provenance.items(),
    ]
    return section(
        "10. Provenance",
        table(
            ["what", "value"],
            [[inline(_spaced(name)), inline(_shown(value))] for name, value in facts],
            numbers_from=2,
        ),
        split_table(inputs.split_counts),
    )


def _slice_line(inputs: LeaderboardInputs, label: str, name: str, metric: str, absent: str) -> Line:
    change: Estimate | None = None
    compared = None if inputs.comparison is None else inputs.comparison.slices.get(name)
    if compared is not None and metric == "wer":
        change = compared.wer.difference
    elif compared is not None and compared.ker is not None:
        change = negated(compared.ker.absolute_drop)
    return Line(label, *inputs.both(lambda scores: scores.metric(name, metric)), change, absent)


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {inline(sentence)}" for sentence in sentences)


def _criteria_table(gate: GateDecision) -> str:
    return table(
        ["the gate asks for", "holds", "found", "required"],
        [
            [
                inline(_CRITERIA.get(criterion.name, _spaced(criterion.name))),
                "yes" if criterion.passed else "**no**",
                inline(criterion.found),
                inline(criterion.required),
            ]
            for criterion in gate.criteria
        ],
        numbers_from=4,
    )


def _relative_change(before: Estimate | None, after: Estimate | None) -> str:
    if before is None:
        return ""
    if after is None:
        return f"All rows: {missed_of(before)} terms missed."
    counts = f"All rows: {missed_of(before)} terms missed before, {missed_of(after)} after"
    return (
        f"{counts}, a relative change of {percent(after.value / before.value - 1)}."
        if before.value
        else counts
    )


def _substitution_table(before: ScoreReader, after: ScoreReader | None) -> str:
    sides = [before.substitutions("held_out")]
    header = ["term", "heard by the baseline"]
    if after is not None:
        sides.append(after.substitutions("held_out"))
        header = ["term", "heard before", "heard after"]
    terms = dict.fromkeys(term for side in reversed(sides) for term in side)
    if not terms:
        return "No term was missed."
    rows = [[inline(term), *(_renderings(side.get(term, [])) for side in sides)] for term in terms]
    return table(header, rows, numbers_from=len(header))


def _renderings(heard: Sequence[tuple[str, int]]) -> str:
    shown = [
        f"{inline(text) if text else '(left out)'} ({count})" for text, count in heard[:_RENDERINGS_SHOWN]
    ]
    more = ", ..." if len(heard) > _RENDERINGS_SHOWN else ""
    return ", ".join(shown) + more if shown else "-"


def split_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Rows of each subset by category, as a markdown table; empty where there are no counts."""
    if not counts:
        return ""
    columns = list(dict.fromkeys(column for of_subset in counts.values() for column in of_subset))
    rows = [
        [inline(subset), *(str(of_subset.get(column, 0)) for column in columns)]
        for subset, of_subset in counts.items()
    ]
    return f"Rows of each subset:\n\n{table(['subset', *(inline(column) for column in columns)], rows)}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(part) for part in value)
    return f"{value:.1f}" if isinstance(value, float) and abs(value) >= 100 else str(value)
