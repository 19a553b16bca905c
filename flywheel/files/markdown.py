"""Tables of GitHub-flavoured markdown, from values that may hold anything."""

import base64
import re
from collections.abc import Sequence
from urllib.parse import quote

from flywheel.errors import FlywheelError

__all__ = ["code", "data_url", "image", "inline", "link", "prose", "table"]

_DATA_URL = "data:image/png;base64,"

# What starts markup inside a line, formulas included. A backslash before any ASCII punctuation is valid
# CommonMark. Underscores inside words and brackets that no target follows are not markup, and the page is
# full of them: they stay, so that the file reads well as text.
_MARKUP = re.compile(r"[\\|`*&~$]|<(?=[A-Za-z/!?])|^>|\](?=[(\[:])|(?<!\w)_|_(?!\w)")


def inline(text: str) -> str:
    """`text` as one line that markdown shows as it is, in a table's cell or elsewhere."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))


def code(text: str) -> str:
    """`text` as one line of code, in a table's cell or elsewhere."""
    shown = " ".join(text.split())
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    # A table's cell ends at a bar, in code as well.
    return f"{fence}{space}{shown.replace('|', chr(92) + '|')}{space}{fence}"


def prose(text: str) -> str:
    """`text` as one line in which what stands between backticks is code, and the rest is shown as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return inline(text)
    return "".join(code(part) if place % 2 else _outside(part) for place, part in enumerate(parts))


def _outside(text: str) -> str:
    """As `inline`, with the spaces at both ends kept: code stands beside them."""
    shown = inline(text)
    lead, end = " " * text[:1].isspace(), " " * text[-1:].isspace()
    return f"{lead}{shown}{end}" if shown else lead


def link(text: str, target: str) -> str:
    """A link to a file beside the page."""
    return f"[{inline(text)}]({quote(target)})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> str:
    """A markdown table; the cells are markdown already.

    Args:
        header: one cell a column.
        rows: as many cells each.
        numbers_from: columns from this one on, counted from 0, are aligned to the right.

    Raises:
        FlywheelError: a row has more or fewer cells than the header.
    """
    if wrong := [row for row in rows if len(row) != len(header)]:
        raise FlywheelError(
            f"table: {len(header)} columns, but the row {wrong[0]!r} has {len(wrong[0])} cells"
        )
    rule = ["---" if place < numbers_from else "---:" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def image(description: str, target: str) -> str:
    """A picture with its text alternative; `target` is a relative path, of any characters, or a `data_url`."""
    return f"![{inline(description)}]({target if target.startswith(_DATA_URL) else quote(target)})"


def data_url(png: bytes) -> str:
    """A picture as a target of its own, for markdown that is shown where no file is beside it."""
    return _DATA_URL + base64.b64encode(png).decode()
