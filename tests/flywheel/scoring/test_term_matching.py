"""Whether a text holds a term, by each rule of what the words of a text are."""

import pytest

from flywheel.scoring.term_matching import (
    TermFinder,
    WordRule,
    bare_words,
    holds,
    letter_words,
    normalised_words,
)


@pytest.mark.parametrize(
    ("text", "term", "held"),
    [
        ("Give cefazolin.", "cefazolin", True),
        ("(Cefazolin), now", "cefazolin", True),
        ("lactate, dehydrogenase", "lactate dehydrogenase", True),
        ("lactate of dehydrogenase", "lactate dehydrogenase", False),
        ("dehydrogenase lactate", "lactate dehydrogenase", False),
        ("cefazolins", "cefazolin", False),
        ("cefazolin's", "cefazolin", False),
        ("co-trimoxazole", "co-trimoxazole", True),
        ("co trimoxazole", "co-trimoxazole", False),
        ("...", "-", False),
        ("", "cefazolin", False),
    ],
)
def test_a_term_is_held_when_a_perfect_transcript_would_be_a_hit(text: str, term: str, held: bool) -> None:
    assert holds(text, term, bare_words) is held


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the lactate dehydrogenase was high", ("lactate dehydrogenase",)),
        ("lactate and dehydrogenase were high", ()),
        ("dehydrogenase lactate", ()),
        ("co-trimoxazole and ferritin", ("ferritin", "co-trimoxazole")),
        ("hyperferritinemia", ()),
        ("", ()),
    ],
)
def test_a_term_is_found_where_its_words_stand_in_order_and_adjacent(
    text: str, found: tuple[str, ...]
) -> None:
    assert TermFinder(["ferritin", "lactate dehydrogenase", "co-trimoxazole"]).found_in(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Cefazolin-induced rash", {"cefazolin"}),
        ("the cefazolin's dose", {"cefazolin"}),
        ("MÉNIÈRE’S disease, cefazolin", {"meniere's disease", "cefazolin"}),
        ("co trimoxazole", {"co-trimoxazole"}),
        ("lactate, then dehydrogenase", set()),
        ("cefazolins", set()),
        ("", set()),
    ],
)
def test_terms_are_found_however_they_are_written(text: str, found: set[str]) -> None:
    index = TermFinder(
        ["cefazolin", "co-trimoxazole", "meniere's disease", "lactate dehydrogenase", "-"], letter_words
    )
    assert set(index.found_in(text)) == found


def test_each_spelling_is_looked_for_in_place_of_its_term() -> None:
    spellings = {"HbA1c": "hba1c", "5-FU": "5 fu", "iron": "iron"}
    finder = TermFinder(spellings, spelling=spellings.__getitem__)
    assert finder.found_in("iron and 5 fu were given") == ("5-FU", "iron"), "in the order of the list"
    assert finder.found_in("5 fuel cells") == ()


def test_terms_of_one_spelling_are_all_found() -> None:
    finder = TermFinder(["co-trimoxazole", "co trimoxazole"], letter_words)
    assert finder.found_in("Co-Trimoxazole.") == ("co-trimoxazole", "co trimoxazole")


@pytest.mark.parametrize("words", [normalised_words, bare_words, letter_words])
def test_a_term_without_a_word_is_never_held(words: WordRule) -> None:
    assert not holds("anything at all", "", words)
    assert TermFinder([""], words).found_in("anything at all") == ()
