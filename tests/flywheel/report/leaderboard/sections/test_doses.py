"""Section 10: quantities that were heard wrong."""

from dataclasses import replace

import pytest

from flywheel.report.leaderboard import LeaderboardInputs, render
from flywheel.scoring.score_reading import ScoreReader, ScoresError
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


def test_scores_of_an_earlier_version_have_no_doses(inputs: LeaderboardInputs) -> None:
    held_out = {
        name: value for name, value in inputs.baseline_scores["slices"]["held_out"].items() if name != "doses"
    }
    scores = {**inputs.baseline_scores, "slices": {"held_out": held_out}}
    assert ScoreReader(scores).doses("held_out") is None


def test_doses_that_are_no_counts_are_refused(inputs: LeaderboardInputs) -> None:
    held_out = inputs.baseline_scores["slices"]["held_out"]
    broken = {**held_out, "doses": {**held_out["doses"], "tenfold": "many"}}
    scores = {**inputs.baseline_scores, "slices": {"held_out": broken}}
    with pytest.raises(ScoresError, match=r"held_out\.doses\.tenfold: found 'many'; allowed: a whole number"):
        ScoreReader(scores).doses("held_out")


def test_the_base_hears_every_dose() -> None:
    assert all(
        "five milligrams" in untrained(row, number) for number, row in enumerate(with_doses()) if row.term
    )
