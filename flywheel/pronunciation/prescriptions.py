"""Prescribed pronunciations, and where they stand in a text."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Prescription", "prescribed_in", "with_prescriptions"]

_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True, slots=True)
class Prescription:
    """`words`, lower case with one space between them, are spoken as `ipa`."""

    words: str
    ipa: str


def prescribed_in(text: str, prescriptions: Mapping[str, Prescription]) -> tuple[Prescription, ...]:
    """Those of `prescriptions`, which are by their words, that apply to `text`: each once, in the order in which
    they stand there.

    Whole words only, whatever their case; what hyphens or apostrophes join is one word. Where two begin at one
    word the longer one counts.
    """
    return tuple(dict.fromkeys(each for _span, each in _places(text, prescriptions)))


def with_prescriptions(
    text: str, prescriptions: Iterable[Prescription], rendered: Callable[[str], str]
) -> str:
    """`text` with each prescribed word replaced by what `rendered` makes of its IPA."""
    pieces, end = [], 0
    for (start, stop), each in _places(text, {each.words: each for each in prescriptions}):
        pieces += [text[end:start], rendered(each.ipa)]
        end = stop
    return "".join([*pieces, text[end:]])


def _places(
    text: str, prescriptions: Mapping[str, Prescription]
) -> Iterator[tuple[tuple[int, int], Prescription]]:
    """(begin and end in `text`, what is prescribed for it), from left to right, without overlaps."""
    longest = max((words.count(" ") + 1 for words in prescriptions), default=0)
    words = list(_WORD.finditer(text))
    place = 0
    while place < len(words):
        for count in range(min(longest, len(words) - place), 0, -1):
            start, stop = words[place].start(), words[place + count - 1].end()
            # Of words with a comma between them nothing is found: only spaces are made one.
            found = prescriptions.get(" ".join(text[start:stop].lower().split()))
            if found is not None:
                yield (start, stop), found
                place += count
                break
        else:
            place += 1
