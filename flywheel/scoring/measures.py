"""Units, ratios and ranges in one spelling: `5 milligrams per liter` -> `5 mg/l`, `120/80` -> `120 / 80`.

A unit's name becomes its symbol only directly behind a number or inside a rate, so that `gram stain` and
`a minute later` stay as they are. A rate is made only of units and counts: in `apixaban per day` the drug
must stay a word of its own.

Left alone, as they are read in more than one way: `iu` (letters, or international units), `1:1000` (to,
in), `5-10` without a unit (a range, a date, a suture), `70/30` as `seventy thirty`, `3 x 4 cm` (by, times),
`x3`, `2 wk` (week, weeks), `10e9` (10^9, 10^10), `20 second` (a time, or the 22nd).
"""

import re
from collections.abc import Iterable

__all__ = ["SYMBOL_OF_NAME", "UNIT_SYMBOLS", "is_unit", "one_spelling_for_measures", "ranges_with_to"]

_NUMBER = r"[0-9]+(?:\.[0-9]+)*(?:\^-?[0-9]+)?"

_STEMS = {
    "picogram": "pg",
    "nanogram": "ng",
    "microgram": "mcg",
    "milligram": "mg",
    "gram": "g",
    "kilogram": "kg",
    "femtoliter": "fl",
    "microliter": "mcl",
    "milliliter": "ml",
    "deciliter": "dl",
    "liter": "l",
    "nanometer": "nm",
    "micrometer": "mcm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "picomole": "pmol",
    "nanomole": "nmol",
    "micromole": "mcmol",
    "millimole": "mmol",
    "milliequivalent": "meq",
    "milliosmole": "mosm",
    "milliunit": "mu",
    "kilocalorie": "kcal",
    "kilopascal": "kpa",
    "millivolt": "mv",
    "millisecond": "ms",
    "pound": "lb",
    "ounce": "oz",
    "square meter": "m 2",
    "cubic meter": "m 3",
    "square centimeter": "cm 2",
    "cubic centimeter": "cm 3",
    "cubic millimeter": "mm 3",
    "hour": "h",
    "minute": "min",
}
_SHORT_FORMS = {
    "ug": "mcg",
    "ul": "mcl",
    "umol": "mcmol",
    "u": "units",
    "mgs": "mg",
    "gm": "g",
    "gms": "g",
    "kgs": "kg",
    "mls": "ml",
    "hr": "h",
    "hrs": "h",
    "mins": "min",
    "sec": "s",
    "secs": "s",
    "seconds": "s",
    "msec": "ms",
    "msecs": "ms",
    "lbs": "lb",
    "wks": "weeks",
    "yrs": "years",
    "fr": "french",
    "meter squared": "m 2",
    "meters squared": "m 2",
    "metre squared": "m 2",
    "metres squared": "m 2",
}
_ONLY_IN_RATES = {
    "s": "s",
    "second": "s",
    "d": "day",
    "day": "day",
    "night": "night",
    "week": "week",
    "wk": "week",
    "month": "month",
    "year": "year",
    "mole": "mol",
    "moles": "mol",
    "hpf": "hpf",
}
_SCALES = ("thousand", "million", "billion")  # `4.5 million/mm3`
_COUNT_STEMS = (
    *("beat", "breath", "cell", "drop", "puff", "spray", "actuation", "tablet", "capsule", "vial", "dose"),
    *("time", "unit"),
)
_COUNTS = (
    *_COUNT_STEMS,
    *(f"{stem}s" for stem in _COUNT_STEMS),
    "copies",
    "once",
    "twice",
    "percent",
    *_SCALES,
)
# Behind a number or a range, and not in a rate.
_ONLY_BEHIND_NUMBERS = (
    *("%", "°", "°c", "°f", "per cent", "degrees", "mmhg", "gauge", "french", "fold", "hourly", "am", "pm"),
    *(
        "second",
        "day",
        "days",
        "nights",
        "week",
        "weeks",
        "month",
        "months",
        "year",
        "years",
        "pack",
        "packs",
    ),
    *("pills", "tabs", "caps", "patches", "teaspoons", "tablespoons", "inches", "attempts", "sessions"),
)


def _spellings(stem: str) -> tuple[str, ...]:
    british = stem.replace("liter", "litre").replace("meter", "metre")
    return tuple(dict.fromkeys((stem, f"{stem}s", british, f"{british}s")))


SYMBOL_OF_NAME = {name: symbol for stem, symbol in _STEMS.items() for name in _spellings(stem)} | _SHORT_FORMS
"""The symbol of each name and short form of a unit: `milligrams` -> `mg`."""

UNIT_SYMBOLS = frozenset((*_STEMS.values(), "mol", "mosm", "iu", "miu", "hz", "bpm", "cc", "gtt", "j"))
"""The symbols of units; a power stands apart (`m 2`), as it does where it is said."""

_BOTTOMS = (
    SYMBOL_OF_NAME
    | {symbol: symbol.replace(" ", "") for symbol in UNIT_SYMBOLS}
    | {count: count for count in _COUNT_STEMS}
    | _ONLY_IN_RATES
)
_TOPS = _BOTTOMS | {count: count for count in _COUNTS} | {"x": "times"}


def _any_of(words: Iterable[str]) -> str:
    # Longest first: an alternation takes the first that fits.
    return "(?:" + "|".join(sorted(words, key=lambda word: (-len(word), word))) + ")"


# Columns of mercury and of water, as they are written.
_PRESSURE_UNIT = re.compile(r"(?<!\S)(?:mmhg|mm / hg|(cmh|cm h) 2 o)(?!\S)")
_COLUMN = re.compile(
    rf"(?<!\S)({_NUMBER}) (?:(?:mm|millimet(?:er|re)s?) of mercury|(cm|centimet(?:er|re)s?) of water)(?!\S)"
)
_DIGIT = re.compile("[0-9]").search
# A gram stain is a test, and bacteria are gram positive: `2 gram stains` is no weight. The word is looked up
# rather than spelled out here: trying a hundred names at every number is slow.
_NAMED = re.compile(rf"(?<!\S)({_NUMBER}) (?!gram (?:stain|positive|negative))([a-z]+)(?!\S)")
_NAMED_IN_TWO_WORDS = re.compile(
    rf"(?<!\S)({_NUMBER}) ({_any_of(name for name in SYMBOL_OF_NAME if ' ' in name)})(?!\S)"
)
_GAUGE = re.compile(
    r"(?<!\S)([1-3][0-9]) (?:g|ga)"
    r"(?= (?:needle|cannula|catheter|iv|peripheral|angiocath|venflon|butterfly)s?(?!\S))"
)
_TO_A_POWER = re.compile(
    r"(?<!\S)(?P<times>(?:x|times) )?10 to the (?P<power>power (?:of )?)?(?P<minus>minus )?"
    r"(?P<exponent>[0-9]{1,2}|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)"
    r"(?P<power_behind> power)?(?!\S)(?P<rate>(?= (?:/|per) ))?"
)
_EXPONENT_OF_ORDINAL = {
    ordinal: str(exponent)
    for exponent, ordinal in enumerate(
        ("third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"), 3
    )
}
_TIMES_A_POWER = re.compile(r"(?<=[0-9] )times(?= 10\^)")
_PER_CENT = re.compile(r"(?<!\S)per cent(?!\S)")
_PER = r" (?:/|per) "
_RATE = re.compile(
    rf"(?<!\S)(?:{_NUMBER}{_PER}{_any_of(_BOTTOMS)}|{_any_of(_TOPS)}{_PER}(?:{_any_of(_BOTTOMS)}|{_NUMBER}))"
    rf"(?:{_PER}(?:{_any_of(_BOTTOMS)}|{_NUMBER}))*(?!\S)"
)
# `L4/L5`, `S1/S2`: vertebrae and heart sounds, not 4 per litre; but `x 10^9 / l 140` goes on behind a rate.
_SIDE_BY_SIDE = re.compile(r"(?<!\S)([b-pr-wyz] [0-9]+) / (?=[a-z] [0-9])")
_PER_SPLIT = re.compile(_PER)
_OVER = r" (?:/|over|out of) "
_RATIO = re.compile(rf"(?<!\S){_NUMBER}(?:{_OVER}{_NUMBER})+(?!\S)")
_OVER_SPLIT = re.compile(_OVER)
_IS_NUMBER = re.compile(_NUMBER).fullmatch

_BEHIND_A_NUMBER = frozenset((*SYMBOL_OF_NAME, *UNIT_SYMBOLS, *_COUNTS, *_ONLY_BEHIND_NUMBERS))
_RANGE_UNIT = _any_of(map(re.escape, _BEHIND_A_NUMBER))
_RANGE_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_RANGE = re.compile(
    rf"(?:(?<![^\s(])|(?<=\bq))(?P<low>{_RANGE_NUMBER})(?P<unit> ?{_RANGE_UNIT})?"
    rf"(?P<gap> ?)-(?P=gap)(?P<high>{_RANGE_NUMBER})"
    rf"(?=(?:[ -]?| ?/ ?| per ){_RANGE_UNIT}(?![^\W_]))"
)


def is_unit(word: str) -> bool:
    """Whether `word` is the name or the symbol of a unit or of what is counted, where it follows a number."""
    return word in _BEHIND_A_NUMBER


def ranges_with_to(text: str) -> str:
    """`5-10 mg` -> `5 to 10 mg`, as it is read; `text` in lower case, with `-` for every hyphen and dash.

    Only a rising pair with a unit behind is a range and nothing else: `3-0 silk`, `2020-12`, `l4-5` stay.
    """
    return _RANGE.sub(_range, text) if "-" in text else text


def _range(found: re.Match[str]) -> str:
    low, high = found["low"], found["high"]
    return f"{low}{found['unit'] or ''} to {high}" if float(low) < float(high) else found[0]


def one_spelling_for_measures(text: str) -> str:
    """`text` (tokens with one space between, a slash as its own token) with units and ratios in one spelling.

    - rates are one token: `10 mg / ml`, `10 milligrams per milliliter` -> `10 mg/ml`;
    - two single digits are a fraction: `1 / 2` -> `1/2`; every other ratio keeps its numbers apart, as
      tokens: `120 / 80`, `120 over 80`, `7 out of 10` -> `120 / 80`, `7 / 10`;
    - a slash that is neither separates words: `and / or` -> `and or`.
    """
    # Each pattern is tried only where it can match: most texts have no measure at all.
    has_slash, has_per = "/" in text, "per " in text
    if "hg" in text or "h 2 o" in text:
        text = _PRESSURE_UNIT.sub(_pressure_unit, text)
    if _DIGIT(text):
        text = _behind_numbers(text)
    elif not (has_slash or has_per):
        return text
    if has_slash or has_per:
        text = _PER_CENT.sub("percent", text)
        text = _RATE.sub(_rate, _SIDE_BY_SIDE.sub(r"\1 ", text))
    if has_slash or " o" in text:
        text = _without_stray_slashes(_RATIO.sub(_ratio, text))
    return text


def _behind_numbers(text: str) -> str:
    if "10 to the " in text:
        text = _TO_A_POWER.sub(_power, text)
    if "times 10^" in text:
        text = _TIMES_A_POWER.sub("x", text)
    if " of " in text:
        text = _COLUMN.sub(lambda found: f"{found[1]} {'cm h 2 o' if found[2] else 'mm hg'}", text)
    if " g" in text:
        text = _GAUGE.sub(r"\1 gauge", text)
    if "square" in text or "cubic" in text:
        text = _NAMED_IN_TWO_WORDS.sub(_symbol, text)
    return _NAMED.sub(_symbol, text)


def _pressure_unit(found: re.Match[str]) -> str:
    return "cm h 2 o" if found[1] else "mm hg"


def _power(found: re.Match[str]) -> str:
    # `from 10 to the fifth day`: nothing says that this is a power.
    if not (found["times"] or found["power"] or found["power_behind"] or found["rate"] is not None):
        return found[0]
    exponent = _EXPONENT_OF_ORDINAL.get(found["exponent"], found["exponent"])
    return f"{'x ' if found['times'] else ''}10^{'-' if found['minus'] else ''}{exponent}"


def _symbol(found: re.Match[str]) -> str:
    return f"{found[1]} {SYMBOL_OF_NAME.get(found[2], found[2])}"


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
