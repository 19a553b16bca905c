"""Which of the sources a term's pronunciation comes from, and what is said of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from flywheel.errors import FlywheelError
from flywheel.pronunciation.choosing import Chosen, choose_pronunciations
from flywheel.pronunciation.dictionary import DictionaryOutage
from flywheel.pronunciation.lexicon import Candidate, Pronunciation
from flywheel.pronunciation.overrides import Override

RESPELLINGS = {
    "cefazolin": "sə-ˈfaz-ə-lən",
    "lactate": "ˈlak-ˌtāt",
    "lactate dehydrogenase": "ˈlak-ˌtāt-ˌdē-hī-ˈdräj-ə-ˌnās",
    "dehydrogenase": "ˌdē-(ˌ)hī-ˈdräj-ə-ˌnās",
    "valsartan": "val-ˈsär-ˌtan",
    "odd": "ˈŏd",
}
UNANSWERED = ("ferritin",)


def look_up(words: str) -> Sequence[Any]:
    if words in UNANSWERED:
        raise DictionaryOutage("HTTP 503 (4 times)")
    return [{"hwi": {"hw": words, "prs": [{"mw": RESPELLINGS[words]}]}}] if words in RESPELLINGS else []


def override(term: str, ipa: str, notes: str = "") -> Override:
    return Override(term, ipa, "pharmacy", "2026-03-01", notes)


def spoken(text: str) -> str:
    return {"lo": "ˈloʊ", "losartan": "ˈlɑsɑɹtən"}.get(text, "ˈɛnɪθɪŋ")


def choose(terms: Sequence[str], *overrides: Override, on: bool = True, engine: str = "espeak") -> Chosen:
    return choose_pronunciations(terms, overrides, look_up if on else None, engine, spoken)


def only(chosen: Chosen) -> Pronunciation:
    (entry,) = [each for each in chosen.lexicon.entries if each.is_term]
    return entry


@pytest.mark.parametrize(
    ("term", "overrides", "ipa", "source", "notes"),
    [
        pytest.param(
            "cefazolin",
            [override("cefazolin", "sɛˈfæzəlɪn", "as on the ward")],
            "sɛˈfæzəlɪn",
            "override",
            "verified by pharmacy, 2026-03-01: as on the ward",
            id="override before dictionary",
        ),
        pytest.param("cefazolin", [], "səˈfæzələn", "merriam-webster", "", id="dictionary"),
        pytest.param("xyzzy", [], None, "espeak_g2p", "'xyzzy' is not in the dictionary", id="engine"),
        pytest.param(
            "lactate dehydrogenase",
            [],
            "ˌlækˌteɪtˌdihaɪˈdɹɑdʒəˌneɪs",
            "merriam-webster",
            "",
            id="dictionary, the whole term",
        ),
        pytest.param(
            "lactate dehydrogenase",
            [override("lactate", "ˈlækteɪt")],
            "ˈlækteɪt ˌdihaɪˈdɹɑdʒəˌneɪs",
            "merriam-webster",
            "overridden: lactate",
            id="one word overridden, the other from the dictionary",
        ),
        pytest.param(
            "lactate dehydrogenase",
            [override("lactate", "ˈlækteɪt"), override("dehydrogenase", "diˈhaɪdɹədʒəneɪs")],
            "ˈlækteɪt diˈhaɪdɹədʒəneɪs",
            "override",
            "overridden: lactate, dehydrogenase",
            id="all words overridden",
        ),
        pytest.param(
            "sacubitril valsartan",
            [override("valsartan", "vælˈsɑɹtən")],
            None,
            "espeak_g2p",
            "overridden: valsartan; 'sacubitril' is not in the dictionary",
            id="one word overridden, the other nowhere",
        ),
        pytest.param(
            "lactate dehydrogenase cefazolin",
            [override("lactate dehydrogenase", "ɛldiˈeɪtʃ"), override("lactate", "ˈlækteɪt")],
            "ɛldiˈeɪtʃ səˈfæzələn",
            "merriam-webster",
            "overridden: lactate dehydrogenase",
            id="the longest overridden words count",
        ),
    ],
)
def test_sources_in_their_order(
    term: str, overrides: list[Override], ipa: str | None, source: str, notes: str
) -> None:
    entry = only(choose([term], *overrides))
    assert (entry.ipa, entry.ipa_source, entry.notes) == (ipa, source, notes)


def test_without_a_dictionary_what_is_not_overridden_is_the_engines() -> None:
    chosen = choose(["cefazolin", "valsartan"], override("cefazolin", "sɛˈfæzəlɪn"), on=False, engine="hume")
    assert [(each.words, each.ipa_source, each.notes) for each in chosen.lexicon.entries] == [
        ("cefazolin", "override", "verified by pharmacy, 2026-03-01"),
        ("valsartan", "hume_g2p", ""),
    ]
    assert chosen.warnings == ()


def test_a_word_of_the_sentences_may_be_overridden_and_is_no_term() -> None:
    lexicon = choose(["cefazolin"], override("stat", "stæt"), override("bid", "ˌbiˌaɪˈdi")).lexicon
    assert [(each.words, each.is_term) for each in lexicon.entries] == [
        ("cefazolin", True),
        ("stat", False),
        ("bid", False),
    ]
    found = lexicon.prescribed_in("STAT cefazolin, then BID; never statin")
    assert [each.words for each in found] == ["stat", "cefazolin", "bid"]


def test_candidates_are_for_what_the_engine_is_left_with_and_are_not_applied() -> None:
    chosen = choose(["losartan", "valsartan"])
    assert chosen.lexicon.entries[0].candidates == (Candidate("ˌloʊˈsɑɹˌtæn", "clinical suffix -sartan"),)
    assert chosen.lexicon.entries[0].ipa is None
    assert chosen.lexicon.entries[1].candidates == ()
    unspoken = choose_pronunciations(["losartan"], (), look_up, "espeak", None)
    assert only(unspoken).candidates == ()


def test_a_dictionary_that_does_not_answer_leaves_terms_to_the_engine_and_says_so() -> None:
    chosen = choose(["cefazolin", "ferritin", "ferritin level", "xyzzy"])
    assert chosen.unanswered == ("ferritin", "ferritin level")
    left = chosen.lexicon.entries[1]
    assert (left.ipa, left.ipa_source) == (None, "espeak_g2p")
    assert left.notes == "the dictionary did not answer"
    (warning,) = chosen.warnings
    assert warning.startswith(
        "2 terms of 4 left to the engine, since the dictionary did not answer: HTTP 503 (4 times)."
    )


def test_an_unknown_glyph_is_named_with_its_term() -> None:
    chosen = choose(["odd"])
    assert chosen.unknown_glyphs == ("odd: 'ŏ' (U+006F LATIN SMALL LETTER O, U+0306 COMBINING BREVE)",)
    assert only(chosen).ipa is None and "COMBINING BREVE" in only(chosen).notes
    assert "COMBINING BREVE" in chosen.warnings[0]


def test_what_is_no_outage_is_not_survived() -> None:
    def refusing(_words: str) -> Sequence[Any]:
        raise FlywheelError("the key is refused")

    with pytest.raises(FlywheelError, match="the key is refused"):
        choose_pronunciations(["cefazolin"], (), refusing, "espeak", None)
