"""Where prescribed pronunciations stand in a text."""

import pytest

from flywheel.pronunciation.prescriptions import Prescription, prescribed_in, with_prescriptions

LEXICON = [
    Prescription("cefazolin", "A"),
    Prescription("open reduction", "B"),
    Prescription("open", "C"),
    Prescription("co-trimoxazole", "D"),
]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("give cefazolin now", "give [A] now"),
        ("Cefazolin, and CEFAZOLIN.", "[A], and [A]."),
        ("cefazolins precefazolin cefazolin2", "cefazolins precefazolin cefazolin2"),
        ("cefazolin-induced fever", "cefazolin-induced fever"),
        ("give co-trimoxazole or trimoxazole", "give [D] or trimoxazole"),
        ("an open reduction is open", "an [B] is [C]"),
        ("an open  reduction", "an [B]"),
        ("open, reduction", "[C], reduction"),
        ("nothing of it", "nothing of it"),
        ("", ""),
    ],
)
def test_whole_words_are_replaced_whatever_their_case(text: str, spoken: str) -> None:
    assert with_prescriptions(text, LEXICON, lambda ipa: f"[{ipa}]") == spoken


def test_what_applies_to_a_text_is_listed_once_in_its_order() -> None:
    by_words = {each.words: each for each in LEXICON}
    found = prescribed_in("open the cefazolin, then open reduction with cefazolin", by_words)
    assert [each.ipa for each in found] == ["C", "A", "B"]
    assert prescribed_in("open the door", {}) == ()
