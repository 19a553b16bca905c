"""The figures: the same numbers as a picture, as a part of a page, and in words."""

import re
from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from flywheel.errors import FlywheelError
from flywheel.report.figures import COLOUR_NAMES
from flywheel.report.leaderboard import FIGURES, LeaderboardInputs
from flywheel.report.leaderboard.figures import figure_description, figure_levels, render_figure, render_svg
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.scores import Level
from tests.leaderboard_page import ROWS, baseline_inputs, page_of

NOTHING = [row for row in ROWS if row.subset == "train"]


def with_kers(field: str, kers: Mapping[str, tuple[int, int, int]]) -> LeaderboardInputs:
    """A trained cycle whose held-out rows break down so: missed before, missed after, n."""
    inputs = page_of("trained")[0]
    changed = {}
    for place, name in enumerate(("baseline_scores", "next_scores")):
        scores = getattr(inputs, name)
        held_out = scores.slices["held_out"]
        levels = {
            level: Level(held_out.wer, Estimate(numbers[place] / numbers[2], 0.1, 0.9, numbers[2]))
            for level, numbers in kers.items()
        }
        by = {**held_out.by, field: levels}
        changed[name] = replace(scores, slices={**scores.slices, "held_out": replace(held_out, by=by)})
    return replace(inputs, **changed)


@pytest.mark.parametrize("name", ["noise", "terms"])
def test_a_figure_is_the_same_for_the_same_inputs_and_another_for_others(name: str) -> None:
    trained, baseline = page_of("trained")[0], page_of("baseline")[0]
    png, svg = render_figure(trained, name), render_svg(trained, name)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert (png, svg) == (render_figure(trained, name), render_svg(trained, name))
    assert (png, svg) != (render_figure(baseline, name), render_svg(baseline, name))
    assert len(render_figure(trained, name, dots_per_inch=40)) < len(png)


@pytest.mark.parametrize("stage", ["trained", "baseline"])
def test_drawings_stand_on_one_page_together(stage: str) -> None:
    drawings = [render_svg(page_of(stage)[0], name) for name in FIGURES]
    for name, drawing in zip(FIGURES, drawings, strict=True):
        root = ElementTree.fromstring(drawing)
        assert root.tag == "svg" and root.get("role") == "img"
        assert root.get("aria-label") == figure_description(page_of(stage)[0], name)
        assert 300 < float(root.attrib["viewBox"].split()[2]) < 400  # readable as wide as a phone
        assert "font-family" not in drawing and "<metadata" not in drawing
    together = "".join(drawings)
    # Nothing but names of the theme: no colour of its own.
    assert not re.findall(r"#[0-9a-f]{6}", together)
    assert set(re.findall(r"var\((--\w+)\)", together)) <= set(COLOUR_NAMES.values())
    ids = re.findall(r' id="([^"]+)"', together)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', together)) <= {(each, "") for each in ids} | {
        ("", each) for each in ids
    }


def test_what_a_figure_shows_is_said_in_words_with_its_n() -> None:
    inputs = page_of("trained")[0]
    assert figure_description(inputs, "category") == (
        "KER by entity category on held-out rows, with 95 % intervals: condition 83.3 % before and 16.7 % after "
        "(n = 12); drug 88.9 % before and 3.7 % after (n = 27); procedure 3 of 3 before and 0 of 3 after; all terms "
        "88.1 % before and 7.1 % after (n = 42)."
    )
    assert figure_description(page_of("baseline")[0], "source").startswith(
        "KER by source of the pronunciation on held-out rows, with 95 % intervals: espeak_g2p "
    )
    terms = figure_description(inputs, "terms")
    assert terms.startswith("KER by term on held-out rows, mentions missed, worst first: ")
    assert "apixaban 6 of 6 before and 1 of 6 after" in terms


def test_noise_stands_from_clean_to_loud_and_terms_worst_first() -> None:
    noises = {"snr_5db": (9, 8, 20), "clean": (9, 1, 20), "factory": (9, 9, 20), "snr_15db": (9, 3, 20)}
    assert [*figure_levels(with_kers("noise_level", noises), "noise")] == [
        "clean",
        "snr_15db",
        "snr_5db",
        "factory",
        "all terms",
    ]
    terms = {"found": (9, 0, 9), "worst": (9, 9, 9), "new": (0, 4, 8), "half": (8, 4, 8)}
    assert [*figure_levels(with_kers("term", terms), "terms")] == ["worst", "half", "new", "found"]


def test_a_single_level_is_not_shown_twice() -> None:
    assert [*figure_levels(with_kers("ipa_source", {"espeak_g2p": (9, 1, 40)}), "source")] == ["espeak_g2p"]


def test_names_of_terms_stand_where_they_fit() -> None:
    # More distinct ends than there is room for: the worst keep their names.
    terms = {f"term {number:02}": (40, number, 40) for number in range(41)}
    text = "".join(ElementTree.fromstring(render_svg(with_kers("term", terms), "terms")).itertext())
    named = re.findall(r"term (\d\d), ", text)
    assert "term 40, 40 of 40" in text
    assert 8 <= len(named) < 25


@pytest.mark.parametrize("name", ["category", "terms"])
def test_where_nothing_was_measured_the_figure_says_so(name: str) -> None:
    inputs = baseline_inputs(NOTHING)
    assert render_figure(inputs, name).startswith(b"\x89PNG")
    assert "no clinical row is held out." in "".join(
        ElementTree.fromstring(render_svg(inputs, name)).itertext()
    )
    assert figure_description(inputs, name).endswith(": not measured, no clinical row is held out.")


@pytest.mark.parametrize("field, name", [("term", "terms"), ("ipa_source", "source")])
def test_whatever_a_level_is_called_is_text(field: str, name: str) -> None:
    nasty = """$x^2$ <script>alert(1)</script> & "style='fill: #123456'" \\frac"""
    for inputs in (with_kers(field, {nasty: (9, 5, 20)}), with_kers(field, {nasty: (2, 1, 3)})):
        root = ElementTree.fromstring(render_svg(inputs, name))
        assert nasty[:19] in "".join(root.itertext())
        assert nasty in (root.get("aria-label") or "")


def test_there_are_these_figures_and_no_others() -> None:
    with pytest.raises(FlywheelError, match="found 'voice', allowed: category, noise, source, terms"):
        render_figure(page_of("trained")[0], "voice")
