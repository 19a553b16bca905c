"""The leaderboard as one Markdown file: the answer, then the sections that carry it."""

from flywheel.files.markdown import inline, link
from flywheel.report.leaderboard.answer import answer_of, title
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.sections.boosting import phrase_boosting
from flywheel.report.leaderboard.sections.decision import decision_and_reasons
from flywheel.report.leaderboard.sections.doses import numbers_and_doses
from flywheel.report.leaderboard.sections.held_out import (
    by_category,
    by_noise,
    by_source,
    by_term,
    headline_metrics,
)
from flywheel.report.leaderboard.sections.misses import what_went_wrong
from flywheel.report.leaderboard.sections.provenance import provenance
from flywheel.report.leaderboard.sections.published import all_rows
from flywheel.report.leaderboard.sections.slices import how_far_it_carries
from flywheel.report.leaderboard.slices import what_got_worse
from flywheel.scoring.intervals import LEAST_CLUSTERS

__all__ = ["render"]

_SECTIONS = (
    *(headline_metrics, by_category, by_source, by_noise, by_term),
    *(how_far_it_carries, phrase_boosting, decision_and_reasons),
    *(what_went_wrong, numbers_and_doses, all_rows, provenance),
)
_LEGEND = (
    "How to read the numbers: `6.2 % [2.1, 16.8]` is a rate with its 95 % interval: the true rate may be anywhere "
    "in it. n is the number of rows behind it. Where n is too small for a rate, the page says so and shows counts. "
    "`[no interval]` means that these rows cannot give one, for example because they hold fewer than "
    f"{LEAST_CLUSTERS} terms or sentences."
)
_LEGEND_OF_CHANGES = (
    "A change below 0 means fewer errors. Where a change has no interval, compare the two rates beside it."
)


def render(inputs: LeaderboardInputs) -> str:
    """The page as GitHub-flavoured markdown, ending in a line feed.

    Raises:
        ScoresError: scores are not of the shape that scoring writes.
    """
    answer = answer_of(inputs)
    top = [f"**{inline(answer.verdict)}** {inline(answer.finding)}".rstrip(), *map(inline, answer.numbers)]
    if worse := what_got_worse(inputs):
        top.append(inline(worse))
    if inputs.page is not None:
        top.append(f"{link('The same page with figures and sound', inputs.page)}, one file.")
    legend = f"{_LEGEND} {_LEGEND_OF_CHANGES}" if inputs.stage == "trained" else _LEGEND
    sections = [part(inputs) for part in _SECTIONS]
    return "\n\n".join([f"# {title(inputs)}", *top, legend, *sections]) + "\n"
