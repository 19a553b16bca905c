"""Pieces of HTML that the sections of the page are made of. Texts that come in are escaped here, once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from flywheel.report.leaderboard.lines import not_measured, rate_cell
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import carries, change_in_points, missed_of, percent

__all__ = [
    "Html",
    "anchored",
    "bullet_list",
    "coded",
    "definitions",
    "interval_of",
    "measured",
    "paragraph",
    "points",
    "section",
    "short_value",
    "table",
    "text",
]


@dataclass(frozen=True, slots=True)
class Html:
    """A piece of the page that is markup already, and is not escaped again."""

    markup: str

    def __str__(self) -> str:
        return self.markup

    def __bool__(self) -> bool:
        return bool(self.markup)


def text(value: "str | Html") -> str:
    """`value` as markup: a text escaped, markup as it is."""
    return value.markup if isinstance(value, Html) else escape(value)


def coded(sentence: str) -> Html:
    """A sentence in which names of settings, files and sounds stand between backticks, as in the markdown page."""
    parts = escape(sentence).split("`")
    return Html("".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts)))


def paragraph(value: "str | Html", kind: str = "") -> Html:
    """A paragraph, with a class of the style sheet's; nothing of an empty text."""
    return Html(f"<p{_class(kind)}>{text(value)}</p>" if value else "")


def bullet_list(items: Iterable["str | Html"], kind: str = "") -> Html:
    """A list; nothing without items."""
    lines = "".join(f"<li>{text(item)}</li>" for item in items)
    return Html(f"<ul{_class(kind)}>{lines}</ul>" if lines else "")


def definitions(facts: Mapping[str, "str | Html"], kind: str = "") -> Html:
    """Names and what they stand for."""
    pairs = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts.items()
    )
    return Html(f"<dl{_class(kind)}>{pairs}</dl>")


def section(anchor: str, title: str, *parts: "Html | str") -> Html:
    """A part of the page under a heading, to which a link can lead; texts become paragraphs."""
    body = "\n".join(str(part) if isinstance(part, Html) else str(paragraph(part)) for part in parts if part)
    return Html(
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{escape(title)}</h2>\n{body}\n</section>'
    )


def anchored(anchor: str, title: str) -> Html:
    """A link to a section."""
    return Html(f'<a href="#{anchor}">{escape(title)}</a>')


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence["str | Html"]],
    *,
    kind: str = "",
    hide: bool = False,
) -> Html:
    """A table whose first column names its rows; where the page is narrow, each row becomes a card.

    Args:
        caption: what the numbers are.
        header: one text a column.
        rows: as many cells each.
        kind: a class of the style sheet's.
        hide: the caption is for readers that hear the page: a heading says the same to those who see it.
    """
    # Roles are said out loud: a table that the style sheet lays out as cards is still one.
    heads = "".join(f'<th role="columnheader" scope="col">{escape(head)}</th>' for head in header)
    lines = "\n".join(f'<tr role="row">{_cells(header, row)}</tr>' for row in rows)
    hidden = ' class="hidden-text"' if hide else ""
    return Html(
        f'<table role="table"{_class(kind)}>\n<caption{hidden}>{escape(caption)}</caption>\n'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{lines}\n</tbody>\n</table>'
    )


def _cells(header: Sequence[str], row: Sequence["str | Html"]) -> str:
    first, *others = row
    cells = [f'<th role="rowheader" scope="row">{text(first)}</th>']
    for head, cell in zip(header[1:], others, strict=True):
        # The wrapper keeps a cell that is a card's line in one piece beside its label.
        cells.append(f'<td role="cell" data-label="{escape(head)}"><div>{text(cell)}</div></td>')
    return "".join(cells)


def measured(estimate: Estimate | None, absent: str = "no such rows") -> Html:
    """`12.5 %` with its interval in smaller print; what was counted where the rows are too few; why there is none."""
    if estimate is None:
        return Html(f'<span class="aside">{escape(not_measured(absent))}</span>')
    if not carries(estimate.n):
        return Html(f'<span class="aside">{escape(rate_cell(estimate))}</span>')
    return Html(f'{percent(estimate.value)} <span class="interval">{escape(interval_of(estimate))}</span>')


def interval_of(estimate: Estimate) -> str:
    """`[5.9, 24.7]`, as it stands behind a rate."""
    return rate_cell(estimate).removeprefix(percent(estimate.value)).strip()


def points(change: Estimate | None, unit: str = "") -> Html:
    """A change in percentage points with its interval, and a sign that tells better from worse where it is sure."""
    if change is None or not carries(change.n):
        return Html('<span class="aside">-</span>')
    value, _, interval = change_in_points(change).partition(" ")
    sign = ""
    if change.low is not None and change.high is not None:
        kind = "better" if change.high < 0 else "worse" if change.low > 0 else "unsure"
        word = "may be chance" if kind == "unsure" else kind
        sign = f' <span class="direction {kind}">{word}</span>'
    return Html(
        f'<span class="change">{value}{unit}</span> <span class="interval">{escape(interval)}</span>{sign}'
    )


def short_value(estimate: Estimate) -> str:
    """The rate, or, where the rows do not carry one, what was counted: `12.5 %`, `2 of 5`."""
    return percent(estimate.value) if carries(estimate.n) else missed_of(estimate)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
