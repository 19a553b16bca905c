"""Pronunciations in plain letters."""

import itertools
import re

import pytest

from flywheel.errors import FlywheelError
from flywheel.pronunciation.ipa import CONSONANTS, VOWELS
from flywheel.pronunciation.plain_spelling import plain_spelling
from flywheel.pronunciation.prescriptions import Prescription, with_prescriptions

TERMS = [
    ("sɛfəˈzoʊlɪn", "sef-uh-ZOH-lin"),
    ("mɛˈtoʊpɹəˌlɔl", "meh-TOH-pruh-lawl"),
    ("əˌsitəˈmɪnəfən", "uh-see-tuh-MIN-uh-fuhn"),
    ("ˈwɔɹfəɹɪn", "WOR-fuh-rin"),
    ("ˌlɛvəθaɪˈɹɑksin", "lev-uh-thy-RAHK-seen"),
    ("aɪˌbjuˈpɹoʊfən", "eye-byoo-PROH-fuhn"),
    ("dɪˈdʒɑksɪn", "dih-JAHK-sin"),
    ("ˌdʒɛntəˈmaɪsən", "jen-tuh-MY-suhn"),
    ("fʊˈɹoʊsəˌmaɪd", "fuu-ROH-suh-mighd"),
    ("ɹɪˈtʌksɪˌmæb", "rih-TUHK-sih-mab"),
    ("mɝˈtæzəˌpin", "mur-TAZ-uh-peen"),
    ("ˈɡɪltɚ", "GHIL-ter"),
    ("aɪ", "eye"),
    ("ˈbɔɪl", "boyl"),
    ("ɡaʊt", "gowt"),
    ("kɹoʊnz dɪˈziz", "krohnz dih-ZEEZ"),
    ("ˈsɜːrəm", "SUR-ruhm"),
    ("bʌtn\u0329", "buht-uhn"),
]


@pytest.mark.parametrize(("ipa", "letters"), TERMS, ids=[ipa for ipa, _letters in TERMS])
def test_terms(ipa: str, letters: str) -> None:
    assert plain_spelling(ipa) == letters


SOUNDS = {
    "i": "teet", "ɪ": "tit", "eɪ": "tayt", "ɛ": "tet", "æ": "tat", "ɑ": "taht", "ɔ": "tawt", "oʊ": "toht",
    "ʊ": "tuut", "u": "toot", "ʌ": "tuht", "ə": "tuht", "ɚ": "tert", "ɝ": "turt", "aɪ": "tight", "aʊ": "towt",
    "ɔɪ": "toyt",
    "p": "pah", "b": "bah", "t": "tah", "d": "dah", "k": "kah", "ɡ": "gah", "tʃ": "chah", "dʒ": "jah", "f": "fah",
    "v": "vah", "θ": "thah", "ð": "dhah", "s": "sah", "z": "zah", "ʃ": "shah", "ʒ": "zhah", "h": "hah", "m": "mah",
    "n": "nah", "l": "lah", "ɹ": "rah", "j": "yah", "w": "wah", "ŋ": "ahng",
    "ɪɹ": "teer", "ɛɹ": "tair", "ɑɹ": "tar", "ɔɹ": "tor", "ʊɹ": "toor",
}  # fmt: skip


@pytest.mark.parametrize(("sound", "letters"), SOUNDS.items())
def test_every_sound_of_the_inventory_has_its_letters(sound: str, letters: str) -> None:
    if sound in VOWELS:
        ipa = f"t{sound}t"
    elif sound.endswith("ɹ") and len(sound) > 1:
        ipa = f"t{sound}"
    else:
        ipa = f"ɑ{sound}" if sound == "ŋ" else f"{sound}ɑ"
    assert plain_spelling(ipa) == letters


def test_the_table_is_whole_and_tells_sounds_apart() -> None:
    assert {*VOWELS, *CONSONANTS} <= SOUNDS.keys()
    consonants = [SOUNDS[each] for each in CONSONANTS]
    assert len(set(consonants)) == len(consonants)
    vowels = [SOUNDS[each] for each in VOWELS if each != "ə"]  # which is ʌ without stress
    assert len(set(vowels)) == len(vowels)


def test_whatever_the_inventory_can_say_is_written_in_letters_and_hyphens() -> None:
    for first, middle, last in itertools.product(CONSONANTS, VOWELS, CONSONANTS):
        for ipa in (
            f"{first}{middle}{last}",
            f"{middle}{first}{last}ˈ{last}{middle}",
            f"{first}{last}{middle}",
        ):
            written = plain_spelling(ipa)
            assert re.fullmatch(r"[A-Za-z]+(-[A-Za-z]+)*", written), (ipa, written)
            assert written == plain_spelling(ipa)


def test_the_stressed_syllable_alone_is_in_capitals() -> None:
    assert [plain_spelling(ipa) for ipa in ("ˈtɑmɑ", "tɑˈmɑ", "ˌtɑˈmɑ", "tɑmɑ", "ˈtɑ")] == [
        "TAH-mah",
        "tah-MAH",
        "tah-MAH",
        "tah-mah",
        "tah",
    ]


def test_a_stress_mark_right_before_its_vowel_counts_for_the_whole_syllable() -> None:
    assert plain_spelling("əstɹˈɑ") == plain_spelling("əˈstɹɑ") == "uh-STRAH"
    assert plain_spelling("sɛfəzˈoʊlɪn") == plain_spelling("sɛfəˈzoʊlɪn")


def test_what_is_no_phoneme_is_refused() -> None:
    with pytest.raises(FlywheelError, match="x"):
        plain_spelling("lɑx")


def test_a_sentence_gets_the_letters_in_place_of_the_word() -> None:
    prescribed = [Prescription("cefazolin", "sɛfəˈzoʊlɪn")]
    assert with_prescriptions("Give Cefazolin, not cefazolins.", prescribed, plain_spelling) == (
        "Give sef-uh-ZOH-lin, not cefazolins."
    )
