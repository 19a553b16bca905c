"""Section 7: the base as it is, the base with its terms boosted at decoding, and the fine-tuned model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from flywheel.files.markdown import inline, table
from flywheel.recognisers.boosting import Boosting
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.slices import SLICES_SHOWN
from flywheel.report.rate_tables import rate_cell, section, share_cell
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import change_in_points, counted, listed, row_counts
from flywheel.scoring.scores import Scores
from flywheel.verdict.boosting_alone import boosting_alone

__all__ = [
    "Measure",
    "free_alternative",
    "how_strength_was_chosen",
    "models_beside",
    "phrase_boosting",
    "rates_beside",
]

_TITLE = "7. The free alternative: phrase boosting"
_CONTROLS = {"held_out": "held-out", "general": "general speech"}


def free_alternative(inputs: LeaderboardInputs) -> str:
    """Whether phrase boosting alone does it, a sentence or two; empty where nobody measured it."""
    if inputs.decision is not None and inputs.decision.alternative:
        return inputs.decision.alternative
    return "" if inputs.boosting is None else boosting_alone(inputs.boosting)


def phrase_boosting(inputs: LeaderboardInputs) -> str:
    """Section 7; there for a closed gate, too."""
    boosting = inputs.boosting
    if boosting is None:
        return section(
            _TITLE,
            "Not measured: no evaluation of this cycle boosted its terms. Phrase boosting raises the score of listed "
            "terms while a model decodes. It needs no training and costs nothing, so fine-tuning has to beat it.",
        )
    return section(
        _TITLE,
        "How to read: phrase boosting raises the score of the listed terms while the base decodes. It needs no "
        "training, costs nothing and can be undone at once, so fine-tuning has to beat it. All columns use the same "
        "rows. A false term is one that was heard though nobody said it: the usual price of boosting.",
        inline(free_alternative(inputs)),
        _table(inputs, boosting),
        how_strength_was_chosen(boosting),
    )


def _table(inputs: LeaderboardInputs, boosting: Boosting) -> str:
    models = models_beside(inputs, boosting)
    lines = []
    for measure, rates in rates_beside(inputs, models):
        cell = share_cell if measure.is_share else rate_cell
        cells = ["-" if rate is None else cell(rate) for rate in rates]
        lines.append([measure.label, row_counts(rates), *cells])
    return table(["", "n", *(name for name, _scores in models)], lines)


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the models beside each other: what is measured and how it is read; `is_share`: a share of rows."""

    label: str
    read: Callable[[Scores], Estimate | None]
    is_share: bool = True


def models_beside(inputs: LeaderboardInputs, boosting: Boosting) -> list[tuple[str, Scores]]:
    """The base as it is, the base with its terms boosted where a strength was chosen, the fine-tuned model if any."""
    models = [("base as it is", inputs.before)]
    if inputs.boosted is not None and boosting.alpha:
        models.append((f"base, terms boosted (alpha {boosting.alpha:g})", inputs.boosted))
    if inputs.after is not None:
        models.append(("fine-tuned", inputs.after))
    return models


def rates_beside(
    inputs: LeaderboardInputs, models: Sequence[tuple[str, Scores]]
) -> Iterator[tuple[Measure, list[Estimate | None]]]:
    """What the models are compared by, each with a rate a model: terms missed, wrong words, terms that nobody said.

    What no model was measured by is left out.
    """
    for measure in _measures(inputs, models):
        rates = [measure.read(scores) for _name, scores in models]
        if any(rate is not None for rate in rates):
            yield measure, rates


def _measures(inputs: LeaderboardInputs, models: Sequence[tuple[str, Scores]]) -> tuple[Measure, ...]:
    """False terms count on held-out rows and general speech in any case, on other slices where a model has some."""
    kinds = f", {listed(inputs.priority_categories)} only" if inputs.priority_categories else ""

    def metric(slice_name: str, name: str) -> Callable[[Scores], Estimate | None]:
        return lambda scores: scores.metric(slice_name, name)

    def false_terms(slice_name: str) -> Callable[[Scores], Estimate | None]:
        return lambda scores: scores.false_insertions(slice_name)

    def are_there(slice_name: str) -> bool:
        found = [scores.false_insertions(slice_name) for _name, scores in models]
        return slice_name in _CONTROLS or any(rate is not None and rate.value > 0 for rate in found)

    return (
        Measure(f"KER, held-out{kinds}", inputs.priority_ker),
        Measure("KER, unseen voices", metric("unseen_voice", "ker")),
        Measure("KER, unseen terms", metric("unseen_term", "ker")),
        Measure("WER, held-out", metric("held_out", "wer"), is_share=False),
        Measure("WER, general speech", metric("general", "wer"), is_share=False),
        *(
            Measure(
                f"rows with a false term, {_CONTROLS.get(shown.name, shown.rows)}", false_terms(shown.name)
            )
            for shown in SLICES_SHOWN
            if are_there(shown.name)
        ),
    )


def how_strength_was_chosen(boosting: Boosting) -> str:
    """Which strengths were tried, on what, and what they did there; and which terms could not be boosted."""
    unwritable = listed(boosting.unwritable) if boosting.unwritable else ""
    said = (
        f"Boosted while decoding ({boosting.search}): {counted(boosting.phrases, 'term')}, including unseen ones, "
        "because whoever boosts has the whole list."
    )
    if unwritable:
        said += f" Not boosted, because the model's tokens cannot write them: {inline(unwritable)}."
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
        f"{said} The strength was chosen on {inline(boosting.chosen_on)}. Of those that keep general speech within its "
        f"cap, the bold one misses the fewest terms:\n\n{tried}"
    )


def _with_n(rate: Estimate | None) -> tuple[str, str]:
    return ("-", "0") if rate is None else (rate_cell(rate), str(rate.n))
