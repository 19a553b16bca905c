"""One turn of the loop as its folder tells it: what was measured before and after, and what was decided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from flywheel.errors import FlywheelError
from flywheel.files.cycles import CycleFolder, cycle_name, cycle_number, earlier_cycles
from flywheel.files.records import read_record
from flywheel.files.steps import CycleSteps
from flywheel.recognisers.evaluation import read_scores
from flywheel.scoring.comparison import Comparison, KeywordChange, RateChange
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import negated
from flywheel.scoring.scores import Scores
from flywheel.verdict.decision import Decision, not_trained
from flywheel.verdict.gate import GateDecision

__all__ = ["LeftOut", "Measured", "Turn", "read_turns"]

_Change: TypeAlias = KeywordChange | RateChange


@dataclass(frozen=True, slots=True)
class Measured:
    """The rates of one model in one cycle, or their changes, as fractions; None where there are no such rows.

    Args:
        priority_ker: on held-out rows of the priority categories.
        wer: on held-out rows.
        general_wer: on general speech.
    """

    priority_ker: Estimate | None
    wer: Estimate | None
    general_wer: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A finished cycle.

    Args:
        folder: where its files are.
        base: the model that it started from, as pages call it.
        normalizer: name and version of what both evaluations were scored with.
        priority_categories: the entity categories that the gate and the decision looked at.
        before: the base's rates.
        after: those of the fine-tuned model on the same rows; None where the gate was closed.
        change: after minus before; None likewise.
        relative_drop: of the priority KER; None where nothing was trained or nothing was missed before.
        p: of the exact McNemar test of the priority KER; None likewise.
        decision: what followed; of a closed gate its reasons and advice.
    """

    folder: CycleFolder
    base: str
    normalizer: str
    priority_categories: tuple[str, ...]
    before: Measured
    after: Measured | None = None
    change: Measured | None = None
    relative_drop: Estimate | None = None
    p: float | None = None
    decision: Decision

    @property
    def number(self) -> int:
        """3 for the turn of cycle 3."""
        return self.folder.number

    @property
    def kept(self) -> Measured:
        """The rates of the model that the decision leaves in use."""
        return self.after if self.after is not None and self.decision.promote else self.before


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cycle, or a name for several, that cannot be in the history, and why."""

    cycle: str
    why: str


def read_turns(folder: CycleFolder) -> tuple[tuple[Turn, ...], tuple[LeftOut, ...]]:
    """The finished cycles up to that of `folder`, and those that are left out, both in numeric order.

    All turns are scored with the normaliser of the newest one: rates of another version of it are not comparable.
    """
    turns: list[Turn] = []
    left_out: list[LeftOut] = []
    folders = earlier_cycles(folder.data, cycle_name(folder.number + 1))
    for each in folders:
        try:
            turns.append(_turn(each))
        except FlywheelError as error:
            left_out.append(LeftOut(each.cycle, str(error)))
    normalizer = turns[-1].normalizer if turns else ""
    left_out += [
        LeftOut(
            turn.folder.cycle,
            f"scored with {turn.normalizer}, but the newest cycle with {normalizer}; materialise its baseline_eval, "
            "next_eval and decision again: transcripts are kept and only scored again",
        )
        for turn in turns
        if turn.normalizer != normalizer
    ]
    left_out += _without_folder([each.number for each in folders], folder.number)
    comparable = tuple(turn for turn in turns if turn.normalizer == normalizer)
    return comparable, tuple(sorted(left_out, key=lambda each: cycle_number(each.cycle.split()[0])))


def _without_folder(present: Sequence[int], last: int) -> list[LeftOut]:
    """The numbers up to `last` that have no folder, those in a row together."""
    gaps = zip([0, *present], [*present, last + 1], strict=True)
    return [
        LeftOut(
            cycle_name(low + 1) if high - low == 2 else f"{cycle_name(low + 1)} to {cycle_name(high - 1)}",
            "no folder here",
        )
        for low, high in gaps
        if high - low > 1
    ]


def _turn(folder: CycleFolder) -> Turn:
    """Raises `FlywheelError` saying what a cycle lacks, or what is wrong with its files."""
    _require(folder, "baseline_eval")
    _require(folder, "gate")
    scores = read_scores(folder.baseline)
    gate = read_record(folder.gate, GateDecision)
    if not gate.open:
        return Turn(
            folder=folder,
            base=scores.model,
            normalizer=str(scores.normalizer),
            priority_categories=gate.priority_categories,
            before=Measured(
                gate.priority_ker, scores.metric("held_out", "wer"), scores.metric("general", "wer")
            ),
            decision=not_trained(gate),
        )
    _require(folder, "decision")
    return _trained(folder, scores, read_record(folder.comparison, Comparison))


def _trained(folder: CycleFolder, scores: Scores, comparison: Comparison) -> Turn:
    if comparison.normalizer != str(scores.normalizer):
        raise FlywheelError(
            f"its baseline is scored with {scores.normalizer}, its comparison with {comparison.normalizer}; "
            "materialise its next_eval and decision again"
        )
    ker, general = comparison.priority_ker, comparison.general_wer
    held_out = comparison.slices.get("held_out")
    wer = None if held_out is None else held_out.wer

    def rates(read: Callable[[_Change], Estimate]) -> Measured:
        return Measured(*(None if each is None else read(each) for each in (ker, wer, general)))

    return Turn(
        folder=folder,
        base=scores.model,
        normalizer=str(scores.normalizer),
        priority_categories=comparison.priority_categories,
        before=rates(lambda change: change.before),
        after=rates(lambda change: change.after),
        change=rates(_difference),
        relative_drop=None if ker is None else ker.relative_drop,
        p=None if ker is None else ker.p,
        decision=read_record(folder.decision, Decision),
    )


def _difference(change: _Change) -> Estimate:
    return negated(change.absolute_drop) if isinstance(change, KeywordChange) else change.difference


def _require(folder: CycleFolder, step: str) -> None:
    if (problem := CycleSteps(folder).problem(step)) is not None:
        raise FlywheelError(problem)
