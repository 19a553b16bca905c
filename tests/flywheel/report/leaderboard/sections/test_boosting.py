"""Section 7: what boosting the terms would have done, which costs nothing."""

from dataclasses import replace

import pytest

from flywheel.report.leaderboard import render
from flywheel.scoring.numbers_as_text import percent_with_interval
from flywheel.verdict.boosting_alone import boosting_alone
from tests.leaderboard_page import FREE, page_of, read_page, with_boosting


def test_the_three_models_stand_side_by_side_on_the_same_rows() -> None:
    inputs = with_boosting(page_of("trained")[0])
    page = read_page(render(inputs))
    lines = page.lines(FREE)
    assert list(lines) == [
        "KER, held-out, drug only",
        "KER, unseen voices",
        "KER, unseen terms",
        "WER, held-out",
        "WER, general speech",
        "rows with a false term, held-out",
        "rows with a false term, general speech",
    ]
    assert {model: cell[:8] for model, cell in lines["KER, held-out, drug only"].items()} == {
        "": "KER, hel",
        "n": "27",
        "base as it is": "24 of 27",
        "base, terms boosted (alpha 2)": "16 of 27",
        "fine-tuned": "1 of 27,",
    }
    assert inputs.boosted is not None
    wer = inputs.boosted.metric("held_out", "wer")
    assert wer is not None
    assert lines["WER, held-out"]["base, terms boosted (alpha 2)"] == percent_with_interval(wer)
    false = lines["rows with a false term, general speech"]
    assert false["base, terms boosted (alpha 2)"].startswith("4 of 24, 16.7 % [")
    assert false["base as it is"].startswith("0 of 24, 0.0 % [0.0, ")


def test_the_section_says_whether_boosting_alone_does_it_and_how_it_was_chosen() -> None:
    inputs = with_boosting(page_of("trained")[0])
    assert inputs.boosting is not None
    page = read_page(render(inputs))
    assert page.texts[FREE][1] == boosting_alone(inputs.boosting)
    assert page.texts[FREE][2] == (
        "Boosted while decoding (beam of 4): 10 terms, including unseen ones, because whoever boosts has the whole "
        "list. Not boosted, because the model's tokens cannot write them: thoracentesis. The strength was chosen on "
        "the development rows and replayed general speech. Of those that keep general speech within its cap, the bold "
        "one misses the fewest terms:"
    )
    tried = page.tables[FREE][1]
    assert [line["strength (alpha)"] for line in tried] == ["0", "2"]
    assert tried[0]["rows with a false term"] == "-"
    assert (tried[0]["its change, points"], tried[1]["its change, points"]) == ("-", "+0.4 [-0.2, +0.9]")
    assert tried[1]["KER"].startswith("66.7 % [")


@pytest.mark.parametrize("stage", ["baseline", "gate_open", "gate_closed"])
def test_before_and_without_a_training_there_are_two_models(stage: str) -> None:
    lines = read_page(render(with_boosting(page_of(stage)[0]))).tables[FREE][0]
    assert list(lines[0]) == ["", "n", "base as it is", "base, terms boosted (alpha 2)"]


def test_a_strength_of_zero_boosts_nothing() -> None:
    page = read_page(render(with_boosting(page_of("gate_closed")[0], alpha=0.0)))
    assert page.texts[FREE][1].startswith("Phrase boosting does not do it: no strength that was tried")
    assert list(page.tables[FREE][0][0]) == ["", "n", "base as it is"]


def test_a_decision_that_knows_of_boosting_speaks_for_itself() -> None:
    inputs = with_boosting(page_of("trained")[0])
    assert inputs.decision is not None
    decided = replace(inputs.decision, alternative="Boosting alone does it, too.")
    assert "Boosting alone does it, too." in read_page(render(replace(inputs, decision=decided))).texts[""]


def test_without_boosting_the_page_says_that_nobody_measured_it() -> None:
    assert read_page(page_of("trained")[1]).texts[FREE][0].startswith("Not measured: ")
