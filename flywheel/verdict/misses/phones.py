"""How far what was heard is, in sound, from what was spoken: a weighted edit distance on phones.

Both are pronunciations in the project's IPA. Stress, the breaks between words and the length of vowels do not count:
`cefa zolin` sounds the same as `cefazolin`. Leaving a phone out or putting one in costs 1; taking one for another
costs the share of the three features in which they differ: of consonants voicing, place and manner, each the same or
not; of vowels height and backness by degrees, and the glide that they end in. A vowel and a consonant have nothing in
common. The sum is divided by the number of phones of the longer of the two.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from flywheel.pronunciation.ipa import phonemes_of

__all__ = ["is_vowel", "phone_distance", "phones_of"]

_NO_PHONE = frozenset("ˈˌ ")

_IN_ISOLATION: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"ɚ": ("ə", "ɹ"), "ɝ": ("ə", "ɹ"), "ʌ": ("ə",)}
)
"""A vowel coloured by r is a vowel and an r, so that an accent without that r differs by one phone; ʌ is how a ə is
written where it is stressed."""

_CONSONANTS: Mapping[str, tuple[bool, str, str]] = MappingProxyType(
    {
        **{"p": (False, "labial", "stop"), "b": (True, "labial", "stop"), "m": (True, "labial", "nasal")},
        **{
            "t": (False, "alveolar", "stop"),
            "d": (True, "alveolar", "stop"),
            "n": (True, "alveolar", "nasal"),
        },
        **{"k": (False, "velar", "stop"), "ɡ": (True, "velar", "stop"), "ŋ": (True, "velar", "nasal")},
        **{"f": (False, "labial", "fricative"), "v": (True, "labial", "fricative")},
        **{"θ": (False, "dental", "fricative"), "ð": (True, "dental", "fricative")},
        **{"s": (False, "alveolar", "fricative"), "z": (True, "alveolar", "fricative")},
        **{"ʃ": (False, "postalveolar", "fricative"), "ʒ": (True, "postalveolar", "fricative")},
        **{"tʃ": (False, "postalveolar", "affricate"), "dʒ": (True, "postalveolar", "affricate")},
        **{"h": (False, "glottal", "fricative"), "l": (True, "alveolar", "lateral")},
        **{"ɹ": (True, "alveolar", "glide"), "j": (True, "palatal", "glide"), "w": (True, "labial", "glide")},
    }
)
"""Whether it is voiced, where it is formed, and how."""

_CLOSE, _NEAR_CLOSE, _MID, _OPEN = 0.0, 1 / 3, 2 / 3, 1.0
_FRONT, _CENTRAL, _BACK = 0.0, 0.5, 1.0
_VOWELS: Mapping[str, tuple[float, float, str]] = MappingProxyType(
    {
        **{"i": (_CLOSE, _FRONT, ""), "ɪ": (_NEAR_CLOSE, _FRONT, "")},
        **{"ɛ": (_MID, _FRONT, ""), "eɪ": (_MID, _FRONT, "ɪ"), "æ": (_OPEN, _FRONT, "")},
        "ə": (_MID, _CENTRAL, ""),
        **{"u": (_CLOSE, _BACK, ""), "ʊ": (_NEAR_CLOSE, _BACK, "")},
        **{
            "ɔ": (_MID, _BACK, ""),
            "oʊ": (_MID, _BACK, "ʊ"),
            "ɔɪ": (_MID, _BACK, "ɪ"),
            "ɑ": (_OPEN, _BACK, ""),
        },
        **{"aɪ": (_OPEN, _CENTRAL, "ɪ"), "aʊ": (_OPEN, _CENTRAL, "ʊ")},
    }
)
"""How high the tongue is, how far back, and the glide at the end."""


def phone_distance(spoken: str, heard: str) -> float:
    """0 where the two pronunciations sound the same, 1 where they have nothing in common or `heard` is empty.

    Args:
        spoken: what was said, in IPA.
        heard: what the text that was heard sounds like, in IPA.

    Raises:
        FlywheelError: a symbol that is no phoneme of the project's IPA, or nothing was spoken.
    """
    phones_spoken = phones_of(spoken)
    if not heard.strip():
        return 1.0
    phones_heard = phones_of(heard)
    longest = max(len(phones_spoken), len(phones_heard))
    return _edit_cost(phones_spoken, phones_heard) / longest


def phones_of(ipa: str) -> tuple[str, ...]:
    """The phones of a pronunciation, without stress and breaks between words; at least one.

    Raises:
        FlywheelError: a symbol that is no phoneme of the project's IPA, or no phoneme at all.
    """
    phones: list[str] = []
    for phoneme in phonemes_of(ipa):
        if phoneme in _NO_PHONE:
            continue
        for phone in _IN_ISOLATION.get(phoneme, (phoneme,)):
            # hɝɹi has one r: that of ɝ, written once more before the vowel.
            if not (phone == "ɹ" and phones and phones[-1] == "ɹ"):
                phones.append(phone)
    return tuple(phones)


def is_vowel(phone: str) -> bool:
    """Whether one of `phones_of` is a vowel."""
    return phone in _VOWELS


def _edit_cost(spoken: tuple[str, ...], heard: tuple[str, ...]) -> float:
    """The least cost of turning one into the other."""
    costs = [float(place) for place in range(len(heard) + 1)]
    for row, phone in enumerate(spoken, start=1):
        diagonal, costs[0] = costs[0], float(row)
        for column, other in enumerate(heard, start=1):
            cheapest = min(diagonal + _difference(phone, other), costs[column] + 1, costs[column - 1] + 1)
            diagonal, costs[column] = costs[column], cheapest
    return costs[-1]


@cache
def _difference(phone: str, other: str) -> float:
    """What it costs to take one phone for the other, 0 to 1."""
    if phone in _VOWELS and other in _VOWELS:
        (height, backness, glide), (height_2, backness_2, glide_2) = _VOWELS[phone], _VOWELS[other]
        return (abs(height - height_2) + abs(backness - backness_2) + (glide != glide_2)) / 3
    if phone in _CONSONANTS and other in _CONSONANTS:
        features = zip(_CONSONANTS[phone], _CONSONANTS[other], strict=True)
        return sum(one != another for one, another in features) / 3
    return 1.0
