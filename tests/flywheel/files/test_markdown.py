"""Text that may hold anything, as markdown that shows it as it is."""

import pytest
from markdown_it import MarkdownIt

from flywheel.files.markdown import code, link, prose, table


def in_a_cell(markdown: str) -> tuple[str, list[str]]:
    """What a reader sees of a table's only cell, and which parts of it are code."""
    tokens = MarkdownIt("commonmark").enable("table").parse(table(["a"], [[markdown]]))
    (cell,) = [token for token in tokens if token.type == "inline"][1:]
    children = cell.children or []
    return (
        "".join(child.content for child in children),
        [child.content for child in children if child.type == "code_inline"],
    )


@pytest.mark.parametrize(
    "text", ["../speech/a.wav", "a|b.wav", "with space.wav", "`tick`.wav", "a``b", "$x$"]
)
def test_code_shows_any_file_name(text: str) -> None:
    assert in_a_cell(code(text)) == (text, [text])


@pytest.mark.parametrize(
    ("text", "seen", "code_in_it"),
    [
        ("the engine speaks `a|b` so", "the engine speaks a|b so", ["a|b"]),
        ("`a` then `b`", "a then b", ["a", "b"]),
        ("*no* markup, one ` tick", "*no* markup, one ` tick", []),
        ("", "", []),
    ],
)
def test_prose_keeps_what_is_between_backticks_as_code(text: str, seen: str, code_in_it: list[str]) -> None:
    assert in_a_cell(prose(text)) == (seen, code_in_it)


def test_a_link_may_lead_to_any_file_name() -> None:
    assert link("all of [it]", "a page (2).html") == "[all of [it]](a%20page%20%282%29.html)"
