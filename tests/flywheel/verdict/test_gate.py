"""The gate: a table of evals, each with the criteria that have to fail and the advice that has to come."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_json
from flywheel.files.cycles import EvalFolder
from flywheel.files.records import plain, read_record, record_in, write_record
from flywheel.scoring import CLINICAL, Scores, score_rows, summarise
from flywheel.scoring.transcripts import Transcript
from flywheel.verdict.gate import GateDecision, GateSettings, GateSettingsError, evaluate_gate

Group = tuple[str, str, int, int]
"""Entity category, source of the pronunciation, rows, and how many of them are missed."""

ENOUGH = {"drug": 60, "condition": 60}
DRUGS = ("slices", "held_out", "by", "entity_category", "drug", "ker")
CRITERIA = ["priority_ker", "manifest_rows", "rows_per_priority_category", "pronunciation"]


def scores(*groups: Group, subset: str = "validation", rows_per_term: int = 4) -> Scores:
    """Real scores of a model that misses the first rows of each group."""
    rows = []
    for category, source, count, missed in groups:
        for number in range(count):
            term = f"{category}in{'abcdefghijklmnopqrstuvwxyz'[number // rows_per_term]}"
            text = f"the note mentions {term} twice"
            rows.append(
                Transcript(
                    id=f"{category}-{source}-{number}",
                    text=text,
                    pred_text=text.replace(term, "something") if number < missed else text,
                    ipa_source=source,
                    voice_id="espeak:en-us+m3",
                    noise_level="clean",
                    synthesis_group=f"{category}-{source}-{number}",
                    subset=subset,
                    term=term,
                    entity_category=category,
                    context_type="dictation",
                )
            )
    return summarise(score_rows(rows, CLINICAL), model="base", normalizer=CLINICAL)


def failed(decision: GateDecision) -> list[str]:
    assert [criterion.name for criterion in decision.criteria] == CRITERIA
    return [criterion.name for criterion in decision.criteria if not criterion.passed]


@pytest.mark.parametrize(
    ("groups", "category_rows", "cycle", "fails", "advice"),
    [
        pytest.param([("drug", "espeak_g2p", 40, 39)], ENOUGH, 1, [], "fine-tune.", id="open"),
        pytest.param([("drug", "espeak_g2p", 40, 13)], ENOUGH, 1, [], "fine-tune.", id="just above 0.3"),
        pytest.param(
            [("drug", "espeak_g2p", 40, 12)],
            ENOUGH,
            1,
            ["priority_ker"],
            "too few to pay for training on this list. Do not train yet: add about 71 drug terms "
            "(283 more held-out rows)",
            id="0.3 is not above 0.3; first cycle: grow",
        ),
        pytest.param(
            [("drug", "espeak_g2p", 40, 7)],
            ENOUGH,
            2,
            ["priority_ker"],
            "set the gate's minimum_ker below 0.17,",
            id="0.175 later: an option",
        ),
        pytest.param(
            [("drug", "espeak_g2p", 40, 4)],
            ENOUGH,
            1,
            ["priority_ker"],
            "Do not train yet: add about",
            id="0.1 is not saturated",
        ),
        pytest.param(
            [("drug", "espeak_g2p", 40, 3)],
            ENOUGH,
            3,
            ["priority_ker"],
            "make the test harder with other voices, more noise",
            id="below 0.1: saturated, in any cycle",
        ),
        pytest.param(
            [("drug", "espeak_g2p", 20, 20)],
            {"drug": 20, "condition": 41},
            1,
            ["manifest_rows"],
            "Add about 10 drug terms (39 more rows), then run",
            id="39 rows too few",
        ),
        pytest.param(
            [("drug", "espeak_g2p", 3, 3)],
            {"drug": 4, "lab": 200},
            1,
            ["rows_per_priority_category"],
            "Add about 1 drug term (1 more row), then run",
            id="one drug row too few",
        ),
        pytest.param(
            [("drug", "espeak_g2p", 3, 3)], {"drug": 5, "lab": 95}, 1, [], "fine-tune.", id="just enough rows"
        ),
        pytest.param(
            [
                ("drug", "override", 20, 1),
                ("condition", "merriam-webster", 20, 2),
                ("drug", "espeak_g2p", 20, 18),
            ],
            ENOUGH,
            1,
            ["pronunciation"],
            "the test speech is wrong, not the recogniser. Do not train: correct the pronunciation",
            id="pronunciation case",
        ),
        pytest.param(
            [("drug", "override", 20, 4), ("drug", "espeak_g2p", 20, 18)],
            ENOUGH,
            1,
            [],
            "fine-tune.",
            id="looked-up terms are missed as well: not the pronunciation case",
        ),
        pytest.param(
            [("drug", "override", 40, 39)], ENOUGH, 1, [], "fine-tune.", id="all pronunciations are looked up"
        ),
        pytest.param(
            [("condition", "espeak_g2p", 40, 40)],
            ENOUGH,
            1,
            ["priority_ker"],
            "How often the recogniser misses terms of drug is not known: no held-out row holds one. "
            "Do not train yet: add terms of drug",
            id="no held-out drug rows",
        ),
        pytest.param(
            [("drug", "espeak_g2p", 2, 0)],
            {"drug": 12},
            1,
            ["priority_ker", "manifest_rows"],
            "terms that sound alike, and add about 44 drug terms (88 more rows).",
            id="saturated on two rows: more are asked for as well",
        ),
    ],
)
def test_gate(
    groups: list[Group], category_rows: Mapping[str, int], cycle: int, fails: list[str], advice: str
) -> None:
    decision = evaluate_gate(scores(*groups), category_rows, cycle=cycle)
    assert failed(decision) == fails
    assert decision.open == (not fails)
    assert advice in decision.advice


def test_every_criterion_says_what_was_found_and_what_is_required() -> None:
    decision = evaluate_gate(
        scores(("drug", "espeak_g2p", 36, 30), ("drug", "override", 12, 12)), ENOUGH, cycle=1
    )
    assert [(criterion.found, criterion.required) for criterion in decision.criteria] == [
        ("87.5 % [75.3, 94.1], n = 48", "above 30.0 %"),
        ("120 rows", "100 or more"),
        ("drug 60", "5 or more each"),
        (
            "looked up 100.0 % [75.8, 100.0], n = 12; the engine's own 83.3 % [68.1, 92.1], n = 36",
            "not both: looked up below 10.0 % and the engine's own above 30.0 %",
        ),
    ]
    assert decision.criteria[0].reason == (
        "On held-out rows 42 of 48 drug mentions were missed: 87.5 % [75.3, 94.1], n = 48. "
        "That is more than 30.0 %."
    )
    assert decision.advice == (
        "The recogniser misses 42 of 48 drug mentions (87.5 % [75.3, 94.1], n = 48), and there are enough "
        "rows to learn from: fine-tune."
    )


def test_the_ker_is_over_the_rows_of_all_priority_categories_not_the_mean_of_their_rates() -> None:
    evaluated = scores(("drug", "espeak_g2p", 90, 9), ("procedure", "espeak_g2p", 10, 10))
    settings = GateSettings(priority_categories=("drug", "procedure"))
    decision = evaluate_gate(evaluated, {"drug": 90, "procedure": 10}, cycle=1, settings=settings)
    assert decision.priority_ker is not None
    assert (decision.priority_ker.value, decision.priority_ker.n) == (0.19, 100)
    assert failed(decision) == ["priority_ker"]
    assert "19 of 100 drug or procedure mentions" in decision.advice


def test_each_priority_category_needs_its_own_rows() -> None:
    settings = GateSettings(priority_categories=("drug", "procedure"))
    decision = evaluate_gate(
        scores(("drug", "espeak_g2p", 40, 40)), {"drug": 200, "procedure": 2}, cycle=1, settings=settings
    )
    assert failed(decision) == ["priority_ker", "rows_per_priority_category"]
    assert decision.priority_ker is None
    assert decision.criteria[0].found == "not measured (no held-out row of procedure)"
    assert decision.criteria[2].reason == (
        "Clinical rows of each priority category: drug 200, procedure 2; 5 of each are needed: "
        "too few of procedure."
    )


def test_rows_that_were_trained_on_open_no_gate() -> None:
    decision = evaluate_gate(scores(("drug", "espeak_g2p", 60, 60), subset="train"), ENOUGH, cycle=1)
    assert not decision.open
    assert failed(decision) == ["priority_ker", "pronunciation"]
    assert decision.criteria[3].found == "not measured (no held-out row with a pronunciation's source)"


def test_how_a_recording_is_pronounced_was_not_looked_up() -> None:
    """A team's synthetic recordings that are understood say nothing about how the engine pronounces."""
    evaluated = scores(("drug", "recording", 40, 1), ("drug", "espeak_g2p", 60, 59))
    decision = evaluate_gate(evaluated, ENOUGH, cycle=1)
    assert decision.open, decision.advice
    assert decision.criteria[3].found == scores_found(("drug", "espeak_g2p", 60, 59))


def scores_found(*groups: Group) -> str:
    """What the criterion of the pronunciation finds in a model's scores."""
    return evaluate_gate(scores(*groups), ENOUGH, cycle=1).criteria[3].found


def test_rows_without_the_source_of_their_pronunciation_open_no_gate() -> None:
    values = plain(scores(("drug", "espeak_g2p", 60, 60)))
    del values["slices"]["held_out"]["by"]["ipa_source"]
    evaluated = record_in(json.dumps(values), Scores, "scores", "score again")
    decision = evaluate_gate(evaluated, ENOUGH, cycle=1)
    assert failed(decision) == ["pronunciation"]
    assert decision.advice.endswith("Do not train yet: fill in ipa_source, then run the cycle again.")


def test_a_lower_bar_opens_the_gate() -> None:
    evaluated = scores(("drug", "espeak_g2p", 40, 7))
    assert not evaluate_gate(evaluated, ENOUGH, cycle=2).open
    assert evaluate_gate(evaluated, ENOUGH, cycle=2, settings=GateSettings(minimum_ker=0.17)).open


@pytest.mark.parametrize("missed", [60, 0])
def test_a_decision_survives_its_file(missed: int, tmp_path: Path) -> None:
    decision = evaluate_gate(scores(("drug", "espeak_g2p", 60, missed)), ENOUGH, cycle=1)
    write_record(tmp_path / "gate.json", decision)
    assert read_record(tmp_path / "gate.json", GateDecision) == decision


def test_a_decision_without_ker_survives_its_file(tmp_path: Path) -> None:
    decision = evaluate_gate(scores(("lab", "espeak_g2p", 60, 60)), ENOUGH, cycle=1)
    write_record(tmp_path / "gate.json", decision)
    assert read_record(tmp_path / "gate.json", GateDecision) == decision


@pytest.mark.parametrize("change", [{"open": ...}, {"surprise": 1}, {"criteria": [{"name": "priority_ker"}]}])
def test_an_edited_file_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    values = plain(evaluate_gate(scores(("drug", "espeak_g2p", 8, 8)), ENOUGH, cycle=1))
    values = {name: value for name, value in {**values, **change}.items() if value is not ...}
    write_json(tmp_path / "gate.json", values)
    with pytest.raises(FlywheelError, match=r"gate\.json: .*; materialise gate_decision again"):
        read_record(tmp_path / "gate.json", GateDecision)


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        ({"priority_categories": ()}, ["priority_categories: found none"]),
        ({"priority_categories": ("drug", "pill")}, ["found 'pill'; allowed: drug, procedure"]),
        ({"priority_categories": ("drug", "drug")}, ["found 'drug'; allowed: drug, procedure"]),
        ({"minimum_ker": 30, "minimum_rows": -1}, ["minimum_ker: found 30", "minimum_rows: found -1"]),
    ],
)
def test_settings_out_of_range_are_refused_all_at_once(settings: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(GateSettingsError) as refusal:
        GateSettings(**settings)
    assert len(refusal.value.problems) == len(problems)
    for problem, expected in zip(refusal.value.problems, problems, strict=True):
        assert expected in problem


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("slices",), ..., "slices: missing"),
        (("slices", "held_out"), [], "slices.held_out: found []; allowed: an object"),
        ((*DRUGS, "n"), ..., "slices.held_out.by.entity_category.drug.ker.n: missing"),
        ((*DRUGS, "value"), "x", "by.entity_category.drug.ker.value: found 'x'; allowed: a valid number"),
        ((*DRUGS, "share"), 0.5, "by.entity_category.drug.ker.share: found 0.5, which is unknown"),
    ],
)
def test_scores_of_another_shape_are_refused_with_the_place(
    place: tuple[str, ...], value: object, message: str, tmp_path: Path
) -> None:
    file = EvalFolder(tmp_path / "baseline").scores
    values = plain(scores(("drug", "espeak_g2p", 8, 8)))
    *above, name = place
    table = values
    for each in above:
        table = table[each]
    if value is ...:
        del table[name]
    else:
        table[name] = value
    write_json(file, values)
    with pytest.raises(FlywheelError) as refusal:
        read_record(file, Scores)
    said = str(refusal.value)
    assert said.startswith(f"{file}: slices") and message in said
    assert said.endswith("; materialise baseline_eval again")
