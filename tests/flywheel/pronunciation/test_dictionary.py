"""What the dictionary says of words, out of answers in the shape of its API."""

from collections.abc import Sequence
from typing import Any

import pytest

from flywheel.pronunciation.dictionary import Said, respellings_of, said_of


def entry(headword: str, *respellings: str, **more: Any) -> dict[str, Any]:
    """An entry as the API gives it."""
    plain = headword.replace("*", "")
    prs = {"prs": [{"mw": each, "sound": {"audio": "x0001"}} for each in respellings]} if respellings else {}
    return {
        "meta": {"id": f"{plain}:1", "src": "medical", "stems": [plain, f"{plain}s"], "offensive": False},
        "hwi": {"hw": headword, **prs},
        "fl": "noun",
        "shortdef": ["anything"],
        **more,
    }


KNEE = [
    entry("knee", "ˈnē", uros=[{"ure": "kneed", "prs": [{"mw": "ˈnēd"}]}, {"ure": "knee*ing"}]),
    entry("knee jerk"),
    entry("house*maid's knee", "ˈhau̇-ˌsmādz-"),
    entry("knock-knee", "ˈnäk-ˈnē, -ˌnē", uros=[{"ure": "knock-kneed", "prs": [{"mw": "-ˈnēd"}]}]),
]


@pytest.mark.parametrize(
    ("words", "answer", "respellings"),
    [
        pytest.param("knee", KNEE, ("ˈnē",), id="headword"),
        pytest.param("housemaid's knee", KNEE, ("ˈhau̇-ˌsmādz-",), id="syllable marks, apostrophe"),
        pytest.param("knock-knee", KNEE, ("ˈnäk-ˈnē, -ˌnē",), id="hyphen"),
        pytest.param("kneed", KNEE, ("ˈnēd",), id="derived word with a pronunciation"),
        pytest.param("kneeing", KNEE, None, id="derived word without one"),
        pytest.param("knee jerk", KNEE, (), id="headword without one"),
        pytest.param("knees", KNEE, None, id="inflection"),
        pytest.param("kne", ["knee", "kneed", "keen"], None, id="suggestions"),
        pytest.param("xyzzy", [], None, id="nothing"),
        pytest.param(
            "guillain-barre syndrome",
            [entry("Guil*lain–Bar*ré syndrome", "-ˈsin-ˌdrōm"), entry("Guil*lain-Bar*ré syndrome", "gē-ˈyaⁿ")],
            ("gē-ˈyaⁿ",),
            id="accents and upper case",
        ),
        pytest.param("lead", [entry("lead", "ˈled"), entry("lead", "ˈlēd")], ("ˈled", "ˈlēd"), id="homographs"),
        pytest.param(
            "orthopedics",
            [
                entry(
                    "or*tho*pe*dics",
                    "ˌȯr-thə-ˈpēd-iks",
                    vrs=[{"vl": "or", "va": "or*tho*pae*dics", "prs": [{"mw": "x"}]}],
                )
            ],
            ("ˌȯr-thə-ˈpēd-iks",),
            id="headword with a variant",
        ),
        pytest.param(
            "methane",
            [{"hwi": {"hw": "meth*ane", "prs": [{"mw": "ˈmē-ˌthān", "l": "British usually"}, {"mw": "ˈmeth-ˌān"}]}}],
            ("ˈmeth-ˌān",),
            id="British",
        ),
        pytest.param("knee", [{"hwi": {"hw": "knee", "prs": [{"sound": {"audio": "x"}}]}}], (), id="sound alone"),
        pytest.param("knee", [{"meta": 5}, {"hwi": None}, 5, {"hwi": {"hw": "knee", "prs": None}}], (), id="odd"),
    ],
)  # fmt: skip
def test_only_the_words_themselves_count(
    words: str, answer: Sequence[Any], respellings: tuple[str, ...] | None
) -> None:
    assert respellings_of(words, answer) == respellings


ANSWERS: dict[str, Sequence[Any]] = {
    "knee": KNEE,
    "knee jerk": KNEE,
    "jerk": [entry("jerk", "ˈjərk")],
    "insulin glargine": [entry("insulin glar*gine", "-ˈglär-ˌjēn")],
    "insulin": [entry("in*su*lin", "ˈin(t)-s(ə-)lən")],
    "guillain": [entry("Guil*lain", "gē-ˈyaⁿ")],
    "odd": [entry("odd", "ˈŏd, ˈäd")],
    "odd knee": [],
}


def look_up(words: str) -> Sequence[Any]:
    return ANSWERS.get(words, ["some", "suggestions"])


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ("knee", Said("ˈni")),
        ("knee jerk", Said("ˈni ˈdʒɝk", "word by word")),
        ("xyzzy", Said(None, "'xyzzy' is not in the dictionary")),
        (
            "insulin glargine",
            Said(
                None,
                "of 'insulin glargine' the dictionary gives only a part: -ˈglär-ˌjēn; "
                "'glargine' is not in the dictionary",
            ),
        ),
        ("guillain", Said("ɡiˈjæn", "gē-ˈyaⁿ: the nearest English sound stands for ⁿ")),
    ],
)
def test_a_term_is_looked_up_whole_and_then_word_by_word(term: str, said: Said) -> None:
    assert said_of(term, look_up) == said


def test_an_entry_with_an_unknown_glyph_falls_through_and_says_so() -> None:
    said = said_of("odd", look_up)
    assert said.ipa is None
    assert said.unknown == ("'ŏ' (U+006F LATIN SMALL LETTER O, U+0306 COMBINING BREVE)",)
    assert said.note.startswith("the dictionary's pronunciation of 'odd' cannot be read: 'ˈŏd'")
    assert said_of("odd knee", look_up).unknown == said.unknown


def test_the_words_of_a_whole_term_are_not_asked_for() -> None:
    asked = []

    def listening(words: str) -> Sequence[Any]:
        asked.append(words)
        return [entry(words, "ˈnē")]

    assert said_of("knee jerk", listening).ipa == "ˈni"
    assert asked == ["knee jerk"]
