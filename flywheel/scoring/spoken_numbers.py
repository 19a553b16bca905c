"""Cardinal numbers written as words, turned into digits: `twenty five` -> `25`, `zero point five` -> `0.5`.

Only what has one reading is turned:

- a cardinal below 10**12 by the rules of English, with or without `and` (`one hundred and twenty`), also
  behind digits (`5 million`);
- a decimal, where `point` stands between numbers;
- a blood pressure as it is said, `one twenty over eighty`: nobody means 1 and 20 in front of `over`.

Left alone: ordinals (`second` is also a time), `oh` (a word, and a digit only to some speakers), `a
hundred`, `half`, and runs of digits (`five five five` is `5 5 5`: joining them would be a guess).
"""

from collections.abc import Sequence

__all__ = ["NUMBER_WORDS", "digits_for_number_words"]

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

# What is read, and the index of the word behind it.
_Reading = tuple[int, int]


def digits_for_number_words(words: Sequence[str]) -> list[str]:
    """`words` (lower case, no punctuation) with each cardinal or decimal in words as one token of digits."""
    if NUMBER_WORDS.isdisjoint(words) and "point" not in words:
        return list(words)
    # The parsers look at most three words ahead; the padding spares them the bounds.
    padded = [*words, "", "", "", ""]
    result: list[str] = []
    at = 0
    while at < len(words):
        reading = _pressure(padded, at) or _cardinal(padded, at)
        if reading is not None:
            token, at = str(reading[0]), reading[1]
        else:
            token, at = padded[at], at + 1
        if padded[at] == "point" and _is_integer(token):
            fraction, after = _fraction(padded, at + 1)
            if fraction:
                token, at = f"{token}.{fraction}", after
        result.append(token)
    return result


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


def _pressure(words: Sequence[str], at: int) -> _Reading | None:
    hundreds = _ONES.get(words[at])
    rest = _below_hundred(words, at + 1) if hundreds else None
    if hundreds is None or rest is None or rest[0] < 10 or words[rest[1]] != "over":
        return None
    diastolic = words[rest[1] + 1]
    if not (_is_integer(diastolic) or diastolic in NUMBER_WORDS):
        return None
    return hundreds * 100 + rest[0], rest[1]


def _fraction(words: Sequence[str], at: int) -> tuple[str, int]:
    digits = ""
    while words[at] in _ONES:
        digits, at = digits + str(_ONES[words[at]]), at + 1
    if digits:
        return digits, at
    if _is_integer(words[at]):
        return words[at], at + 1
    spoken = _below_hundred(words, at)
    return (str(spoken[0]), spoken[1]) if spoken else ("", at)
