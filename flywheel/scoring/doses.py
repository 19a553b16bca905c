"""Quantities in a pair of texts: how many of the reference's were heard, and how the others went wrong.

To a WER `0.5 mg` for `5 mg` is one word error like others; to a patient it is ten times too little. So
quantities are counted by themselves. Both texts must have been through `CLINICAL`, which brings what is said
(`zero point five milligrams`, `one twenty over eighty`) and what is written (`0.5 mg`, `120/80`) together.

A quantity is a value and the unit behind it:

- a number: `5`, `0.5`, `minus 5`, `1/2`, `2 1/2`, `10^9`, `5.2 x 10^9`; of several numbers, a ratio
  (`120 / 80`), a range (`5 to 10 mg`) and a strength (`250 mg/5 ml`) are one quantity;
- a unit: `mg`, `mg/kg`, `percent`, `degrees celsius`, `mm hg`, `units`, `tablets`, `days`, `times/day`.
  A word that is no known unit leaves the quantity without one: `5 stitches` is a bare 5.
- three words that say as much: `twice daily` (2 times/day), `once a week`, `half a tablet` (1/2 tablet).

Two quantities are equal where they amount to the same: `1.0 mg` and `1 mg`, `1 tablet` and `1 tablets`,
`1 g` and `1000 mg`, `half an hour` and `30 min`, `3 times a day` and `3 times/day`, `5 iu` and `5 units`.

A bare number is a quantity (`potassium 4`, `at 7`, `72` in a list), but not

- behind a word or a single letter that makes it a name: `type 2`, `stage 3`, `bed 4`, `covid 19`, `b 12`,
  `l 4`, `t 12 l 1`; nor in front of one: `5 fu`, `2 d`. A decimal is never a name: `k 4.5` is one;
- as a date: `march 3`, `3 march`, `in 2020`, `12 / 31 / 2020`, and in front of an ordinal (`20 first`);
- when it is 1: `one` is a pronoun more often than a number (`no one`, `the other one`).

Counted more harshly than a listener would: a ratio or range whose joining word is lost (`120 80`) and a
hundred that is swallowed (`one fifty milligrams`, which could be one of 50) are a wrong value, and what is
left over is invented; `1 or 2` is another quantity than `1 to 2`.

Not covered: `potassium 1` (a bare 1); `hba1c 7` and `vitamin k 10` (behind a letter, no unit); bare numbers
behind names that are not listed (`parkrun 5`), which count; times of day (`10 30` is two bare numbers);
comparisons (`less than 5` is 5); Roman numerals; Latin frequencies (`bid`, `qds`); `daily` behind a dose;
`double`, `a dozen`, `a hundred` by itself; numbers of more than 18 digits; degrees of two scales; and which
drug a dose belongs to: quantities are matched in their order, whatever the words between them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from flywheel.scoring.measures import SYMBOL_OF_NAME, UNIT_SYMBOLS

__all__ = ["NO_DOSES", "DoseErrors", "Quantity", "dose_errors", "quantities_in"]


class DoseErrors(NamedTuple):
    """What became of the quantities of a reference. Those neither wrong nor missing were heard right.

    A quantity with a wrong value *and* a wrong unit counts once, as a wrong value: the number is what is
    drawn up, and whether a unit is right can only be said of a number that is.

    Args:
        quantities: how many the reference has.
        wrong_value: those heard with another value.
        tenfold: those of `wrong_value` whose every wrong number is off by a power of ten (0.5 for 5).
        wrong_unit: those heard with their value and another unit or none (mg for mcg).
        missing: those that nothing in the hypothesis stands for.
        invented: quantities of the hypothesis that stand for none of the reference's.
    """

    quantities: int
    wrong_value: int
    tenfold: int
    wrong_unit: int
    missing: int
    invented: int


NO_DOSES = DoseErrors(0, 0, 0, 0, 0, 0)
"""The errors of a pair without any quantity."""


class Quantity(NamedTuple):
    """A value and its unit, each in one spelling.

    Args:
        values: the number; two or more of a ratio or a range.
        joined: what stands between the values: `/` or `to`; empty for a single one.
        unit: empty where there is none.
        per: the numbers inside a unit: the 5 of `250 mg/5 ml`.
    """

    values: tuple[Decimal, ...]
    joined: str
    unit: str
    per: tuple[Decimal, ...]


def dose_errors(reference: str, hypothesis: str) -> DoseErrors:
    """The errors on the reference's quantities; both texts normalised by `CLINICAL`.

    Quantities are matched in order, at the least cost: a quantity is paired with one that shares its value
    or its unit rather than with one that shares neither, and with any rather than with none.
    """
    wanted = quantities_in(reference)
    if reference == hypothesis:
        return DoseErrors(len(wanted), 0, 0, 0, 0, 0) if wanted else NO_DOSES
    heard = quantities_in(hypothesis)
    if not (wanted or heard):
        return NO_DOSES
    if wanted == heard:
        return DoseErrors(len(wanted), 0, 0, 0, 0, 0)
    return DoseErrors(len(wanted), *_least_errors(wanted, heard))


_COUNTED = (
    *("tablet", "capsule", "pill", "drop", "puff", "spray", "dose", "time", "unit", "vial", "sachet"),
    *("ampoule", "teaspoon", "tablespoon", "actuation", "lozenge", "injection", "beat", "breath", "cell"),
    *("day", "night", "week", "month", "year", "degree", "pack", "joule"),
)
_AS_IT_STANDS = (
    *("thousand", "million", "billion", "percent", "fold", "gauge", "french", "hpf"),
    *("mm hg", "cm h 2 o"),
)
# What a unit is called in a quantity. Other words for the same unit are the WER's affair.
_UNIT_OF_WORDS: Mapping[str, str] = {
    **SYMBOL_OF_NAME,
    **{spelling: symbol for symbol in UNIT_SYMBOLS for spelling in (symbol, symbol.replace(" ", ""))},
    **{plural: word for word in _COUNTED for plural in (word, f"{word}s")},
    **{"copies": "copy", "patch": "patch", "patches": "patch", "inch": "inch", "inches": "inch"},
    **{unit: unit for unit in _AS_IT_STANDS},
    **{"degrees celsius": "celsius", "degrees centigrade": "celsius", "degrees fahrenheit": "fahrenheit"},
    **{"iu": "unit", "international unit": "unit", "international units": "unit"},
    **{"cc": "ml", "bpm": "beat/min", "kilo": "kg", "kilos": "kg"},
    **{"tab": "tablet", "tabs": "tablet", "cap": "capsule", "caps": "capsule"},
    **{"s": "s", "second": "s", "seconds": "s"},
}
_PERIODS = ("h", "hour", "min", "minute", "day", "night", "week", "month", "year")
_EVERY = {
    **{"hourly": "h", "daily": "day", "nightly": "night", "weekly": "week"},
    **{"monthly": "month", "yearly": "year"},
}
_PERIOD_OF_WORD = {**{word: _UNIT_OF_WORDS[word] for word in _PERIODS}, **_EVERY}
# How much of the base unit each of these is.
_IN_BASE_UNITS: Mapping[str, tuple[str, Decimal]] = {
    unit: (base, Decimal(factor))
    for base, factors in {
        "g": {"pg": "1e-12", "ng": "1e-9", "mcg": "1e-6", "mg": "1e-3", "kg": "1e3"},
        "l": {"fl": "1e-15", "mcl": "1e-6", "ml": "1e-3", "dl": "1e-1"},
        "m": {"nm": "1e-9", "mcm": "1e-6", "mm": "1e-3", "cm": "1e-2"},
        "mol": {"pmol": "1e-12", "nmol": "1e-9", "mcmol": "1e-6", "mmol": "1e-3"},
        "s": {"ms": "1e-3", "min": "60", "h": "3600", "day": "86400", "week": "604800"},
    }.items()
    for unit, factor in factors.items()
}

_NAME_BEFORE = frozenset(
    (
        *("type", "stage", "grade", "class", "phase", "group", "category", "zone", "tier", "step", "factor"),
        *("vitamin", "omega", "alpha", "beta", "gamma", "number", "no", "figure", "table", "page"),
        *("bed", "beds", "room", "bay", "ward", "floor", "lead", "leads", "question", "visit", "case"),
        *("cycle", "day", "week", "covid", "interleukin", "il", "cd", "ca", "cyp", "cox", "her", "brca"),
        *("hpv", "hsv", "pcv", "glp", "sglt", "dpp", "spo", "sao", "pao", "paco", "fio", "co", "hco", "hba"),
    )
)
_NAME_BEHIND = frozenset(
    (
        *("fu", "ht", "asa", "mp", "d", "pd", "fluorouracil", "mercaptopurine", "hydroxytryptamine"),
        *("first", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    )
)
_MONTHS = frozenset(
    (
        *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
        *("october", "november", "december"),
    )
)
# `a 7`, `x 3` and `q 6 h` name nothing.
_LETTERS_THAT_NAME_NOTHING = ("a", "q", "x")
_YEAR = re.compile("(?:19|20)[0-9]{2}").fullmatch
_BEFORE_A_YEAR = frozenset(("in", "since", "until", "from", "year", "of", *_MONTHS))


def _any_of(words: Iterable[str]) -> str:
    return "(?:" + "|".join(map(re.escape, sorted(words, key=lambda word: (-len(word), word)))) + ")"


# 18 digits hold any dose; longer runs are what a recogniser stutters.
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?(?![0-9.^])"
_UNIT_WORDS = _any_of(_UNIT_OF_WORDS)
_EVERY_WORDS = r"(?:an?|each|every|per)"
_QUANTITY = re.compile(
    rf"""(?<!\S)(?:
        (?P<minus>minus\ )?
        (?:
            (?P<ratio>{_NUMBER}(?:\ /\ {_NUMBER})+)
          | (?:(?P<whole>[0-9]{{1,9}})\ )?(?P<top>[0-9])/(?P<bottom>[1-9])(?![0-9.^])
          | (?:(?P<number>{_NUMBER})\ x\ )?10\^(?P<power>-?[0-9]{{1,3}})(?![0-9])
          | (?P<plain>{_NUMBER})
        )
        (?:
            \ (?:times?|x)\ (?:{_EVERY_WORDS}\ )?(?P<every>{_any_of(_PERIOD_OF_WORD)})
          | (?P<unit>[ /]{_UNIT_WORDS}(?:/(?:{_NUMBER}\ )?{_UNIT_WORDS})*)
            (?:\ {_EVERY_WORDS}\ (?P<period>{_any_of(_PERIODS)}))?
        )?
      | (?P<often>once|twice)(?:/|\ (?:{_EVERY_WORDS}\ )?)(?P<often_in>{_any_of(_PERIOD_OF_WORD)})
      | half\ (?:an?\ )?(?P<half_of>{_UNIT_WORDS})
    )(?!\S)""",
    re.VERBOSE,
)
_DIGIT = re.compile("[0-9]").search


def quantities_in(text: str) -> tuple[Quantity, ...]:
    """The quantities of a text normalised by `CLINICAL`, in their order."""
    # Most texts have none: they must cost next to nothing.
    if not (_DIGIT(text) or "twice" in text or "once" in text or "half" in text):
        return ()
    return _quantities(text)


# Voices and noise levels share their sentences, so that most references are met many times.
@lru_cache(maxsize=4096)
def _quantities(text: str) -> tuple[Quantity, ...]:
    found: list[tuple[int, int, Quantity]] = []
    for match in _QUANTITY.finditer(text):
        start, end, quantity = *match.span(), _quantity(match)
        if found and text[found[-1][1] : start] == " to " and (joined := _as_range(found[-1][2], quantity)):
            start, quantity = found.pop()[0], joined
        found.append((start, end, quantity))
    kept: list[Quantity] = []
    end_of_kept = 0
    for start, end, quantity in found:
        # The letter in front can be the unit of the quantity before: `1 g 3 times`.
        before = text[end_of_kept:start].rsplit(maxsplit=2)
        if not _is_name(text[start:end], before, text[end:].split(maxsplit=1), quantity.unit):
            kept.append(quantity)
            end_of_kept = end
    return tuple(kept)


def _quantity(match: re.Match[str]) -> Quantity:
    if often := match["often"]:
        return _single(Decimal(2 if often == "twice" else 1), f"time/{_PERIOD_OF_WORD[match['often_in']]}")
    if half_of := match["half_of"]:
        return _single(Decimal("0.5"), _UNIT_OF_WORDS[half_of])
    first, *others = _values(match)
    values = (-first if match["minus"] else first, *others)
    joined = "/" if others else ""
    if every := match["every"]:
        return Quantity(values, joined, f"time/{_PERIOD_OF_WORD[every]}", ())
    if match["unit"] is None:
        return Quantity(values, joined, "", ())
    unit, per = _unit(match["unit"])
    if period := match["period"]:
        unit = f"{unit}/{_PERIOD_OF_WORD[period]}"
    return Quantity(values, joined, unit, per)


def _single(value: Decimal, unit: str) -> Quantity:
    return Quantity((value,), "", unit, ())


def _values(match: re.Match[str]) -> list[Decimal]:
    if ratio := match["ratio"]:
        return [Decimal(number) for number in ratio.split(" / ")]
    if plain := match["plain"]:
        return [Decimal(plain)]
    if power := match["power"]:
        return [Decimal(match["number"] or 1).scaleb(int(power))]
    return [Decimal(match["whole"] or 0) + Decimal(match["top"]) / Decimal(match["bottom"])]


@lru_cache(maxsize=1024)
def _unit(text: str) -> tuple[str, tuple[Decimal, ...]]:
    """The unit in one spelling and the numbers in it: ` mg/5 ml` -> `mg/ml`, 5."""
    parts, per = [], []
    for part in text.lstrip(" ").split("/"):
        head, _, tail = part.partition(" ")
        if tail and _DIGIT(head):
            per.append(Decimal(head))
            part = tail
        parts.append(_UNIT_OF_WORDS[part] if part else "")
    return "/".join(parts), tuple(per)


def _as_range(low: Quantity, high: Quantity) -> Quantity | None:
    """`5` and `10 mg`, or `5 mg` and `10 mg`, as one quantity; None where they are no range."""
    if low.joined or high.joined or low.unit not in ("", high.unit) or low.per not in ((), high.per):
        return None
    return high._replace(values=low.values + high.values, joined="to")


def _is_name(number: str, words_before: Sequence[str], words_behind: Sequence[str], unit: str) -> bool:
    """Whether `number` (with its unit, if any) is (part of) a name, a date or a pronoun."""
    *_, second_before, before = ("", "", *words_before)
    behind = words_behind[0] if words_behind else ""
    letter = len(before) == 1 and before.isalpha() and before not in _LETTERS_THAT_NAME_NOTHING
    if unit:
        # The 12 of `t 12 l 1` is no volume; that of `vitamin c 1 g 3 times daily` is a weight.
        return letter and len(unit) == 1 and behind.isdigit() and second_before != "vitamin"
    if number == "1" or before in _MONTHS or behind in _MONTHS:
        return True
    if _YEAR(number.rpartition(" ")[2]) and ("/" in number or before in _BEFORE_A_YEAR):
        return True
    if "." in number or number.startswith("minus"):
        return False
    return letter or before in _NAME_BEFORE or behind in _NAME_BEHIND


# cost, then the fields of `DoseErrors` behind `quantities`
_Errors = tuple[int, int, int, int, int]
_Cost = tuple[int, int, int, int, int, int]


# Missing and invented together cost 8: any pair is cheaper. A wrong unit costs 4, and so does a point in the
# wrong place; another value costs 5. Where the unit is wrong too, 2 more.
_LEFT_OUT = 4
_MISSING: _Cost = (_LEFT_OUT, 0, 0, 0, 1, 0)
_INVENTED: _Cost = (_LEFT_OUT, 0, 0, 0, 0, 1)
_RIGHT: _Cost = (0, 0, 0, 0, 0, 0)
_WRONG_UNIT: _Cost = (4, 0, 0, 1, 0, 0)


def _least_errors(wanted: Sequence[Quantity], heard: Sequence[Quantity]) -> _Errors:
    """The errors of the cheapest alignment in order.

    Of those that cost the same the one with fewest wrong values counts, then with fewest tenfold ones, and so
    on: so that nothing depends on which side is called the reference.
    """
    row = [(column * _LEFT_OUT, 0, 0, 0, 0, column) for column in range(len(heard) + 1)]
    for want in wanted:
        above, row = row, [_plus(row[0], _MISSING)]
        for column, hear in enumerate(heard):
            row.append(
                min(
                    _plus(above[column], _pairing(want, hear)),
                    _plus(above[column + 1], _MISSING),
                    _plus(row[column], _INVENTED),
                )
            )
    return row[-1][1:]


def _plus(one: _Cost, other: _Cost) -> _Cost:
    return (
        one[0] + other[0],
        one[1] + other[1],
        one[2] + other[2],
        one[3] + other[3],
        one[4] + other[4],
        one[5] + other[5],
    )


def _pairing(want: Quantity, hear: Quantity) -> _Cost:
    if _amount(want) == _amount(hear):
        return _RIGHT
    of_one_unit = want.unit == hear.unit
    # The numbers inside two different units (`mg/5 ml`, `mg`) do not compare.
    is_value_right = want[:2] == hear[:2] and (not of_one_unit or want.per == hear.per)
    if is_value_right:
        return _WRONG_UNIT
    tenfold = _is_tenfold(want, hear)
    return (4 + (not tenfold) + 2 * (not of_one_unit), 1, int(tenfold), 0, 0, 0)


def _amount(quantity: Quantity) -> Quantity:
    """The same amount in base units: `5 mg/kg` -> `0.005 g/kg`."""
    top, slash, rest = quantity.unit.partition("/")
    if top not in _IN_BASE_UNITS:
        return quantity
    base, factor = _IN_BASE_UNITS[top]
    return quantity._replace(
        values=tuple(value * factor for value in quantity.values), unit=base + slash + rest
    )


def _is_tenfold(want: Quantity, hear: Quantity) -> bool:
    if want.joined != hear.joined or len(want.values) != len(hear.values):
        return False
    pairs = [*zip(want.values, hear.values, strict=True)]
    if want.unit == hear.unit and len(want.per) == len(hear.per):
        pairs += zip(want.per, hear.per, strict=True)
    return all(one.normalize().as_tuple()[:2] == other.normalize().as_tuple()[:2] for one, other in pairs)
