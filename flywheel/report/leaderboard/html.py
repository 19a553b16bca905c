"""The leaderboard as one HTML file, which needs neither a server nor a network nor a second file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flywheel.corpus.terms import RECORDING
from flywheel.report.leaderboard.answer import answer_of, title
from flywheel.report.leaderboard.breakdowns import Levels
from flywheel.report.leaderboard.figures import FIGURES, figure_levels, figure_title, render_svg
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.players import Player
from flywheel.report.leaderboard.rows_to_hear import heard_rows
from flywheel.report.leaderboard.sections.boosting import free_alternative, models_beside, rates_beside
from flywheel.report.leaderboard.sections.provenance import shown_facts
from flywheel.report.leaderboard.slices import SLICES_SHOWN, lines_of, what_got_worse
from flywheel.report.rate_tables import difference_of
from flywheel.report.templates import render_template
from flywheel.scoring.intervals import LEAST_ROWS, Estimate
from flywheel.scoring.numbers_as_text import carries, listed, missed_of, misses
from flywheel.scoring.scores import Doses
from flywheel.scoring.slices import HUMAN

__all__ = ["render_html"]


def render_html(inputs: LeaderboardInputs, players: Sequence[Player] = ()) -> str:
    """The page; equal for equal input.

    Args:
        inputs: what the markdown page is rendered from, too.
        players: the rows to listen to, worst first, see `players_of`.

    Raises:
        ScoresError: scores are not of the shape that scoring writes.
    """
    reasons, advice = _reasons(inputs)
    compared = None if inputs.boosting is None or inputs.boosted is None else inputs.boosting
    models = [] if compared is None else models_beside(inputs, compared)
    return render_template(
        "leaderboard/page.html.j2",
        advice=advice,
        answer=answer_of(inputs),
        doses=[*_doses(inputs)],
        evaluations=_evaluations(inputs),
        facts=shown_facts(inputs),
        figures=[_figure(inputs, name) for name in FIGURES],
        free=free_alternative(inputs),
        inputs=inputs,
        least_rows=LEAST_ROWS,
        models=[name for name, _ in models],
        rates_beside=[*rates_beside(inputs, models)],
        reasons=reasons,
        rows=heard_rows(inputs, players),
        slices=[line for shown in SLICES_SHOWN for line in lines_of(inputs, shown)],
        tiles=[*_tiles(inputs)],
        title=title(inputs),
        tone=_tone(inputs),
        trained=inputs.stage == "trained",
        unknowns=[*_unknowns(inputs)],
        worse=what_got_worse(inputs),
    )


def _tone(inputs: LeaderboardInputs) -> str:
    """`good` where the new model is kept, `bad` where it is not, `plain` before there is one."""
    if inputs.decision is None or inputs.stage != "trained":
        return "plain"
    return "good" if inputs.decision.promote else "bad"


def _evaluations(inputs: LeaderboardInputs) -> list[str]:
    """The folders of the evaluations behind the page."""
    boosted = ["boosted"] if inputs.boosted is not None else []
    return ["baseline", *boosted, *(["next"] if inputs.stage == "trained" else [])]


@dataclass(frozen=True, slots=True)
class _Tile:
    """One of the few numbers that everyone should know; `change` is after minus before."""

    label: str
    before: Estimate
    after: Estimate | None
    counts_misses: bool
    change: Estimate | None

    @property
    def newest(self) -> Estimate:
        return self.after or self.before

    @property
    def counts(self) -> str:
        """`24 → 1`; `24 of 27 → 1 of 30` where the rows differ."""
        sides = [each for each in (self.before, self.after) if each is not None]
        same = len({each.n for each in sides}) == 1
        return " → ".join(str(misses(each)) if same else missed_of(each) for each in sides)


def _tiles(inputs: LeaderboardInputs) -> Iterator[_Tile]:
    """The decision's own numbers, before and after; none that was not measured."""
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
        rates = inputs.both(inputs.priority_ker) if metric == "priority_ker" else inputs.metrics(name, metric)
        before, after = rates
        if before is None:
            continue
        compared = slices.get(name)
        change = None if compared is None else getattr(compared, metric)
        difference = None if change is None else difference_of(change)
        yield _Tile(label, before, after, metric != "wer", difference)


def _reasons(inputs: LeaderboardInputs) -> tuple[Sequence[str], str]:
    """The decision's reasons and its advice, or the gate's."""
    gate, decision = inputs.gate, inputs.decision
    if inputs.stage == "trained" and decision is not None:
        return decision.reasons, decision.advice
    if gate is None:
        return ["The gate has not been evaluated."], ""
    if gate.open:
        return ["The gate is open, and no fine-tuned model has been evaluated."], gate.advice
    return [criterion.reason for criterion in gate.criteria if not criterion.passed], gate.advice


def _unknowns(inputs: LeaderboardInputs) -> Iterator[tuple[str, str]]:
    """What was not measured, or on too few rows to tell, and why: nobody should read a silence as good news."""
    if inputs.stage != "trained":
        yield "What fine-tuning does", "nothing was trained"
    for shown in SLICES_SHOWN:
        if all(inputs.before.metric(shown.name, metric) is None for metric in shown.metrics):
            yield shown.label[:1].upper() + shown.label[1:], shown.absent
    if not inputs.before.speakers(HUMAN):
        yield (
            "How it hears people",
            "all of this is synthetic speech, which says only roughly how well people are heard",
        )
    sources = [source for source in figure_levels(inputs, "source") if source != RECORDING]
    if len(sources) == 1:
        yield (
            "Model or pronunciation",
            f"every pronunciation comes from `{sources[0]}`, so nothing here can tell a mispronounced term from one "
            "that the model does not know",
        )
    small = [
        f"{level} (n = {ker.n})"
        for level, (before, after) in figure_levels(inputs, "category").items()
        if (ker := after or before) is not None and not carries(ker.n)
    ]
    if small:
        yield "Categories with too few rows", f"{listed(small)}; {LEAST_ROWS} are needed for a rate"
    if inputs.boosting is None:
        yield (
            "Phrase boosting",
            "not measured; boosting the terms while the base decodes might be enough",
        )
    if all(inputs.before.doses(name) is None for name in ("held_out", "general", HUMAN)):
        yield "Numbers and doses", "no measured row holds a quantity"
    if inputs.misses is None:
        yield "Why terms are missed", "nobody has looked yet"


@dataclass(frozen=True, slots=True)
class _Figure:
    """A drawing, and the same numbers."""

    name: str
    title: str
    svg: str
    levels: Levels


def _figure(inputs: LeaderboardInputs, name: str) -> _Figure:
    return _Figure(name, figure_title(name), render_svg(inputs, name), figure_levels(inputs, name))


def _doses(inputs: LeaderboardInputs) -> Iterator[tuple[str, Doses]]:
    sides = {"baseline" if inputs.after is None else "before": inputs.before}
    if inputs.after is not None:
        sides["after"] = inputs.after
    rows = {"held_out": "held out", "general": "general speech", HUMAN: "recordings of people"}
    for name, label in rows.items():
        for side, scores in sides.items():
            if (found := scores.doses(name)) is not None:
                yield f"{label}, {side}", found
