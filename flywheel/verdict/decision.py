"""The decision: whether the fine-tuned model replaces the one it came from, with every reason.

Only a model that was measured to be better, and measured not to have forgotten, is promoted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from flywheel.errors import Problems
from flywheel.files.cycles import CycleFolder, earlier_cycles
from flywheel.files.records import read_record
from flywheel.files.steps import CycleSteps
from flywheel.scoring.comparison import Comparison, KeywordChange, RateChange
from flywheel.scoring.numbers_as_text import (
    change_in_points,
    listed,
    missed_of,
    negated,
    p_value,
    percent,
    percent_with_interval,
    rate,
    rows_for_margin,
)
from flywheel.verdict.gate import GateDecision

__all__ = [
    "Action",
    "Decision",
    "DecisionSettings",
    "DecisionSettingsError",
    "decide",
    "earlier_drops",
    "not_trained",
]

Action: TypeAlias = Literal["keep", "grow", "overfit", "no_change", "forgetting", "unmeasured", "not_trained"]

# A drop of 2 misses in 10 is 0.19999999999999996 in floating point, and is meant to be 20 %.
_ROUNDING = 1e-9


class DecisionSettingsError(Problems):
    """Settings of the decision that are out of range, all of them."""


@dataclass(frozen=True, slots=True)
class DecisionSettings:
    """What a new model has to show. All are fractions.

    Args:
        minimum_relative_drop: of the priority KER.
        significance: the p of the exact McNemar test has to be below it, and the interval of the drop, clustered by
            term, has to leave 0 out.
        general_wer_cap: by how much the WER on general speech may rise, absolute: 0.01 is 1 point. The upper end
            of the interval of the change has to stay within it, for that is what can be promised.
        small_drop: two cycles running with a smaller relative drop of the priority KER end the tuning.

    Raises:
        DecisionSettingsError: all settings that are out of range.
    """

    minimum_relative_drop: float = 0.2
    significance: float = 0.05
    general_wer_cap: float = 0.01
    small_drop: float = 0.05

    def __post_init__(self) -> None:
        problems = [
            f"{name}: found {value}; allowed: a fraction from 0 to 1"
            for name, value in asdict(self).items()
            if not 0 <= value <= 1
        ]
        if problems:
            raise DecisionSettingsError("decision settings", problems)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the fine-tuned model.

    Args:
        action: `keep`, `grow`, `overfit`, `no_change`; `forgetting` where the general WER rose by more than its
            cap; `unmeasured` where the priority KER or the general WER was not measured, or the latter on too few
            rows to say that it stayed within the cap; `not_trained` where the gate was closed.
        promote: True with `keep`, and with nothing else.
        reasons: one sentence each, with numbers, intervals, n and p.
        advice: what to do next, in plain words.
        relative_drop: of the priority KER, for the next cycles' `previous_drops`; None where there is none.
        stop_tuning: two cycles running have gained next to nothing.
        alternative: what phrase boosting alone would have done, a sentence or two; empty where nobody measured it.
    """

    action: Action
    promote: bool
    reasons: tuple[str, ...]
    advice: str
    relative_drop: float | None = None
    stop_tuning: bool = False
    alternative: str = ""


def not_trained(gate: GateDecision) -> Decision:
    """The decision of a cycle whose gate is closed: the gate's reasons and advice.

    Raises:
        ValueError: the gate is open.
    """
    if gate.open:
        raise ValueError("not_trained: the gate is open; train, compare and decide")
    failed = tuple(criterion.reason for criterion in gate.criteria if not criterion.passed)
    return Decision(action="not_trained", promote=False, reasons=failed, advice=gate.advice)


def decide(
    comparison: Comparison,
    *,
    settings: DecisionSettings | None = None,
    previous_drops: Sequence[float] = (),
) -> Decision:
    """Whether to promote the model that `comparison` sets beside its base.

    Forgetting goes before everything: a model that got worse at general speech is never promoted, whatever
    it learned. A general WER or a priority KER that was not measured, or not well enough to say that the cap
    was kept, promotes nothing either.

    Args:
        comparison: with the held-out and the general slice.
        settings: the defaults if None.
        previous_drops: `relative_drop` of the earlier cycles that were trained, the latest last.
    """
    settings = settings or DecisionSettings()
    evidence = _Evidence(comparison, settings, previous_drops)
    action = _action(evidence)
    advice = _ADVICE[action](evidence)
    if evidence.stop_tuning:
        advice = f"{advice} {_stop_advice(evidence)}"
    return Decision(
        action=action,
        promote=action == "keep",
        reasons=_reasons(evidence),
        advice=advice,
        relative_drop=evidence.relative_drop,
        stop_tuning=evidence.stop_tuning,
    )


def earlier_drops(folder: CycleFolder) -> tuple[float, ...]:
    """The relative drop in priority KER of each cycle before `folder` that was trained, oldest first."""
    decisions = [
        read_record(earlier.decision, Decision)
        for earlier in earlier_cycles(folder.data, folder.cycle)
        if CycleSteps(earlier).is_current("decision")
    ]
    return tuple(each.relative_drop for each in decisions if each.relative_drop is not None)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the rules read."""

    comparison: Comparison
    settings: DecisionSettings
    previous_drops: Sequence[float]

    @property
    def ker(self) -> KeywordChange | None:
        return self.comparison.priority_ker

    @property
    def general(self) -> RateChange | None:
        return self.comparison.general_wer

    @property
    def mentions(self) -> str:
        return f"{listed(self.comparison.priority_categories, 'or')} mentions"

    @property
    def forgot(self) -> bool:
        most = self.settings.general_wer_cap + _ROUNDING
        return self.general is not None and self.general.difference.value > most

    @property
    def remembers(self) -> bool:
        """The whole interval of the change in general WER is within the cap."""
        high = None if self.general is None else self.general.difference.high
        return high is not None and high <= self.settings.general_wer_cap + _ROUNDING

    @property
    def relative_drop(self) -> float | None:
        drop = None if self.ker is None else self.ker.relative_drop
        return None if drop is None else drop.value

    @property
    def large(self) -> bool:
        least = self.settings.minimum_relative_drop - _ROUNDING
        return self.relative_drop is not None and self.relative_drop >= least

    @property
    def significant(self) -> bool:
        return self.ker is not None and self.ker.is_significant(self.settings.significance)

    @property
    def over_terms(self) -> bool:
        return self.ker is None or self.ker.holds_over_terms

    @property
    def stop_tuning(self) -> bool:
        if self.relative_drop is None or not self.previous_drops:
            return False
        least = self.settings.small_drop - _ROUNDING
        return self.relative_drop < least and self.previous_drops[-1] < least


def _action(evidence: _Evidence) -> Action:
    if evidence.forgot:
        return "forgetting"
    if evidence.ker is None:
        return "unmeasured"
    if evidence.ker.broken > evidence.ker.mended:
        return "overfit"
    if evidence.ker.broken == evidence.ker.mended:
        return "no_change"
    if not (evidence.large and evidence.significant):
        return "grow"
    return "keep" if evidence.remembers else "unmeasured"


def _reasons(evidence: _Evidence) -> tuple[str, ...]:
    reasons = [_general_reason(evidence)]
    if evidence.ker is None:
        reasons.insert(0, f"No held-out row has {evidence.mentions}: their KER was not measured.")
    else:
        reasons[:0] = [_drop_reason(evidence, evidence.ker), _test_reason(evidence, evidence.ker)]
    if evidence.stop_tuning and evidence.relative_drop is not None:
        reasons.append(
            f"The relative drop was {percent(evidence.previous_drops[-1])} in the cycle before and "
            f"{percent(evidence.relative_drop)} in this one: both are below "
            f"{percent(evidence.settings.small_drop)}."
        )
    return tuple(reasons)


def _drop_reason(evidence: _Evidence, ker: KeywordChange) -> str:
    counts = (
        f"Held-out rows: {missed_of(ker.before)} {evidence.mentions} missed before, {missed_of(ker.after)} "
        f"after; KER {_before_and_after(ker)}."
    )
    if ker.relative_drop is None:
        return f"{counts} Nothing was missed before, so that there is no relative change."
    needed = f"{percent(-evidence.settings.minimum_relative_drop)} or lower is needed"
    return f"{counts} Relative change {rate(negated(ker.relative_drop))}; {needed}."


def _test_reason(evidence: _Evidence, ker: KeywordChange) -> str:
    verdict = "significant" if ker.p < evidence.settings.significance else "not significant"
    change = change_in_points(negated(ker.absolute_drop))
    terms = (
        "" if evidence.over_terms else f" With other terms there might have been no change: {change} points."
    )
    return (
        f"Missed before and found after: {ker.mended}; found before and missed after: {ker.broken}. "
        f"Exact McNemar test: {p_value(ker.p)}, n = {ker.before.n}; {verdict} at "
        f"{evidence.settings.significance}.{terms}"
    )


def _general_reason(evidence: _Evidence) -> str:
    if evidence.general is None:
        return "General speech was not measured, so that nobody knows whether the model forgot it."
    change, cap = evidence.general, f"the cap of {evidence.settings.general_wer_cap * 100:+.1f} points"
    if evidence.forgot:
        verdict = f"above {cap}"
    elif evidence.remembers:
        verdict = f"the upper end is within {cap}"
    elif change.difference.high is None:
        verdict = f"without an interval nobody knows whether it is within {cap}"
    else:
        verdict = f"the upper end is above {cap}"
    return (
        f"General speech: WER {_before_and_after(change)}; a change of {change_in_points(change.difference)} "
        f"points: {verdict}."
    )


def _before_and_after(change: KeywordChange | RateChange) -> str:
    before, after = percent_with_interval(change.before), percent_with_interval(change.after)
    return f"{before} before and {after} after, n = {change.after.n}"


def _advise_keep(evidence: _Evidence) -> str:
    return "Use the new model from now on; the next cycle starts from it."


def _advise_grow(evidence: _Evidence) -> str:
    ker = evidence.ker
    lacking = 0 if ker is None else rows_for_margin(ker.after.value) - ker.after.n
    aim = (
        f" With about {lacking} more held-out {evidence.mentions} the KER would be known to within 5 points."
        if lacking > 0
        else ""
    )
    if evidence.significant:
        finding = "The gain is smaller than asked for."
    elif evidence.large:
        few = "rows" if evidence.over_terms else "terms"
        finding = f"The gain is large enough, but with so few {few} it may be chance."
    else:
        finding = "The gain is small, and may be chance."
    return (
        f"{finding} Add terms, contexts and voices, then train again; do not try other learning rates on the "
        f"same rows.{aim}"
    )


def _advise_overfit(evidence: _Evidence) -> str:
    doubt = "" if evidence.significant else ", although that may be chance"
    return (
        f"The new model misses more terms than the old one{doubt}: it learned its own rows, not the terms. "
        "Add terms, contexts and voices before training again."
    )


def _advise_no_change(evidence: _Evidence) -> str:
    return (
        "The new model misses as many terms as the old one. Look at the KER of each category: the old model "
        "may know the terms of some already. Add terms where it is high."
    )


def _advise_forgetting(evidence: _Evidence) -> str:
    learned = " It did learn terms, but that does not make up for it." if evidence.large else ""
    return (
        f"The new model got worse at everyday speech.{learned} Mix more general speech into the training "
        "rows, or train for fewer epochs."
    )


def _advise_unmeasured(evidence: _Evidence) -> str:
    if evidence.ker is None:
        kinds = listed(evidence.comparison.priority_categories, "or")
        return (
            "Whether the new model understands more terms than the old one was not measured. Add "
            f"{kinds} terms until some are held out, then run the cycle again."
        )
    if evidence.general is None:
        return (
            "The new model misses fewer terms, but whether it still understands everyday speech was not "
            "measured. Add rows of general speech, then evaluate both models again."
        )
    lacking = _general_rows_lacking(evidence.general, evidence.settings.general_wer_cap)
    rows = f", about {lacking} more if the change stays as it is" if lacking else ""
    return (
        "The new model misses fewer terms, but the rows of general speech are too few to say that it still "
        f"understands everyday speech as it should. Add rows of general speech{rows}, or replay more of it in "
        "training; then run the cycle again."
    )


def _general_rows_lacking(change: RateChange, cap: float) -> int | None:
    """Rows beyond those there are from which the interval of the same change would end at the cap: half an
    interval is as wide as the root of the number of rows is small. None where no number of rows would do."""
    high, room = change.difference.high, cap - change.difference.value
    if high is None or room <= 0:
        return None
    return math.ceil(change.after.n * ((high - change.difference.value) / room) ** 2) - change.after.n


def _stop_advice(evidence: _Evidence) -> str:
    return (
        "Stop tuning this model: two cycles running gained less than "
        f"{percent(evidence.settings.small_drop)}. Listen to the rows that are still missed, or try another "
        "base model."
    )


_ADVICE: Mapping[Action, Callable[[_Evidence], str]] = {
    "keep": _advise_keep,
    "grow": _advise_grow,
    "overfit": _advise_overfit,
    "no_change": _advise_no_change,
    "forgetting": _advise_forgetting,
    "unmeasured": _advise_unmeasured,
}
