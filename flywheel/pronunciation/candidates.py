"""Pronunciations to propose for terms that the engine is left with: those of clinical suffixes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from flywheel.errors import FlywheelError
from flywheel.pronunciation.ipa import normalised_ipa
from flywheel.pronunciation.lexicon import Candidate

__all__ = ["SUFFIXES", "Spoken", "candidates_for"]

Spoken: TypeAlias = Callable[[str], str]
"""What an engine makes of a text by its own rules, as IPA."""

SUFFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "prazole": "pɹəˌzoʊl",
        "azole": "əˌzoʊl",
        "cillin": "ˈsɪlən",
        "mab": "ˌmæb",
        "mycin": "ˈmaɪsən",
        "parin": "ˈpɛɹən",
        "sartan": "ˈsɑɹˌtæn",
        "statin": "ˌstætən",
    }
)
"""How Americans speak the stems that drugs of a class share, e.g. vancomycin's; with their stress."""

_SHORTEST_STEM = 2
"""Letters, as in losartan."""
_OTHERWISE = ("heparin", "nystatin")
"""Words that end like this by chance, or by being the first of their class, and are stressed on the first syllable."""


def candidates_for(term: str, spoken: Spoken) -> tuple[Candidate, ...]:
    """Where words of the term end in a clinical suffix: the engine's own reading of what stands before, and the suffix.

    Of several suffixes the longest counts. Nothing is proposed that the engine says anyway, and nothing with a
    sound that is not of the project's phonemes.
    """
    words = term.split(" ")
    suffixes = [_suffix(word) for word in words]
    if not any(suffixes):
        return ()
    try:
        stems = [spoken(word.removesuffix(suffix)) for word, suffix in zip(words, suffixes, strict=True)]
        parts = [
            _joined(stem, SUFFIXES[suffix]) if suffix else normalised_ipa(stem)
            for stem, suffix in zip(stems, suffixes, strict=True)
        ]
        ipa = normalised_ipa(" ".join(parts))
        same = ipa == normalised_ipa(spoken(term))
    except FlywheelError:
        return ()
    reason = ", ".join(f"-{suffix}" for suffix in suffixes if suffix)
    return () if same else (Candidate(ipa, f"clinical suffix {reason}"),)


def _suffix(word: str) -> str:
    if word in _OTHERWISE:
        return ""
    found = (each for each in SUFFIXES if word.endswith(each) and len(word) - len(each) >= _SHORTEST_STEM)
    return max(found, key=len, default="")


def _joined(stem: str, suffix: str) -> str:
    """One word has one primary stress: a suffix that is stressed takes it from the stem."""
    return (normalised_ipa(stem).replace("ˈ", "ˌ") if "ˈ" in suffix else normalised_ipa(stem)) + suffix
