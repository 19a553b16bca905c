"""The project's IPA in espeak-ng's phoneme mnemonics, by accent, and what the engine reports back.

espeak-ng names its phonemes by mnemonics (input, between ``[[`` and ``]]``) and reports them in an IPA of its own,
after its rules for neighbouring sounds. An accent speaks a pronunciation with its own sounds:

- where it has no r after vowels (all but en-us and en-gb-scotland), ɑɹ and ɔɹ are spoken as ɑ and ɔ, ɚ as ə, and
  ɪɹ, ɛɹ, ʊɹ as iə, ɛə, ʊə (en-gb-x-rp: ɔ);
- all but en-us link a ə to a vowel after it by ɹ, en-gb-x-rp and en-gb-x-gbclan an ɔ, too;
- en-us-nyc drops h before j; en-gb-x-gbclan speaks ʌ as ʊ, ŋ as ŋɡ before a vowel, and as n at the end of a word
  whose last syllable has no primary stress; en-gb-scotland speaks u as ʊ in syllables without primary stress, and ə
  as ʌ at a word's end;
- every accent speaks n as ŋ before k and ɡ, and may stress the last syllable of a clause whose word has no stress.

What is reported is read back by one table an accent, in which no two phonemes are one but those that the accent makes
one. Sounds that the project's IPA does not write are read as what they stand for: ɾ and ʔ as t, ɐ as ə, ᵻ as ɪ, ɒ as
ɑ, ʍ as w, x as k, ɑ̃ as ɑn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from flywheel.errors import FlywheelError
from flywheel.pronunciation.ipa import (
    CONSONANTS,
    VOWELS,
    normalised_ipa,
    phonemes_of,
    with_stress_at_onsets,
)
from flywheel.speech.synthesizer import SynthesisError, Voice

__all__ = ["SEPARATOR", "mnemonics", "words_reported"]

SEPARATOR = "_"
"""Asked of the engine between the phonemes that it reports; no phoneme's IPA holds it."""

_MOST_PHONEMES = 100
"""Of one word. The engine's buffer for a word holds 200 and is not checked."""

_STRESS = MappingProxyType({"ˈ": "'", "ˌ": ","})
_CONSONANTS = {each: each for each in CONSONANTS} | {
    **{"ɡ": "g", "tʃ": "tS", "dʒ": "dZ", "θ": "T", "ð": "D", "ʃ": "S", "ʒ": "Z", "ŋ": "N", "ɹ": "r"},
}
_VOWELS = {
    **{"i": "i:", "ɪ": "I", "ɛ": "E", "æ": "a", "ɑ": "0", "ɔ": "O:", "ʊ": "U", "u": "u:"},
    **{"ʌ": "V", "ə": "@", "ɚ": "3", "ɝ": "3:"},
    **{"eɪ": "eI", "oʊ": "oU", "aɪ": "aI", "aʊ": "aU", "ɔɪ": "OI"},
}
_WITH_R = MappingProxyType({"ɪ": "i@3", "ɛ": "e@", "ɑ": "A@", "ɔ": "O@", "ʊ": "U@"})
"""A vowel together with the r that closes its syllable."""
_BEFORE_R = MappingProxyType({"ɑ": "A:", "ɔ": "O@", "ə": "@2"})
"""Vowels that the engine would change before an r of the next syllable."""
_FINAL_SHORT_I = "I#"
"""For an unstressed ɪ at the end of a word, which some accents would speak as i."""

_ALIKE = {
    **{each: each for each in CONSONANTS if each != "ɹ"},
    **{"ɹ": "ɹ", "r": "ɹ", "ɾ": "t", "ʔ": "t", "ʍ": "w", "x": "k", "n̩": "ən"},
    **{"iː": "i", "i": "i", "ɪ": "ɪ", "ᵻ": "ɪ", "ɛ": "ɛ", "ɔ": "ɔ", "ɔː": "ɔ", "ʊ": "ʊ", "uː": "u", "ʌ": "ʌ"},
    **{"ɑː": "ɑ", "ɜː": "ɝ", "ə": "ə", "ɐ": "ə", "əl": "əl", "ɑ̃": "ɑn"},
    **{"eɪ": "eɪ", "aɪ": "aɪ", "aʊ": "aʊ", "ɔɪ": "ɔɪ", "aɪə": "aɪə", "iə": "iə"},
}
"""What the accents report, and the phonemes it stands for."""

_WITHOUT_R = {"ɒ": "ɑ", "eə": "ɛə", "ʊə": "ʊə"}


@dataclass(frozen=True, slots=True)
class _Accent:
    """How one accent is spoken to, and what it reports.

    Args:
        heard: what it reports, besides what all accents report alike.
        spoken: mnemonics that differ from those of British English.
        final_i: the mnemonic of an unstressed i at the end of a word.
    """

    heard: Mapping[str, str]
    spoken: Mapping[str, str] = field(default_factory=dict)
    final_i: str = "i:"


_ACCENTS: Mapping[str, _Accent] = MappingProxyType(
    {
        "en-us": _Accent(
            {
                **{"æ": "æ", "oʊ": "oʊ", "ɚ": "ɚ", "aɪɚ": "aɪɚ"},
                **{"ɪɹ": "ɪɹ", "ɛɹ": "ɛɹ", "ɑːɹ": "ɑɹ", "ɔːɹ": "ɔɹ", "ʊɹ": "ʊɹ"},
            },
            spoken={"ɑ": "A:"},
            final_i="i",
        ),
        "en-us-nyc": _Accent(
            _WITHOUT_R | {"æ": "æ", "ɛə": "æ", "oʊ": "oʊ", "əɪ": "ɝ"},
            final_i="i",
        ),
        "en-gb": _Accent(_WITHOUT_R | {"a": "æ", "əʊ": "oʊ"}, final_i="i"),
        "en-gb-x-rp": _Accent(_WITHOUT_R | {"æ": "æ", "əʊ": "oʊ"}),
        "en-gb-x-gbclan": _Accent(_WITHOUT_R | {"a": "æ", "æʊ": "aʊ", "oː": "oʊ", "eː": "eɪ"}),
        "en-gb-scotland": _Accent(
            {
                **{"a": "æ", "a:": "ɑ", "aː": "ɑ", "ɒ": "ɑ", "o": "ɔ", "ʉ": "ʊ", "ʉː": "u", "ɜ": "ɚ"},
                **{"eː": "eɪ", "oː": "oʊ", "ʌʉ": "aʊ", "əɹ": "ɝ", "ʌɹ": "ɝ", "ʉɹ": "ʊɹ"},
                # One sign for the vowels of "hair", before r; of "fern", stressed; and of "happy", neither.
                **{"er": "ɛɹ", "ˈe": "ɛɹ", "ˌe": "ɛɹ", "e": "i", "eʲ": "i", "ɪʲ": "ɪ"},
            },
            spoken={"ɝ": "IR"},
        ),
    }
)


def mnemonics(ipa: str, voice: Voice) -> str:
    """What makes the engine speak `ipa`, without the brackets; its words have a space between them.

    Raises `SynthesisError` for a symbol that is no phoneme, for an accent whose phonemes are not known here and for
    a word too long for the engine.
    """
    accent = _accent_of(voice)
    try:
        words = normalised_ipa(ipa).split()
    except FlywheelError as error:
        raise SynthesisError(f"espeak-ng cannot speak a prescribed pronunciation: {error}") from None
    return " ".join(_word_mnemonics(phonemes_of(word), accent) for word in words)


def words_reported(report: str, voice: Voice) -> tuple[str, ...]:
    """The words that the engine reports, in the project's IPA with each stress mark before its syllable.

    `report` is in the engine's IPA, with `SEPARATOR` between phonemes and a space or a line's end between words. In
    a word with several primary stresses the last one counts, and the others are secondary.
    """
    accent = _accent_of(voice)
    words = []
    for word in report.split():
        sounds = word.replace(f"e{SEPARATOR}r", "er").split(SEPARATOR)
        heard = [phoneme for sound in sounds if sound for phoneme in _heard(sound, accent, voice)]
        stresses = [place for place, phoneme in enumerate(heard) if phoneme == "ˈ"]
        for place in stresses[:-1]:
            heard[place] = "ˌ"
        if heard:
            words.append(with_stress_at_onsets(heard))
    return tuple(words)


def _accent_of(voice: Voice) -> _Accent:
    name = voice.name.partition("+")[0]
    if name not in _ACCENTS:
        raise SynthesisError(
            f"voice {voice.voice_id!r}: the phonemes of espeak-ng's accent {name!r} are not known here, so it can be "
            f"given no pronunciation; allowed are the accents {', '.join(_ACCENTS)}"
        )
    return _ACCENTS[name]


def _heard(sound: str, accent: _Accent, voice: Voice) -> tuple[str, ...]:
    """The phonemes of one reported sound, after its stress mark where it has one."""
    mark = sound[: sound[0] in _STRESS]
    bare = sound.removeprefix(mark)
    known = accent.heard.get(sound) or accent.heard.get(bare) or _ALIKE.get(bare)
    if known is None:
        raise SynthesisError(
            f"espeak-ng's voice {voice.voice_id!r} speaks the sound {bare!r}, which is none of the project's IPA"
        )
    return (*mark, *phonemes_of(known))


def _word_mnemonics(word: Sequence[str], accent: _Accent) -> str:
    """The mnemonics of one word's phonemes, each stress mark right before its vowel, where the engine wants it."""
    if len(word) > _MOST_PHONEMES:
        raise SynthesisError(
            f"the pronunciation {''.join(word)!r} has {len(word)} phonemes in one word; "
            f"espeak-ng can speak {_MOST_PHONEMES}: write a space between words"
        )
    marks = [place for place, phoneme in enumerate(word) if phoneme in _STRESS]
    stressed = {
        next(at for at in range(place, len(word)) if word[at] in VOWELS): word[place] for place in marks
    }
    sounds = [(phoneme, _STRESS.get(stressed.get(place, ""), "")) for place, phoneme in enumerate(word)]
    sounds = [sound for sound in sounds if sound[0] not in _STRESS]
    padded = ["", *(phoneme for phoneme, _mark in sounds), "", ""]
    names = [
        (mark, _mnemonic(padded[place : place + 4], bool(mark), accent))
        for place, (_phoneme, mark) in enumerate(sounds)
    ]
    return "|".join(mark + name for mark, name in names if name)


def _mnemonic(context: Sequence[str], stressed: bool, accent: _Accent) -> str:
    """The mnemonic of the second of four phonemes, each empty beyond the word's ends; empty if the first holds it."""
    before, phoneme, following, after = context
    closes = following not in VOWELS
    if closes and ((phoneme == "ɹ" and before in _WITH_R) or (phoneme == "l" and before == "ə")):
        return ""
    if following == "ɹ" and after not in VOWELS and phoneme in _WITH_R:
        return _WITH_R[phoneme]
    if following == "l" and after not in VOWELS and phoneme == "ə":
        return "@L"
    if following == "ɹ" and phoneme in _BEFORE_R:
        return _BEFORE_R[phoneme]
    if not following and not stressed and phoneme in ("i", "ɪ"):
        return accent.final_i if phoneme == "i" else _FINAL_SHORT_I
    return accent.spoken.get(phoneme) or _VOWELS.get(phoneme) or _CONSONANTS[phoneme]
