"""The history as a page: the answer first, then cycle by cycle, then what was promoted, and why."""

from collections.abc import Callable, Iterator, Sequence

from flywheel.files.atomic import write_bytes, write_text
from flywheel.files.cycles import CycleFolder
from flywheel.files.markdown import image, inline, table
from flywheel.recognisers.registry import Entry
from flywheel.report.history.figure import render_figure
from flywheel.report.history.reading import History, read_history
from flywheel.report.history.shared_rows import OnSharedRows, SharedRows
from flywheel.report.history.turns import Measured, Turn
from flywheel.report.rate_tables import Line, ker_table, not_measured, rate_table, section
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import (
    change_in_points,
    listed,
    missed_of,
    negated,
    p_value,
    percent,
    percent_with_interval,
    rate,
)

__all__ = ["figure_description", "headline", "render", "write_history"]

_SHOWN_OF_HASH = 12
_NO_ROWS = "no such rows"
_LEGEND = (
    "How to read the numbers: `6.2 % [2.1, 16.8]` is a rate with its 95 % interval: the true rate may be anywhere "
    "in it. n is the number of rows behind it. *Before* is the model that a cycle started from, *after* the one that "
    "was fine-tuned in it, both on that cycle's held-out rows."
)
_ROWS_DIFFER = (
    "A cycle that grew has other rows than the one before, so the rates of two cycles differ because of their rows as "
    "well as their models. Section 5 compares all cycles on the same rows."
)


def write_history(folder: CycleFolder) -> History:
    """Read the cycles up to that of `folder`, write the page and its figure there, and return what is on them."""
    history = read_history(folder)
    figure = folder.history.with_suffix(".png")
    write_bytes(figure, render_figure(history))
    write_text(folder.history, render(history, figure.name))
    return history


def headline(history: History) -> str:
    """The top of the page as plain text: what to do, then the numbers behind it, a line each."""
    answers = [f"{verdict} {advice}".rstrip() for verdict, advice in _answers(history)]
    return "\n".join([*answers, *_numbers(history)])


def render(history: History, figure: str = "") -> str:
    """The page as GitHub-flavoured markdown, ending in a line feed.

    Args:
        history: what is on it.
        figure: path of the figure, relative to the page; empty leaves it out.
    """
    title = "cycle 1" if history.number == 1 else f"cycles 1 to {history.number}"
    answers = [f"**{inline(verdict)}** {inline(advice)}".rstrip() for verdict, advice in _answers(history)]
    parts = [f"# History: {title}", *answers, *map(inline, _numbers(history))]
    if history.turns:
        parts.append(f"{_LEGEND} {_ROWS_DIFFER}" if history.shared is not None else _LEGEND)
        parts.append(image(figure_description(history), figure) if figure else "")
    return "\n\n".join(part for part in [*parts, *_sections(history)] if part) + "\n"


def _sections(history: History) -> Iterator[str]:
    """Those that there is something to say in, numbered as they come."""
    sections = [_promotions(history), _left_out(history)]
    if history.turns:
        same_rows = "" if history.shared is None else _same_rows(history, history.shared)
        sections[:0] = [*(part(history) for part in (_what_was_done, _ker, _wer, _general)), same_rows]
    for number, text in enumerate(filter(None, sections), start=1):
        yield text.replace("## ", f"## {number}. ", 1)


def figure_description(history: History) -> str:
    """What the figure shows, in a sentence: its text alternative."""

    def of(turn: Turn) -> str:
        sides = [side.priority_ker for side in (turn.before, turn.after) if side is not None]
        rates = [percent(ker.value) for ker in sides if ker is not None]
        return f"cycle {turn.number} {' to '.join(rates) or 'not measured'}"

    levels = "; ".join(map(of, history.turns))
    return f"KER, WER and WER on general speech, cycle by cycle, with 95 % intervals. KER: {levels}."


def _answers(history: History) -> list[tuple[str, str]]:
    """What to do, as a verdict and its advice: to stop tuning, if that was said, and the result of the newest cycle."""
    if not history.turns:
        return [("No cycle is finished yet.", "")]
    latest, stop = history.turns[-1], history.stop
    answers = [] if stop is None else [("Stop tuning.", stop.decision.advice)]
    if latest is stop:
        return answers
    if latest.after is None:
        verdict = "nothing was trained because the gate is closed."
    else:
        verdict = "the new model was kept." if latest.decision.promote else "the new model was not kept."
    return [*answers, (f"Cycle {latest.number}: {verdict}", latest.decision.advice)]


def _numbers(history: History) -> list[str]:
    """From what the first cycle began with to what the last one leaves in use."""
    if not history.turns:
        return []
    first, last = history.turns[0], history.turns[-1]
    lines = [
        f"KER: {_of_terms(first.before, first)} before cycle {first.number}; {_of_terms(last.kept, last)} after "
        f"cycle {last.number}.",
        f"WER on general speech: {_rate(first.before.general_wer)}, before cycle {first.number}; "
        f"{_rate(last.kept.general_wer)}, after cycle {last.number}.",
    ]
    if history.shared is not None:
        lines.append(f"On the rows that all cycles share: {_first_and_last(history, history.shared)}")
    return [*lines, f"In use after these cycles: {_in_use(history.entries)}"]


def _mentions(turn: Turn) -> str:
    return f"{listed(turn.priority_categories, 'or')} mentions"


def _of_terms(measured: Measured, turn: Turn) -> str:
    ker = measured.priority_ker
    return not_measured(_NO_ROWS) if ker is None else f"{rate(ker)} {_mentions(turn)},"


def _rate(estimate: Estimate | None) -> str:
    return not_measured(_NO_ROWS) if estimate is None else rate(estimate)


def _first_and_last(history: History, shared: SharedRows) -> str:
    first, last = shared.before[0].priority_ker, shared.kept.priority_ker
    if first is None or last is None:
        terms = f"no {_mentions(history.turns[-1])}"
    else:
        terms = (
            f"{missed_of(first)} {_mentions(history.turns[-1])} missed at first, {missed_of(last)} in the end"
        )
    if shared.general_change is None:
        return f"{terms}; no general speech."
    change = shared.general_change
    return f"{terms}; the WER on general speech changed by {change_in_points(change)} points, n = {change.n}."


def _in_use(entries: Sequence[Entry]) -> str:
    """The registry's pointer is its newest entry."""
    if not entries:
        return "the base, because no model was promoted."
    newest = entries[-1]
    if not newest.model:
        return "the base, because all models were rolled back."
    return f"the model of {newest.cycle} ({newest.sha256[:_SHOWN_OF_HASH]})."


def _what_was_done(history: History) -> str:
    return section(
        "What was done",
        "How to read: one line for each finished cycle. The relative change is that of the KER below, and p is from "
        "the exact McNemar test.",
        table(
            ["cycle", "started from", "result", "promoted", "relative change", "p", "what followed"],
            [
                [
                    str(turn.number),
                    inline(turn.base),
                    "gate closed" if turn.after is None else inline(turn.decision.action),
                    _promoted(history, turn),
                    "-" if turn.relative_drop is None else percent_with_interval(negated(turn.relative_drop)),
                    "-" if turn.p is None else p_value(turn.p),
                    inline(" ".join(_why(turn))),
                ]
                for turn in history.turns
            ],
            numbers_from=7,
        ),
    )


def _promoted(history: History, turn: Turn) -> str:
    if not turn.decision.promote:
        return "no"
    return "**yes**" if history.is_registered(turn) else "decided, but not in the registry"


def _why(turn: Turn) -> Sequence[str]:
    """The criteria that failed if the gate was closed, else the advice: the reasons are on the cycle's own page."""
    return turn.decision.reasons if turn.after is None else (turn.decision.advice,)


def _ker(history: History) -> str:
    kinds = dict.fromkeys(turn.priority_categories for turn in history.turns)
    of = listed([listed(each) for each in kinds], "or")
    differ = " The cycles used different categories, which are named beside them." if len(kinds) > 1 else ""
    return section(
        f"KER of {inline(of)} terms, held-out rows",
        f"How to read: the share of terms missed, which the gate and the decision use.{differ}",
        ker_table(
            "cycle",
            _lines(history, lambda each: each.priority_ker, with_categories=len(kinds) > 1),
            trained=_any_trained(history),
        ),
    )


def _wer(history: History) -> str:
    return section(
        "WER, held-out rows",
        "How to read: wrong, missing and added words per word said, in sentences with clinical terms.",
        rate_table("cycle", _lines(history, lambda each: each.wer), trained=_any_trained(history)),
    )


def _general(history: History) -> str:
    adds_up = " Each cycle has its own cap, so small losses can add up: see section 5."
    return section(
        "WER, general speech",
        "How to read: what new terms cost in everyday words."
        + (adds_up if history.shared is not None else ""),
        rate_table("cycle", _lines(history, lambda each: each.general_wer), trained=_any_trained(history)),
    )


def _any_trained(history: History) -> bool:
    return any(turn.after is not None for turn in history.turns)


def _lines(
    history: History, read: Callable[[Measured], Estimate | None], *, with_categories: bool = False
) -> list[Line]:
    return [
        Line(
            f"{turn.number} ({inline(listed(turn.priority_categories))})"
            if with_categories
            else str(turn.number),
            read(turn.before),
            None if turn.after is None else read(turn.after),
            None if turn.change is None else read(turn.change),
            _NO_ROWS if read(turn.before) is None else "gate closed",
        )
        for turn in history.turns
    ]


def _same_rows(history: History, shared: SharedRows) -> str:
    def lines(read: Callable[[OnSharedRows], Estimate | None]) -> list[Line]:
        return [
            Line(
                str(turn.number),
                read(before),
                None if after is None else read(after),
                absent=_NO_ROWS if read(before) is None else "gate closed",
            )
            for turn, before, after in zip(history.turns, shared.before, shared.after, strict=True)
        ]

    trained = _any_trained(history)
    return section(
        "The same rows in every cycle",
        "How to read: only rows that every cycle here held out, so nothing but the model differs from one line to the "
        "next. They are the rows of the smallest cycle, so new terms are not among them.",
        ker_table(
            f"KER of {inline(listed(shared.priority_categories))}, cycle",
            lines(lambda each: each.priority_ker),
            trained=trained,
        ),
        rate_table("WER on general speech, cycle", lines(lambda each: each.general_wer), trained=trained),
    )


def _promotions(history: History) -> str:
    told = "\n".join(f"- {_told(entry)}" for entry in history.entries)
    return section(
        "Promotions and rollbacks",
        "How to read: what the registry says about these cycles' models, oldest first. The last line is in use now.",
        told or "None: every cycle starts from the base.",
    )


def _told(entry: Entry) -> str:
    model = f"the model of {entry.cycle} (`{entry.sha256[:_SHOWN_OF_HASH]}`)"
    if entry.event == "promoted":
        return (
            f"{inline(entry.time)}: **promoted** {model}, fine-tuned from {inline(entry.base_model)}. "
            f"{inline(entry.decision)}"
        )
    to = model if entry.model else "the base"
    return (
        f"{inline(entry.time)}: **rolled back** to {to}. Reason: {inline(entry.reason) or 'none was given'}."
    )


def _left_out(history: History) -> str:
    if not history.left_out:
        return ""
    lines = "\n".join(f"- {each.cycle}: {inline(each.why)}" for each in history.left_out)
    return section("Not in this history", lines)
