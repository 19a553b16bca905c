"""The gate: whether fine-tuning is worth its cost, with every reason, and what to do if it is not.

A closed gate is a result like any other. What was not measured closes it: nobody pays for training on a
guess.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flywheel.corpus.terms import ENTITY_CATEGORIES, PRIORITY_CATEGORIES, RECORDING
from flywheel.errors import Problems
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import counted, listed, missed_of, percent, rate, rows_for_margin
from flywheel.scoring.scores import Scores, pooled

__all__ = ["GATE_CRITERIA", "Criterion", "GateDecision", "GateSettings", "GateSettingsError", "evaluate_gate"]

GATE_CRITERIA = ("priority_ker", "manifest_rows", "rows_per_priority_category", "pronunciation")
"""The names of the criteria, in the order of `GateDecision.criteria`."""

# Rows that no training has seen: the base may itself be a promoted model, trained on the other rows.
_SLICE = "held_out"


class GateSettingsError(Problems):
    """Settings of the gate that are out of range, all of them."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Where the gate stands. Rates are fractions.

    Args:
        priority_categories: the entity categories that the gate and the decision look at.
        minimum_ker: the priority KER has to be above it.
        saturated_ker: a priority KER below it leaves nothing worth training for.
        minimum_rows: clinical rows of the manifest, over all categories.
        minimum_rows_per_category: clinical rows of each priority category.
        well_spoken_ker: the pronunciation case needs looked-up pronunciations with a KER below this ...
        mispronounced_ker: ... while rows that the engine pronounced by itself have a KER above this.

    Raises:
        GateSettingsError: all settings that are out of range.
    """

    priority_categories: tuple[str, ...] = PRIORITY_CATEGORIES
    minimum_ker: float = 0.3
    saturated_ker: float = 0.1
    minimum_rows: int = 100
    minimum_rows_per_category: int = 5
    well_spoken_ker: float = 0.1
    mispronounced_ker: float = 0.3

    def __post_init__(self) -> None:
        problems = []
        allowed = ", ".join(ENTITY_CATEGORIES)
        if not self.priority_categories:
            problems.append(f"priority_categories: found none; allowed: one or more of {allowed}")
        problems += [
            f"priority_categories: found {category!r}; allowed: {allowed}, each once"
            for place, category in enumerate(self.priority_categories)
            if category not in ENTITY_CATEGORIES or category in self.priority_categories[:place]
        ]
        problems += [
            f"{name}: found {value}; allowed: a fraction from 0 to 1"
            for name in ("minimum_ker", "saturated_ker", "well_spoken_ker", "mispronounced_ker")
            if not 0 <= (value := getattr(self, name)) <= 1
        ]
        problems += [
            f"{name}: found {value}; allowed: a whole number from 0"
            for name in ("minimum_rows", "minimum_rows_per_category")
            if (value := getattr(self, name)) < 0
        ]
        if problems:
            raise GateSettingsError("gate settings", problems)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of the gate.

    Args:
        name: `priority_ker`, `manifest_rows`, `rows_per_priority_category` or `pronunciation`.
        passed: whether it holds; False where it was not measured.
        found, required: in words, with n and interval.
        reason: one sentence.
    """

    name: str
    passed: bool
    found: str
    required: str
    reason: str


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Whether fine-tuning is allowed.

    Args:
        open: True where every criterion holds.
        criteria: always the same four, in the same order.
        advice: what was found and what to do next, in plain words.
        priority_categories: those that the gate looked at.
        priority_ker: over the held-out rows of the priority categories; None where one of them has none.
    """

    open: bool
    criteria: tuple[Criterion, ...]
    advice: str
    priority_categories: tuple[str, ...]
    priority_ker: Estimate | None = None


def evaluate_gate(
    scores: Scores,
    category_rows: Mapping[str, int],
    *,
    cycle: int,
    settings: GateSettings | None = None,
) -> GateDecision:
    """Whether the model that `scores` are of should be fine-tuned.

    Args:
        scores: the baseline's. The KER is that of held-out rows. The
            pronunciation case is read over all categories: scores do not cross category and source.
        category_rows: clinical rows of the manifest in each entity category; an absent category has none.
        cycle: from 1; the advice for a middling KER depends on it.
        settings: the defaults if None.
    """
    evidence = _Evidence(scores, category_rows, settings or GateSettings())
    criteria = (
        _ker_criterion(evidence),
        _rows_criterion(evidence),
        _category_criterion(evidence),
        _pronunciation_criterion(evidence),
    )
    allowed = all(criterion.passed for criterion in criteria)
    return GateDecision(
        open=allowed,
        criteria=criteria,
        advice=_advice(evidence, allowed=allowed, first_cycle=cycle == 1),
        priority_categories=evidence.settings.priority_categories,
        priority_ker=evidence.ker,
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the criteria and the advice read."""

    scores: Scores
    category_rows: Mapping[str, int]
    settings: GateSettings

    @property
    def ker(self) -> Estimate | None:
        return self.scores.pooled_ker(_SLICE, self.settings.priority_categories)

    @property
    def unmeasured(self) -> str:
        """The priority categories without a held-out row."""
        measured = self.scores.ker_by(_SLICE, "entity_category")
        return listed([name for name in self.settings.priority_categories if name not in measured], "or")

    @property
    def rows(self) -> int:
        return sum(self.category_rows.values())

    @property
    def rows_of_priority(self) -> dict[str, int]:
        return {name: self.category_rows.get(name, 0) for name in self.settings.priority_categories}

    def ker_by_origin(self, *, engines_own: bool) -> Estimate | None:
        """Over rows that the engine pronounced by its own rules, or over those that were looked up.

        How a recording's speaker pronounces a term was neither.
        """
        sources = self.scores.ker_by(_SLICE, "ipa_source")
        return pooled(
            [
                ker
                for source, ker in sources.items()
                if source != RECORDING and source.endswith("_g2p") == engines_own
            ]
        )

    @property
    def mispronounced(self) -> bool:
        own, looked_up = self.ker_by_origin(engines_own=True), self.ker_by_origin(engines_own=False)
        if own is None or looked_up is None:
            return False
        return looked_up.value < self.settings.well_spoken_ker and own.value > self.settings.mispronounced_ker

    def kinds(self, noun: str) -> str:
        """`drug or procedure mention`, for a noun of `mention`."""
        return f"{listed(self.settings.priority_categories, 'or')} {noun}"

    @property
    def growth_for_training(self) -> str:
        """What to add until training is allowed; empty where there is enough."""
        least = self.settings.minimum_rows_per_category
        lacking = sum(max(0, least - rows) for rows in self.rows_of_priority.values())
        lacking = max(lacking, self.settings.minimum_rows - self.rows)
        return self._growth(lacking, "all", "more row")

    def growth_for_measuring(self, ker: Estimate) -> str:
        """What to add until the priority KER is known to within 5 points; empty where it is."""
        return self._growth(rows_for_margin(ker.value) - ker.n, _SLICE, "more held-out row")

    def _growth(self, lacking: int, slice_name: str, noun: str) -> str:
        if lacking <= 0:
            return ""
        rows_of_term = [ker.n for ker in self.scores.ker_by(slice_name, "term").values()]
        if not rows_of_term:
            return f"{self.kinds('term')}s until there are {counted(lacking, noun)}"
        terms = math.ceil(lacking * len(rows_of_term) / sum(rows_of_term))
        return f"about {counted(terms, self.kinds('term'))} ({counted(lacking, noun)})"


def _ker_criterion(evidence: _Evidence) -> Criterion:
    ker, least = evidence.ker, percent(evidence.settings.minimum_ker)
    if ker is None:
        return Criterion(
            name="priority_ker",
            passed=False,
            found=f"not measured (no held-out row of {evidence.unmeasured})",
            required=f"above {least}",
            reason=f"No held-out row holds a term of {evidence.unmeasured}: its KER is unknown.",
        )
    passed = ker.value > evidence.settings.minimum_ker
    return Criterion(
        name="priority_ker",
        passed=passed,
        found=rate(ker),
        required=f"above {least}",
        reason=f"On held-out rows {missed_of(ker)} {evidence.kinds('mention')}s were missed: {rate(ker)}. "
        f"That is {'more' if passed else 'not more'} than {least}.",
    )


def _rows_criterion(evidence: _Evidence) -> Criterion:
    needed = evidence.settings.minimum_rows
    lacking = needed - evidence.rows
    verdict = f"{lacking} too few" if lacking > 0 else "enough"
    return Criterion(
        name="manifest_rows",
        passed=lacking <= 0,
        found=counted(evidence.rows, "row"),
        required=f"{needed} or more",
        reason=f"The manifest has {counted(evidence.rows, 'clinical row')}; {needed} are needed: {verdict}.",
    )


def _category_criterion(evidence: _Evidence) -> Criterion:
    needed = evidence.settings.minimum_rows_per_category
    found = ", ".join(f"{category} {rows}" for category, rows in evidence.rows_of_priority.items())
    short = [category for category, rows in evidence.rows_of_priority.items() if rows < needed]
    verdict = f"too few of {listed(short)}" if short else "enough"
    return Criterion(
        name="rows_per_priority_category",
        passed=not short,
        found=found,
        required=f"{needed} or more each",
        reason=f"Clinical rows of each priority category: {found}; {needed} of each are needed: {verdict}.",
    )


def _pronunciation_criterion(evidence: _Evidence) -> Criterion:
    own = evidence.ker_by_origin(engines_own=True)
    looked_up = evidence.ker_by_origin(engines_own=False)
    if own and looked_up:
        found = f"looked up {rate(looked_up)}; the engine's own {rate(own)}"
        reason = (
            "Terms with a looked-up pronunciation are understood, those that the speech engine pronounced by "
            "itself are not: the speech is wrong, not the model."
            if evidence.mispronounced
            else "Misses do not go with where a pronunciation came from, so that the speech is not to blame."
        )
    elif only := own or looked_up:
        origin = "the engine's own" if own else "looked up"
        found = f"all {origin}: {rate(only)}"
        reason = f"All pronunciations are {origin}, so that there are no others to compare them with."
    else:
        found = "not measured (no held-out row with a pronunciation's source)"
        reason = "No held-out row says where its pronunciation came from: wrong speech cannot be ruled out."
    settings = evidence.settings
    return Criterion(
        name="pronunciation",
        passed=bool(own or looked_up) and not evidence.mispronounced,
        found=found,
        required=f"not both: looked up below {percent(settings.well_spoken_ker)} and the engine's own above "
        f"{percent(settings.mispronounced_ker)}",
        reason=reason,
    )


def _advice(evidence: _Evidence, *, allowed: bool, first_cycle: bool) -> str:
    ker, more = evidence.ker, evidence.growth_for_training
    if ker is None:
        terms = f"terms of {evidence.unmeasured}"
        return (
            f"How often the recogniser misses {terms} is not known: no held-out row holds one. "
            f"Do not train yet: add {more or terms}, then run the cycle again."
        )
    finding = f"The recogniser misses {missed_of(ker)} {evidence.kinds('mention')}s ({rate(ker)})"
    if allowed:
        return f"{finding}, and there are enough rows to learn from: fine-tune."
    if evidence.mispronounced:
        return (
            "The recogniser understands the terms whose pronunciation was looked up, and misses those that "
            "the speech engine pronounced by itself: the test speech is wrong, not the recogniser. Do not "
            "train: correct the pronunciation of the terms that are missed most, then run the cycle again."
        )
    if ker.value < evidence.settings.saturated_ker:
        also = f", and add {more}" if more else ""
        return (
            f"{finding}: this test leaves little to learn. Do not train: make the test harder with other "
            f"voices, more noise, other contexts and terms that sound alike{also}."
        )
    if ker.value <= evidence.settings.minimum_ker:
        return f"{finding}: {_advice_if_middling(evidence, ker, more, first_cycle)}"
    if more:
        lacking = "worth training for, but there is too little to learn from"
        return f"{finding}: {lacking}. Add {more}, then run the cycle again."
    return (
        f"{finding}, but no row says where its pronunciation came from. Do not train yet: fill in "
        "ipa_source, then run the cycle again."
    )


def _advice_if_middling(evidence: _Evidence, ker: Estimate, more: str, first_cycle: bool) -> str:
    if first_cycle:
        more = more or evidence.growth_for_measuring(ker) or "terms that are harder to recognise"
        return (
            "too few to pay for training on this list. Do not train yet: "
            f"add {more}, then run the cycle again."
        )
    # Rounded down: a value below what is printed has to be below the KER, too.
    below = math.floor(ker.value * 100) / 100
    also = f" and add {more}" if more else ""
    return (
        "fine-tuning is possible, but there is no need. Keep the present model; or, to train all the same, "
        f"set the gate's minimum_ker below {below:.2f}{also}, and run the cycle again."
    )
