"""The five sections that every leaderboard of this recipe has, in their order."""

import re
from collections.abc import Callable, Mapping

from flywheel.leaderboard.figures import figure_description
from flywheel.leaderboard.inputs import LeaderboardInputs
from flywheel.leaderboard.lines import Line, ker_table, not_measured, paired, rate_table, section
from flywheel.leaderboard.markdown import image, inline
from flywheel.scoring.comparison import SliceComparison
from flywheel.scoring.intervals import Estimate
from flywheel.terms import RECORDING
from flywheel.wording import counted, listed, negated

__all__ = ["TERMS_SHOWN", "by_category", "by_noise", "by_source", "by_term", "headline_metrics"]

TERMS_SHOWN = 50
"""A page is read, not searched: further terms are in `results.csv`."""

_SNR = re.compile(r"snr_(-?\d+)db")
_NO_ROWS = "no clinical row is held out"


def headline_metrics(inputs: LeaderboardInputs) -> str:
    """Section 1: WER, CER, KER and SER on held-out rows."""
    changes = _changes(inputs)

    def line(metric: str) -> Line:
        rates = inputs.both(lambda scores: scores.metric("held_out", metric))
        return Line(metric.upper(), *rates, changes.get(metric), _NO_ROWS)

    lines = [line(metric) for metric in ("wer", "cer", "ker", "ser")]
    note = ""
    if inputs.priority_categories:
        note = " The gate and the decision look at the line in bold."
        label = f"**KER, {listed(inputs.priority_categories)} only**"
        absent = "not each of these has a held-out row"
        lines.append(Line(label, *inputs.both(inputs.priority_ker), changes.get("priority_ker"), absent))
    return section(
        "1. Headline",
        "How to read: these rows were held out from training. All are error rates, so lower is better. WER: "
        "wrong words for each word said. CER: the same for characters. KER: clinical terms missed, of those "
        f"said. SER: sentences with any error.{note}",
        rate_table("metric", lines, trained=inputs.stage == "trained"),
    )


def by_category(inputs: LeaderboardInputs) -> str:
    """Section 2, with the figure where there is one."""
    priority = inputs.priority_categories
    text = "How to read: which kinds of term are missed."
    if priority:
        text += f" The decision looks at {listed(priority)}, in bold."
    return section(
        "2. KER by entity_category",
        text,
        _levels_table(
            inputs,
            "entity_category",
            label=lambda name: f"**{inline(name)}**" if name in priority else inline(name),
        ),
        image(figure_description(inputs), inputs.figure) if inputs.figure else "",
    )


def by_source(inputs: LeaderboardInputs) -> str:
    """Section 3."""
    sources = inputs.before.ker_by("held_out", "ipa_source")
    note = ""
    if RECORDING in sources:
        note = (
            f" `{RECORDING}`: synthetic speech that a team made elsewhere. Who pronounced its terms, and how, is not "
            "known here, so it says nothing about either."
        )
    if len(sources) == 1:
        note += (
            f" Here every pronunciation comes from `{next(iter(sources))}`, so that this table cannot tell a "
            "mispronounced term from one that the model does not know."
        )
    return section(
        "3. KER by ipa_source",
        "How to read: where the pronunciation came from. A low KER for `override` and `merriam-webster` "
        "beside a high one for `..._g2p` means that the test speech was mispronounced: mend pronunciations, "
        f"do not train.{note}",
        _levels_table(inputs, "ipa_source"),
    )


def by_noise(inputs: LeaderboardInputs) -> str:
    """Section 4: from clean to the loudest noise."""
    return section(
        "4. KER by noise_level",
        "How to read: from clean speech down to the loudest noise; the fewer decibels (dB), the louder. "
        "Misses in noise alone ask for noisier training rows, misses in clean speech for more of the terms.",
        _levels_table(inputs, "noise_level", order=_loudness),
    )


def by_term(inputs: LeaderboardInputs) -> str:
    """Section 5: worst first, by the newest model."""
    levels = _levels(inputs, "term")

    def badness(term: str) -> tuple[float, float, int, str]:
        before, after = levels[term]
        latest = after or before
        return (
            -(latest.value if latest else 0.0),
            -(before.value if before else 0.0),
            -(latest.n if latest else 0),
            term,
        )

    worst = sorted(levels, key=badness)
    lines = [Line(inline(term), *levels[term]) for term in worst[:TERMS_SHOWN]]
    rest = worst[TERMS_SHOWN:]
    more = f"{counted(len(rest), 'more term')}, none of them worse, in `results.csv`." if rest else ""
    return section(
        "5. KER by term, worst first",
        "How to read: which terms to listen to first. Few rows stand behind each, so trust the order more "
        "than the numbers.",
        ker_table("term", lines, trained=inputs.after is not None) if lines else f"{not_measured(_NO_ROWS)}.",
        more,
    )


def _changes(inputs: LeaderboardInputs) -> Mapping[str, Estimate]:
    held_out: SliceComparison | None = None
    if inputs.comparison is not None:
        held_out = inputs.comparison.slices.get("held_out")
    if held_out is None:
        return {}
    changes = {name: getattr(held_out, name).difference for name in ("wer", "cer", "ser")}
    for name in ("ker", "priority_ker"):
        if (change := getattr(held_out, name)) is not None:
            changes[name] = negated(change.absolute_drop)
    return changes


def _levels(inputs: LeaderboardInputs, field: str) -> dict[str, tuple[Estimate | None, Estimate | None]]:
    after = inputs.after
    return paired(
        inputs.before.ker_by("held_out", field), None if after is None else after.ker_by("held_out", field)
    )


def _levels_table(
    inputs: LeaderboardInputs,
    field: str,
    *,
    order: Callable[[str], tuple[float, str]] = lambda name: (0.0, name),
    label: Callable[[str], str] = inline,
) -> str:
    levels = _levels(inputs, field)
    if not levels:
        return f"{not_measured(_NO_ROWS)}."
    lines = [Line(label(name), *levels[name]) for name in sorted(levels, key=order)]
    return ker_table(field, lines, trained=inputs.after is not None)


def _loudness(level: str) -> tuple[float, str]:
    if level == "clean":
        return -1000.0, level
    found = _SNR.fullmatch(level)
    return (-float(found[1]) if found else 1000.0), level
