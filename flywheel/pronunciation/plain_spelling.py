"""A pronunciation in plain letters, for engines that take no phonemes: ``sɛfəˈzoʊlɪn`` is ``sef-uh-ZOH-lin``.

The letters are those that English readers, and what has learnt from their texts, take for the sounds: hyphens between
syllables, capitals for the stressed one. Secondary stress is not written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flywheel.pronunciation.ipa import phonemes_of

__all__ = ["VERSION", "plain_spelling"]

VERSION = 1
"""Raised whenever the same IPA would be written in other letters."""

_PRIMARY, _SECONDARY = "ˈ", "ˌ"

_CONSONANTS = {
    **{same: same for same in "pbtdkfvszhmnlw"},
    "ɡ": "g",
    "tʃ": "ch",
    "dʒ": "j",
    "θ": "th",
    "ð": "dh",
    "ʃ": "sh",
    "ʒ": "zh",
    "ŋ": "ng",
    "ɹ": "r",
    "j": "y",
}
_VOWELS = {
    "i": "ee",
    "ɪ": "ih",
    "eɪ": "ay",
    "ɛ": "eh",
    "æ": "a",
    "ɑ": "ah",
    "ɔ": "aw",
    "oʊ": "oh",
    "ʊ": "uu",
    "u": "oo",
    "ʌ": "uh",
    "ə": "uh",
    "ɚ": "er",
    "ɝ": "ur",
    "aɪ": "y",
    "aʊ": "ow",
    "ɔɪ": "oy",
}
_CLOSED = {"ɪ": "i", "ɛ": "e", "aɪ": "igh"}
"""Vowels that are written otherwise where a consonant ends their syllable."""
_BEFORE_R = {"ɪ": "eer", "ɛ": "air", "ɑ": "ar", "ɔ": "or", "ʊ": "oor"}
_CHECKED = frozenset("ɪɛæʊʌ")
"""Vowels that English syllables do not end in: the next consonant stays with them."""

_ONSETS = frozenset(
    {
        *((first, "ɹ") for first in ("p", "b", "t", "d", "k", "ɡ", "f", "θ", "ʃ")),
        *((first, "l") for first in "pbkɡfs"),
        *((first, "w") for first in "tdkɡsθh"),
        *((first, "j") for first in "pbtdkɡfvhmnsθl"),
        *(("s", second) for second in "ptkmnf"),
        *(("s", second, third) for second in "ptk" for third in "ɹj"),
        ("s", "p", "l"),
        ("s", "k", "l"),
        ("s", "k", "w"),
    }
)
"""Clusters that begin English syllables; each single consonant but `ŋ` does, too."""


@dataclass(slots=True)
class _Syllable:
    vowel: str
    onset: list[str] = field(default_factory=list)
    coda: list[str] = field(default_factory=list)
    stressed: bool = False


def plain_spelling(ipa: str) -> str:
    """`ipa`, one or several words of the project's inventory, in ASCII letters, hyphens and spaces.

    Raises `FlywheelError` for what is no phoneme of the inventory.
    """
    words: list[list[str]] = [[]]
    for phoneme in phonemes_of(ipa):
        if phoneme == " ":
            words.append([])
        else:
            words[-1].append(phoneme)
    return " ".join(_word(word) for word in words)


def _word(phonemes: Sequence[str]) -> str:
    syllables = _syllables(phonemes)
    if not syllables:
        return "".join(_CONSONANTS[each] for each in phonemes if each in _CONSONANTS)
    written = [
        _written(each).upper() if each.stressed and len(syllables) > 1 else _written(each)
        for each in syllables
    ]
    return "-".join(written)


def _syllables(phonemes: Sequence[str]) -> list[_Syllable]:
    """One a vowel. A syllable begins at its stress mark; without one, or with the mark right before its vowel, as
    engines put it, it takes as many consonants as English allows."""
    syllables: list[_Syllable] = []
    between: list[str] = []
    mark: int | None = None
    stressed = False
    for phoneme in phonemes:
        if phoneme in (_PRIMARY, _SECONDARY):
            mark, stressed = len(between), phoneme == _PRIMARY
        elif phoneme in _VOWELS:
            before = syllables[-1] if syllables else None
            if before is None:
                begin = 0
            elif mark is None or mark == len(between):
                begin = _begin(before.vowel, between, stressed=mark is not None)
            else:
                begin = mark
            if before is not None:
                before.coda = between[:begin]
            syllables.append(_Syllable(phoneme, onset=between[begin:], stressed=stressed))
            between, mark, stressed = [], None, False
        else:
            between.append(phoneme)
    if syllables:
        syllables[-1].coda = between
    return syllables


def _begin(vowel: str, between: Sequence[str], *, stressed: bool) -> int:
    """How many of the consonants between `vowel` and the next one stay with it; a stressed one takes what it can."""
    held = vowel in _CHECKED or (vowel in _BEFORE_R and between[:1] == ["ɹ"])
    kept = int(bool(between) and held and not stressed)
    return next(
        (start for start in range(kept, len(between)) if _begins_syllables(between[start:])), len(between)
    )


def _begins_syllables(consonants: Sequence[str]) -> bool:
    return consonants[0] != "ŋ" if len(consonants) == 1 else tuple(consonants) in _ONSETS


def _written(syllable: _Syllable) -> str:
    onset, vowel, coda = syllable.onset, syllable.vowel, syllable.coda
    if coda[:1] == ["ɹ"] and vowel in _BEFORE_R:
        nucleus, coda = _BEFORE_R[vowel], coda[1:]
    elif vowel == "aɪ" and not onset:
        nucleus = "eye"
    elif coda or onset[-1:] == ["j"]:
        nucleus = _CLOSED.get(vowel, _VOWELS[vowel])
    else:
        nucleus = _VOWELS[vowel]
    begin = "".join(_CONSONANTS[each] for each in onset)
    if onset[-1:] == ["ɡ"] and nucleus[0] in "eiy":
        begin += "h"  # or it would be the g of gem
    # One s after a vowel is often a z.
    end = "ss" if coda == ["s"] else "".join(_CONSONANTS[each] for each in coda)
    return begin + nucleus + end
