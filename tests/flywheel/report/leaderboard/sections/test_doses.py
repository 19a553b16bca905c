"""Section 10: quantities that were heard wrong."""

import json
from dataclasses import replace
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.records import plain, record_in
from flywheel.report.leaderboard import LeaderboardInputs, render
from flywheel.scoring import Scores
from flywheel.scoring.transcripts import Transcript
from tests.leaderboard_page import DOSES, ROWS, page_of, read_page, trained_inputs, untrained


def with_doses() -> list[Transcript]:
    """The rows, of which each clinical one says a dose."""
    return [replace(row, text=f"{row.text} five milligrams") if row.term else row for row in ROWS]


def tenfold(row: Transcript, number: int) -> str:
    """Hears every seventh dose ten times as high, and every fourth of the others in grams."""
    if number % 7 == 0:
        return row.text.replace("five", "fifty")
    return row.text.replace("milligrams", "grams") if number % 4 == 0 else row.text


@pytest.fixture(scope="module")
def inputs() -> LeaderboardInputs:
    return trained_inputs(tenfold, with_doses())


def test_quantities_are_counted_before_and_after(inputs: LeaderboardInputs) -> None:
    page = read_page(render(inputs))
    before, after = page.tables[DOSES][0]
    assert before == {
        "rows": "held-out rows",
        "model": "before",
        "quantities said": "42",
        "heard wrong": "0 of 42, 0.0 % [0.0, 8.4]",
        **dict.fromkeys(("wrong value", "of these tenfold", "wrong unit", "missing", "invented"), "0"),
    }
    counted = {name: int(after[name]) for name in ("wrong value", "of these tenfold", "wrong unit")}
    assert counted["wrong value"] == counted["of these tenfold"] > 0
    assert counted["wrong unit"] > 0
    wrong = counted["wrong value"] + counted["wrong unit"]
    assert after["heard wrong"].startswith(f"{wrong} of 42, {100 * wrong / 42:.1f} % [")
    assert page.texts[DOSES][-1] == "General speech: not measured (no row holds a quantity)."


def test_a_page_of_one_model_has_no_column_for_the_model(inputs: LeaderboardInputs) -> None:
    alone = replace(
        inputs, next_scores=None, next_published_scores=None, comparison=None, decision=None, gate=None
    )
    (line,) = read_page(render(alone)).tables[DOSES][0]
    assert "model" not in line
    assert line["quantities said"] == "42"


def test_without_quantities_the_page_says_so() -> None:
    assert read_page(page_of("trained")[1]).texts[DOSES] == [
        "Held-out rows: not measured (no row holds a quantity). "
        "General speech: not measured (no row holds a quantity)."
    ]


def read(values: Any) -> Scores:
    return record_in(json.dumps(values), Scores, "scores.json", "score again")


def test_scores_without_doses_have_none(inputs: LeaderboardInputs) -> None:
    values = plain(inputs.baseline_scores)
    del values["slices"]["held_out"]["doses"]
    assert read(values).doses("held_out") is None


def test_doses_that_are_no_counts_are_refused(inputs: LeaderboardInputs) -> None:
    values = plain(inputs.baseline_scores)
    values["slices"]["held_out"]["doses"]["tenfold"] = "many"
    with pytest.raises(
        FlywheelError, match=r"held_out\.doses\.tenfold: found 'many'; allowed: a valid integer"
    ):
        read(values)


def test_the_base_hears_every_dose() -> None:
    assert all(
        "five milligrams" in untrained(row, number) for number, row in enumerate(with_doses()) if row.term
    )
