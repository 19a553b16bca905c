"""A reference and what one or more models heard, word above word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from flywheel.scoring.errors import edits_between

__all__ = ["Cell", "Column", "Kind", "align"]

Kind: TypeAlias = Literal["correct", "substituted", "deleted", "inserted", "none"]
"""What became of a word; `none` where a model heard nothing and nothing was said: another one inserted a word."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one model heard at one place; `text` is empty where it heard nothing there."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """One word of the reference, or the place between two.

    Args:
        word: empty between two words.
        place: the word's index in the reference; of a place between two, that of the word behind it.
        heard: what each model heard, in their order.
    """

    word: str
    place: int
    heard: tuple[Cell, ...]


def align(reference: str, hypotheses: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a reference and its hypotheses; all normalised.

    The alignment is the one that errors are counted with. Words that were inserted beside a substituted one stand in
    its column: of `cefazolin` heard as `sef a zolin`, all three do.
    """
    words = reference.split()
    lines = [_line(words, hypothesis.split()) for hypothesis in hypotheses]
    columns = []
    for place in range(len(words) + 1):
        if any(inserted[place] for inserted, _ in lines):
            between = (" ".join(inserted[place]) for inserted, _ in lines)
            columns.append(
                Column("", place, tuple(Cell("inserted" if each else "none", each) for each in between))
            )
        if place < len(words):
            columns.append(Column(words[place], place, tuple(heard[place] for _, heard in lines)))
    return tuple(columns)


def _line(words: Sequence[str], heard: Sequence[str]) -> tuple[list[list[str]], list[Cell]]:
    """What was inserted before each word and behind the last, and what was heard for each word."""
    inserted: list[list[str]] = [[] for _ in range(len(words) + 1)]
    said: list[list[str]] = [[word] for word in words]
    kinds: list[Kind] = ["correct"] * len(words)
    for kind, place, other in edits_between(words, heard):
        if kind == "insert":
            inserted[place].append(heard[other])
        elif kind == "delete":
            kinds[place], said[place] = "deleted", []
        else:
            kinds[place], said[place] = "substituted", [heard[other]]
    for place, more in enumerate(inserted):
        if more and place > 0 and kinds[place - 1] == "substituted":
            said[place - 1].extend(more)
        elif more and place < len(words) and kinds[place] == "substituted":
            said[place][:0] = more
        else:
            continue
        inserted[place] = []
    return inserted, [Cell(kind, " ".join(text)) for kind, text in zip(kinds, said, strict=True)]
