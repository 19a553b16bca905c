"""The page as a whole: the answer first, then the same sections in the same order, whatever the cycle came to."""

import re
from dataclasses import replace
from typing import Any

import pytest

from flywheel.report.leaderboard import LeaderboardInputsError, headline, render
from tests.leaderboard_page import (
    CATEGORY,
    DECISION,
    DOSES,
    FREE,
    NOISE,
    PROVENANCE,
    ROWS,
    SECTIONS,
    SOURCE,
    STAGES,
    TERM,
    WRONG,
    baseline_inputs,
    edited,
    gate_of,
    page_of,
    read_page,
    with_boosting,
)


@pytest.mark.parametrize("stage", STAGES)
def test_every_page_has_all_sections_in_the_same_order(stage: str) -> None:
    page = read_page(page_of(stage)[1])
    assert page.headings == SECTIONS
    assert len(page.titles) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_every_section_with_rates_says_how_to_read_it(stage: str) -> None:
    page = read_page(page_of(stage)[1])
    for heading in set(SECTIONS) - {FREE, DECISION, WRONG, DOSES, PROVENANCE}:
        assert page.texts[heading][0].startswith("How to read: "), heading


@pytest.mark.parametrize(
    ("stage", "title", "verdict"),
    [
        (
            "baseline",
            "Leaderboard: cycle 1, baseline only",
            "Baseline only: nothing has been trained yet. "
            "The recogniser misses 37 of 42 mentions of clinical terms.",
        ),
        (
            "gate_open",
            "Leaderboard: cycle 1, baseline only",
            "Baseline only: nothing has been trained yet. The recogniser misses 24 of 27 drug mentions "
            "(88.9 % [71.9, 96.1], n = 27), and there are enough rows to learn from: fine-tune.",
        ),
        (
            "gate_closed",
            "Leaderboard: cycle 1, not trained",
            "Nothing was trained: the gate is closed. The recogniser misses 24 of 27 drug mentions "
            "(88.9 % [71.9, 96.1], n = 27): worth training for, but there is too little to learn from. "
            "Add about 4 drug terms (140 more rows), then run the cycle again.",
        ),
        (
            "trained",
            "Leaderboard: cycle 2 beside cycle 1",
            "Keep the new model. It misses 1 of 27 drug mentions in speech that it was not trained on; "
            "the model before it missed 24.",
        ),
        (
            "forgetting",
            "Leaderboard: cycle 2 beside cycle 1",
            "Do not keep the new model. It misses 0 of 27 drug mentions in speech that it was not trained "
            "on; the model before it missed 24. The new model got worse at everyday speech. It did learn "
            "terms, but that does not make up for it. Mix more general speech into the training rows, or "
            "train for fewer epochs.",
        ),
    ],
)
def test_the_page_begins_with_the_answer(stage: str, title: str, verdict: str) -> None:
    inputs, markdown = page_of(stage)
    page = read_page(markdown)
    assert page.titles == [title]
    assert page.texts[""][0] == verdict
    assert headline(inputs).splitlines()[0] == verdict


def test_the_headline_of_a_trained_cycle_has_the_numbers() -> None:
    inputs, markdown = page_of("trained")
    _, terms, others = headline(inputs).splitlines()
    assert terms == (
        "Missed drug mentions: 24 of 27 -> 1 of 27; KER 88.9 % [71.9, 96.1] -> 3.7 % [0.7, 18.3], n = 27; "
        "exact McNemar test p < 0.001."
    )
    assert re.fullmatch(
        r"General speech: WER 4\.5 % \[.+\] -> 5\.0 % \[.+\], n = 24, a change of \+0\.5 \[.+\] points; "
        r"terms never trained on: 66 of 72 -> 48 of 72 missed; "
        r"voices never trained on: 65 of 72 -> 48 of 72 missed\.",
        others,
    )
    assert read_page(markdown).texts[""][1:3] == [terms, others]


@pytest.mark.parametrize("stage", STAGES)
def test_what_something_free_would_have_done_is_a_line_of_the_answer_where_it_was_measured(
    stage: str,
) -> None:
    inputs = page_of(stage)[0]
    *before, last = headline(with_boosting(inputs)).splitlines()
    assert before == headline(inputs).splitlines()
    assert last.startswith("Phrase boosting alone (alpha 2, 10 terms, no training) does not do it: ")
    assert last in read_page(render(with_boosting(inputs))).texts[""]


def test_what_got_worse_is_said_at_the_top() -> None:
    said = {stage: read_page(page_of(stage)[1]).texts[""] for stage in STAGES}
    (got_worse,) = [text for text in said["forgetting"] if text.startswith("Got worse: ")]
    assert re.fullmatch(
        r"Got worse: WER of general speech \+83\.6 \[\+.+\] points, n = 24; "
        r"terms that nobody said, heard in general speech 0 -> 24 of 24\.",
        got_worse,
    )
    for stage in ("baseline", "gate_open", "gate_closed"):
        assert not [text for text in said[stage] if "worse" in text]


def test_the_html_page_is_one_click_away() -> None:
    inputs = page_of("trained")[0]
    markdown = render(replace(inputs, page="leaderboard_cycle2.html"))
    assert "[The same page with figures and sound](leaderboard_cycle2.html)" in markdown.partition("## ")[0]
    assert "](" not in page_of("trained")[1].partition("## ")[0], "no link where there is no such page"


def test_without_held_out_rows_the_page_says_so() -> None:
    rows = [row for row in ROWS if row.subset == "train"]
    page = read_page(render(replace(baseline_inputs(rows), gate=gate_of(baseline_inputs(rows), rows))))
    assert page.headings == SECTIONS
    assert page.lines("1. Headline")["KER"]["baseline"] == "not measured (no clinical row is held out)"
    for heading in (CATEGORY, SOURCE, NOISE, TERM):
        assert page.texts[heading][1] == "not measured (no clinical row is held out)."
    assert page.texts[""][1] == "There are no held-out rows, so nothing was measured."


def test_a_page_of_one_model_has_no_columns_for_a_second() -> None:
    for stage in ("baseline", "gate_open", "gate_closed"):
        page = read_page(page_of(stage)[1])
        columns = {column for tables in page.tables.values() for table in tables for column in table[0]}
        assert not [column for column in columns if "after" in column or "change" in column]


@pytest.mark.parametrize(
    "nasty",
    [
        "a|b",
        "back\\slash",
        "**bold**",
        "<script>alert(1)</script>",
        "[link](https://example.org)",
        "`code",
        "&amp;",
        "_name_",
        "two\nlines",
        "$x$",
    ],
)
def test_whatever_was_heard_cannot_break_the_page(nasty: str) -> None:
    def edit(values: dict[str, Any]) -> None:
        held_out = values["slices"]["held_out"]
        held_out["substitutions"] = {"cefazolin": [{"heard": nasty, "count": 2}]}
        held_out["by"]["term"] = {nasty: held_out["by"]["term"]["cefazolin"]}

    baseline = page_of("baseline")[0]
    inputs = replace(
        baseline, baseline_scores=edited(baseline.baseline_scores, edit), provenance={"base": nasty}
    )
    page = read_page(render(inputs))
    shown = " ".join(nasty.split())
    assert page.headings == SECTIONS
    assert list(page.lines(TERM)) == [shown]
    assert page.lines(WRONG)["cefazolin"]["heard by the baseline"] == f"{shown} (2)"
    assert page.lines(PROVENANCE)["base"]["value"] == shown


def test_rendering_is_pure() -> None:
    inputs, markdown = page_of("trained")
    assert render(inputs) == markdown
    assert markdown.endswith("|\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"next_scores": None}, "next_published_scores, comparison without next_scores"),
        ({"comparison": None}, "next_scores, next_published_scores without comparison"),
        ({"decision": None}, "a comparison without its decision"),
    ],
)
def test_half_a_page_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(LeaderboardInputsError, match=message):
        replace(page_of("trained")[0], **change)


def test_a_trained_model_behind_a_closed_gate_is_refused() -> None:
    with pytest.raises(LeaderboardInputsError, match="behind a closed gate"):
        replace(page_of("trained")[0], gate=page_of("gate_closed")[0].gate)
