"""Section 6: how far what was learned carries, by slice; and what got worse."""

import re
from dataclasses import replace

import pytest

from flywheel.report.leaderboard import LeaderboardInputs, headline, render
from flywheel.report.leaderboard.slices import what_got_worse
from flywheel.scoring import CLINICAL, Estimate
from flywheel.scoring.transcripts import Transcript
from tests.leaderboard_page import (
    ROWS,
    SECTIONS,
    SLICES,
    adapted,
    general_rows,
    page_of,
    read_page,
    scored,
    trained_inputs,
    untrained,
)


def test_slices_stand_in_the_order_of_their_distance_from_training() -> None:
    page = read_page(page_of("trained")[1])
    lines = page.lines(SLICES)
    assert list(lines) == [
        "held out: seen term, known voice",
        "unseen voice, seen term",
        "unseen term",
        "general speech",
    ]
    unseen = lines["unseen term"]
    assert (unseen["n"], unseen["missed before"], unseen["missed after"]) == ("72", "66", "48")
    assert unseen["never trained on"] == "the term"
    assert lines["unseen voice, seen term"]["change, points"].startswith("-23.6 [-")
    assert lines["unseen voice, seen term"]["p"] == "p = 0.002"
    general = lines["general speech"]
    assert (general["rate"], general["n"], general["p"]) == ("WER", "24", "-")
    assert general["change, points"].startswith("+0.5 [")


def test_the_same_change_has_an_interval_over_voices() -> None:
    inputs = page_of("trained")[0]
    assert inputs.comparison is not None
    slices = dict(inputs.comparison.slices)
    general = slices["general"].wer

    def shown(by_voice: Estimate) -> tuple[str, str]:
        slices["general"] = replace(slices["general"], wer=replace(general, by_voice=by_voice))
        assert inputs.comparison is not None
        page = read_page(render(replace(inputs, comparison=replace(inputs.comparison, slices=slices))))
        (said,) = [text for text in page.texts[SLICES] if text.startswith("A change has two intervals")]
        return page.lines(SLICES)["general speech"]["interval by voice"], said

    cell, said = shown(Estimate(0.005, 0.001, 0.02, 24))
    assert cell == "[+0.1, +2.0]"
    assert said.endswith("the WER of general speech changed at all: treat that as not known.")
    cell, said = shown(Estimate(0.005, -0.001, 0.02, 24))
    assert cell == "[-0.1, +2.0]"
    assert said.endswith("Here both agree on every line.")


@pytest.mark.parametrize(
    ("known", "label", "never"),
    [
        (None, "held out: seen term, known voice", "the recording"),
        (42, "held out: seen term, known voice", "the recording"),
        (30, "held out: seen term, known voice", "the recording; of 12 rows the sentence"),
        (0, "held out: seen term, new sentence, known voice", "the sentence"),
    ],
)
def test_a_held_out_sentence_is_called_new_only_where_it_is(
    known: int | None, label: str, never: str
) -> None:
    page = read_page(render(replace(page_of("trained")[0], known_sentences=known)))
    assert page.lines(SLICES)[label]["never trained on"] == never


def test_slices_that_the_cycle_does_not_have_are_named_with_what_to_do() -> None:
    page = read_page(page_of("trained")[1])
    assert page.texts[SLICES][-3:] == [
        "Not measured:",
        "unseen synthesiser: there is no second one; apt-get install flite adds one to the next run.",
        "your own recordings: nobody has been recorded; put recordings into data/recordings.",
    ]
    rows = [row for row in ROWS if row.subset in ("train", "validation", "development")]
    page = read_page(render(trained_inputs(rows=rows)))
    assert list(page.lines(SLICES)) == ["held out: seen term, known voice"]
    assert (
        "unseen term: none is set aside; that takes three terms of one entity category." in page.texts[SLICES]
    )
    assert "general speech: none is set aside." in page.texts[SLICES]
    assert page.texts[""][0].startswith("Do not keep the new model.")
    assert "General speech: not measured; terms never trained on: not measured" in page.texts[""][2]


def people(*, general: bool = True) -> list[Transcript]:
    """Recordings of two persons: the general ones say what a control sentence says."""
    rows = [row for row in ROWS if row.subset == "validation"][:12] + [*general_rows()][: 3 if general else 0]
    return [
        replace(
            row,
            id=f"p{number}",
            synthesis_group=f"p{number}",
            subset="human",
            ipa_source="recording",
            voice_id=f"recording:nurse-{number % 2}",
        )
        for number, row in enumerate(rows)
    ]


def people_missed(rows: list[Transcript]) -> tuple[str, str]:
    before, after = (
        str(sum(bool(row.term_missed) for row in scored(model, CLINICAL, rows) if row.id.startswith("p")))
        for model in (untrained, adapted)
    )
    return before, after


def test_people_are_a_slice_of_their_own_that_changes_nothing_else() -> None:
    rows = [*ROWS, *people()]
    inputs = trained_inputs(rows=rows)
    page, without = read_page(render(inputs)), read_page(page_of("trained")[1])
    kers, wers = page.tables[SLICES][0][-2:]
    assert (kers["rows"], kers["rate"], kers["n"]) == ("your own recordings", "KER", "12")
    assert (kers["missed before"], kers["missed after"]) == people_missed(rows)
    assert (wers["rows"], wers["rate"], wers["n"]) == ("your own recordings", "WER", "15")
    (text,) = [text for text in page.texts[SLICES] if text.startswith("Human speech: ")]
    assert text.startswith("Human speech: recordings of people (2 speakers). They are never trained on,")
    for heading in [heading for heading in SECTIONS if heading not in (SLICES, SECTIONS[9], SECTIONS[-1])]:
        assert page.texts[heading] == without.texts[heading], heading
        assert page.tables[heading] == without.tables[heading], heading
    assert headline(inputs) == headline(page_of("trained")[0])
    assert page.tables[SLICES][0][:-2] == without.tables[SLICES][0]


def test_recordings_without_a_term_have_a_word_error_rate_alone() -> None:
    rows = [replace(row, id=f"g{row.id}") for row in people() if row.term is None]
    page = read_page(render(trained_inputs(rows=[*ROWS, *rows])))
    human = page.lines(SLICES)["your own recordings"]
    assert (human["rate"], human["n"], human["before"]) == ("WER", "3", "too few rows (n = 3; 12 needed)")
    assert "KER of your own recordings: no such row holds a term." in page.texts[SLICES]


def confused(row: Transcript, number: int) -> str:
    """Misses what the base found, and mends nothing: worse wherever there was something to lose."""
    return untrained(row, number) if row.term is None or number % 11 else untrained(row, 1)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (page_of("baseline")[0], ""),
        (
            page_of("trained")[0],
            "Worse, but perhaps by chance: WER of general speech +0.5 [+0.0, +1.9] points, n = 24; "
            "terms that nobody said, heard in general speech 0 -> 1 of 24.",
        ),
        (
            trained_inputs(untrained),
            "Nothing measured here got worse.",
        ),
    ],
)
def test_what_got_worse_is_told_from_what_may_be_chance(inputs: LeaderboardInputs, said: str) -> None:
    assert what_got_worse(inputs) == said


def test_rises_of_categories_are_named_and_counted() -> None:
    said = what_got_worse(trained_inputs(confused))
    sure, perhaps = said.split(" Worse, but perhaps by chance: ")
    assert sure.startswith(
        "Got worse: KER of held-out rows 37 -> 42 of 42 missed, +11.9 [+4.8, +16.7] points; "
    )
    assert "KER of held-out condition terms 10 -> 12 of 12 missed, +16.7 [no interval] points" in perhaps


def test_a_rise_on_rows_that_carry_no_number_is_counted_alone() -> None:
    drugs = [row.id for row in ROWS if row.subset == "validation" and row.entity_category == "drug"]
    rows = [row for row in ROWS if row.id not in drugs[:16]]
    said = what_got_worse(trained_inputs(confused, rows))
    assert re.search(r"KER of held-out drug terms \d+ -> 11 of 11 missed[.;]", said), said
