"""The slices of the page in words, from the nearest to the training rows to the farthest; and what got worse."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.rate_tables import difference_of, mcnemar_cell
from flywheel.scoring.comparison import KeywordChange, RateChange
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import (
    carries,
    chance,
    change_in_points,
    interval_in_points,
    missed_of,
    misses,
    negated,
)
from flywheel.scoring.scores import Scores
from flywheel.scoring.slices import HUMAN

__all__ = ["SLICES_SHOWN", "SUBSETS_IN_WORDS", "ShownSlice", "SliceLine", "lines_of", "what_got_worse"]

Metric: TypeAlias = Literal["ker", "wer"]

_LEAST_WORSE = 0.0005
"""A rise that is written as +0.0 points is none to speak of."""


@dataclass(frozen=True, slots=True)
class ShownSlice:
    """A slice in words.

    Args:
        name: in `scores.json`.
        label: what its rows are, in a table.
        rows: the same in a sentence.
        unheard: what of them no training row has.
        absent: why there may be no such rows, and what to do; markdown.
        metrics: what is shown of it.
    """

    name: str
    label: str
    rows: str
    unheard: str
    absent: str
    metrics: tuple[Metric, ...] = ("ker",)


SLICES_SHOWN = (
    ShownSlice(
        "held_out",
        "held out: seen term, known voice",
        "held-out rows",
        "the recording",
        "none is held out; add terms",
    ),
    ShownSlice(
        "unseen_voice",
        "unseen voice, seen term",
        "unseen voices",
        "the voice",
        "none is set aside; name some in `unseen_voices`",
    ),
    ShownSlice(
        "unseen_term",
        "unseen term",
        "unseen terms",
        "the term",
        "none is set aside; that takes three terms of one entity category",
    ),
    ShownSlice(
        "unseen_engine",
        "unseen synthesiser",
        "an unseen synthesiser",
        "the synthesiser, its voices",
        "there is no second one; `apt-get install flite` adds one to the next run",
    ),
    ShownSlice(
        "general",
        "general speech",
        "general speech",
        "the sentence",
        "none is set aside",
        metrics=("wer",),
    ),
    ShownSlice(
        HUMAN,
        "your own recordings",
        "your own recordings",
        "the speaker",
        "nobody has been recorded; put recordings into `data/recordings`",
        metrics=("ker", "wer"),
    ),
)
"""In the order of the page: from what is nearest to the training rows to what is farthest."""

SUBSETS_IN_WORDS: Mapping[str, str] = {
    "validation": "held out",
    "unseen_voice": "unseen voice",
    "unseen_term": "unseen term",
    "unseen_engine": "unseen synthesiser",
    HUMAN: "a person",
}
"""Where a row stands, beside the row itself."""


@dataclass(frozen=True, slots=True)
class SliceLine:
    """A slice by one metric; `after` and `change` are None before there are two models.

    `difference` and `by_voice` are after minus before, with the interval over terms and over voices.
    """

    shown: ShownSlice
    metric: Metric
    before: Estimate
    after: Estimate | None
    change: RateChange | KeywordChange | None

    @property
    def difference(self) -> Estimate | None:
        return None if self.change is None else difference_of(self.change)

    @property
    def by_voice(self) -> Estimate | None:
        if self.change is None or self.change.by_voice is None:
            return None
        by_voice = self.change.by_voice
        return negated(by_voice) if isinstance(self.change, KeywordChange) else by_voice

    @property
    def certainty(self) -> Iterator[str]:
        """How sure the change is: the test, in how many draws the rate fell, the interval over voices."""
        if isinstance(self.change, KeywordChange):
            yield mcnemar_cell(self.change)
        if self.change is not None and self.change.improvement is not None:
            yield f"fell in {chance(self.change.improvement)} of draws"
        if self.by_voice is not None and self.by_voice.low is not None:
            yield f"by voice {interval_in_points(self.by_voice)}"


def lines_of(inputs: LeaderboardInputs, shown: ShownSlice) -> Iterator[SliceLine]:
    """Its lines, one a metric; none for a metric that it does not have."""
    compared = None if inputs.comparison is None else inputs.comparison.slices.get(shown.name)
    for metric in shown.metrics:
        before, after = inputs.metrics(shown.name, metric)
        if before is not None:
            change = None if compared is None else getattr(compared, metric)
            yield SliceLine(shown, metric, before, after, change)


def what_got_worse(inputs: LeaderboardInputs) -> str:
    """Every rate of slices and held-out categories that rose, in a sentence or two; empty before there are two models.

    A rise that may well be chance is told from one that may not: of a rate the interval of its change lies above 0, of
    a count the intervals before and after lie apart.
    """
    if inputs.comparison is None:
        return ""
    worse = [*_risen_rates(inputs), *_risen_counts(inputs)]
    sure = [what for what, is_sure in worse if is_sure]
    maybe = [what for what, is_sure in worse if not is_sure]
    if not (sure or maybe):
        return "Nothing measured here got worse."
    sentences = [f"Got worse: {'; '.join(sure)}."] if sure else []
    sentences += [f"Worse, but perhaps by chance: {'; '.join(maybe)}."] if maybe else []
    return " ".join(sentences)


def _changes(inputs: LeaderboardInputs) -> Iterator[tuple[str, RateChange | KeywordChange]]:
    for shown in SLICES_SHOWN:
        for line in lines_of(inputs, shown):
            if line.change is not None:
                yield f"{line.metric.upper()} of {line.shown.rows}", line.change
    held_out = None if inputs.comparison is None else inputs.comparison.slices.get("held_out")
    for category, change in ({} if held_out is None else held_out.by_category).items():
        yield f"KER of held-out {category} terms", change


def _risen_rates(inputs: LeaderboardInputs) -> Iterator[tuple[str, bool]]:
    """What rose, in words, and whether that is sure."""
    for what, change in _changes(inputs):
        difference = difference_of(change)
        if difference.value >= _LEAST_WORSE:
            is_sure = difference.low is not None and difference.low > 0 and carries(difference.n)
            yield _risen(what, change), is_sure


def _risen(what: str, change: RateChange | KeywordChange) -> str:
    """Counts where there are some; points only where the rows carry them."""
    points = f"{change_in_points(difference_of(change))} points"
    if isinstance(change, RateChange):
        return f"{what} {points}, n = {change.after.n}"
    counts = f"{what} {misses(change.before)} -> {missed_of(change.after)} missed"
    return f"{counts}, {points}" if carries(change.after.n) else counts


def _risen_counts(inputs: LeaderboardInputs) -> Iterator[tuple[str, bool]]:
    """Terms heard that nobody said, and quantities heard wrong: where there are more of them, as `_risen_rates`."""
    counts: tuple[tuple[str, Callable[[Scores, str], Estimate | None]], ...] = (
        ("terms that nobody said, heard in", Scores.false_insertions),
        ("quantities heard wrong in", _wrong_doses),
    )
    after = inputs.after
    if after is None:
        return
    for name, rows in (("held_out", "held-out rows"), ("general", "general speech")):
        for what, read in counts:
            first, second = read(inputs.before, name), read(after, name)
            if first is not None and second is not None and misses(second) > misses(first):
                apart = first.high is not None and second.low is not None and second.low > first.high
                yield f"{what} {rows} {misses(first)} -> {missed_of(second)}", apart


def _wrong_doses(scores: Scores, name: str) -> Estimate | None:
    doses = scores.doses(name)
    return None if doses is None else doses.rate
