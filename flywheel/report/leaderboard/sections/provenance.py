"""Section 12: what made these numbers."""

from collections.abc import Mapping

from flywheel.files.markdown import inline, table
from flywheel.files.records import Json
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.rate_tables import section

__all__ = ["provenance", "shown_facts", "split_table"]


def provenance(inputs: LeaderboardInputs) -> str:
    """Section 12: models, normalisers, seeds, versions, and the rows of each subset."""
    facts = shown_facts(inputs, ("published normaliser", str(inputs.published_before.normalizer)))
    return section(
        "12. Provenance",
        table(
            ["what", "value"],
            [[inline(name), inline(value)] for name, value in facts.items()],
            numbers_from=2,
        ),
        split_table(inputs.split_counts),
    )


def shown_facts(inputs: LeaderboardInputs, *more: tuple[str, str]) -> dict[str, str]:
    """Models, normaliser, `more`, and the provenance: each in a line."""
    before, after = inputs.before, inputs.after
    models = {"model": before.model}
    if after is not None:
        models = {"model before": before.model, "model after": after.model}
    facts = {**models, "normaliser": str(before.normalizer), **dict(more), **inputs.provenance}
    return {name.replace("_", " "): _shown(value) for name, value in facts.items()}


def split_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Rows of each subset by category, as a markdown table; empty where there are no counts."""
    if not counts:
        return ""
    columns = list(dict.fromkeys(column for of_subset in counts.values() for column in of_subset))
    rows = [
        [inline(subset), *(str(of_subset.get(column, 0)) for column in columns)]
        for subset, of_subset in counts.items()
    ]
    return f"Rows of each subset:\n\n{table(['subset', *(inline(column) for column in columns)], rows)}"


def _shown(value: Json) -> str:
    """A value of the provenance in a line, whatever it is: a text, a number, None, a list or a table of such."""
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(part) for part in value)
    return f"{value:.1f}" if isinstance(value, float) and abs(value) >= 100 else str(value)
