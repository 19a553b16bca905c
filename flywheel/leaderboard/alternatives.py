"""Section 7: the base as it is, the base with its terms boosted at decoding, and the fine-tuned model."""

from collections.abc import Callable, Sequence

from flywheel.alternatives import boosting_alone
from flywheel.boosting import Boosting
from flywheel.leaderboard.inputs import LeaderboardInputs
from flywheel.leaderboard.lines import rate_cell, section, share_cell
from flywheel.leaderboard.markdown import inline, table
from flywheel.score_reading import ScoreReader
from flywheel.scoring.intervals import Estimate
from flywheel.wording import change_in_points, counted, listed

__all__ = ["alternatives", "free_alternative", "how_strength_was_chosen"]

_TITLE = "7. What something free would have done"


def free_alternative(inputs: LeaderboardInputs) -> str:
    """Whether phrase boosting alone does it, a sentence or two; empty where nobody measured it."""
    if inputs.decision is not None and inputs.decision.alternative:
        return inputs.decision.alternative
    return "" if inputs.boosting is None else boosting_alone(inputs.boosting)


def alternatives(inputs: LeaderboardInputs) -> str:
    """Section 7; there for a closed gate, too."""
    boosting = inputs.boosting
    if boosting is None:
        return section(
            _TITLE,
            "Not measured: no evaluation of this cycle boosted its terms. Phrase boosting raises the score of listed "
            "terms while a model decodes. It trains nothing and costs nothing: it is the bar for a fine-tuning.",
        )
    return section(
        _TITLE,
        "How to read: phrase boosting raises the score of listed terms while the base decodes. It trains nothing, "
        "costs nothing and can be undone at once; what it does is the bar for a fine-tuning. All columns are of the "
        "same rows. A false term is one that was heard and that nobody said: the usual price of boosting.",
        inline(free_alternative(inputs)),
        _table(inputs, boosting),
        how_strength_was_chosen(boosting),
    )


def _table(inputs: LeaderboardInputs, boosting: Boosting) -> str:
    models = [("base as it is", inputs.before)]
    if inputs.boosted is not None and boosting.alpha:
        models.append((f"base, terms boosted (alpha {boosting.alpha:g})", inputs.boosted))
    if inputs.after is not None:
        models.append(("fine-tuned", inputs.after))
    lines = [
        _line(label, [read(scores) for _name, scores in models], is_share=is_share)
        for label, read, is_share in _measures(inputs)
    ]
    header = ["", "n", *(name for name, _scores in models)]
    return table(header, [line for line in lines if line])


def _measures(
    inputs: LeaderboardInputs,
) -> Sequence[tuple[str, Callable[[ScoreReader], Estimate | None], bool]]:
    """What each line measures: its label, how it is read, and whether it is a share of rows, to be counted."""
    kinds = f", {listed(inputs.priority_categories)} only" if inputs.priority_categories else ""
    return (
        (f"KER, held-out{kinds}", inputs.priority_ker, True),
        ("KER, unseen terms", lambda scores: scores.metric("unseen_term", "ker"), True),
        ("WER, held-out", lambda scores: scores.metric("held_out", "wer"), False),
        ("WER, general speech", lambda scores: scores.metric("general", "wer"), False),
        ("rows with a false term, held-out", lambda scores: scores.false_insertions("held_out"), True),
        ("rows with a false term, general speech", lambda scores: scores.false_insertions("general"), True),
    )


def _line(label: str, rates: Sequence[Estimate | None], *, is_share: bool) -> list[str]:
    """A line of the table; empty where no model was measured so."""
    numbers = dict.fromkeys(str(rate.n) for rate in rates if rate is not None)
    cells = ["-" if rate is None else (share_cell if is_share else rate_cell)(rate) for rate in rates]
    return [label, " / ".join(numbers), *cells] if numbers else []


def how_strength_was_chosen(boosting: Boosting) -> str:
    """Which strengths were tried, on what, and what they did there; and which terms could not be boosted."""
    unwritable = listed(boosting.unwritable) if boosting.unwritable else ""
    said = (
        f"{counted(boosting.phrases, 'term')} boosted while decoding ({boosting.search}), unseen ones included: "
        "whoever boosts has the list."
    )
    if unwritable:
        said += f" Not boosted, for the model's tokens cannot write them: {inline(unwritable)}."
    if not boosting.trials:
        return said
    tried = table(
        [
            "strength (alpha)",
            "KER",
            "n",
            "general WER",
            "its change, points",
            "n",
            "rows with a false term",
            "n",
        ],
        [
            [
                f"**{trial.alpha:g}**" if trial.alpha == boosting.alpha else f"{trial.alpha:g}",
                *_with_n(trial.ker),
                "-" if trial.general_wer is None else rate_cell(trial.general_wer),
                "-" if trial.change is None else change_in_points(trial.change),
                "0" if trial.general_wer is None else str(trial.general_wer.n),
                *_with_n(trial.false_insertions),
            ]
            for trial in boosting.trials
        ],
        numbers_from=0,
    )
    return (
        f"{said} The strength was chosen on {inline(boosting.chosen_on)}; the bold one misses fewest of those that "
        f"keep general speech within its cap:\n\n{tried}"
    )


def _with_n(rate: Estimate | None) -> tuple[str, str]:
    return ("-", "0") if rate is None else (rate_cell(rate), str(rate.n))
