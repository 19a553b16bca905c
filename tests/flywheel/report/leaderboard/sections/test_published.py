"""Section 11: the figure over all rows, as published."""

from tests.leaderboard_page import ALL_ROWS, page_of, read_page


def test_the_figure_over_all_rows_is_the_published_one_and_labelled_as_such() -> None:
    inputs, markdown = page_of("trained")
    page = read_page(markdown)
    how, counts = page.texts[ALL_ROWS]
    assert "fell by 75 % (39 rows: 20 missed before, 5 after), was measured over all rows, training" in how
    assert "the decision does not use this section" in how
    assert "published_clinical 1" in how
    assert (
        counts == "All rows: 327 of 360 terms missed before, 113 of 360 after, a relative change of -65.4 %."
    )
    rates = page.lines(ALL_ROWS, 1)
    published = inputs.baseline_published_scores.slices["all"].wer
    assert rates["WER, mean of the rows"]["before"] == f"{100 * published.macro:.1f} % [no interval]"
