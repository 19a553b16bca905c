"""The top of the page: what to do, the numbers behind it, the reasons, and what nobody knows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from flywheel.corpus.terms import RECORDING
from flywheel.report.leaderboard.boosting_section import free_alternative
from flywheel.report.leaderboard.figures import figure_levels
from flywheel.report.leaderboard.html.elements import (
    Html,
    bullet_list,
    coded,
    interval_of,
    paragraph,
    points,
    section,
    short_value,
)
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.lines import difference_of
from flywheel.report.leaderboard.slices import SLICES_SHOWN, what_got_worse
from flywheel.scoring.intervals import LEAST_ROWS, Estimate
from flywheel.scoring.numbers_as_text import carries, listed, missed_of, misses, too_few
from flywheel.scoring.slices import HUMAN

__all__ = ["number_tiles", "tone", "unknowns", "why"]


def tone(inputs: LeaderboardInputs) -> str:
    """`good` where the new model is kept, `bad` where it is not, `plain` before there is one."""
    if inputs.decision is None or inputs.stage != "trained":
        return "plain"
    return "good" if inputs.decision.promote else "bad"


@dataclass(frozen=True, slots=True)
class _Number:
    """One of the few numbers that everyone should know."""

    label: str
    before: Estimate
    after: Estimate | None
    counts_misses: bool
    change: Estimate | None


def number_tiles(inputs: LeaderboardInputs) -> Html:
    """The decision's own numbers, before and after, each with its interval and n; nothing where none was measured."""
    tiles = "".join(map(_tile, _numbers(inputs)))
    return Html(f'<ul class="tiles">{tiles}</ul>' if tiles else "")


def _numbers(inputs: LeaderboardInputs) -> Iterator[_Number]:
    kinds = inputs.priority_categories
    slices = {} if inputs.comparison is None else inputs.comparison.slices
    of_priority = listed(kinds).capitalize() + " terms missed" if kinds else "Terms missed"
    wanted = (
        ("held_out", "priority_ker" if kinds else "ker", f"{of_priority}, held out"),
        ("unseen_voice", "ker", "Terms missed, unseen voices"),
        ("unseen_term", "ker", "Unseen terms missed"),
        ("general", "wer", "Wrong words, general speech"),
    )
    for name, metric, label in wanted:
        read = (
            inputs.priority_ker
            if metric == "priority_ker"
            else lambda scores, n=name, m=metric: scores.metric(n, m)
        )
        before, after = inputs.both(read)
        if before is None:
            continue
        compared = slices.get(name)
        change = None if compared is None else getattr(compared, metric)
        yield _Number(
            label, before, after, metric != "wer", None if change is None else difference_of(change)
        )


def _tile(number: _Number) -> str:
    newest = number.after or number.before
    values = f'<span class="value">{short_value(newest)}</span>'
    if number.after is not None:
        was = f'<span class="was">{short_value(number.before)}</span>'
        arrow = (
            '<span class="arrow" aria-hidden="true">→</span><span class="hidden-text"> before, now </span>'
        )
        values = f"{was} {arrow}{values}"
    body = "".join(f"<p>{escape(line)}</p>" for line in _behind(number, newest))
    if number.after is not None and number.change is not None and carries(number.change.n):
        body += f"<p>{points(number.change, unit=' points')}</p>"
    return f'<li class="tile"><h3>{escape(number.label)}</h3><p class="numbers">{values}</p>{body}</li>'


def _behind(number: _Number, newest: Estimate) -> Iterator[str]:
    """What the newest rate stands on: what was counted, n, and its interval."""
    if not carries(newest.n):
        yield too_few(newest.n)
        return
    sides = [each for each in (number.before, number.after) if each is not None]
    same = len({each.n for each in sides}) == 1
    counts = " → ".join(str(misses(each)) if same else missed_of(each) for each in sides)
    yield f"{counts} missed, n = {newest.n}" if number.counts_misses else f"n = {newest.n}"
    yield f"95 % interval {interval_of(newest)}"


def why(inputs: LeaderboardInputs) -> Html:
    """The decision's reasons and its advice, or the gate's; what got worse; what something free would have done."""
    reasons, advice = _reasons(inputs)
    worse, free = what_got_worse(inputs), free_alternative(inputs)
    return section(
        "why",
        "Why",
        bullet_list(reasons, "reasons"),
        worse,
        _named("What something free would have done", free),
        _named("What to do", advice),
    )


def _named(name: str, sentence: str) -> Html:
    return Html(f"<p><strong>{escape(name)}.</strong> {escape(sentence)}</p>" if sentence else "")


def _reasons(inputs: LeaderboardInputs) -> tuple[Sequence[str], str]:
    gate, decision = inputs.gate, inputs.decision
    if inputs.stage == "trained" and decision is not None:
        return decision.reasons, decision.advice
    if gate is None:
        return ["The gate has not been evaluated."], ""
    if gate.open:
        return ["The gate is open, and no fine-tuned model has been evaluated."], gate.advice
    return [criterion.reason for criterion in gate.criteria if not criterion.passed], gate.advice


def unknowns(inputs: LeaderboardInputs) -> Html:
    """What was not measured, or on too few rows to tell: nobody should read a silence as good news."""
    return section(
        "unknown",
        "What is not known",
        bullet_list(_unknowns(inputs), "unknowns")
        or paragraph("Everything that this page has a place for was measured."),
    )


def _unknowns(inputs: LeaderboardInputs) -> Iterator[Html]:
    if inputs.stage != "trained":
        yield _unknown("What fine-tuning does", "nothing was trained")
    for shown in SLICES_SHOWN:
        if all(inputs.before.metric(shown.name, metric) is None for metric in shown.metrics):
            yield _unknown(shown.label[:1].upper() + shown.label[1:], shown.absent)
    if not inputs.before.speakers(HUMAN):
        yield _unknown(
            "How it hears people",
            "all of this is synthetic speech, and says what to expect of people only roughly",
        )
    sources = [source for source in figure_levels(inputs, "source") if source != RECORDING]
    if len(sources) == 1:
        yield _unknown(
            "Model or pronunciation",
            f"every pronunciation comes from `{sources[0]}`, so that no comparison of sources can tell a mispronounced "
            "term from one that the model does not know",
        )
    small = [
        f"{level} (n = {ker.n})"
        for level, (before, after) in figure_levels(inputs, "category").items()
        if (ker := after or before) is not None and not carries(ker.n)
    ]
    if small:
        yield _unknown("Categories with too few rows", f"{listed(small)}; {LEAST_ROWS} are needed for a rate")
    if inputs.boosting is None:
        yield _unknown(
            "Phrase boosting", "whether the base with its terms boosted at decoding would do was not measured"
        )
    if all(inputs.before.doses(name) is None for name in ("held_out", "general", HUMAN)):
        yield _unknown("Numbers and doses", "no measured row holds a quantity")
    if inputs.misses is None:
        yield _unknown("Why terms are missed", "nobody looked yet")


def _unknown(what: str, text: str) -> Html:
    return Html(f"<strong>{escape(what)}:</strong> {coded(text)}.")
