"""Normalisers: what a reference and a hypothesis are turned into before they are compared.

Both sides of a comparison go through the same normaliser, and a score carries its name and version. A
change of what a normaliser returns, for any text, is a new version: scores of two versions do not compare.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from flywheel.errors import FlywheelError
from flywheel.scoring.measures import one_spelling_for_measures, ranges_with_to
from flywheel.scoring.spoken_numbers import NUMBER_WORDS, digits_for_number_words, spoken_ordinal

__all__ = ["CLINICAL", "NORMALIZERS", "PUBLISHED", "Normalizer", "normalizer_named"]


@dataclass(frozen=True, slots=True)
class Normalizer:
    """A named, versioned, idempotent function from text to text.

    What it returns has one space between words and none around. The empty text is allowed on both sides.
    """

    name: str
    version: str
    function: Callable[[str], str] = field(repr=False, compare=False)

    def __call__(self, text: str) -> str:
        return self.function(text)

    @property
    def label(self) -> str:
        """Name and version in one, as tables show them: `flywheel_clinical 2`."""
        return f"{self.name} {self.version}"


_PUNCTUATION_BUT_HYPHEN = re.compile(r"[^\w\s-]")


def _published(text: str) -> str:
    # NFKD first: it can bring capitals (the one glyph for degrees Celsius becomes two characters).
    text = unicodedata.normalize("NFKD", text).lower()
    return " ".join(_PUNCTUATION_BUT_HYPHEN.sub("", text).split())


_VULGAR_FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉"
# NFKD writes `2½` as `21/2`, `10⁹` as `109`, and an accent that stands for an apostrophe as a space.
_BEFORE_DECOMPOSITION = str.maketrans(
    {glyph: f" {unicodedata.normalize('NFKD', glyph)} " for glyph in _VULGAR_FRACTIONS}
    | {"\N{ACUTE ACCENT}": "'"}
    # What stands for a degree sign where a keyboard has none.
    | dict.fromkeys("\N{MASCULINE ORDINAL INDICATOR}\N{RING ABOVE}", "°")
)
# Between groups of three digits these separate thousands: nobody keeps two numbers on one line.
_THOUSANDS_SPACE = re.compile(
    "(?<![0-9.,])([0-9]{1,3})"
    "((?:[\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}][0-9]{3})+)(?![0-9])"
)
_SUPERSCRIPT = re.compile(r"(?<=[0-9])[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUPERSCRIPT_PLUS = "⁺"

_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
_FINAL_SIGMA = 0x03C2  # folding case has made it a sigma
_GREEK_LETTERS = [chr(code) for code in range(0x03B1, 0x03CA) if code != _FINAL_SIGMA]
_APOSTROPHES = (
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}"
    "\N{MODIFIER LETTER APOSTROPHE}\N{MODIFIER LETTER PRIME}"
)
# Case-folded letters and signs that NFKD leaves as they are. Dashes between words become spaces.
_AFTER_DECOMPOSITION = str.maketrans(
    {
        **{letter: f" {name} " for letter, name in zip(_GREEK_LETTERS, _GREEK, strict=True)},
        **{"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ħ": "h"},
        **dict.fromkeys(_APOSTROPHES, "'"),
        **dict.fromkeys("\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{MINUS SIGN}", "-"),
        **dict.fromkeys("\N{FRACTION SLASH}\N{DIVISION SLASH}", "/"),
        **{"≤": "<=", "≥": ">=", "±": " plus or minus ", "\N{MULTIPLICATION SIGN}": " x "},
        **{"‰": " per mille ", "\N{DOT OPERATOR}": "*"},
    }
)
_INVISIBLE = frozenset(("Mn", "Me", "Mc", "Cf"))
# Not the letter of `μ-opioid` and its like.
_MICRO_PREFIX = re.compile(r"μ(?=(?:gs?|m|l|mol|moles?|kat|iu|u|s|v)(?![^\W_]))")


def _folded(text: str) -> str:
    """`text` in lower case, without accents and invisible characters, its glyphs spelled out."""
    if text.isascii():
        return text.lower()
    text = _THOUSANDS_SPACE.sub(lambda found: found[1] + re.sub(r"\s", "", found[2]), text)
    text = _SUPERSCRIPT.sub(_exponent, text.translate(_BEFORE_DECOMPOSITION))
    # Twice: folding case can bring letters that decompose further.
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(char for char in text if unicodedata.category(char) not in _INVISIBLE)
    return _MICRO_PREFIX.sub("mc", text).translate(_AFTER_DECOMPOSITION)


def _exponent(found: re.Match[str]) -> str:
    return "^" + unicodedata.normalize("NFKD", found[0].lstrip(_SUPERSCRIPT_PLUS)).replace(
        "\N{MINUS SIGN}", "-"
    )


_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
# `0,5` is no list and no thousands: a decimal as most of Europe writes it.
_DECIMAL_COMMA = re.compile(r"(?<![0-9.,])0,(?=[0-9]+(?![0-9]|[.,][0-9]))")
_DOTTED_LETTERS = re.compile(r"(?<![^\W_])[^\W\d_](?:\.[^\W\d_])+(?![^\W_])")
_INNER_APOSTROPHE = re.compile(r"(?<=[^\W\d_])'(?=[^\W\d_])")
_POWER_OF_UNIT = re.compile(r"(?<=[^\W\d_])\^(?=[0-9])")
# `10*9`, `10 ^ 9`, `10^+9`: ways to write a power without superscripts.
_POWER_OF_TEN = re.compile(r"(?<![0-9.])10(?:\*\*?| ?\^ ?)\+?(?=-?[0-9]{1,2}(?![0-9.]))")
_TIMES_TEN = re.compile(r"(?<=[0-9]) ?[*·] ?(?=10\^)")
_RAISED_POINT = re.compile(r"(?<=[0-9])·(?=[0-9])")


def _without_inner_signs(text: str) -> str:
    """Signs inside numbers and words resolved, before words are told apart.

    `1,000` -> `1000`, `b.i.d.` -> `bid.`, `sjogren's` -> `sjogrens`, `kg/m^2` -> `kg/m2`,
    `5-10 mg` -> `5 to 10 mg`.
    """
    if "," in text:
        text = _DECIMAL_COMMA.sub("0.", text)
        text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    if "." in text[:-1]:
        text = _DOTTED_LETTERS.sub(lambda found: found[0].replace(".", ""), text)
    if "^" in text or "*" in text:
        text = _POWER_OF_TEN.sub("10^", _POWER_OF_UNIT.sub("", text))
        text = _TIMES_TEN.sub(" x ", text)
    if "·" in text:
        text = _RAISED_POINT.sub(".", text)
    if "'" in text:
        text = _INNER_APOSTROPHE.sub("", text)
    return ranges_with_to(text.replace("+/-", " plus or minus "))


# Every character that no alternative takes separates words and is dropped. Letters and digits part: nobody
# hears whether `b12` is one word.
_TOKEN = re.compile(
    r"""
      (?<![^\W_])[0-9]+(?:st|nd|rd|th|s)(?![^\W_])  # `2nd`, `80s`
    | (?:[0-9]+(?:\.[0-9]+)*|(?<![^\W_])\.[0-9]+)(?:\^-?[0-9]+)?
    | [^\W0-9_]+
    | °\s?[cf](?![^\W_]) | [°%&+@/]     # a sign that is read aloud, and the slash
    | [<>]=?(?=\s*\.?[0-9])              # a comparison with a number
    | (?<![^\s(])-(?=\.?[0-9])           # a minus sign; every other hyphen joins words
    """,
    re.VERBOSE,
)
_READ_ALOUD: Mapping[str, str] = {
    "%": "percent",
    "&": "and",
    "+": "plus",
    "@": "at",
    "-": "minus",
    "°": "degrees",
    "°c": "degrees celsius",
    "°f": "degrees fahrenheit",
    "<": "less than",
    ">": "greater than",
    "<=": "less than or equal to",
    ">=": "greater than or equal to",
}


def _words(text: str) -> list[str]:
    """The words of folded text: numbers apart from what is glued to them, signs as they are read aloud."""
    words: list[str] = []
    for token in _TOKEN.findall(text):
        if token in _READ_ALOUD:
            words += _READ_ALOUD[token].split()
        elif token[0] == ".":
            words.append(f"0{token}")
        elif token[0] == "°":
            words += _READ_ALOUD[token[0] + token[-1]].split()
        elif token[-1] in "tdh" and "0" <= token[0] <= "9":
            words += spoken_ordinal(token)
        else:
            words.append(token)
    return words


# Said letter by letter, and written as one word: frequencies and routes, a list that is closed. Other runs of
# letters (`c t scan`) stay apart: where `vitamin b c t` parts, only a dictionary knows.
_SPELLED = ("bid", "tid", "qid", "qd", "qod", "qhs", "qam", "qpm", "prn", "npo", "po", "iv", "pm")
_SPELLED_OUT = re.compile(
    r"(?<!\S)(?:" + "|".join(" ".join(word) for word in sorted(_SPELLED, key=len, reverse=True)) + r")(?!\S)"
    r"|(?<=[0-9] )a m(?!\S)"
)
_FIRST_LETTERS = frozenset(word[0] for word in (*_SPELLED, "am"))
_LAST_LETTERS = frozenset(word[-1] for word in (*_SPELLED, "am"))


# The second plus keeps what was taken: no other way to take it fits, and nothing is tried again.
_IS_PLAIN = re.compile(r"[a-z]++(?: [a-z]++)*+").fullmatch
# Words of letters alone, and the marks behind them: nothing in such a text is read in another way.
_IS_PUNCTUATED = re.compile(r"[a-z]++(?:[,.;:?!]?+ [a-z]++)*+[,.;:?!]?").fullmatch
_MARKS_TO_SPACES = str.maketrans(",.;:?!", "      ")
_REWRITTEN_WORDS = NUMBER_WORDS | {"per", "mmhg"}
# No text we tried changes after the second pass; the limit keeps a surprise from looping for ever.
_MAX_PASSES = 8


def _clinical(text: str) -> str:
    # A rewriting can bring words together that are themselves rewritten (a slash between them is
    # dropped, say), so it is repeated until nothing changes: that is what makes it idempotent.
    for _ in range(_MAX_PASSES):
        if _is_settled(text):
            break
        before, text = text, _rewritten(text)
        if text == before:
            break
    return text


def _is_settled(text: str) -> bool:
    """True where no rule can apply. Most hypotheses are of this kind: it is the short cut."""
    if not text:
        return True
    if _IS_PLAIN(text) is None:
        return False
    words = text.split()
    return _REWRITTEN_WORDS.isdisjoint(words) and not _may_spell(words)


def _may_spell(words: Sequence[str]) -> bool:
    return not (_LAST_LETTERS.isdisjoint(words) or _FIRST_LETTERS.isdisjoint(words))


def _rewritten(text: str) -> str:
    text = _folded(text)
    if _IS_PUNCTUATED(text) is not None:
        found = text.translate(_MARKS_TO_SPACES).split()  # the short cut for most that recognisers write
    else:
        found = _words(_without_inner_signs(text))
    words = digits_for_number_words(found)
    text = " ".join(words)
    if _may_spell(words):
        text = _SPELLED_OUT.sub(lambda found: found[0].replace(" ", ""), text)
    return one_spelling_for_measures(text)


PUBLISHED = Normalizer("published_clinical", "1", _published)
"""That of the published recipe, faults included, so that figures compare: decompose (NFKD), lower case,
delete everything but letters, digits, `_`, `-` and white space, collapse white space. `0.5 mg` -> `05 mg`."""

CLINICAL = Normalizer("flywheel_clinical", "2", _clinical)
"""Ours, for English clinical speech: a difference that a listener could not hear is no error, and no value
changes. `tests/flywheel/scoring/test_normalizers.py` is its table of cases.

- Lower case, no accents, no apostrophes inside words, hyphens join nothing: `Sjögren's` -> `sjogrens`,
  `co-trimoxazole` -> `co trimoxazole`. `oh` and `o` stay words.
- Letters and digits part: `B12`, `b twelve` -> `b 12`; `q6h` -> `q 6 h`; `8am` -> `8 am`.
- Numbers keep their value: `0.5`, `.5`, `0·5`, `0,5` -> `0.5`; `1,000` -> `1000`; `2½` -> `2 1/2`; `10⁹`,
  `10*9`, `ten to the power of nine` -> `10^9`.
- Number words become digits where they have one reading, and ordinals in digits words: see `spoken_numbers`.
- Units, ratios and ranges have one spelling (`5-10 mg` -> `5 to 10 mg`): see `measures`.
- Signs are written as they are read aloud: `%` percent, `+` plus, `°C` degrees celsius, `≥ 5` greater
  than or equal to 5, `µg` mcg, `β` beta.
- Frequencies and routes that are said letter by letter are one word: `b.i.d.`, `b i d` -> `bid`.

What has two readings stays: Roman numerals (`type ii`), `iu`, `1:1000`, `37 c`, `x3`, `70/30`, dates, times
with a nought (`10:05`, `ten oh five`), `march 3`, `a third`, `one fifty`, `twenty second`, other words said
letter by letter (`c t`, `h b a`), a point glued behind a word (`rx.5`).
No spelling, contraction or abbreviation is expanded: those are differences that the page should show.

Version 2: letters part from digits, ranges have their `to`, and about thirty more ways of writing what sounds
alike (units, powers, decimals, fractions, ordinals) meet. `0·5 mg`, `pH7.4` and `–5 °C` keep their value,
which version 1 lost.
"""

NORMALIZERS: Mapping[str, Normalizer] = MappingProxyType({n.name: n for n in (PUBLISHED, CLINICAL)})


def normalizer_named(name: str) -> Normalizer:
    """The normaliser of that name; raises `FlywheelError` listing the names there are."""
    try:
        return NORMALIZERS[name]
    except KeyError:
        raise FlywheelError(f"normalizer: found {name!r}, allowed: {', '.join(NORMALIZERS)}") from None
