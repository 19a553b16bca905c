"""One way to write a pronunciation, whoever wrote it; what is no phoneme is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import FlywheelError
from flywheel.pronunciation.ipa import (
    CONSONANTS,
    VOWELS,
    normalised_ipa,
    phonemes_of,
    with_stress_at_onsets,
)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        # What stands around a pronunciation, and marks that say nothing.
        ("/sɪˈfæzələn/", "sɪˈfæzələn"),
        ("[sɪˈfæzələn]", "sɪˈfæzələn"),
        ("  sɪˈfæzələn ", "sɪˈfæzələn"),
        ("sɪ.ˈfæ.zə.lən", "sɪˈfæzələn"),
        ("ɡluːˈkoʊːs", "ɡluˈkoʊs"),
        ("ɡlu:ˈkoʊˑs", "ɡluˈkoʊs"),
        # Symbols of other keyboards, other fonts and other transcribers.
        ("grɑm", "ɡɹɑm"),
        ("'dɛksə", "ˈdɛksə"),
        ("t͡ʃɛst", "tʃɛst"),
        ("d͡ʒɛl", "dʒɛl"),
        ("t͜ʃɛst", "tʃɛst"),
        ("ʧɛʤ", "tʃɛdʒ"),
        ("ˈdəʊs", "ˈdoʊs"),
        ("ˈtɒnɪk", "ˈtɑnɪk"),
        ("ˈbʌtn̩", "ˈbʌtən"),
        ("ˈbɑtl̩", "ˈbɑtəl"),
        ("ˈɹɪðm̩", "ˈɹɪðəm"),
        ("ˈfivɹ̩", "ˈfivɚ"),
        ("ˈfivə˞", "ˈfivɚ"),
        ("ˈsɪɾi", "ˈsɪti"),
        ("ˈpɪɫ", "ˈpɪl"),
        ("ɐˈbaʊt", "əˈbaʊt"),
        ("ˈɹoʊzᵻz", "ˈɹoʊzɪz"),
        # A schwa is unstressed, a stressed one has a symbol of its own.
        ("ˈsəlfeɪt", "ˈsʌlfeɪt"),
        ("ˌsəˈləbɹəs", "ˌsʌˈlʌbɹəs"),
        ("ˈbɚd", "ˈbɝd"),
        ("ˈbɜːd", "ˈbɝd"),
        ("ˈbɜrd", "ˈbɝd"),
        ("ˈbɝɹd", "ˈbɝd"),
        ("ˈbʌɹd", "ˈbɝd"),
        # Before an r of the same syllable only some vowels stand; before one of the next, all.
        ("ˈfivəɹ", "ˈfivɚ"),
        ("ˈfivɚɹ", "ˈfivɚ"),
        ("fiɹ", "fɪɹ"),
        ("feɪɹz", "fɛɹz"),
        ("foʊɹ", "fɔɹ"),
        ("kjuɹ", "kjʊɹ"),
        ("faɪɹ", "faɪɚ"),
        ("aʊɹ", "aʊɚ"),
        ("əuɹ", "ɔɹ"),
        ("ˈpaɪɹəts", "ˈpaɪɹəts"),
        ("ˈviɹəs", "ˈviɹəs"),
        ("əˈɹɛst", "əˈɹɛst"),
        # An r-coloured vowel reaches the next vowel by ɹ.
        ("ˈhɝi", "ˈhɝɹi"),
        ("ˈhɝɹi", "ˈhɝɹi"),
        ("ˌhaɪpɚˈæktɪv", "ˌhaɪpɚɹˈæktɪv"),
        # Several words, and a word without stress.
        ("ˈɪnsələn  ˈɡlɑrdʒin", "ˈɪnsələn ˈɡlɑɹdʒin"),
        ("əntə", "əntə"),
    ],
)
def test_a_pronunciation_has_one_form(written: str, normal: str) -> None:
    assert normalised_ipa(written) == normal
    assert normalised_ipa(normal) == normal


def test_phonemes_are_in_their_order_with_stresses_and_spaces() -> None:
    assert phonemes_of("ˈtʃaɪ ˌdʒɛl") == ("ˈ", "tʃ", "aɪ", " ", "ˌ", "dʒ", "ɛ", "l")
    assert phonemes_of("/bɔ:rd/") == ("b", "ɔ", "ɹ", "d")


def test_every_phoneme_of_the_inventory_is_itself() -> None:
    for phoneme in (*VOWELS, *CONSONANTS):
        assert phonemes_of(phoneme) == (phoneme,)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "sɛβə",
            r"'β' \(U\+03B2 GREEK SMALL LETTER BETA\): no phoneme of General American; allowed are the vowels i",
        ),
        (
            "xæy",
            r"'x' \(U\+0078 LATIN SMALL LETTER X\); 'y' \(U\+0079 LATIN SMALL LETTER Y\), write j: no phoneme",
        ),
        ("tes", r"'e' \(U\+0065 LATIN SMALL LETTER E\), write ɛ or eɪ"),
        ("to", r"'o' .* write oʊ or ɔ"),
        ("tat", r"'a' .* write æ or ɑ, or one of aɪ and aʊ"),
        ("ˈæn,tæs", r"',' \(U\+002C COMMA\), write ˌ for secondary stress"),
        ("bɔ̃", r"U\+0303 COMBINING TILDE"),
        ("CEFAZOLIN", r"'C' .*; 'E' .*; 'F'"),
        ("/tæt", r"'/' \(U\+002F SOLIDUS\)"),
        ("ˈtæˈtæ", "'ˈtæˈtæ' has 2 primary stresses; one ˈ is allowed in a word"),
        ("tætˈ", "in 'tætˈ' no vowel follows a stress mark"),
        ("ˈˌtæt", "in 'ˈˌtæt' no vowel follows a stress mark"),
        ("tæˈs tæt", "in 'tæˈs' no vowel follows"),
        ("", "pronunciation '': it is empty"),
        ("//", "pronunciation '//': it is empty"),
        (" ː. ", "it is empty"),
    ],
)
def test_what_is_no_pronunciation_is_refused_with_what_is_wrong(written: str, said: str) -> None:
    with pytest.raises(FlywheelError, match=said):
        normalised_ipa(written)


def test_each_unknown_symbol_is_named_once() -> None:
    with pytest.raises(FlywheelError) as refused:
        normalised_ipa("xəxβx")
    assert str(refused.value).count("LATIN SMALL LETTER X") == 1
    assert "BETA" in str(refused.value)


@given(st.text(alphabet="".join((*VOWELS, *CONSONANTS)) + "ˈˌ '.:ɾgrɜɒ˞\u0329\u0361/[]", max_size=14))
def test_what_is_normal_stays_as_it_is(text: str) -> None:
    try:
        normal = normalised_ipa(text)
    except FlywheelError:
        return
    assert normalised_ipa(normal) == normal
    placed = with_stress_at_onsets(phonemes_of(normal))
    assert with_stress_at_onsets(phonemes_of(placed)) == placed


@pytest.mark.parametrize(
    ("before_vowel", "before_syllable"),
    [
        ("sɪfˈæzələn", "sɪˈfæzələn"),
        ("mɛtəpɹˈoʊlɔl", "mɛtəˈpɹoʊlɔl"),
        ("ɪnfjˈuʒən", "ɪnˈfjuʒən"),
        ("kənstɹˈeɪn", "kənˈstɹeɪn"),
        ("ɪkstˈɛnd", "ɪkˈstɛnd"),
        ("ætlˈæntɪk", "ætˈlæntɪk"),
        ("sɛftɹaɪˈæksoʊn", "sɛftɹaɪˈæksoʊn"),
        ("sˌɛftɹˈaɪ", "ˌsɛfˈtɹaɪ"),
        ("lˈɔŋˌaɪlənd", "ˈlɔŋˌaɪlənd"),
        ("nˈʌtʃˌɛl", "ˈnʌˌtʃɛl"),
        ("ˈɪnsələn ɡlˈɑɹdʒin", "ˈɪnsələn ˈɡlɑɹdʒin"),
    ],
)
def test_stress_marks_stand_before_the_syllable(before_vowel: str, before_syllable: str) -> None:
    assert with_stress_at_onsets(phonemes_of(before_vowel)) == before_syllable


def test_two_consonants_that_look_like_one_stay_two() -> None:
    assert with_stress_at_onsets(("ˈ", "n", "ʌ", "t", "ʃ", "ˌ", "ɛ", "l")) == "ˈnʌtˌʃɛl"
