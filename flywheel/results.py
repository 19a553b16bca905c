"""What was measured, as pandas tables for notebooks and scripts.

from flywheel import results

rows = results.rows("cycle1")                        # a line an utterance
rows.groupby("entity_category")["ker"].agg(["mean", "count"])
scores = results.scores("cycle1", "next")            # a line a rate, with its interval
scores.query("slice == 'held_out' and metric == 'ker' and breakdown == ''")
results.row_columns()                                # what each column means, with its unit
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from flywheel.files.cycles import CycleFolder, EvalFolder
from flywheel.recognisers.evaluation import read_scores
from flywheel.scoring.row_table import COLUMNS, read_row_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "row_columns", "rows", "scores"]

Evaluation: TypeAlias = Literal["baseline", "boosted", "next"]
"""Of the cycle's base, of the base with its terms boosted at decoding, of the fine-tuned model."""


def rows(cycle: str, evaluation: Evaluation = "baseline", data: Path | str | None = None) -> "pd.DataFrame":
    """Every row of an evaluation with its texts, clinical fields and error counts; see `row_columns`.

    Args:
        cycle: `cycle1`, ...
        evaluation: which one.
        data: the data folder; by default `FLYWHEEL_DATA`, then `./data`.

    Raises:
        FlywheelError: there is no such evaluation; the message says what to materialise.
    """
    return read_row_frame(_folder(cycle, evaluation, data).scored_rows)


def scores(cycle: str, evaluation: Evaluation = "baseline", data: Path | str | None = None) -> "pd.DataFrame":
    """Every rate of an evaluation.

    Returns:
        A line for each `slice`, `breakdown` and its `level` (both empty for a slice as a whole) and `metric`: `value`,
        `low` and `high` are fractions, the latter the 95 % interval (NaN where the rows give none), `n` the number of
        rows, mentions or terms behind it. What was not measured has no line.

    Raises:
        FlywheelError: as `rows`.
    """
    import pandas as pd

    found = read_scores(_folder(cycle, evaluation, data)).estimates()
    return pd.DataFrame(
        [(*place, each.value, each.low, each.high, each.n) for place, each in found],
        columns=["slice", "breakdown", "level", "metric", "value", "low", "high", "n"],
    ).astype({"low": "float64", "high": "float64"})


def row_columns() -> "pd.DataFrame":
    """The columns of `rows`, each with its type and what it holds."""
    import pandas as pd

    return pd.DataFrame(
        [(name, column.kind, column.meaning) for name, column in COLUMNS.items()],
        columns=["column", "type", "meaning"],
    ).set_index("column")


def _folder(cycle: str, evaluation: Evaluation, data: Path | str | None) -> EvalFolder:
    root = Path(data or os.environ.get("FLYWHEEL_DATA") or "data").expanduser()
    folder = CycleFolder(root, cycle)
    return {"baseline": folder.baseline, "boosted": folder.boosted, "next": folder.next}[evaluation]
