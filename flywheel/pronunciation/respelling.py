"""Merriam-Webster's respelling notation, read as IPA: ``ˌsef-ə-ˈzō-lən`` becomes ``ˌsɛfəˈzoʊlən``.

The notation's own key is the dictionary's page of pronunciation symbols. What it writes becomes General American:

- A hyphen, a raised dot or a space ends a syllable; only the space is kept. A stress mark stays where it stands,
  before its syllable. Of several primary stresses in a word (``ˈnäk-ˈnē``) the last one stays so.
- ``ə`` is ʌ in a stressed syllable and ə elsewhere, ``ər`` is ɝ and ɚ; ``r`` is ɹ. Before an r of the same
  syllable ``ō ē ā ü`` are ɔ ɪ ɛ ʊ, which is how General American has them.
- Sounds in parentheses are spoken by some and not by others. They are left out (``ˈas-p(ə-)rən`` is ˈæspɹən, ``n(y)ü``
  is nu, ``(ˌ)`` is no stress), but for ``(r)``, which General American speaks everywhere. ``hw`` is w.
- Variants are separated by commas, semicolons or the words "or" and "also"; the first whole one counts.
- French and German sounds that English lacks become the nearest English ones, as Americans say these words;
  `Reading.nearest` names them.

Marks differ between editions and encodings, so composed and decomposed letters, the three ways to mark a voiced ``th``
and the one-letter ``ᵫ`` are read alike. Anything else is an error that names the glyph: nothing is passed on unread.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flywheel.errors import FlywheelError
from flywheel.pronunciation.ipa import normalised_ipa

__all__ = ["GLYPHS", "NEAREST", "Glyph", "Reading", "RespellingError", "read_respelling", "whole_variants"]


class RespellingError(FlywheelError):
    """A respelling that cannot be read; `unknown` are the glyphs that are not of the notation, each with its name."""

    def __init__(self, message: str, unknown: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.unknown = unknown


@dataclass(frozen=True, slots=True)
class Glyph:
    """The IPA of one glyph in an unstressed and in a stressed syllable."""

    unstressed: str
    stressed: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A respelling that was read.

    Args:
        ipa: its IPA, as `normalised_ipa` gives it.
        nearest: the glyphs of sounds that English lacks, in `ipa` the nearest English ones.
    """

    ipa: str
    nearest: tuple[str, ...] = ()


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


_SOUNDS: Final = {
    # vowels
    "ᵊ": "ə",
    "a": "æ",
    "ȧ": "ɑ",
    "ā": "eɪ",
    "ä": "ɑ",
    "au̇": "aʊ",
    "e": "ɛ",
    "ē": "i",
    "i": "ɪ",
    "ī": "aɪ",
    "ō": "oʊ",
    "ȯ": "ɔ",
    "ȯi": "ɔɪ",
    "ü": "u",
    "u̇": "ʊ",
    # before r
    "ār": "ɛɹ",
    "ēr": "ɪɹ",
    "ōr": "ɔɹ",
    "ür": "ʊɹ",
    # consonants
    "b": "b",
    "ch": "tʃ",
    "d": "d",
    "f": "f",
    "g": "ɡ",
    "h": "h",
    "hw": "w",
    "j": "dʒ",
    "k": "k",
    "l": "l",
    "m": "m",
    "n": "n",
    "ŋ": "ŋ",
    "p": "p",
    "r": "ɹ",
    "s": "s",
    "sh": "ʃ",
    "t": "t",
    "th": "θ",
    "t͟h": "ð",
    "v": "v",
    "w": "w",
    "y": "j",
    "z": "z",
    "zh": "ʒ",
    # sounds that English lacks
    "k̟": "k",
    "ⁿ": "n",
    "ʸ": "j",
    "ue": "ʊ",
    "ue̅": "u",
}

NEAREST: Final = tuple(map(_decomposed, ("k̟", "ⁿ", "ʸ", "œ", "œ̄", "ue", "ue̅")))
"""Glyphs of sounds that English lacks: those of German Buch, French vin, digne, bœuf and feu, German Hülle, French rue.
Americans say them with k, n, j, ʌ, ɝ, ʊ and u."""

GLYPHS: Final[Mapping[str, Glyph]] = MappingProxyType(
    {_decomposed(glyph): Glyph(ipa, ipa) for glyph, ipa in _SOUNDS.items()}
    | {
        "ə": Glyph("ə", "ʌ"),
        "ər": Glyph("ɚ", "ɝ"),
        "œ": Glyph("ə", "ʌ"),
        _decomposed("œ̄"): Glyph("ɚ", "ɝ"),
    }
)
"""The notation, each glyph decomposed (NFD)."""

_HYPHENS = "-\u00ad\u2010\u2011\u2013"
_DOTS = "·‧•"
_STRESSES = "ˈˌ"
_MARK = r"[\u0300-\u036f]"
_SAME_SOUND = (
    # A voiced th is underlined, letter by letter or across both, or struck through.
    (re.compile(r"t[\u0331\u0332\u035f]h[\u0331\u0332]?|th[\u0331\u0332\u0335-\u0338]"), "t\u035fh"),
    (re.compile(r"k[\u0320\u0331\u0332\u035f]"), "k\u031f"),
    (re.compile(r"ᵫ"), "ue"),
    (re.compile(r"u[\u0304\u0305\u035e]?e[\u0304\u0305]|u[\u0304\u0305\u035e]e"), "ue\u0305"),
    (re.compile(r"œ\u0305"), "œ\u0304"),
    (re.compile(r"ᴺ"), "ⁿ"),
)
_OPTIONAL = re.compile(r"\(([^()]*)\)")
_VARIANTS = re.compile(r"[,;]|\s(?:or|also|sometimes)\s")
_TOKENS = re.compile(
    rf"(?P<glyph>(?:{'|'.join(map(re.escape, sorted(GLYPHS, key=len, reverse=True)))})(?!{_MARK}))"
    rf"|(?P<stress>[{_STRESSES}])"
    rf"|(?P<space>\s+)"
    rf"|(?P<syllable>[{re.escape(_HYPHENS)}{_DOTS}])"
    rf"|(?P<unknown>.{_MARK}*)",
    re.DOTALL,
)


def whole_variants(respelling: str) -> tuple[str, ...]:
    """The variants of a respelling that are of the whole word: a hyphen at an end stands for what is left out there."""
    variants = (variant.strip().strip("\\").strip() for variant in _VARIANTS.split(respelling))
    return tuple(each for each in variants if each and each[0] not in _HYPHENS and each[-1] not in _HYPHENS)


def read_respelling(variant: str) -> Reading:
    """The IPA of one whole variant; `RespellingError` where a glyph is not of the notation or nothing can be spoken."""
    ipa: list[str] = []
    nearest: dict[str, None] = {}
    unknown: dict[str, None] = {}
    stressed = False
    for token in _TOKENS.finditer(_canonical(variant)):
        kind, text = token.lastgroup, token.group()
        if kind == "glyph":
            ipa.append(GLYPHS[text].stressed if stressed else GLYPHS[text].unstressed)
            if text in NEAREST:
                nearest[text] = None
        elif kind == "unknown":
            unknown[_named(text)] = None
        else:
            stressed = kind == "stress"
            ipa.append({"stress": text, "space": " "}.get(str(kind), ""))
    if unknown:
        named = tuple(unknown)
        raise RespellingError(f"{variant!r}: not in the table of glyphs: {', '.join(named)}", named)
    try:
        return Reading(normalised_ipa(_with_one_primary_stress("".join(ipa))), tuple(nearest))
    except FlywheelError as error:
        raise RespellingError(f"{variant!r}: {error}") from None


def _canonical(variant: str) -> str:
    """Decomposed, in one of the ways to write each glyph, without what is optional."""
    text = _decomposed(variant)
    for written, glyph in _SAME_SOUND:
        text = written.sub(glyph, text)
    return _OPTIONAL.sub(lambda found: found[1] if found[1] == "r" else "", text)


def _with_one_primary_stress(ipa: str) -> str:
    """The last one of each word is its main stress; those before it, of compounds, become secondary."""
    words = (word.rpartition("ˈ") for word in ipa.split(" "))
    return " ".join(before.replace("ˈ", "ˌ") + stress + after for before, stress, after in words)


def _named(glyph: str) -> str:
    """The glyph as it is seen, with the code point and the name of each of its characters."""
    parts = (f"U+{ord(part):04X} {unicodedata.name(part, 'no name')}" for part in glyph)
    return f"{unicodedata.normalize('NFC', glyph)!r} ({', '.join(parts)})"
