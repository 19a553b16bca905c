"""The figures with their numbers, what was heard instead, and how far the model carries."""

from collections.abc import Sequence
from html import escape

from flywheel.report.leaderboard.boosting_section import measures, models_beside
from flywheel.report.leaderboard.figures import FIGURES, figure_levels, figure_title, render_svg
from flywheel.report.leaderboard.html.elements import Html, coded, measured, points, section, table
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.lines import mcnemar_cell
from flywheel.report.leaderboard.slices import SLICES_SHOWN, SliceLine, lines_of
from flywheel.scoring.comparison import KeywordChange
from flywheel.scoring.intervals import LEAST_ROWS
from flywheel.scoring.numbers_as_text import chance, change_in_points, counted, missed_of
from flywheel.scoring.slices import HUMAN
from flywheel.verdict.misses import HeardInstead, MissedTerm

__all__ = ["alternatives", "confusions", "doses", "figures", "slices"]

_TERMS_SHOWN = 8
_HEARD_SHOWN = 4

_NOTES = {
    "category": "Which kinds of term are missed.",
    "noise": "From clean speech to the loudest noise; the fewer decibels, the louder.",
    "source": "Looked-up pronunciations that are heard beside the engine's own that are not: mend those, do not train.",
    "terms": "Few rows stand behind each term: trust the order more than the heights.",
}


def figures(inputs: LeaderboardInputs) -> Html:
    """Each figure as a drawing, with the same numbers in a table that can be opened."""
    cards = "\n".join(_figure(inputs, name) for name in FIGURES)
    return section(
        "figures",
        "Which terms are missed",
        Html(
            f'<p class="note">Held-out rows. A bar is the 95 % interval of its rate: the true one may well be anywhere '
            f"in it. A hollow marker stands on fewer than {LEAST_ROWS} rows, too few to carry a rate.</p>"
        ),
        Html(f'<div class="figures">\n{cards}\n</div>'),
    )


def _figure(inputs: LeaderboardInputs, name: str) -> str:
    title, levels = figure_title(name), figure_levels(inputs, name)
    trained = inputs.after is not None
    numbers = ""
    if levels:
        header = [
            *(name.removesuffix("s"), "n"),
            *(("missed before", "missed after", "KER before", "KER after") if trained else ("missed", "KER")),
        ]
        rows: list[Sequence[str | Html]] = []
        for level, (before, after) in levels.items():
            sides = (before, after) if trained else (before,)
            n = " / ".join(dict.fromkeys(str(ker.n) for ker in sides if ker is not None))
            missed = ["-" if ker is None else missed_of(ker) for ker in sides]
            rows.append([level, n, *missed, *map(measured, sides)])
        shown = table(title, header, rows, kind="dense", hide=True)
        numbers = f"<details><summary>The numbers</summary>{shown}</details>"
    return (
        f'<figure><figcaption><h3>{escape(title)}</h3><p class="note">{escape(_NOTES[name])}</p></figcaption>\n'
        f"{render_svg(inputs, name)}\n{numbers}</figure>"
    )


def confusions(inputs: LeaderboardInputs) -> Html:
    """Each missed term with what was heard in its place, how far that is from what was spoken, and the likely cause."""
    if inputs.misses is None:
        return Html("")
    terms = inputs.misses.terms
    if not terms:
        return section("heard", "What was heard instead", "No term was missed.")
    rows = [_confusion(term) for term in terms]
    rest = rows[_TERMS_SHOWN:]
    return section(
        "heard",
        "What was heard instead",
        Html(
            '<p class="note">By the newest model, over all rows that no training heard; worst first. In brackets how '
            "often, and how far it is from what was spoken, sound by sound: 0 is the same, 1 has nothing in common.</p>"
        ),
        _confusion_table("Missed terms, and what was heard in their place", rows[:_TERMS_SHOWN]),
        Html(
            f"<details><summary>{counted(len(rest), 'more term')}, none of them worse</summary>"
            f"{_confusion_table('Further missed terms, and what was heard in their place', rest)}</details>"
            if rest
            else ""
        ),
    )


def _confusion_table(caption: str, rows: Sequence[Sequence[str | Html]]) -> Html:
    return table(caption, ["term", "missed", "heard instead", "likely cause"], rows, kind="roomy", hide=True)


def _confusion(term: MissedTerm) -> list[str | Html]:
    spoken = f'<span lang="en-fonipa">/{escape(term.ipa)}/</span>'
    said = f'<span class="aside">{escape(term.entity_category)}, spoken {spoken}</span>'
    shown = "".join(f"<li>{_heard(each)}</li>" for each in term.heard[:_HEARD_SHOWN])
    more = len(term.heard) - _HEARD_SHOWN
    others = f'<li class="aside">and {counted(more, "other")}</li>' if more > 0 else ""
    cause = f'<span class="cause {term.cause}">{escape(term.cause)}</span>'
    return [
        Html(f"{escape(term.term)} {said}"),
        f"{term.missed} of {term.n}",
        Html(f'<ul class="heard">{shown}{others}</ul>'),
        Html(f'{cause} <span class="aside">{coded(term.why)}</span>'),
    ]


def _heard(heard: HeardInstead) -> str:
    distance = "" if heard.phone_distance is None else f"; {heard.phone_distance:.2f}"
    text = f"<q>{escape(heard.text)}</q>" if heard.text else "<em>left out</em>"
    times = "once" if heard.count == 1 else f"{heard.count} times"
    return f'{text} <span class="aside">({times}{distance})</span>'


def slices(inputs: LeaderboardInputs) -> Html:
    """One line a slice, from what is nearest to the training rows to what is farthest."""
    trained = inputs.stage == "trained"
    rows = [_slice_cells(line, trained=trained) for shown in SLICES_SHOWN for line in lines_of(inputs, shown)]
    header = ["rows", "rate", "n", "baseline"]
    if trained:
        header = ["rows", "rate", "n", "before", "after", "change, points", "certainty"]
    return section(
        "slices",
        "How far it carries",
        Html(
            '<p class="note">From what is nearest to the training rows to what is farthest. KER: terms missed. WER: '
            "wrong words. Expect of a new speaker what the unseen voices show, of a new term what the unseen terms "
            "show.</p>"
        ),
        table("Slices, with 95 % intervals", header, rows, hide=True)
        if rows
        else "No row is set aside, so that nothing was measured.",
    )


def _slice_cells(line: SliceLine, *, trained: bool) -> list[str | Html]:
    n = " / ".join(dict.fromkeys(str(each.n) for each in (line.before, line.after) if each is not None))
    cells: list[str | Html] = [line.shown.label, line.metric.upper(), n, measured(line.before)]
    return [*cells, measured(line.after), points(line.difference), _certainty(line)] if trained else cells


def _certainty(line: SliceLine) -> Html:
    """The interval with whole voices drawn again, the test, and in how many draws the rate fell."""
    parts = []
    if isinstance(line.change, KeywordChange):
        parts.append(mcnemar_cell(line.change))
    if line.change is not None and line.change.improvement is not None:
        parts.append(f"fell in {chance(line.change.improvement)} of draws")
    if line.by_voice is not None and line.by_voice.low is not None:
        parts.append(f"by voice {change_in_points(line.by_voice).partition(' ')[2]}")
    return Html(f'<span class="aside">{escape("; ".join(parts) or "-")}</span>')


def alternatives(inputs: LeaderboardInputs) -> Html:
    """The base, the base with its terms boosted at decoding, and the fine-tuned model, on the same rows."""
    boosting = inputs.boosting
    if boosting is None or inputs.boosted is None:
        return Html("")
    models = models_beside(inputs, boosting)
    rows: list[Sequence[str | Html]] = []
    for measure in measures(inputs, models):
        rates = [measure.read(scores) for _, scores in models]
        n = " / ".join(dict.fromkeys(str(rate.n) for rate in rates if rate is not None))
        if n:
            rows.append([measure.label, n, *map(measured, rates)])
    strength = (
        f"Chosen strength (alpha) {boosting.alpha:g}, on {boosting.chosen_on}, never on these rows."
        if boosting.alpha
        else f"No strength that was tried on {boosting.chosen_on} helped within the cap, so that nothing is boosted."
    )
    return section(
        "alternatives",
        "Fine-tuning beside its free alternative",
        Html(
            f'<p class="note">Phrase boosting raises the score of {counted(boosting.phrases, "listed term")} while the '
            f"base decodes. It trains nothing and costs nothing. {escape(strength)} A false term is one that was heard "
            "and that nobody said.</p>"
        ),
        table("Models on the same rows", ["rate", "n", *(name for name, _ in models)], rows, hide=True),
    )


def doses(inputs: LeaderboardInputs) -> Html:
    """Quantities that were heard wrong, of those that were said; nothing where no row holds one."""
    sides = [("baseline" if inputs.after is None else "before", inputs.before)]
    if inputs.after is not None:
        sides.append(("after", inputs.after))
    rows: list[Sequence[str | Html]] = []
    for name, label in (
        ("held_out", "held out"),
        ("general", "general speech"),
        (HUMAN, "recordings of people"),
    ):
        for side, scores in sides:
            if (found := scores.doses(name)) is not None:
                counts = (found.wrong_value, found.tenfold, found.wrong_unit, found.missing, found.invented)
                rows.append(
                    [f"{label}, {side}", str(found.quantities), measured(found.rate), *map(str, counts)]
                )
    if not rows:
        return Html("")
    header = ["rows", "n, quantities said", "heard wrong", "wrong value", "of these tenfold"]
    return section(
        "doses",
        "Numbers and doses",
        Html(
            '<p class="note">A quantity is a number with or without its unit. Tenfold is off by a power of ten, the '
            "dangerous kind; invented is a quantity that nobody said.</p>"
        ),
        table("Quantities heard wrong", [*header, "wrong unit", "missing", "invented"], rows, hide=True),
    )
