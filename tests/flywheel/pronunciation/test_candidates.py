"""Candidates for terms that the engine is left with."""

import pytest

from flywheel.pronunciation.candidates import SUFFIXES, candidates_for
from flywheel.pronunciation.ipa import normalised_ipa
from flywheel.pronunciation.lexicon import Candidate
from flywheel.speech.synthesizer import SynthesisError

OWN = {
    "amoxi": "ɐˈmɑksi",
    "amoxicillin": "ˌæməksɪˈsɪlɪn",
    "enoxa": "ᵻˈnɑksə",
    "enoxaparin": "ɪˈnɑksəpɚˌɹɪn",
    "flucon": "ˈfluːkən",
    "fluconazole": "ˈflukəˌnæzoʊl",
    "hydrate": "ˈhaɪdɹeɪt",
    "lo": "ˈloʊ",
    "losartan": "ˈlɑsɑɹtən",
    "ome": "ˈoʊm",
    "omeprazole hydrate": "ˈoʊmpɹəˌzɑl ˈhaɪdɹeɪt",
    "rituxi": "ɹɪˈtʌksi",
    "rituximab": "ˈɹɪtəkˌsɪmæb",
    "vanco": "ˈvæŋkoʊ",
    "vancomycin": "ˌvæŋkoʊˈmaɪsən",
    "xyz": "x",
    "xyzstatin": "ˈɛksstætɪn",
}


def spoken(text: str) -> str:
    if text == "kh":
        raise SynthesisError("the sound 'x' is none of the project's IPA")
    return OWN[text]


@pytest.mark.parametrize(
    ("term", "ipa", "reason"),
    [
        ("amoxicillin", "əˌmɑksiˈsɪlən", "-cillin"),
        ("enoxaparin", "ɪˌnɑksəˈpɛɹən", "-parin"),
        ("fluconazole", "ˈflukənəˌzoʊl", "-azole"),
        ("losartan", "ˌloʊˈsɑɹˌtæn", "-sartan"),
        ("omeprazole hydrate", "ˈoʊmpɹəˌzoʊl ˈhaɪdɹeɪt", "-prazole"),
        ("rituximab", "ɹɪˈtʌksiˌmæb", "-mab"),
    ],
)
def test_the_suffix_is_put_to_what_the_engine_says_of_the_stem(term: str, ipa: str, reason: str) -> None:
    assert candidates_for(term, spoken) == (Candidate(ipa, f"clinical suffix {reason}"),)


@pytest.mark.parametrize(
    "term",
    [
        pytest.param("ferritin", id="no clinical suffix"),
        pytest.param("heparin", id="otherwise, as is known"),
        pytest.param("xmab", id="too short a stem"),
        pytest.param("mab", id="nothing but the suffix"),
        pytest.param("vancomycin", id="said by the engine anyway"),
        pytest.param("xyzstatin", id="a sound that is no phoneme of ours"),
        pytest.param("khstatin", id="a stem that the engine cannot read"),
    ],
)
def test_nothing_is_proposed(term: str) -> None:
    assert candidates_for(term, spoken) == ()


def test_of_several_suffixes_the_longest_counts() -> None:
    (candidate,) = candidates_for("omeprazole hydrate", spoken)
    assert "-prazole" in candidate.reason and "-azole" not in candidate.reason.replace("-prazole", "")


@pytest.mark.parametrize(
    "suffix", ["mycin", "prazole", "statin", "sartan", "azole", "cillin", "parin", "mab"]
)
def test_every_clinical_suffix_is_of_our_phonemes(suffix: str) -> None:
    ipa = SUFFIXES[suffix]
    assert normalised_ipa(ipa) == ipa
    assert ("ˈ" in ipa) + ("ˌ" in ipa) >= 1
