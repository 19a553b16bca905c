"""What Merriam-Webster's medical dictionary says of words, out of the answers of its JSON API.

An answer is a JSON list: of entries; or, where the words are not found, of suggestions (strings), or of nothing. The
format is described at https://dictionaryapi.com/products/json. This module asks nobody; `LookUp` does.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from flywheel.errors import FlywheelError
from flywheel.pronunciation.respelling import RespellingError, read_respelling, whole_variants

__all__ = ["DictionaryOutage", "LookUp", "Said", "respellings_of", "said_of"]

LookUp: TypeAlias = Callable[[str], Sequence[Any]]
"""The answer for some words, one space between them; `DictionaryOutage` where there is none to be had now."""


class DictionaryOutage(FlywheelError):
    """The dictionary does not answer. Nothing is known of the words, which is not the same as their being unknown."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the dictionary says of a term.

    Args:
        ipa: its pronunciation, or None.
        note: why there is none, or what is to be known of it; or empty.
        unknown: the glyphs, with their names, for which the pronunciation could not be read.
    """

    ipa: str | None
    note: str = ""
    unknown: tuple[str, ...] = ()


def said_of(term: str, look_up: LookUp) -> Said:
    """The pronunciation of the whole term, or else of each of its words; all of them or none.

    Raises what `look_up` raises.
    """
    whole = _of_entry(term, look_up(term))
    words = term.split(" ")
    if whole.ipa is not None or len(words) == 1:
        return whole
    said = [_of_entry(word, look_up(word)) for word in words]
    unknown = tuple(dict.fromkeys(glyph for each in (whole, *said) for glyph in each.unknown))
    if all(each.ipa is not None for each in said):
        notes = ["word by word", *(each.note for each in said if each.note)]
        return Said(" ".join(str(each.ipa) for each in said), "; ".join(notes), unknown)
    return Said(None, "; ".join(each.note for each in (whole, *said) if each.ipa is None), unknown)


def respellings_of(words: str, answer: Sequence[Any]) -> tuple[str, ...] | None:
    """The respellings of the words themselves, in the dictionary's order; None where it has no entry of them.

    They are an entry's headword, or its variant or derived word that has a pronunciation of its own. Suggestions,
    inflections and longer headwords are other words. Respellings that are labelled as British are left out.
    """
    meant = _folded(words)
    entries = [entry for entry in answer if isinstance(entry, dict)]
    found = [_prs(item) for entry in entries for text, item in _headwords(entry) if _folded(text) == meant]
    return tuple(each for prs in found for each in prs) if found else None


def _of_entry(words: str, answer: Sequence[Any]) -> Said:
    respellings = respellings_of(words, answer)
    if respellings is None:
        return Said(None, f"{words!r} is not in the dictionary")
    if not respellings:
        return Said(None, f"the dictionary gives no pronunciation of {words!r}")
    whole = [variant for respelling in respellings for variant in whole_variants(respelling)]
    if not whole:
        return Said(None, f"of {words!r} the dictionary gives only a part: {', '.join(respellings)}")
    try:
        reading = read_respelling(whole[0])
    except RespellingError as error:
        return Said(
            None, f"the dictionary's pronunciation of {words!r} cannot be read: {error}", error.unknown
        )
    if not reading.nearest:
        return Said(reading.ipa)
    lacking = ", ".join(unicodedata.normalize("NFC", glyph) for glyph in reading.nearest)
    return Said(reading.ipa, f"{whole[0]}: the nearest English sound stands for {lacking}")


def _headwords(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(text, the object that may hold its pronunciations) of all that an entry is about."""
    headword = _object(entry.get("hwi"))
    yield str(headword.get("hw", "")), headword
    for field, name in (("ahws", "hw"), ("vrs", "va"), ("uros", "ure")):
        listed = entry.get(field)
        for item in map(_object, listed if isinstance(listed, list) else []):
            # Without a pronunciation of its own it need not sound like the headword.
            if item.get("prs"):
                yield str(item.get(name, "")), item


def _prs(item: dict[str, Any]) -> list[str]:
    listed = item.get("prs")
    prs = map(_object, listed if isinstance(listed, list) else [])
    return [str(each["mw"]) for each in prs if each.get("mw") and "British" not in str(each.get("l", ""))]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _folded(text: str) -> str:
    """Without syllable marks, accents and upper case, which terms do not have."""
    plain = unicodedata.normalize("NFKD", text.replace("*", "").replace("’", "'").lower())
    return " ".join("".join(each for each in plain if not unicodedata.combining(each)).split())
