"""Section 8: the decision with its reasons, or why there is none; the gate's criteria in any case."""

from flywheel.files.markdown import inline, table
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.rate_tables import bullets, section
from flywheel.verdict.gate import GateDecision

__all__ = ["decision_and_reasons"]

_CRITERIA = {
    "priority_ker": "KER of the priority categories",
    "manifest_rows": "clinical rows in the manifest",
    "rows_per_priority_category": "rows in each priority category",
    "pronunciation": "pronunciations: not the cause",
}


def decision_and_reasons(inputs: LeaderboardInputs) -> str:
    """Section 8: what is done with the model, and why."""
    gate, decision = inputs.gate, inputs.decision
    criteria = "" if gate is None else _criteria_table(gate)
    if inputs.stage == "trained" and decision is not None:
        verdict = "promote the new model" if decision.promote else "the new model is not promoted"
        parts = [
            f"**{decision.action}**: {verdict}.",
            bullets(decision.reasons),
            f"Advice: {inline(decision.advice)}",
            f"The gate was open:\n\n{criteria}" if criteria else "",
        ]
    elif gate is None:
        parts = ["None yet: the gate has not been evaluated."]
    elif gate.open:
        parts = [
            "None yet: the gate is open, and no fine-tuned model has been evaluated.",
            criteria,
            inline(gate.advice),
        ]
    else:
        failed = [criterion.reason for criterion in gate.criteria if not criterion.passed]
        parts = [
            "**not_trained**: the gate is closed, so nothing was trained. This is a result, not a fault.",
            criteria,
            bullets(failed),
            f"Advice: {inline(gate.advice)}",
        ]
    return section("8. Decision", *parts)


def _criteria_table(gate: GateDecision) -> str:
    return table(
        ["the gate's criterion", "met", "found", "required"],
        [
            [
                inline(_CRITERIA.get(criterion.name, criterion.name.replace("_", " "))),
                "yes" if criterion.passed else "**no**",
                inline(criterion.found),
                inline(criterion.required),
            ]
            for criterion in gate.criteria
        ],
        numbers_from=4,
    )
