"""The distance between sounds: nothing for what sounds the same, little for what is misheard, much for other words."""

from collections.abc import Callable, Iterator

import pytest

from flywheel.errors import FlywheelError
from flywheel.pronunciation.ipa import CONSONANTS, VOWELS
from flywheel.speech.engines.espeak import reader
from flywheel.speech.synthesizer import Voice
from flywheel.verdict.misses import phone_distance
from flywheel.verdict.misses.phones import phones_of


@pytest.fixture(scope="module")
def read() -> Iterator[Callable[[str], str]]:
    with reader(Voice("espeak:en-us")) as read:
        yield read


@pytest.mark.parametrize(
    ("spoken", "heard", "least", "most"),
    [
        ("cefazolin", "cefazolin", 0.0, 0.0),
        ("cefazolin", "cefa zolin", 0.0, 0.0),
        ("rhabdomyolysis", "rabdomyolysis", 0.0, 0.0),
        ("cefazolin", "cefazolan", 0.001, 0.1),
        ("metoprolol", "medoprolol", 0.001, 0.1),
        ("troponin", "tropen in", 0.001, 0.1),
        ("metoprolol", "metropolol", 0.1, 0.25),
        ("tacrolimus", "tacrolmus", 0.1, 0.25),
        ("hydroxyzine", "hydralazine", 0.1, 0.3),
        ("rivaroxaban", "apixaban", 0.3, 0.5),
        ("apixaban", "the bus", 0.6, 1.0),
        ("metoprolol", "something", 0.6, 1.0),
        ("cefazolin", "", 1.0, 1.0),
    ],
)
def test_what_engines_read_aloud(
    read: Callable[[str], str], spoken: str, heard: str, least: float, most: float
) -> None:
    assert least <= phone_distance(read(spoken), read(heard)) <= most


@pytest.mark.parametrize(
    ("spoken", "heard", "distance"),
    [
        ("kæt", "kæt", 0.0),
        ("ˌkætəˈɡɔɹi", "ˈkætə ˌɡɔɹi", 0.0),  # neither stress nor words
        ("kæt", "ɡæt", 1 / 9),  # voicing, one feature of three of one phone of three
        ("kæt", "bæt", 2 / 9),  # voicing and place
        ("bæt", "mæt", 1 / 9),  # manner
        ("kæt", "kɪt", (2 / 3) / 9),  # two steps of three in height
        ("kæt", "kɑt", 1 / 9),  # backness, from end to end
        ("lɛt", "leɪt", 1 / 9),  # the glide alone
        ("kæt", "kæ", 1 / 3),
        ("kæ", "kæt", 1 / 3),
        ("æ", "k", 1.0),
        ("k", "n", 1.0),
        ("fɪɚ", "fɪə", 1 / 4),  # an accent without r after vowels
        ("ˈhɝɹi", "ˈhʌɹi", 0.0),  # the r of ɝ is written once more before a vowel, and is one
    ],
)
def test_features_that_differ_count(spoken: str, heard: str, distance: float) -> None:
    assert phone_distance(spoken, heard) == pytest.approx(distance)
    assert phone_distance(heard, spoken) == pytest.approx(distance)


def test_no_distance_is_below_0_or_above_1() -> None:
    phones = [*CONSONANTS, *VOWELS]
    distances = {(one, other): phone_distance(one, other) for one in phones for other in phones}
    assert all(0 <= distance <= 1 for distance in distances.values())
    assert all(distances[phone, phone] == 0 for phone in phones)
    same = {frozenset(pair) for pair, distance in distances.items() if distance == 0 and len(set(pair)) > 1}
    assert same == {frozenset("əʌ"), frozenset("ɚɝ")}, "only stress tells these apart"


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("ˈtʃɛk", ("tʃ", "ɛ", "k")),
        ("eɪ ˈɡoʊ", ("eɪ", "ɡ", "oʊ")),
        ("ˈnɝs", ("n", "ə", "ɹ", "s")),
    ],
)
def test_phones_not_characters(ipa: str, phones: tuple[str, ...]) -> None:
    assert phones_of(ipa) == phones


def test_what_is_no_phone_is_refused() -> None:
    with pytest.raises(FlywheelError, match=r"'x' .*no phoneme"):
        phone_distance("kæt", "lɑx")
