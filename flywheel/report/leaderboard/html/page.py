"""The leaderboard as one HTML file, which needs neither a server nor a network nor a second file."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from flywheel.report.leaderboard.html.answer import number_tiles, tone, unknowns, why
from flywheel.report.leaderboard.html.elements import Html, anchored
from flywheel.report.leaderboard.html.evidence import alternatives, confusions, doses, figures, slices
from flywheel.report.leaderboard.html.players import Player
from flywheel.report.leaderboard.html.reading import how_to_read, provenance
from flywheel.report.leaderboard.html.rows import rows_to_hear
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.page import answer_of, title
from flywheel.report.pages import part, theme

__all__ = ["render_html"]

_PARTS = Path(__file__).parent
_ICONS = {
    "good": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "bad": '<path d="M6.5 6.5l11 11M17.5 6.5l-11 11"/>',
    "plain": '<path d="M12 7v6M12 16.6v.4"/>',
}
_LINKS = {
    "why": "Why",
    "unknown": "Not known",
    "figures": "Terms",
    "heard": "Heard instead",
    "slices": "How far",
    "alternatives": "Alternative",
    "doses": "Doses",
    "listen": "Listen",
    "reading": "How to read",
    "provenance": "Provenance",
}


def render_html(inputs: LeaderboardInputs, players: Sequence[Player] = ()) -> str:
    """The page; equal for equal input.

    Args:
        inputs: what the markdown page is rendered from, too.
        players: the rows to listen to, worst first, see `players_of`.

    Raises:
        ScoresError: scores are not of the shape that scoring writes.
    """
    answer = answer_of(inputs)
    sections = [
        Html(f'<div class="pair">\n{why(inputs)}\n{unknowns(inputs)}\n</div>'),
        figures(inputs),
        confusions(inputs),
        slices(inputs),
        alternatives(inputs),
        doses(inputs),
        rows_to_hear(inputs, players),
        how_to_read(inputs),
        provenance(inputs),
    ]
    body = "\n".join(str(each) for each in sections if each)
    script = part(_PARTS, "page.js")
    return (
        Template(part(_PARTS, "page.html")).substitute(
            title=escape(f"{answer.verdict} {title(inputs)}"),
            # The page's own script is the only one that runs, whatever else may come to stand in it.
            script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=f"{theme()}\n{part(_PARTS, 'page.css')}",
            script=script,
            cycles=escape(title(inputs)),
            tone=tone(inputs),
            icon=_ICONS[tone(inputs)],
            verdict=escape(answer.verdict),
            finding=escape(answer.finding),
            tiles=str(number_tiles(inputs)),
            links=_contents(body),
            sections=body,
        )
        + "\n"
    )


def _contents(body: str) -> str:
    there = [
        Html(f"<li>{anchored(name, title)}</li>")
        for name, title in _LINKS.items()
        if f'<h2 id="{name}">' in body
    ]
    return "".join(map(str, there))
