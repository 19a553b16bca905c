"""The five sections that every leaderboard of this recipe has, in their order."""

import re
from collections.abc import Callable, Mapping

from flywheel.corpus.terms import RECORDING
from flywheel.files.markdown import image, inline
from flywheel.report.leaderboard.breakdowns import Levels, held_out_levels, loudness, newest, worst_first
from flywheel.report.leaderboard.figures import figure_description
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.rate_tables import (
    Line,
    count_table,
    difference_of,
    ker_table,
    mcnemar_cell,
    not_measured,
    rate_table,
    section,
)
from flywheel.scoring.comparison import KeywordChange, RateChange, SliceComparison
from flywheel.scoring.intervals import LEAST_CHANGES, LEAST_ROWS, Estimate
from flywheel.scoring.numbers_as_text import carries, chance, counted, listed, misses, negated, p_value

__all__ = ["TERMS_SHOWN", "by_category", "by_noise", "by_source", "by_term", "headline_metrics"]

TERMS_SHOWN = 15
"""A page is read, not searched: further terms are in `results.csv`."""

_SNR = re.compile(r"snr_(-?\d+)db")
_NO_ROWS = "no clinical row is held out"


def headline_metrics(inputs: LeaderboardInputs) -> str:
    """Section 1: WER, CER, KER and SER on held-out rows."""
    changes = _changes(inputs)

    def line(label: str, metric: str, rates: tuple[Estimate | None, Estimate | None], absent: str) -> Line:
        change = changes.get(metric)
        more = (chance(None if change is None else change.improvement),)
        return Line(label, *rates, None if change is None else difference_of(change), absent, more)

    lines = [
        line(metric.upper(), metric, inputs.metrics("held_out", metric), _NO_ROWS)
        for metric in ("wer", "cer", "ker", "ser")
    ]
    note = ""
    if inputs.priority_categories:
        note = " The gate and the decision use the line in bold."
        label = f"**KER, {listed(inputs.priority_categories)} only**"
        absent = "not each of these has a held-out row"
        lines.append(line(label, "priority_ker", inputs.both(inputs.priority_ker), absent))
    if inputs.stage == "trained":
        note += (
            " The last column says how sure the direction is: terms and sentences are drawn again at random many "
            "times, and it is the share of draws in which the rate fell."
        )
    return section(
        "1. Headline",
        "How to read: these rows were held out from training. All rates are error rates, so lower is better. WER: "
        "wrong, missing and added words per word said. CER: the same for characters. KER: the share of clinical terms "
        f"that were missed. SER: the share of sentences with an error.{note}",
        rate_table("metric", lines, trained=inputs.stage == "trained", more=["probability of improvement"]),
    )


def by_category(inputs: LeaderboardInputs) -> str:
    """Section 2: with the exact test of each category, and all of them corrected together."""
    held_out = _held_out(inputs)
    changes = {} if held_out is None else held_out.by_category
    priority = inputs.priority_categories
    levels = held_out_levels(inputs, "entity_category")
    lines = []
    for name in sorted(levels):
        change = changes.get(name)
        lines.append(
            Line(
                f"**{inline(name)}**" if name in priority else inline(name),
                *levels[name],
                None if change is None else negated(change.absolute_drop),
                more=_tests(change) if changes else (),
            )
        )
    text = "How to read: which kinds of term are missed."
    if priority:
        text += f" The decision uses {listed(priority)}, in bold."
    if changes:
        text += (
            " p: exact McNemar test of the rows that changed. Among several categories one p is easily low by chance, "
            f"so the last column corrects for the number of categories, {len(changes)} (Holm)."
        )
    return section(
        "2. KER by entity_category",
        text,
        _levels_table(inputs, "entity_category", lines, more=("p", "p (Holm)") if changes else ()),
        _figure(inputs, "category"),
    )


def by_source(inputs: LeaderboardInputs) -> str:
    """Section 3."""
    sources = inputs.before.ker_by("held_out", "ipa_source")
    note = ""
    if RECORDING in sources:
        note = (
            f" `{RECORDING}` is synthetic speech that a team made elsewhere. How its terms were pronounced is not "
            "known here, so it says nothing about pronunciations."
        )
    if len(sources) == 1:
        note += (
            f" Here every pronunciation comes from `{next(iter(sources))}`, so this table cannot tell a mispronounced "
            "term from one that the model does not know."
        )
    return section(
        "3. KER by ipa_source",
        "How to read: where the pronunciation came from. A low KER for `override` and `merriam-webster` "
        "beside a high one for `..._g2p` means that the test speech was mispronounced: correct the pronunciations "
        f"instead of training.{note}",
        _levels_table(inputs, "ipa_source", _level_lines(inputs, "ipa_source")),
        _figure(inputs, "source"),
    )


def by_noise(inputs: LeaderboardInputs) -> str:
    """Section 4: from clean to the loudest noise."""
    return section(
        "4. KER by noise_level",
        "How to read: from clean speech to the loudest noise; fewer decibels (dB) mean louder noise. If terms are "
        "missed only in noise, train on noisier rows; if they are missed in clean speech, train on more rows with "
        "them.",
        _levels_table(inputs, "noise_level", _level_lines(inputs, "noise_level", order=loudness)),
        _figure(inputs, "noise"),
    )


def by_term(inputs: LeaderboardInputs) -> str:
    """Section 5: worst first, by the newest model; terms that it never missed are named below the table."""
    levels = held_out_levels(inputs, "term")
    worst = worst_first(levels)
    missed = [term for term in worst if misses(newest(levels[term]))]
    found = [term for term in worst if not misses(newest(levels[term]))]
    lines = [Line(inline(term), *levels[term]) for term in missed[:TERMS_SHOWN]]
    rest = missed[TERMS_SHOWN:]
    if not levels:
        shown = f"{not_measured(_NO_ROWS)}."
    elif lines:
        shown = count_table("term", lines, trained=inputs.after is not None)
    else:
        shown = "No term was missed."
    small = any(not carries(newest(levels[term]).n) for term in missed[:TERMS_SHOWN])
    note = f" Terms with at least {LEAST_ROWS} rows have a rate beside their counts." if small else ""
    return section(
        "5. KER by term, worst first",
        "How to read: which terms to listen to first. Each has few rows, so trust the order more than the numbers."
        f"{note}",
        shown,
        f"{counted(len(rest), 'more term')}, none of them worse, in `results.csv`." if rest else "",
        _never_missed(found, levels) if missed else "",
        _figure(inputs, "terms"),
    )


def _never_missed(terms: list[str], levels: Levels) -> str:
    if not terms:
        return ""
    named = ", ".join(f"{inline(term)} ({newest(levels[term]).n})" for term in terms[:TERMS_SHOWN])
    more = f" and {len(terms) - TERMS_SHOWN} more" if len(terms) > TERMS_SHOWN else ""
    return f"Not missed (rows): {named}{more}."


def _held_out(inputs: LeaderboardInputs) -> SliceComparison | None:
    return None if inputs.comparison is None else inputs.comparison.slices.get("held_out")


def _changes(inputs: LeaderboardInputs) -> Mapping[str, RateChange | KeywordChange]:
    held_out = _held_out(inputs)
    if held_out is None:
        return {}
    names = ("wer", "cer", "ser", "ker", "priority_ker")
    return {name: change for name in names if (change := getattr(held_out, name)) is not None}


def _tests(change: KeywordChange | None) -> tuple[str, str]:
    if change is None:
        return "-", "-"
    if change.p_holm is None or change.mended + change.broken < LEAST_CHANGES:
        return mcnemar_cell(change), "-"
    return mcnemar_cell(change), p_value(change.p_holm)


def _figure(inputs: LeaderboardInputs, name: str) -> str:
    target = inputs.figures.get(name)
    return image(figure_description(inputs, name), target) if target else ""


def _level_lines(
    inputs: LeaderboardInputs,
    field: str,
    *,
    order: Callable[[str], tuple[float, str]] = lambda name: (0.0, name),
) -> list[Line]:
    levels = held_out_levels(inputs, field)
    return [Line(inline(name), *levels[name]) for name in sorted(levels, key=order)]


def _levels_table(
    inputs: LeaderboardInputs, field: str, lines: list[Line], more: tuple[str, ...] = ()
) -> str:
    if not lines:
        there_are = inputs.before.metric("held_out", "ker") is not None
        return f"{not_measured(f'no row says its {field}' if there_are else _NO_ROWS)}."
    return ker_table(field, lines, trained=inputs.after is not None, more=more)
