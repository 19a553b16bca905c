"""Cardinal numbers written as words, turned into digits: `twenty five` -> `25`, `zero point five` -> `0.5`.

Only what has one reading is turned:

- a cardinal below 10**12 by the rules of English, with or without `and` (`one hundred and twenty`), also
  behind digits (`5 million`); with `a` for one where more of the number or a unit follows (`a hundred and
  twenty`, `a thousand units`);
- a decimal, where `point` stands between numbers, or in front of a number with a unit and behind no word
  that makes it a noun (`point five milligrams`, but not `at that point five milligrams`); behind `point`,
  `oh` is a nought (`zero point oh five` -> `0.05`);
- a blood pressure as it is said, `one twenty over eighty`, `one oh five over sixty`: nobody means 1 and 20
  in front of `over`;
- `one half`, `two and a half`, quarters and two thirds, as ratios (`1 / 2`);
- an ordinal in digits becomes the word: `2nd` -> `second`, `21st` -> `20 first`, as `twenty first` does.

Left alone: ordinals as words (`second` is also a time, `a third` an ordinal), every other `oh` (a word, and
a digit only to some speakers), `a hundred` by itself, `half a tablet`, `point five` without a unit,
`one fifty` (150, or one of 50), and runs of digits (`five five five` is `5 5 5`: joining them would be a
guess).
"""

from collections.abc import Sequence

from flywheel.scoring.measures import is_unit

__all__ = ["NUMBER_WORDS", "digits_for_number_words", "spoken_ordinal"]

_ONES = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
}
_TEENS = {
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
}
_TENS = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}

NUMBER_WORDS = frozenset((*_ONES, *_TEENS, *_TENS, "hundred", *_SCALES))
_NOUGHTS = ("oh", "o")
# `at that point five patients left`, `melting point`: behind these a point is no decimal's.
_BEFORE_THE_NOUN = frozenset(
    (
        *(
            "that",
            "this",
            "the",
            "a",
            "one",
            "1",
            "each",
            "every",
            "some",
            "any",
            "which",
            "what",
            "no",
            "my",
        ),
        *("his", "her", "our", "your", "their", "its", "end", "set", "time", "trigger", "pressure", "entry"),
        *("starting", "turning", "melting", "boiling", "freezing", "cut", "care", "mid", "pain", "tender"),
        *("whole", "same", "first", "second", "third", "last", "next", "another", "other", "main", "focal"),
    )
)
_PARTS = {
    **{("1", "half"): ("1", "2"), ("a", "half"): ("1", "2")},
    **{("1", "quarter"): ("1", "4"), ("a", "quarter"): ("1", "4")},
    **{("3", "quarters"): ("3", "4"), ("2", "thirds"): ("2", "3")},
}
_PART_WORDS = frozenset(part for _, part in _PARTS)
_ORDINALS_BELOW_TWENTY = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    *("eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
    *("eighteenth", "nineteenth"),
)

# What is read, and the index of the word behind it.
_Reading = tuple[int, int]


def digits_for_number_words(words: Sequence[str]) -> list[str]:
    """`words` (lower case, no punctuation) with each cardinal or decimal in words as one token of digits."""
    if not NUMBER_WORDS.isdisjoint(words) or "point" in words:
        words = _with_digits(words)
    return list(words) if _PART_WORDS.isdisjoint(words) else _with_parts(words)


def _with_digits(words: Sequence[str]) -> list[str]:
    # The parsers look at most three words ahead; the padding spares them the bounds.
    padded = [*words, "", "", "", ""]
    result: list[str] = []
    at = 0
    while at < len(words):
        reading = _pressure(padded, at) or _cardinal(padded, at) or _with_a_for_one(padded, at)
        if reading is not None:
            token, at = str(reading[0]), reading[1]
        elif padded[at] == "point" and (bare := _fraction_without_nought(padded, at)):
            token, at = bare
        else:
            token, at = padded[at], at + 1
        if padded[at] == "point" and _is_integer(token):
            fraction, after = _fraction(padded, at + 1)
            if fraction:
                token, at = f"{token}.{fraction}", after
        result.append(token)
    return result


def _with_parts(words: Sequence[str]) -> list[str]:
    result: list[str] = []
    for word in words:
        part = _PARTS.get((result[-1], word)) if result else None
        # `a half` says a number only behind one: `2 and a half`.
        behind_number = len(result) > 2 and result[-2] == "and" and _is_integer(result[-3])
        if part is None or (result[-1] == "a" and not behind_number):
            result.append(word)
            continue
        result[-2 if behind_number else -1 :] = [part[0], "/", part[1]]
    return result


def spoken_ordinal(token: str) -> list[str]:
    """`3rd` -> `third`, `21st` -> `20 first`; an ordinal above 99 or with a wrong ending comes back whole."""
    number = int(token[:-2]) if len(token) <= 4 else 0
    tens, ones = divmod(number, 10)
    if not number or token[-2:] != _suffix(number):
        return [token]
    if number < 20:
        return [_ORDINALS_BELOW_TWENTY[number - 1]]
    if not ones:
        return [f"{list(_TENS)[tens - 2][:-1]}ieth"]
    return [str(tens * 10), _ORDINALS_BELOW_TWENTY[ones - 1]]


def _suffix(number: int) -> str:
    return "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _is_integer(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _below_hundred(words: Sequence[str], at: int) -> _Reading | None:
    word = words[at]
    if word in _TENS:
        ones = _ONES.get(words[at + 1], 0)
        return _TENS[word] + ones, at + (2 if ones else 1)
    value = _TEENS.get(word, _ONES.get(word))
    return None if value is None else (value, at + 1)


def _below_thousand(words: Sequence[str], at: int) -> _Reading | None:
    head = _below_hundred(words, at)
    if head is None:
        return _digits_before_scale(words, at)
    return _with_hundreds(words, *head)


def _digits_before_scale(words: Sequence[str], at: int) -> _Reading | None:
    if not _is_integer(words[at]) or len(words[at]) > 3:
        return None
    value, after = int(words[at]), at + 1
    if words[after] == "hundred" and 0 < value < 100:
        return _with_hundreds(words, value, after)
    return (value, after) if words[after] in _SCALES and value else None


def _with_hundreds(words: Sequence[str], value: int, at: int) -> _Reading:
    if words[at] != "hundred" or not value:
        return value, at
    value, at = value * 100, at + 1
    rest = _below_hundred(words, at + (words[at] == "and"))
    # `one hundred and two hundred` are two numbers.
    if rest is None or not rest[0] or words[rest[1]] == "hundred":
        return value, at
    return value + rest[0], rest[1]


def _cardinal(words: Sequence[str], at: int) -> _Reading | None:
    group = _below_thousand(words, at)
    if group is None:
        return None
    total, limit = 0, 10**12
    while True:
        value, at = group
        scale = _SCALES.get(words[at], limit)
        if scale >= limit or not value:
            return total + value, at
        total, limit, at = total + value * scale, scale, at + 1
        group = _below_thousand(words, at + (words[at] == "and"))
        # `one thousand two thousand` are two numbers.
        if group is None or not group[0] or _SCALES.get(words[group[1]], 0) >= limit:
            return total, at


def _with_a_for_one(words: Sequence[str], at: int) -> _Reading | None:
    scale = words[at + 1]
    if words[at] != "a" or not (scale == "hundred" or scale in _SCALES) or (at and words[at - 1] == "half"):
        return None
    reading = _cardinal((*words[:at], "one", *words[at + 1 :]), at)
    if reading is None:
        return None
    says_more = reading[1] > at + 2 or is_unit(words[reading[1]])
    return reading if says_more else None


def _pressure(words: Sequence[str], at: int) -> _Reading | None:
    hundreds = _ONES.get(words[at])
    if not hundreds:
        return None
    if words[at + 1] in _NOUGHTS:
        ones = _ONES.get(words[at + 2])
        rest = (ones, at + 3) if ones else None
    else:
        rest = _below_hundred(words, at + 1)
        rest = rest if rest and rest[0] >= 10 else None
    if rest is None or words[rest[1]] != "over":
        return None
    diastolic = words[rest[1] + 1]
    if not (_is_integer(diastolic) or diastolic in NUMBER_WORDS):
        return None
    return hundreds * 100 + rest[0], rest[1]


def _fraction_without_nought(words: Sequence[str], at: int) -> tuple[str, int] | None:
    if at and words[at - 1] in _BEFORE_THE_NOUN:
        return None
    fraction, after = _fraction(words, at + 1)
    return (f"0.{fraction}", after) if fraction and is_unit(words[after]) else None


def _fraction(words: Sequence[str], at: int) -> tuple[str, int]:
    digits = ""
    while words[at] in _ONES or (words[at] in _NOUGHTS and _is_digit(words[at + 1])):
        digits, at = digits + str(_ONES.get(words[at], 0)), at + 1
    if digits and _is_integer(words[at]) and not digits.strip("0"):
        # `oh 5`: the nought was a word, the rest digits already.
        return digits + words[at], at + 1
    if digits:
        return digits, at
    if _is_integer(words[at]):
        return words[at], at + 1
    spoken = _below_hundred(words, at)
    return (str(spoken[0]), spoken[1]) if spoken else ("", at)


def _is_digit(word: str) -> bool:
    return word in _ONES or word in _NOUGHTS or (len(word) == 1 and _is_integer(word))
