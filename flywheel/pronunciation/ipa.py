"""The project's IPA: which symbols a pronunciation is written in, and the one way in which each is written.

General American, broad: the stress marks ˈ and ˌ before the syllable, r as ɹ, no syllable dots, no length marks,
a space between the words of a term. Other ways of writing the same sounds are read and written in this one.
"""

import re
import unicodedata
from collections.abc import Sequence
from types import MappingProxyType

from flywheel.errors import FlywheelError

__all__ = ["CONSONANTS", "VOWELS", "normalised_ipa", "phonemes_of", "with_stress_at_onsets"]

VOWELS = ("i", "ɪ", "eɪ", "ɛ", "æ", "ɑ", "ɔ", "oʊ", "ʊ", "u", "ʌ", "ə", "ɚ", "ɝ", "aɪ", "aʊ", "ɔɪ")
CONSONANTS = (
    *("p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ"),
    *("h", "m", "n", "ŋ", "l", "ɹ", "j", "w"),
)
_PRIMARY = "ˈ"
_STRESSES = (_PRIMARY, "ˌ")
_WORD_SPACE = " "

_SPELLINGS = MappingProxyType(
    {
        "əʊ": "oʊ",  # British
        "ɒ": "ɑ",
        "ɜ˞": "ɝ",
        "ɜ": "ɝ",
        "ə˞": "ɚ",
        "ɹ\N{COMBINING VERTICAL LINE BELOW}": "ɚ",
        "n\N{COMBINING VERTICAL LINE BELOW}": "ən",
        "m\N{COMBINING VERTICAL LINE BELOW}": "əm",
        "l\N{COMBINING VERTICAL LINE BELOW}": "əl",
        "ɾ": "t",
        "ɫ": "l",
        "ɐ": "ə",  # reduced vowels, as espeak writes them
        "ᵻ": "ɪ",
        "g": "ɡ",
        "r": "ɹ",
        "'": _PRIMARY,
        "ʧ": "tʃ",
        "ʤ": "dʒ",
    }
)
"""What else is read, and the phonemes it is read as."""

_DROPPED = frozenset(".:ːˑ\N{COMBINING DOUBLE INVERTED BREVE}\N{COMBINING DOUBLE BREVE BELOW}")
"""Syllable dots, length marks and the tie bars of t͡ʃ."""

_HINTS = MappingProxyType(
    {
        "a": "write æ or ɑ, or one of aɪ and aʊ",
        "e": "write ɛ or eɪ",
        "o": "write oʊ or ɔ",
        "y": "write j",
        "ʔ": "write t",
        ",": "write ˌ for secondary stress",
        "’": "write ˈ for primary stress",
    }
)
_ALLOWED = (
    f"allowed are the vowels {' '.join(VOWELS)}, the consonants {' '.join(CONSONANTS)} and the stresses ˈ ˌ"
)
_SYMBOL = re.compile(
    "|".join(sorted([*VOWELS, *CONSONANTS, *_STRESSES, *_SPELLINGS], key=len, reverse=True))
    + "|(?P<unknown>.)"
)

_BEFORE_CODA_R = MappingProxyType(
    {
        **{"i": ("ɪ", "ɹ"), "eɪ": ("ɛ", "ɹ"), "æ": ("ɛ", "ɹ"), "oʊ": ("ɔ", "ɹ"), "u": ("ʊ", "ɹ")},
        **{"ə": ("ɚ",), "ɚ": ("ɚ",), "ɝ": ("ɝ",), "ʌ": ("ɝ",)},
        **{vowel: (vowel, "ɚ") for vowel in ("aɪ", "aʊ", "ɔɪ")},
    }
)
"""A vowel with an r of its own syllable: General American has only ɪɹ ɛɹ ɑɹ ɔɹ ʊɹ, ɚ and ɝ there."""

_ONSET_PAIRS = frozenset(
    ["θɹ", "ʃɹ", "tw", "dw", "kw", "ɡw", "θw", "sw", "sp", "st", "sk", "sm", "sn", "sl"]
    + [stop + "ɹ" for stop in "pbtdkɡf"]
    + [stop + "l" for stop in "pbkɡf"]
    + [consonant + "j" for consonant in "pbtdkɡfvθszhmnl"]
)
"""Two consonants that begin an English syllable; s begins one before those of them that begin with p, t or k."""


def normalised_ipa(text: str) -> str:
    """The one way in which the project writes the pronunciation `text`; what it gives, it leaves as it is.

    - Slashes or square brackets around it, syllable dots, length marks and tie bars are dropped; ASCII g, r and '
      are ɡ, ɹ and ˈ; ɾ is t, a syllabic n̩ is ən, British əʊ, ɒ and ɜ are oʊ, ɑ and ɝ.
    - A stressed ə is ʌ, a stressed ɚ is ɝ.
    - Before an r of the same syllable stands one of ɪ ɛ ɑ ɔ ʊ: fiɹ is fɪɹ, bəɹ is bɚ, taɪɹ is taɪɚ.
    - Between ɚ or ɝ and a vowel stands ɹ: hɝi is hɝɹi.

    Raises `FlywheelError` that names each symbol which is no phoneme; for a stress mark that no vowel follows, for
    more than one primary stress in a word, and where nothing is left.
    """
    return "".join(phonemes_of(text))


def phonemes_of(ipa: str) -> tuple[str, ...]:
    """The phonemes and stress marks of `normalised_ipa` in their order, with a space between words."""
    words = [_r_written(_stress_heard(_symbols(word, ipa))) for word in _bare(ipa).split()]
    problems = [problem for word in words for problem in _stress_problems(word)]
    if not any(words):
        problems = ["it is empty"]
    if problems:
        raise FlywheelError(f"pronunciation {ipa!r}: {'; '.join(problems)}")
    phonemes = list(words[0])
    for word in words[1:]:
        phonemes += [_WORD_SPACE, *word]
    written = "".join(phonemes)
    # Two vowels written anew may read as one: əuɹ is əʊɹ, which is ɔɹ.
    return tuple(phonemes) if written == ipa else phonemes_of(written)


def with_stress_at_onsets(phonemes: Sequence[str]) -> str:
    """Normalised IPA of `phonemes`, each stress mark before as many consonants as can begin an English syllable.

    Engines put the mark right before the vowel, people anywhere before it: both come to be the same.
    """
    placed: list[str] = []
    mark = ""
    for phoneme in phonemes:
        if phoneme in _STRESSES:
            mark = phoneme
            continue
        if phoneme in VOWELS and mark:
            placed.insert(len(placed) - _onset_length(placed), mark)
            mark = ""
        placed.append(phoneme)
    return normalised_ipa("".join(placed))


def _bare(text: str) -> str:
    """`text` without what stands around it and without marks that say nothing, its accents apart."""
    bare = unicodedata.normalize("NFD", text).strip()
    if len(bare) > 1 and bare[0] + bare[-1] in ("//", "[]"):
        bare = bare[1:-1]
    return "".join(character for character in bare if character not in _DROPPED)


def _symbols(word: str, ipa: str) -> list[str]:
    """The phonemes and stress marks of one word; `ipa` is what the error calls it."""
    matches = list(_SYMBOL.finditer(word))
    unknown = dict.fromkeys(match["unknown"] for match in matches if match["unknown"])
    if unknown:
        raise FlywheelError(
            f"pronunciation {ipa!r}: {'; '.join(map(_named, unknown))}: no phoneme of General American; {_ALLOWED}"
        )
    found: list[str] = []
    for match in matches:
        read = _SPELLINGS.get(match[0], match[0])
        found += [read[0], read[1]] if read in ("ən", "əm", "əl") else [read]
    return found


def _named(symbol: str) -> str:
    name = f"{symbol!r} (U+{ord(symbol):04X} {unicodedata.name(symbol, 'without a name')})"
    return f"{name}, {_HINTS[symbol]}" if symbol in _HINTS else name


def _stress_heard(word: list[str]) -> list[str]:
    """With ʌ and ɝ for ə and ɚ where the syllable is stressed."""
    heard, stressed = [], False
    for phoneme in word:
        if phoneme in VOWELS and stressed:
            phoneme = {"ə": "ʌ", "ɚ": "ɝ"}.get(phoneme, phoneme)
        stressed = phoneme in _STRESSES or (stressed and phoneme not in VOWELS)
        heard.append(phoneme)
    return heard


def _r_written(word: list[str]) -> list[str]:
    """With r after a vowel, and between an r-coloured vowel and another, written in the one way."""
    written: list[str] = []
    for place, phoneme in enumerate(word):
        before_vowel = next((other in VOWELS for other in word[place + 1 :] if other not in _STRESSES), False)
        last = written[-1] if written else ""
        if phoneme == "ɹ" and not before_vowel and last in _BEFORE_CODA_R:
            written[-1:] = _BEFORE_CODA_R[last]
        elif not (phoneme == "ɹ" == last):
            written.append(phoneme)
        if before_vowel and written[-1] in ("ɚ", "ɝ"):
            written.append("ɹ")
    return written


def _stress_problems(word: Sequence[str]) -> list[str]:
    syllables = re.split("[ˈˌ]", "".join(word))[1:]
    problems = []
    if not all(any(vowel in syllable for vowel in VOWELS) for syllable in syllables):
        problems.append(
            f"in {''.join(word)!r} no vowel follows a stress mark; write the mark before its syllable"
        )
    count = word.count(_PRIMARY)
    if count > 1:
        problems.append(
            f"{''.join(word)!r} has {count} primary stresses; one ˈ is allowed in a word, and ˌ for the others"
        )
    return problems


def _onset_length(phonemes: Sequence[str]) -> int:
    """How many of the last consonants of `phonemes` begin the syllable of the vowel that follows."""
    length = 0
    while length < min(3, len(phonemes)) and _begins_a_syllable(phonemes[len(phonemes) - length - 1 :]):
        length += 1
    return length


def _begins_a_syllable(onset: Sequence[str]) -> bool:
    if not all(phoneme in CONSONANTS for phoneme in onset):
        return False
    if len(onset) == 1:
        return onset[0] != "ŋ"
    if len(onset) == 2:
        return "".join(onset) in _ONSET_PAIRS
    return onset[0] == "s" and onset[1] in "ptk" and "".join(onset[1:]) in _ONSET_PAIRS
