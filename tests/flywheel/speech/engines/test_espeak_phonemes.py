"""A prescribed pronunciation is what espeak-ng speaks: the phonemes that it reports are those prescribed."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flywheel.pronunciation.ipa import (
    CONSONANTS,
    VOWELS,
    normalised_ipa,
    phonemes_of,
    with_stress_at_onsets,
)
from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.engines.espeak import SEEN_VOICES, UNSEEN_VOICES, EspeakSynthesizer
from flywheel.speech.engines.espeak_phonemes import mnemonics, words_reported
from flywheel.speech.synthesizer import SynthesisError, Utterance, Voice

with (Path(__file__).parent / "drug_pronunciations.csv").open(encoding="utf-8", newline="") as table:
    DRUGS = {row["term"]: row["ipa"] for row in csv.DictReader(table)}

VOICES = SEEN_VOICES + UNSEEN_VOICES
AMERICAN = Voice("espeak:en-us+m3")


def accent_of(voice: Voice) -> str:
    return voice.name.partition("+")[0]


ACCENTS = tuple(dict.fromkeys(map(accent_of, VOICES)))

_A_VOWEL = f"[ˈˌ]?[{''.join(VOWELS)}]"
_CODA_R = f"ɹ(?!{_A_VOWEL})"
_WITHOUT_R = [(f"ɪ{_CODA_R}", "iə"), (f"ɛ{_CODA_R}", "ɛə"), (f"(?<=[ɑɔ]){_CODA_R}", ""), ("ɚ", "ə")]
_NEAR_R = [(f"ʊ{_CODA_R}", "ʊə")]
AS_SPOKEN = {
    "en-us": [],
    "en-us-nyc": [*_WITHOUT_R, *_NEAR_R, ("hj", "j")],
    "en-gb": [*_WITHOUT_R, *_NEAR_R],
    "en-gb-x-rp": [*_WITHOUT_R, (f"ʊ{_CODA_R}", "ɔ")],
    "en-gb-x-gbclan": [*_WITHOUT_R, *_NEAR_R, ("ʌ", "ʊ"), (f"ŋ(?={_A_VOWEL})", "ŋɡ")],
    "en-gb-scotland": [],
}
"""What an accent makes of General American: a pattern and what is spoken for it, in their order."""


def as_spoken(ipa: str, accent: str) -> str:
    spoken = normalised_ipa(ipa)
    for pattern, replacement in AS_SPOKEN[accent]:
        spoken = re.sub(pattern, replacement, spoken)
    return " ".join(with_stress_at_onsets(phonemes_of(word)) for word in spoken.split())


@pytest.fixture(scope="module")
def espeak() -> EspeakSynthesizer:
    return EspeakSynthesizer()


def prescribed(term: str, ipa: str, voice: Voice, text: str | None = None) -> Utterance:
    return Utterance(text or term, voice, (Prescription(term, ipa),))


def reported(espeak: EspeakSynthesizer, ipa: str, voice: Voice = AMERICAN) -> str:
    return " ".join(espeak.reported_phonemes(prescribed("word", ipa, voice)))


def test_the_table_holds_thirty_drugs_in_the_projects_ipa() -> None:
    assert len(DRUGS) >= 30
    assert sum(" " in term for term in DRUGS) >= 3
    for term, ipa in DRUGS.items():
        assert normalised_ipa(ipa) == ipa, term
        assert len(ipa.split()) == len(term.split()), term


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.voice_id)
def test_the_reported_phonemes_of_every_drug_are_those_prescribed(
    espeak: EspeakSynthesizer, voice: Voice
) -> None:
    heard = {
        term: " ".join(espeak.reported_phonemes(prescribed(term, ipa, voice))) for term, ipa in DRUGS.items()
    }
    assert heard == {term: as_spoken(ipa, accent_of(voice)) for term, ipa in DRUGS.items()}


def test_a_drug_sounds_different_where_its_phonemes_are_different(espeak: EspeakSynthesizer) -> None:
    different = 0
    for term, ipa in DRUGS.items():
        left_to_the_engine = Utterance(term, AMERICAN)
        with_ipa = prescribed(term, ipa, AMERICAN)
        other_phonemes = espeak.reported_phonemes(left_to_the_engine) != espeak.reported_phonemes(with_ipa)
        one, other = espeak.synthesize(left_to_the_engine).samples, espeak.synthesize(with_ipa).samples
        if other_phonemes:
            assert not np.array_equal(one, other), term
        different += other_phonemes
    assert different >= 25


@pytest.mark.parametrize("accent", ACCENTS)
def test_no_two_phonemes_are_spoken_alike_but_those_that_the_accent_makes_one(
    espeak: EspeakSynthesizer, accent: str
) -> None:
    voice = Voice(f"espeak:{accent}")
    frames = {
        **{vowel: f"ˈs{vowel}s" for vowel in VOWELS if vowel not in ("ə", "ɚ")},
        **{vowel: f"ˈsæs{vowel}s" for vowel in ("ə", "ɚ")},
        **{f"{vowel}ɹ": f"ˈs{vowel}ɹs" for vowel in ("ɪ", "ɛ", "ɑ", "ɔ", "ʊ")},
        **{consonant: f"ˈæ{consonant}ɪs" for consonant in CONSONANTS},
    }
    heard = {phoneme: reported(espeak, frame, voice) for phoneme, frame in frames.items()}
    assert heard == {phoneme: as_spoken(frame, accent) for phoneme, frame in frames.items()}
    if accent == "en-us":
        assert len(set(heard.values())) == len(frames)


@pytest.mark.parametrize(
    ("accent", "ipa", "spoken"),
    [
        ("en-us", "ˈɪnkəm", "ˈɪŋkəm"),
        ("en-us", "ˈɹidɪ", "ˈɹidɪ"),
        ("en-us", "əˈɹɛst", "əˈɹɛst"),
        ("en-us", "ˈhɝɹi ˌhaɪpɚˈæktɪv", "ˈhɝɹi ˌhaɪpɚˈɹæktɪv"),
        ("en-us", "ˈstɑɹi kɔˈɹoʊnə", "ˈstɑɹi kɔˈɹoʊnə"),
        ("en-us", "ˈbʌtən ˈlɪtəl ˈsɪti", "ˈbʌtən ˈlɪtəl ˈsɪti"),
        ("en-us", "ˈfaɪɹ aʊɹ ˈfiɹ", "ˈfaɪɚ aʊɚ ˈfɪɹ"),
        ("en-us", "ɪn ən", "ɪn ˈʌn"),
        ("en-us", "ˈnʌtˌʃɛl", "ˈnʌtˌʃɛl"),
        ("en-us-nyc", "ˈhjumən", "ˈjumən"),
        ("en-us-nyc", "kɔˈɹoʊnə", "kɔˈɹoʊnə"),
        ("en-us-nyc", "ˈaɪdiə ˈkæən", "ˈaɪdiə ˈkæən"),
        ("en-gb", "ˈsiəɪŋ", "ˈsiəɹɪŋ"),
        ("en-gb-x-rp", "ˈsɔɪŋ ˈsɔæ", "ˈsɔɪŋ ˈsɔɹæ"),
        ("en-gb-x-rp", "ˈkɑmə", "ˈkɑmə"),
        ("en-gb-x-gbclan", "ˈdoʊsɪŋ ˈsɪŋ", "ˈdoʊsɪn ˈsɪŋ"),
        ("en-gb-scotland", "ˈkɑmə ˈfɛntu", "ˈkɑmʌ ˈfɛntʊ"),
        ("en-gb-scotland", "ˈfɝ ˈhɛɹ ˈhæpi ˈkæɹi", "ˈfɝ ˈhɛɹ ˈhæpi ˈkæɹi"),
    ],
)
def test_an_accent_speaks_a_pronunciation_in_its_own_way(
    espeak: EspeakSynthesizer, accent: str, ipa: str, spoken: str
) -> None:
    assert reported(espeak, ipa, Voice(f"espeak:{accent}")) == spoken


_ONSETS = st.sampled_from(["", "st", "pɹ", "kl", "ɡɹ", *sorted(set(CONSONANTS) - {"ŋ"})])
_CODAS = st.sampled_from(["", "m", "s", "ks", "ɹ", "l", "nt", "d"])
_RIMES = st.builds("".join, st.tuples(_ONSETS, st.sampled_from(VOWELS), _CODAS))
_UNSTRESSED = st.lists(st.builds("".join, st.tuples(st.sampled_from(["", "ˌ"]), _RIMES)), max_size=3).map(
    "".join
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_UNSTRESSED, _RIMES, _UNSTRESSED)
def test_an_american_voice_speaks_any_word(
    espeak: EspeakSynthesizer, before: str, stressed: str, after: str
) -> None:
    word = normalised_ipa(f"{before}ˈ{stressed}{after}")
    assume(not word.endswith("ɪ"))  # with secondary stress no word of English ends in it, and espeak speaks i
    assert reported(espeak, word) == as_spoken(re.sub("n(?=[ˈˌ]?[kɡ])", "ŋ", word), "en-us")


@pytest.mark.parametrize(
    "text",
    [
        *[
            "cefazolin",
            "levothyroxine",
            "furosemide",
            "hydrochlorothiazide",
            "metformin",
            "heparin",
            "insulin glargine",
        ],
        *[
            "laparoscopic cholecystectomy",
            "hypercalcemia",
            "thyroid",
            "button",
            "idea",
            "hour",
            "operation",
            "exhaust",
        ],
    ],
)
@pytest.mark.parametrize("accent", ["en-us", "en-us-nyc"])
def test_what_the_engine_speaks_by_itself_can_be_prescribed_and_is_spoken_again(
    espeak: EspeakSynthesizer, accent: str, text: str
) -> None:
    voice = Voice(f"espeak:{accent}")
    own = espeak.spoken_ipa(text, voice)
    assert normalised_ipa(own) == own
    assert reported(espeak, own, voice) == own


@pytest.mark.parametrize(
    ("accent", "report", "words"),
    [
        ("en-us", "s_ˈɛ_f_ɐ_z_ˌɑː_l_ɪ_n\n", ("ˈsɛfəˌzɑlɪn",)),
        ("en-us", "ˈɪ_n_s_ə_l_ˌɪ_n ɡ_l_ˈɑːɹ_dʒ_ɪ_n__\nn_ˈoʊ", ("ˈɪnsəˌlɪn", "ˈɡlɑɹdʒɪn", "ˈnoʊ")),
        ("en-us", "b_ˈʌ_ʔ_n̩ s_ˈɪ_ɾ_i_ ɹ_ˈoʊ_z_ᵻ_z", ("ˈbʌtən", "ˈsɪti", "ˈɹoʊzɪz")),
        ("en-us", "k_oʊ_ˈɑː_p_ɚ_ɹ_ˈeɪ_ʃ_ə_n", ("koʊˌɑpɚˈɹeɪʃən",)),
        ("en-us", "f_j_ˈʊɹ_ɹ_oʊ_s_m_ˌaɪ_d", ("ˈfjʊɹoʊˌsmaɪd",)),
        ("en-us-nyc", "ɛə_n_d l_ˈəɪ_n", ("ænd", "ˈlɝn")),
        ("en-gb", "n_ˈəʊ__ p_ˈa_t", ("ˈnoʊ", "ˈpæt")),
        ("en-gb-scotland", "f_ˈe_n h_ˈe_r h_ˈa_p_e ð_er ˈʌʉ_t", ("ˈfɛɹn", "ˈhɛɹ", "ˈhæpi", "ðɛɹ", "ˈaʊt")),
        ("en-us", "", ()),
    ],
)
def test_reports_are_read_in_the_projects_ipa(accent: str, report: str, words: tuple[str, ...]) -> None:
    assert words_reported(report, Voice(f"espeak:{accent}+m3")) == words


@pytest.mark.parametrize(
    ("accent", "ipa", "given"),
    [
        ("en-us", "sɪˈfæzələn", "s|I|f|'a|z|@|l|@|n"),
        ("en-us", "ˈɪnsələn ˈɡlɑɹˌdʒin", "'I|n|s|@|l|@|n g|l|'A@|dZ|,i:|n"),
        ("en-us", "ˈmɑtəl", "m|'A:|t|@L"),
        ("en-gb", "ˈmɑtəl", "m|'0|t|@L"),
        ("en-gb-scotland", "ˈbɝd", "b|'IR|d"),
    ],
)
def test_ipa_becomes_mnemonics_of_the_accent(accent: str, ipa: str, given: str) -> None:
    assert mnemonics(ipa, Voice(f"espeak:{accent}+f1")) == given


@pytest.mark.parametrize(
    ("voice", "ipa", "said"),
    [
        (
            "espeak:en-us+m3",
            "sɛβə",
            "espeak-ng cannot speak a prescribed pronunciation: .*'sɛβə'.*GREEK SMALL LETTER BETA",
        ),
        ("espeak:en-us+m3", "", "it is empty"),
        (
            "espeak:de+m3",
            "ˈtæt",
            "accent 'de' are not known here.*allowed are the accents en-us, en-us-nyc, en-gb",
        ),
        ("espeak:en-us+m3", "tæ" * 51, "has 102 phonemes in one word; espeak-ng can speak 100"),
    ],
)
def test_what_the_engine_cannot_speak_is_refused(
    espeak: EspeakSynthesizer, voice: str, ipa: str, said: str
) -> None:
    with pytest.raises(SynthesisError, match=said):
        espeak.synthesize(prescribed("word", ipa, Voice(voice)))


def test_the_longest_word_is_spoken_whole(espeak: EspeakSynthesizer) -> None:
    longest = "tʃaɪ" * 48 + "ˈtʃaɪk"
    assert len(phonemes_of(longest)) == 100
    assert reported(espeak, longest) == longest


def test_a_sound_without_a_letter_in_the_projects_ipa_is_named(espeak: EspeakSynthesizer) -> None:
    with pytest.raises(SynthesisError, match="speaks the sound 'ɬ', which is none of the project's IPA"):
        espeak.spoken_ipa("cthulhu", AMERICAN)
