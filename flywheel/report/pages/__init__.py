"""What the HTML pages have in common: one theme, light and dark, and how a drawing becomes a part of a page."""

from functools import cache
from pathlib import Path

__all__ = ["part", "theme"]


@cache
def part(folder: Path, name: str) -> str:
    """A template, a style sheet or a script that lies beside the code of a page, without its last line feed."""
    return (folder / name).read_text(encoding="utf-8").rstrip()


def theme() -> str:
    """The style that every page begins with: colours by name, typography, controls."""
    return part(Path(__file__).parent, "theme.css")
