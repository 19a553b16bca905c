"""Section 6: the slices one under another, each before and after."""

from collections.abc import Sequence

from flywheel.files.markdown import table
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.slices import SLICES_SHOWN, ShownSlice, SliceLine, lines_of
from flywheel.report.rate_tables import Line, change_cell, mcnemar_cell, missed_cell, rate_cell, section
from flywheel.scoring.comparison import KeywordChange
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import carries, counted, interval_in_points, listed
from flywheel.scoring.slices import HUMAN

__all__ = ["how_far_it_carries"]


def how_far_it_carries(inputs: LeaderboardInputs) -> str:
    """Section 6: one line a slice; those without rows are named with what would give them some."""
    lines = [line for shown in SLICES_SHOWN for line in lines_of(inputs, shown)]
    return section(
        "6. Slices: how well it generalises",
        "How to read: the rows most like the training rows come first. For a new speaker, expect what the unseen "
        "voices show; for a new term, what the unseen terms show. General speech is the control: if its WER rises, the "
        "model pays for new terms with everyday words.",
        _table(inputs, lines),
        _how_intervals_read(lines),
        _people(inputs),
        _not_measured(inputs),
    )


def _label(inputs: LeaderboardInputs, shown: ShownSlice) -> str:
    if shown.name == "held_out" and inputs.known_sentences == 0:
        return "held out: seen term, new sentence, known voice"
    return shown.label


def _unheard(inputs: LeaderboardInputs, line: SliceLine) -> str:
    """What of a slice's rows no training row has; a held-out sentence may have been trained on in another voice."""
    if line.shown.name != "held_out" or inputs.known_sentences is None:
        return line.shown.unheard
    new = line.before.n - inputs.known_sentences
    if not inputs.known_sentences:
        return "the sentence"
    return f"the recording; of {new} rows the sentence" if new > 0 else line.shown.unheard


def _table(inputs: LeaderboardInputs, lines: Sequence[SliceLine]) -> str:
    if not lines:
        return "No rows are set aside, so nothing was measured."
    first = ["rows", "never trained on", "rate"]
    cells = [
        [_label(inputs, line.shown), _unheard(inputs, line), line.metric.upper(), str(line.before.n)]
        for line in lines
    ]
    if inputs.stage != "trained":
        return table(
            [*first, "n", "missed", "baseline"],
            [
                [*cells_of, _missed(line, line.before), rate_cell(line.before)]
                for cells_of, line in zip(cells, lines, strict=True)
            ],
            numbers_from=3,
        )
    return table(
        [
            *(*first, "n", "missed before", "missed after", "before", "after"),
            *("change, points", "interval by voice", "p"),
        ],
        [
            [
                *cells_of,
                *(_missed(line, line.before), _missed(line, line.after)),
                *(rate_cell(line.before), "-" if line.after is None else rate_cell(line.after)),
                change_cell(Line("", line.before, line.after, line.difference)),
                _by_voice(line),
                mcnemar_cell(line.change) if isinstance(line.change, KeywordChange) else "-",
            ]
            for cells_of, line in zip(cells, lines, strict=True)
        ],
        numbers_from=3,
    )


def _missed(line: SliceLine, side: Estimate | None) -> str:
    return missed_cell(side) if line.metric == "ker" else "-"


def _by_voice(line: SliceLine) -> str:
    by_voice = line.by_voice
    if by_voice is None or by_voice.low is None or not carries(by_voice.n):
        return "-"
    return interval_in_points(by_voice)


def _how_intervals_read(lines: Sequence[SliceLine]) -> str:
    """That there are two intervals, and where they do not say the same."""
    compared = [line for line in lines if _has_bounds(line.difference) and _has_bounds(line.by_voice)]
    if not compared:
        return ""
    differing = [line for line in compared if _is_sure(line.difference) != _is_sure(line.by_voice)]
    text = (
        "A change has two intervals: one from drawing whole terms again (for general speech, sentences), one from "
        "drawing whole voices. With other terms, or other speakers, the change might have been anywhere in between."
    )
    if not differing:
        return f"{text} Here both agree on every line."
    named = listed([f"the {line.metric.upper()} of {line.shown.rows}" for line in differing])
    return f"{text} They disagree on whether {named} changed at all: treat that as not known."


def _has_bounds(change: Estimate | None) -> bool:
    return change is not None and change.low is not None


def _is_sure(change: Estimate | None) -> bool:
    if change is None or change.low is None or change.high is None:
        return False
    return change.low > 0 or change.high < 0


def _people(inputs: LeaderboardInputs) -> str:
    speakers = inputs.before.speakers(HUMAN)
    if not speakers:
        return ""
    return (
        f"Human speech: recordings of people ({counted(speakers, 'speaker')}). They are never trained on, though "
        "training rows may say the same sentences in synthetic voices. Only their own lines on this page count them. "
        "The gate and the decision do not, because these compare the same rows from cycle to cycle, and who is "
        "recorded changes."
    )


def _not_measured(inputs: LeaderboardInputs) -> str:
    """A line for each slice without rows, and for each metric that the rows of one do not have."""
    absent = []
    for shown in SLICES_SHOWN:
        lacking = [metric for metric in shown.metrics if inputs.before.metric(shown.name, metric) is None]
        if len(lacking) == len(shown.metrics):
            absent.append(f"- {shown.label}: {shown.absent}.")
        elif lacking:
            absent.append(
                f"- {listed([metric.upper() for metric in lacking])} of {shown.rows}: no such row holds a term."
            )
    return "Not measured:\n\n" + "\n".join(absent) if absent else ""
