"""Units and ratios in one spelling: `5 milligrams per deciliter` -> `5 mg/dl`, `120/80` -> `120 / 80`.

A unit's name becomes its symbol only directly behind a number or inside a rate, so that `gram stain` and
`a minute later` stay as they are. A rate is made only of units and counts: in `apixaban per day` the drug
must stay a word of its own.
"""

import re
from collections.abc import Iterable

__all__ = ["one_spelling_for_measures", "split_glued_unit"]

_NUMBER = r"[0-9]+(?:\.[0-9]+)*(?:\^-?[0-9]+)?"

_STEMS = {
    "nanogram": "ng",
    "microgram": "mcg",
    "milligram": "mg",
    "gram": "g",
    "kilogram": "kg",
    "microliter": "mcl",
    "milliliter": "ml",
    "deciliter": "dl",
    "liter": "l",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "nanomole": "nmol",
    "micromole": "mcmol",
    "millimole": "mmol",
    "milliequivalent": "meq",
    "hour": "h",
    "minute": "min",
}
_SHORT_FORMS = {
    "ug": "mcg",
    "ul": "mcl",
    "umol": "mcmol",
    "mgs": "mg",
    "kgs": "kg",
    "mls": "ml",
    "hr": "h",
    "hrs": "h",
    "mins": "min",
}
_ONLY_IN_RATES = {
    "s": "s",
    "sec": "s",
    "second": "s",
    "d": "day",
    "day": "day",
    "week": "week",
    "dose": "dose",
    "hpf": "hpf",
}
_COUNTS = (
    "beats",
    "breaths",
    "cells",
    "copies",
    "drops",
    "puffs",
    "tablets",
    "capsules",
    "doses",
    "times",
    "units",
)


def _spellings(stem: str) -> tuple[str, ...]:
    british = stem.replace("liter", "litre").replace("meter", "metre")
    return tuple(dict.fromkeys((stem, f"{stem}s", british, f"{british}s")))


_NAMES = {name: symbol for stem, symbol in _STEMS.items() for name in _spellings(stem)} | _SHORT_FORMS
_SYMBOLS = frozenset((*_STEMS.values(), "mol", "mosm", "iu", "kcal", "hz", "m2", "mm3"))
_BOTTOMS = _NAMES | {symbol: symbol for symbol in _SYMBOLS} | _ONLY_IN_RATES
_TOPS = _BOTTOMS | {count: count for count in _COUNTS}


def _any_of(words: Iterable[str]) -> str:
    # Longest first: an alternation takes the first that fits.
    return "(?:" + "|".join(sorted(words, key=lambda word: (-len(word), word))) + ")"


_GLUED = re.compile(rf"({_NUMBER})({_any_of(_SYMBOLS | _SHORT_FORMS.keys())}|mmhg)")
_MMHG = re.compile(r"(?<!\S)mmhg(?!\S)")
_MERCURY = re.compile(rf"(?<!\S)({_NUMBER}) millimet(?:er|re)s? of mercury(?!\S)")
_DIGIT = re.compile("[0-9]").search
# A gram stain is a test, and bacteria are gram positive: `2 gram stains` is no weight.
_NAMED = re.compile(rf"(?<!\S)({_NUMBER}) (?!gram (?:stain|positive|negative))({_any_of(_NAMES)})(?!\S)")
_PER_CENT = re.compile(r"(?<!\S)per cent(?!\S)")
_PER = r" (?:/|per) "
_RATE = re.compile(
    rf"(?<!\S)(?:{_NUMBER}{_PER}{_any_of(_BOTTOMS)}|{_any_of(_TOPS)}{_PER}(?:{_any_of(_BOTTOMS)}|{_NUMBER}))"
    rf"(?:{_PER}(?:{_any_of(_BOTTOMS)}|{_NUMBER}))*(?!\S)"
)
_PER_SPLIT = re.compile(_PER)
_OVER = r" (?:/|over|out of) "
_RATIO = re.compile(rf"(?<!\S){_NUMBER}(?:{_OVER}{_NUMBER})+(?!\S)")
_OVER_SPLIT = re.compile(_OVER)
_IS_NUMBER = re.compile(_NUMBER).fullmatch


def split_glued_unit(token: str) -> tuple[str, ...]:
    """`5mg` -> `5`, `mg`. A token without a unit behind its number (`2nd`, `5ht`) comes back whole."""
    glued = _GLUED.fullmatch(token)
    return (token,) if glued is None else (glued[1], glued[2])


def one_spelling_for_measures(text: str) -> str:
    """`text` (tokens with one space between, a slash as its own token) with units and ratios in one spelling.

    - rates are one token: `10 mg / ml`, `10 milligrams per milliliter` -> `10 mg/ml`;
    - two single digits are a fraction: `1 / 2` -> `1/2`; every other ratio keeps its numbers apart, as
      tokens: `120 / 80`, `120 over 80`, `7 out of 10` -> `120 / 80`, `7 / 10`;
    - a slash that is neither separates words: `and / or` -> `and or`.
    """
    # Each pattern is tried only where it can match: most texts have no measure at all.
    has_slash, has_per = "/" in text, "per " in text
    if "mmhg" in text:
        text = _MMHG.sub("mm hg", text)
    if _DIGIT(text):
        text = _NAMED.sub(_symbol, _MERCURY.sub(r"\1 mm hg", text) if "mercury" in text else text)
    elif not (has_slash or has_per):
        return text
    if has_slash or has_per:
        text = _PER_CENT.sub("percent", text)
        text = _RATE.sub(_rate, text)
    if has_slash or " o" in text:
        text = _without_stray_slashes(_RATIO.sub(_ratio, text))
    return text


def _symbol(found: re.Match[str]) -> str:
    return f"{found[1]} {_NAMES[found[2]]}"


def _rate(found: re.Match[str]) -> str:
    return "/".join(_TOPS.get(part, part) for part in _PER_SPLIT.split(found[0]))


def _ratio(found: re.Match[str]) -> str:
    numbers = _OVER_SPLIT.split(found[0])
    is_fraction = len(numbers) == 2 and all(len(number) == 1 for number in numbers)
    return ("/" if is_fraction else " / ").join(numbers)


def _without_stray_slashes(text: str) -> str:
    words = ["", *text.split(), ""]
    kept = (
        word
        for before, word, after in zip(words, words[1:], words[2:], strict=False)
        if word != "/" or (_IS_NUMBER(before) and _IS_NUMBER(after))
    )
    return " ".join(kept)
