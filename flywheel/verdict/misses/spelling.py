"""Whether a pronunciation leaves out a syllable that the spelling of its word shows.

The one fault of an engine's own pronunciations that letters alone give away: English hardly ever spells a vowel in
the middle of a word that nobody speaks. espeak-ng speaks `furosemide` without its third vowel, as `fjʊɹoʊsmaɪd`.
Of 57 clinical terms tried, five were found to lack a vowel, and all five are mispronounced; none of 33 reference
pronunciations was; of 1060 words of ordinary sentences 8 were, `several` and `temperature` among them. What is found
is a reason to listen, not a proof; what is not found may be mispronounced all the same, in its vowels and stress.
"""

import re
from dataclasses import dataclass

from flywheel.verdict.misses.phones import is_vowel, phones_of

__all__ = ["MissingVowel", "missing_vowels"]

_VOWEL_LETTERS = re.compile(r"[aeiouy]+")
_SILENT_E = re.compile(r"(?<=[^aeiouy])e(?=[sd]?$|(?:ment|ness|ful|less|ly)s?$)")
"""At the end of a word, `stone`, `stones`, `impaired`, and before an ending that is a syllable of its own."""
_WORD_BREAK = re.compile(r"[ -]+")


@dataclass(frozen=True, slots=True)
class MissingVowel:
    """A word that is spoken with fewer vowels than its spelling shows; of a term, or the term as a whole."""

    word: str
    ipa: str
    spoken: int
    spelt: int


def missing_vowels(term: str, ipa: str) -> tuple[MissingVowel, ...]:
    """The words of `term` that lack a vowel in `ipa`, in their order.

    Neighbouring vowel letters count as one, and a silent e as none, so that no more are counted than are there to be
    spoken. Where an engine ran words together, the term is looked at as one.

    Raises:
        FlywheelError: `ipa` is not in the project's IPA.
    """
    words, said = _WORD_BREAK.split(term), ipa.split()
    pairs = zip(words, said, strict=True) if len(words) == len(said) else [(term, ipa)]
    counted = (MissingVowel(word, said, _vowels_spoken(said), _vowels_spelt(word)) for word, said in pairs)
    return tuple(each for each in counted if each.spoken < each.spelt)


def _vowels_spoken(ipa: str) -> int:
    return sum(map(is_vowel, phones_of(ipa)))


def _vowels_spelt(words: str) -> int:
    return sum(len(_VOWEL_LETTERS.findall(_SILENT_E.sub("", word))) for word in _WORD_BREAK.split(words))
