"""The answer: what to do with the model, in a sentence or two, and the numbers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.sections.boosting import free_alternative
from flywheel.scoring.comparison import Comparison
from flywheel.scoring.numbers_as_text import (
    change_in_points,
    listed,
    missed_of,
    misses,
    p_value,
    percent_with_interval,
    rate,
)
from flywheel.verdict.decision import Decision

__all__ = ["Answer", "answer_of", "headline", "title"]


def headline(inputs: LeaderboardInputs) -> str:
    """The top of the page as plain text: some lines for a terminal, the answer first."""
    answer = answer_of(inputs)
    return "\n".join([f"{answer.verdict} {answer.finding}".rstrip(), *answer.numbers])


def title(inputs: LeaderboardInputs) -> str:
    """Which cycles the page is about."""
    match inputs.stage:
        case "trained":
            return f"Leaderboard: cycle {inputs.cycle + 1} beside cycle {inputs.cycle}"
        case "gate_closed":
            return f"Leaderboard: cycle {inputs.cycle}, not trained"
        case "baseline":
            return f"Leaderboard: cycle {inputs.cycle}, baseline only"


@dataclass(frozen=True, slots=True)
class Answer:
    """What everyone should know: sentences to read aloud, then the numbers behind them, one line each."""

    verdict: str
    finding: str
    numbers: Sequence[str]


def answer_of(inputs: LeaderboardInputs) -> Answer:
    """What stands at the top of the page, whatever its form."""
    free = free_alternative(inputs)
    if inputs.comparison is not None and inputs.decision is not None:
        return _answer_if_trained(inputs, inputs.comparison, inputs.decision, free)
    numbers = [_baseline_numbers(inputs), *([free] if free else [])]
    if inputs.gate is not None and not inputs.gate.open:
        return Answer("Nothing was trained: the gate is closed.", inputs.gate.advice, numbers)
    verdict = "Baseline only: nothing has been trained yet."
    if inputs.gate is not None:
        return Answer(verdict, inputs.gate.advice, numbers)
    ker = inputs.priority_ker(inputs.before)
    finding = "" if ker is None else f"The recogniser misses {missed_of(ker)} {_mentions(inputs)}."
    return Answer(verdict, finding, numbers)


def _baseline_numbers(inputs: LeaderboardInputs) -> str:
    ker, wer = inputs.priority_ker(inputs.before), inputs.before.metric("held_out", "wer")
    rates = [f"{name} {rate(value)}" for name, value in (("KER", ker), ("WER", wer)) if value is not None]
    if not rates:
        return "There are no held-out rows, so nothing was measured."
    return f"Held-out rows: {'; '.join(rates)}."


def _answer_if_trained(
    inputs: LeaderboardInputs, comparison: Comparison, decision: Decision, free: str
) -> Answer:
    verdict = "Keep the new model." if decision.promote else "Do not keep the new model."
    ker = comparison.priority_ker
    findings, numbers = [], []
    if ker is not None:
        findings.append(
            f"It misses {missed_of(ker.after)} {_mentions(inputs)}{_held_out(inputs)}; the model before it missed "
            f"{misses(ker.before)}."
        )
        numbers.append(
            f"Missed {_mentions(inputs)}: {missed_of(ker.before)} -> {missed_of(ker.after)}; KER "
            f"{percent_with_interval(ker.before)} -> {rate(ker.after)}; exact McNemar test {p_value(ker.p)}."
        )
    if not decision.promote:
        findings.append(decision.advice)
    numbers.append(_general_and_unseen(comparison))
    if free:
        numbers.append(free)
    return Answer(verdict, " ".join(findings), numbers)


def _general_and_unseen(comparison: Comparison) -> str:
    general = comparison.general_wer
    parts = ["General speech: not measured"]
    if general is not None:
        parts = [
            f"General speech: WER {percent_with_interval(general.before)} -> {rate(general.after)}, a change "
            f"of {change_in_points(general.difference)} points"
        ]
    for name, label in (
        ("unseen_term", "terms never trained on"),
        ("unseen_voice", "voices never trained on"),
    ):
        part = comparison.slices.get(name)
        if part is not None and part.ker is not None:
            parts.append(f"{label}: {missed_of(part.ker.before)} -> {missed_of(part.ker.after)} missed")
        else:
            parts.append(f"{label}: not measured")
    return f"{'; '.join(parts)}."


def _held_out(inputs: LeaderboardInputs) -> str:
    # Without a split nobody here knows what a model was trained on.
    return " in speech that it was not trained on" if inputs.split_counts else ""


def _mentions(inputs: LeaderboardInputs) -> str:
    kinds = inputs.priority_categories
    return f"{listed(kinds, 'or')} mentions" if kinds else "mentions of clinical terms"
