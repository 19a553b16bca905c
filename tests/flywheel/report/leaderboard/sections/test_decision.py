"""Section 8: the decision with its reasons, or why there is none."""

import pytest

from tests.leaderboard_page import DECISION, page_of, read_page


@pytest.mark.parametrize(("stage", "action"), [("trained", "keep"), ("forgetting", "forgetting")])
def test_the_decision_is_given_with_its_reasons_and_the_gate(stage: str, action: str) -> None:
    inputs, markdown = page_of(stage)
    page = read_page(markdown)
    verdict, *texts = page.texts[DECISION]
    assert verdict.startswith(action)
    assert inputs.decision is not None
    assert texts == [*inputs.decision.reasons, f"Advice: {inputs.decision.advice}", "The gate was open:"]
    assert [line["met"] for line in page.tables[DECISION][0]] == ["yes"] * 4


def test_a_closed_gate_is_explained() -> None:
    inputs, markdown = page_of("gate_closed")
    page = read_page(markdown)
    assert inputs.gate is not None
    assert page.texts[DECISION] == [
        "not_trained: the gate is closed, so nothing was trained. This is a result, not a fault.",
        "The manifest has 360 clinical rows; 500 are needed: 140 too few.",
        f"Advice: {inputs.gate.advice}",
    ]
    rows = page.lines(DECISION)["clinical rows in the manifest"]
    assert (rows["met"], rows["found"], rows["required"]) == ("no", "360 rows", "500 or more")


def test_before_the_gate_there_is_no_decision() -> None:
    assert read_page(page_of("baseline")[1]).texts[DECISION] == ["None yet: the gate has not been evaluated."]
    assert read_page(page_of("gate_open")[1]).texts[DECISION][0] == (
        "None yet: the gate is open, and no fine-tuned model has been evaluated."
    )
