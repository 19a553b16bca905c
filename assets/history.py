"""What the cycles so far came to, as a page and a figure."""

from collections.abc import Iterator

import dagster as dg

from assets.cycles import FIGURE_DOTS_PER_INCH, cycle_step
from assets.fan_in import asset_after_any, step_after_any
from flywheel.files.atomic import sha256_of_file
from flywheel.files.markdown import data_url, image
from flywheel.report.history import (
    History,
    figure_description,
    headline,
    render,
    render_figure,
    write_history,
)
from resources.data_folder import DataFolder


@step_after_any("Reads the folders of all cycles up to this one, and the registry.")
def write_history_page(context: dg.OpExecutionContext, data: DataFolder) -> Iterator[dg.Output[None]]:
    """Write the page and its figure, log the answer, show both in the UI."""
    with cycle_step(context) as cycle:
        folder = data.cycle(cycle)
        history = write_history(folder)
        for line in headline(history).splitlines():
            context.log.info(line)
        for each in history.left_out:
            context.log.warning(f"{each.cycle} is not in the history: {each.why}")
        yield dg.Output(
            None,
            data_version=dg.DataVersion(sha256_of_file(folder.history)),
            metadata={
                "headline": dg.MetadataValue.md(headline(history).replace("\n", "\n\n")),
                "figure": dg.MetadataValue.md(_embedded(history)),
                "history": dg.MetadataValue.md(render(history)),
                "page": dg.MetadataValue.path(folder.history),
                "stop tuning": history.stop is not None,
                "cycles": len(history.turns),
                "cycles left out": len(history.left_out),
                **_rates(history),
            },
        )


def _embedded(history: History) -> str:
    png = render_figure(history, dots_per_inch=FIGURE_DOTS_PER_INCH)
    return image(figure_description(history), data_url(png))


def _rates(history: History) -> dict[str, float | int]:
    """Of the model that this cycle leaves in use; the same keys in every cycle, so that the UI plots them."""
    if not history.turns or history.turns[-1].number != history.number:
        return {}
    kept = history.turns[-1].kept
    rates = {"priority_ker": kept.priority_ker, "wer": kept.wer, "general_wer": kept.general_wer}
    known = {name: rate for name, rate in rates.items() if rate is not None}
    return {name: rate.value for name, rate in known.items()} | {
        f"n of {name}": rate.n for name, rate in known.items()
    }


# A model is there only where it was promoted.
history = asset_after_any(
    "history",
    write_history_page,
    after=("leaderboard", "promoted_model"),
    kind="markdown",
    description=(
        "KER, WER and general WER over the cycles so far, one row per cycle: what was promoted, when and why, and "
        "whether tuning still pays."
    ),
)
