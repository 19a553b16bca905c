"""The five published sections, and what is shown where rows are too few to carry a number."""

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from flywheel.report.leaderboard import figure_description, render
from flywheel.scoring.numbers_as_text import (
    carries,
    chance,
    change_in_points,
    misses,
    p_value,
    percent_with_interval,
)
from tests.leaderboard_page import (
    CATEGORY,
    NOISE,
    ROWS,
    SOURCE,
    TERM,
    VOICES,
    baseline_inputs,
    page_of,
    read_page,
)


def test_the_headline_table_shows_the_scores_and_the_compared_change() -> None:
    inputs, markdown = page_of("trained")
    lines = read_page(markdown).lines("1. Headline")
    assert list(lines) == ["WER", "CER", "KER", "SER", "KER, drug only"]
    assert inputs.comparison is not None and inputs.after is not None
    held_out = inputs.comparison.slices["held_out"]
    for metric in ("wer", "cer", "ser"):
        before, after = inputs.before.metric("held_out", metric), inputs.after.metric("held_out", metric)
        assert before is not None and after is not None
        change = getattr(held_out, metric)
        assert lines[metric.upper()] == {
            "metric": metric.upper(),
            "n": "42",
            "before": percent_with_interval(before),
            "after": percent_with_interval(after),
            "change, points": change_in_points(change.difference),
            "probability of improvement": chance(change.improvement),
        }
    assert lines["KER"]["before"] == "88.1 % [75.0, 94.8]"
    assert lines["KER"]["after"] == "7.1 % [2.5, 19.0]"
    assert lines["KER"]["change, points"].startswith("-81.0 [-")
    assert lines["KER"]["probability of improvement"] == "> 99.9 %"
    assert lines["KER, drug only"]["n"] == "27"


@pytest.mark.parametrize(
    ("improvement", "shown"),
    [(None, "-"), (1.0, "> 99.9 %"), (0.973, "97.3 %"), (0.5, "50.0 %"), (0.0, "< 0.1 %")],
)
def test_a_thousand_resamples_prove_nothing(improvement: float | None, shown: str) -> None:
    assert chance(improvement) == shown


@pytest.mark.parametrize(
    ("heading", "field", "order"),
    [
        (CATEGORY, "entity_category", ["condition", "drug", "procedure"]),
        (SOURCE, "ipa_source", ["espeak_g2p", "override"]),
        (NOISE, "noise_level", ["clean", "snr_15db", "snr_5db"]),
    ],
)
def test_breakdowns_count_the_misses_of_both_models(heading: str, field: str, order: list[str]) -> None:
    inputs, markdown = page_of("trained")
    lines = read_page(markdown).lines(heading)
    assert list(lines) == order
    assert inputs.after is not None
    before, after = inputs.before.ker_by("held_out", field), inputs.after.ker_by("held_out", field)
    for level, line in lines.items():
        assert line["n"] == str(before[level].n)
        assert (line["missed before"], line["missed after"]) == (
            str(misses(before[level])),
            str(misses(after[level])),
        )
        if carries(before[level].n):
            assert line["KER before"] == percent_with_interval(before[level])
            assert line["KER after"] == percent_with_interval(after[level])
            assert float(line["change, points"].split()[0]) == pytest.approx(
                100 * (after[level].value - before[level].value), abs=0.05
            )
    assert sum(int(line["missed before"]) for line in lines.values()) == 37
    assert sum(int(line["missed after"]) for line in lines.values()) == 3


def test_rows_that_carry_no_number_have_counts_alone() -> None:
    assert read_page(page_of("trained")[1]).lines(CATEGORY)["procedure"] == {
        "entity_category": "procedure",
        "n": "3",
        "missed before": "3",
        "missed after": "0",
        "KER before": "too few rows (n = 3; 12 needed)",
        "KER after": "too few rows",
        "change, points": "-",
        "p": "too few changed rows to tell (n = 3; 6 needed)",
        "p (Holm)": "-",
    }


def test_each_category_has_its_test_corrected_for_the_others() -> None:
    inputs, markdown = page_of("trained")
    assert inputs.comparison is not None
    changes = inputs.comparison.slices["held_out"].by_category
    page = read_page(markdown)
    for category in ("condition", "drug"):
        change, line = changes[category], page.lines(CATEGORY)[category]
        assert change.p_holm is not None
        assert (line["p"], line["p (Holm)"]) == (p_value(change.p), p_value(change.p_holm))
    assert page.lines(CATEGORY)["condition"]["p"] == "p = 0.008"
    assert page.lines(CATEGORY)["condition"]["p (Holm)"] == "p = 0.016"
    assert "the last column corrects for the number of categories, 3 (Holm)" in page.texts[CATEGORY][0]


def test_a_comparison_of_an_earlier_version_has_no_tests_by_category() -> None:
    inputs = page_of("trained")[0]
    assert inputs.comparison is not None
    slices = {name: replace(each, by_category={}) for name, each in inputs.comparison.slices.items()}
    page = read_page(render(replace(inputs, comparison=replace(inputs.comparison, slices=slices))))
    assert "p" not in page.lines(CATEGORY)["drug"]
    assert page.lines(CATEGORY)["drug"]["change, points"] == "-85.2"


def test_terms_are_counted_worst_first_and_those_never_missed_are_named() -> None:
    page = read_page(page_of("trained")[1])
    assert page.tables[TERM][0] == [
        {"term": "apixaban", "n": "6", "missed before": "6", "missed after": "1"},
        {"term": "diverticulitis", "n": "6", "missed before": "5", "missed after": "1"},
        {"term": "pneumothorax", "n": "6", "missed before": "5", "missed after": "1"},
    ]
    assert page.texts[TERM][-1] == (
        "Not missed (rows): cholecystectomy (3), metoprolol (3), amiodarone (6), cefazolin (6), rivaroxaban (6)."
    )


def test_a_term_with_rows_enough_has_a_rate_beside_its_counts() -> None:
    rows = [
        row if row.subset in ("unseen_term", "general") else replace(row, subset="validation") for row in ROWS
    ]
    cells = read_page(render(baseline_inputs(rows))).lines(TERM)["cefazolin"]
    assert (cells["n"], cells["missed"], cells["KER"][:7]) == ("36", "32", "88.9 % ")


def test_long_lists_of_terms_are_cut_with_a_word() -> None:
    text = "the note says {} again"
    terms = [f"drug{'abcdefghij'[n // 26]}{'abcdefghijklmnopqrstuvwxyz'[n % 26]}" for n in range(60)]
    rows = [
        replace(ROWS[1], id=term, term=term, entity_category="drug", text=text.format(term)) for term in terms
    ]
    page = read_page(render(baseline_inputs(rows)))
    assert len(page.tables[TERM][0]) == 15
    assert "39 more terms, none of them worse, in results.csv." in page.texts[TERM]


def test_noise_is_in_the_order_of_its_loudness() -> None:
    rows = [
        replace(row, noise_level=("snr_-5db", "snr_20db", "clean", "snr_5db")[number % 4])
        for number, row in enumerate(ROWS)
    ]
    lines = read_page(render(baseline_inputs(rows))).lines(NOISE)
    assert list(lines) == ["clean", "snr_20db", "snr_5db", "snr_-5db"]


def test_a_single_source_of_pronunciations_is_said_to_tell_nothing() -> None:
    rows = [replace(row, ipa_source="espeak_g2p") for row in ROWS]
    text = read_page(render(baseline_inputs(rows))).texts[SOURCE][0]
    assert "every pronunciation comes from espeak_g2p, so this table cannot tell" in text
    assert "cannot tell" not in page_of("baseline")[1]


def test_synthetic_recordings_are_said_to_tell_nothing_of_pronunciations() -> None:
    rows = [replace(row, ipa_source="recording") if row.voice_id == VOICES[0] else row for row in ROWS]
    text = read_page(render(baseline_inputs(rows))).texts[SOURCE][0]
    assert "recording is synthetic speech that a team made elsewhere." in text
    assert "made elsewhere" not in page_of("baseline")[1]


def test_figures_stand_in_their_sections_with_a_text_alternative() -> None:
    inputs, markdown = page_of("trained")
    targets = {
        "category": "ker of cycle2.png",
        "source": "source.png",
        "noise": "data:image/png;base64,iVBORw0KGgo=",
        "terms": "terms.png",
    }
    tokens = MarkdownIt("commonmark").enable("table").parse(render(replace(inputs, figures=targets)))
    images = [child for token in tokens for child in token.children or [] if child.type == "image"]
    assert [(image.attrs["src"], image.content) for image in images] == [
        (targets[name].replace(" ", "%20"), " ".join(figure_description(inputs, name).split()))
        for name in ("category", "source", "noise", "terms")
    ]
    assert "![" not in markdown
