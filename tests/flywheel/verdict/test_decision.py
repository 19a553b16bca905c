"""The decision: a table of comparisons, each with the action that has to follow and its reasons."""

from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_json
from flywheel.files.records import plain, read_record, write_record
from flywheel.scoring import CLINICAL, Comparison, RowScore, compare, score_rows, summarise
from flywheel.scoring.transcripts import Transcript
from flywheel.verdict.decision import Decision, DecisionSettings, DecisionSettingsError, decide, not_trained
from flywheel.verdict.gate import evaluate_gate

TERMS = ("cefazolin", "apixaban", "metoprolol", "amiodarone", "enoxaparin", "rivaroxaban")
WORDS = ["we", "will", "meet", "near", "the", "old", "river", "after", "lunch", "today"]


def clinical(outcomes: str, *, category: str = "drug", subset: str = "validation") -> list[RowScore]:
    """One row for each character: `x` is a missed term, `.` a found one."""
    rows = []
    for number, outcome in enumerate(outcomes):
        term = TERMS[number % len(TERMS)]
        text = f"please check the {term} again"
        rows.append(
            Transcript(
                id=f"{category}-{subset}-{number}",
                text=text,
                pred_text=text.replace(term, "other") if outcome == "x" else text,
                ipa_source="espeak_g2p",
                voice_id="espeak:en-us+m3",
                noise_level="clean",
                synthesis_group=f"{number}",
                subset=subset,
                term=term,
                entity_category=category,
                context_type="dictation",
            )
        )
    return score_rows(rows, CLINICAL)


def general(wrong_words: int, *, rows: int = 10, first: int = 0) -> list[RowScore]:
    """Ten words a row; `wrong_words` of them, spread over the rows from the `first` on, are wrong: a WER of that by
    10 * rows."""
    said = [[*WORDS[number % 10 :], *WORDS[: number % 10]] for number in range(rows)]
    heard = [list(words) for words in said]
    for place in range(wrong_words):
        heard[(first + place) % rows][place // rows] = "uh"
    transcripts = [
        Transcript(
            id=f"general-{number}",
            text=" ".join(said[number]),
            pred_text=" ".join(words),
            ipa_source="espeak_g2p",
            voice_id="espeak:en-us+m3",
            noise_level="clean",
            synthesis_group=f"general-{number}",
            subset="general",
        )
        for number, words in enumerate(heard)
    ]
    return score_rows(transcripts, CLINICAL)


def compared(before: str, after: str, *, general_errors: tuple[int, int] | None = (10, 10)) -> Comparison:
    """Held-out drug rows before and after; wrong words of 100 in general speech before and after."""
    first, second = clinical(before), clinical(after)
    if general_errors is not None:
        first, second = first + general(general_errors[0]), second + general(general_errors[1])
    return compare(first, second, priority_categories=("drug",))


@pytest.mark.parametrize(
    ("before", "after", "general_errors", "action", "advice"),
    [
        pytest.param("x" * 40, "x" * 4 + "." * 36, (10, 10), "keep", "Use the new model", id="keep"),
        pytest.param(
            "x" * 40 + "." * 10,
            "." * 8 + "x" * 32 + "." * 10,
            (10, 10),
            "keep",
            "Use the new model",
            id="a drop of 8 in 40 is 20 %, whatever floating point makes of it",
        ),
        pytest.param(
            "x" * 40,
            "." * 7 + "x" * 33,
            (10, 10),
            "grow",
            "The gain is smaller than asked for.",
            id="17.5 %, significant",
        ),
        pytest.param(
            "x" * 5 + "." * 15,
            "." * 20,
            (10, 10),
            "grow",
            "with so few rows it may be chance.",
            id="all five mended: p is 0.0625",
        ),
        pytest.param(
            "x" * 20, "." * 2 + "x" * 18, (10, 10), "grow", "The gain is small, and may be", id="both"
        ),
        pytest.param(
            "x....." * 10,
            "......" * 10,
            (10, 10),
            "grow",
            "with so few terms it may be chance.",
            id="ten rows mended, all of one term: p is 0.002, but six terms drawn anew may hold it not at all",
        ),
        pytest.param("x" * 6 + "." * 14, "." * 20, (10, 10), "keep", "Use the new", id="six: p is 0.03125"),
        pytest.param(
            "." * 10, "x" + "." * 9, (10, 10), "overfit", "although that may be chance", id="up by one"
        ),
        pytest.param(
            "." * 10, "x" * 10, (10, 10), "overfit", "misses more terms than the old one: it", id="up"
        ),
        pytest.param(
            "x." * 10, ".x" * 10, (10, 10), "no_change", "as many terms as the old", id="moved, not fewer"
        ),
        pytest.param("." * 10, "." * 10, (10, 10), "no_change", "may know the terms", id="nothing to gain"),
        pytest.param(
            "x" * 40,
            "." * 40,
            (10, 11),
            "unmeasured",
            "too few to say that it still understands everyday speech as it should. Add rows of general speech, or",
            id="general WER up by exactly its cap, and so its upper end beyond it",
        ),
        pytest.param(
            "x" * 40,
            "." * 40,
            (10, 13),
            "forgetting",
            "got worse at everyday speech. It did learn terms, but",
            id="forgetting beats a perfect KER",
        ),
        pytest.param(
            "x" * 20,
            "x" * 20,
            (10, 20),
            "forgetting",
            "got worse at everyday speech. Mix more general speech",
            id="forgetting without gain",
        ),
        pytest.param(
            "." * 9, "x" * 9, (10, 20), "forgetting", "got worse at everyday", id="forgetting and overfit"
        ),
        pytest.param(
            "x" * 40,
            "." * 40,
            None,
            "unmeasured",
            "Add rows of general speech, then evaluate both models again.",
            id="no general speech: better is not good enough",
        ),
        pytest.param("x" * 9, "..xxxxxxx", None, "grow", "may be chance", id="little, nor general speech"),
        pytest.param("", "", (10, 10), "unmeasured", "Add drug terms until some are held", id="no drug rows"),
    ],
)
def test_decision(
    before: str, after: str, general_errors: tuple[int, int] | None, action: str, advice: str
) -> None:
    decision = decide(compared(before, after, general_errors=general_errors))
    assert decision.action == action
    assert decision.promote == (action == "keep")
    assert advice in decision.advice
    assert len(decision.reasons) == (3 if before else 2)


def test_reasons_carry_the_numbers() -> None:
    decision = decide(compared("x" * 47 + ".", "x" * 3 + "." * 45))
    assert decision.relative_drop == pytest.approx(44 / 47)
    drop, test, forgetting = decision.reasons
    assert drop.startswith(
        "Held-out rows: 47 of 48 drug mentions missed before, 3 of 48 after; KER 97.9 % [89.1, 99.6] before "
        "and 6.2 % [2.1, 16.8] after, n = 48. Relative change -93.6 % ["
    )
    assert drop.endswith("], n = 48; -20.0 % or lower is needed.")
    assert test == (
        "Missed before and found after: 44; found before and missed after: 0. "
        "Exact McNemar test: p < 0.001, n = 48; significant at 0.05."
    )
    assert forgetting.startswith("General speech: WER 10.0 % [")
    assert forgetting.endswith(
        "n = 10; a change of +0.0 [+0.0, +0.0] points: the upper end is within the cap of +1.0 points."
    )


@pytest.mark.parametrize(
    ("general_errors", "rows", "verdict"),
    [
        pytest.param((10, 13), 10, "above the cap of +1.0 points", id="above"),
        pytest.param((10, 11), 10, "the upper end is above the cap of +1.0 points", id="its upper end is"),
        pytest.param(
            (1, 1), 1, "without an interval nobody knows whether it is within the cap", id="one row"
        ),
    ],
)
def test_the_cap_is_for_the_upper_end_of_the_interval(
    general_errors: tuple[int, int], rows: int, verdict: str
) -> None:
    before, after = (general(errors, rows=rows) for errors in general_errors)
    learned = compare(clinical("x" * 40) + before, clinical("." * 40) + after, priority_categories=("drug",))
    decision = decide(learned)
    assert verdict in decision.reasons[-1]
    assert not decision.promote


def test_the_rows_that_are_lacking_would_do_if_the_change_stayed_as_it_is() -> None:
    before, after = "x" * 40, "." * 40
    general_speech = general(15), general(15, first=5)
    few = compare(
        clinical(before) + general_speech[0],
        clinical(after) + general_speech[1],
        priority_categories=("drug",),
    )
    difference = few.slices["general"].wer.difference
    assert difference.high is not None
    lacking = int(decide(few).advice.partition("about ")[2].partition(" ")[0])
    half = (difference.high - difference.value) * (10 / (10 + lacking)) ** 0.5
    assert difference.value + half == pytest.approx(0.01, abs=1e-3)


def test_what_was_not_measured_is_said_and_is_no_number() -> None:
    decision = decide(compared("x" * 40, "." * 40, general_errors=None))
    assert decision.reasons[-1] == (
        "General speech was not measured, so that nobody knows whether the model forgot it."
    )
    nothing = decide(compared("." * 10, "x" + "." * 9))
    assert nothing.relative_drop is None
    assert "Nothing was missed before, so that there is no relative change." in nothing.reasons[0]


def test_only_held_out_rows_of_the_priority_categories_count() -> None:
    learned, untouched = "x" * 30, "." * 30
    before = clinical(learned, subset="train") + clinical(learned, category="lab") + clinical(learned[:9])
    after = clinical(untouched, subset="train") + clinical(untouched, category="lab") + clinical(learned[:9])
    decision = decide(compare(before + general(5), after + general(5), priority_categories=("drug",)))
    assert decision.action == "no_change"


@pytest.mark.parametrize(
    ("after_misses", "previous_drops", "stops"),
    [
        pytest.param(49, [0.04], True, id="2 % after 4 %"),
        pytest.param(49, [0.04, 0.5], False, id="the cycle before was a success"),
        pytest.param(49, [0.5, -0.1], True, id="a loss is no gain"),
        pytest.param(49, [], False, id="first cycle"),
        pytest.param(48, [0.05], False, id="5 % is not below 5 %"),
        pytest.param(47, [0.01], False, id="6 % after 1 %"),
        pytest.param(50, [0.01], True, id="no change after 1 %"),
    ],
)
def test_two_cycles_running_with_a_small_drop_end_the_tuning(
    after_misses: int, previous_drops: list[float], stops: bool
) -> None:
    comparison = compared("x" * 50, "x" * after_misses + "." * (50 - after_misses))
    decision = decide(comparison, previous_drops=previous_drops)
    assert decision.stop_tuning == stops
    assert ("Stop tuning this model" in decision.advice) == stops
    assert ("both are below 5.0 %" in decision.reasons[-1]) == stops
    assert not decision.promote


def test_a_drop_of_exactly_the_small_drop_is_not_small() -> None:
    # 1 - 9 / 10 is 0.09999999999999998.
    decision = decide(
        compared("x" * 10, "x" * 9 + "."), settings=DecisionSettings(small_drop=0.1), previous_drops=[0.01]
    )
    assert not decision.stop_tuning


def test_settings_move_the_bars() -> None:
    # Each of the ten rows has one more wrong word in ten: the interval has no width.
    comparison = compared("x" * 40, "." * 10 + "x" * 30, general_errors=(10, 20))
    assert decide(comparison).action == "forgetting"
    assert decide(comparison, settings=DecisionSettings(general_wer_cap=0.09)).action == "forgetting"
    assert decide(comparison, settings=DecisionSettings(general_wer_cap=0.1)).action == "keep"
    strict = DecisionSettings(general_wer_cap=0.1, minimum_relative_drop=0.3)
    assert decide(comparison, settings=strict).action == "grow"
    sure = DecisionSettings(general_wer_cap=0.1, significance=0.001)
    assert decide(comparison, settings=sure).action == "grow"


def test_settings_out_of_range_are_refused_all_at_once() -> None:
    with pytest.raises(DecisionSettingsError) as refusal:
        DecisionSettings(general_wer_cap=2.0, significance=-0.05)
    assert [problem.split(":")[0] for problem in refusal.value.problems] == [
        "significance",
        "general_wer_cap",
    ]


def gate(outcomes: str) -> Any:
    scores = summarise(clinical(outcomes), model="base", normalizer=CLINICAL)
    return evaluate_gate(scores, {"drug": 40}, cycle=1)


def test_a_closed_gate_is_a_decision_with_the_gates_reasons_and_advice() -> None:
    closed = gate("x" * 20)
    decision = not_trained(closed)
    assert (decision.action, decision.promote, decision.advice) == ("not_trained", False, closed.advice)
    assert decision.reasons == ("The manifest has 40 clinical rows; 100 are needed: 60 too few.",)


def test_an_open_gate_has_to_be_decided_by_a_comparison() -> None:
    scores = summarise(clinical("x" * 20), model="base", normalizer=CLINICAL)
    with pytest.raises(ValueError, match="the gate is open"):
        not_trained(evaluate_gate(scores, {"drug": 400}, cycle=1))


@pytest.mark.parametrize("previous_drops", [[], [0.01]])
def test_a_decision_survives_its_file(previous_drops: list[float], tmp_path: Path) -> None:
    decision = decide(compared("x" * 20, "x" * 20), previous_drops=previous_drops)
    write_record(tmp_path / "decision.json", decision)
    assert read_record(tmp_path / "decision.json", Decision) == decision


@pytest.mark.parametrize(
    "change",
    [{"reasons": None}, {"surprise": 1}, {"action": "promote"}],
    ids=["missing", "unknown", "action"],
)
def test_an_edited_file_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "decision.json"
    write_json(file, {**plain(not_trained(gate("x" * 20))), **change})
    with pytest.raises(FlywheelError, match=f"{next(iter(change))}: .*; materialise decision again"):
        read_record(file, Decision)
