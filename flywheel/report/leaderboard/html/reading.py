"""The end of the page: how to read it, and what made these numbers."""

from collections.abc import Mapping

from flywheel.report.leaderboard.html.elements import Html, definitions, section, table
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.provenance import shown_value
from flywheel.scoring.intervals import LEAST_ROWS

__all__ = ["how_to_read", "provenance"]


def how_to_read(inputs: LeaderboardInputs) -> Html:
    """What the words and signs of the page mean, and where every row is."""
    trained = inputs.stage == "trained"
    evals = ["baseline"] + (["boosted"] if inputs.boosted is not None else []) + (["next"] if trained else [])
    files = ", ".join(f"<code>{name}/results.csv</code>" for name in evals)
    facts: dict[str, str | Html] = {
        "12.5 % [5.9, 24.7]": "A rate with its 95 % interval: the true rate may well be anywhere in it. Where it says "
        "[no interval], the rows cannot give one, for example because they all hold one term.",
        "n": f"The number of rows behind a number: the fewer, the wider the interval. Below {LEAST_ROWS} rows no "
        "rate is shown, but what was counted.",
        "KER": "Keyword error rate: mentions of terms that were missed, of all that were said. A term is found where "
        "all of its words stand together, spelled right.",
        "WER": "Word error rate: wrong, missing and added words, for each word said.",
    }
    if trained:
        facts["change"] = (
            "After minus before, in percentage points; below 0 is better. It is called better or worse only where the "
            "whole interval is on one side of 0."
        )
        facts["draws"] = (
            "The terms (of general speech: the sentences) were drawn again and again, to see what else might have come "
            "out; by voice: the voices were."
        )
    facts["every row"] = Html(f"{files}: a line a row, with what was said and heard.")
    return section("reading", "How to read this page", definitions(facts, "glossary"))


def provenance(inputs: LeaderboardInputs) -> Html:
    """Models, normalisers, seeds, versions, and the rows of each subset."""
    models = {"model": inputs.before.model}
    if inputs.after is not None:
        models = {"model before": inputs.before.model, "model after": inputs.after.model}
    facts = {**models, "normaliser": str(inputs.before.normalizer), **inputs.provenance}
    lines = definitions(
        {name.replace("_", " "): shown_value(value) for name, value in facts.items()}, "provenance"
    )
    return section("provenance", "What made these numbers", lines, _split(inputs.split_counts))


def _split(counts: Mapping[str, Mapping[str, int]]) -> Html:
    if not counts:
        return Html("")
    columns = list(dict.fromkeys(column for of_subset in counts.values() for column in of_subset))
    rows = [
        [subset, *(str(of_subset.get(column, 0)) for column in columns)]
        for subset, of_subset in counts.items()
    ]
    shown = table("Rows of each subset", ["subset", *columns], rows, kind="dense")
    return Html(f"<details><summary>Rows of each subset</summary>{shown}</details>")
