"""What a field of somebody's row may hold, as text: an id, an utterance, or a level to break down by.

Each problem is added to the file's list, and something that passes is returned in its place, so that one reading
finds them all.
"""

import unicodedata
from typing import Any

from flywheel.cli.foreign_files import ProblemList

__all__ = ["id_of", "level_of", "text_of"]


def id_of(value: Any, line: int, name: str, problems: ProblemList) -> str:
    """An id as text; two spellings of one character are one, as in the names of files on two systems."""
    if type(value) is int:
        return str(value)
    if type(value) is not str or not (key := value.strip()):
        problems.add(f"line {line}, {name}: found {value!r}; allowed: a text or a whole number")
        return ""
    return key if key.isascii() else unicodedata.normalize("NFC", _whole(key, line, name, problems))


def text_of(value: Any, line: int, name: str, problems: ProblemList) -> str | None:
    """An utterance, as it is; None where the value is no text."""
    if type(value) is str:
        return value if value.isascii() else _whole(value, line, name, problems)
    problems.add(f"line {line}, {name}: found {value!r}; allowed: a text")
    return None


def level_of(value: Any, line: int, name: str, problems: ProblemList) -> str:
    """A text or a number as text, true and false as JSON writes them."""
    if type(value) is str:
        return value if value.isascii() else _whole(value, line, name, problems)
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    problems.add(f"line {line}, {name}: found {value!r}; allowed: a text or a number")
    return ""


def _whole(text: str, line: int, name: str, problems: ProblemList) -> str:
    """JSON can write half a character, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problems.add(
            f"line {line}, {name}: found half of a character, {text[error.start]!r}; allowed: a text"
        )
        return ""
    return text
