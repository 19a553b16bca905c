"""The rows to listen to: audio, and word above word what was said and what each model heard."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from flywheel.report.leaderboard.html.alignment import Cell, Column, align
from flywheel.report.leaderboard.html.elements import Html, section
from flywheel.report.leaderboard.html.players import Player
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.slices import SUBSETS_IN_WORDS
from flywheel.scoring.normalizers import CLINICAL
from flywheel.scoring.numbers_as_text import counted
from flywheel.scoring.term_matching import term_found
from flywheel.verdict.misses import MissedTerm

__all__ = ["rows_to_hear"]

_OUTCOMES = {
    "both": "missed by both",
    "broken": "broken: the base had it",
    "mended": "mended",
    "found": "found",
    "missed": "missed",
}
_CHOICES = {"both": "Both miss", "mended": "Mended", "broken": "Broken", "missed": "Missed", "found": "Found"}
_WORDS = {"deleted": "left out", "inserted": "added"}
_LEGEND = (
    '<p class="legend"><span class="hidden-text">Marks: </span><span class="word substituted">wrong word</span> '
    '<span class="word deleted">word left out</span> <span class="word inserted">word added</span> '
    '<span class="said term">the term</span></p>'
)


@dataclass(frozen=True, slots=True)
class _Line:
    """Who heard what; the label is what the column of words begins with."""

    label: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as the page shows and filters it."""

    player: Player
    category: str
    cause: str
    outcome: str
    lines: tuple[_Line, ...]

    @property
    def facets(self) -> Mapping[str, str]:
        """What the filters ask for."""
        row = self.player.row
        return {
            "outcome": self.outcome,
            "category": self.category,
            "noise": row.noise_level,
            "slice": SUBSETS_IN_WORDS.get(row.subset, row.subset),
            "cause": self.cause,
        }


def rows_to_hear(inputs: LeaderboardInputs, players: Sequence[Player]) -> Html:
    """Worst first; nothing where there is no row to hear."""
    if not players:
        return Html("")
    terms = {} if inputs.misses is None else {each.term: each for each in inputs.misses.terms}
    rows = [_row(player, terms, trained=inputs.stage == "trained") for player in players]
    missing = sum(player.audio is None for player in players)
    note = (
        "Worst first. The audio is compressed for this page; the models heard the recordings themselves."
        + (f" {counted(missing, 'row')} without audio: the reason stands there." if missing else "")
    )
    cards = "\n".join(_card(number, row) for number, row in enumerate(rows, start=1))
    return section(
        "listen",
        "Listen to the worst",
        Html(f'<p class="note">{escape(note)}</p>\n{_LEGEND}'),
        Html(_filters(rows)),
        Html(
            f'<ul class="rows">\n{cards}\n</ul>\n<p id="nothing" class="nothing" hidden>No row is like that. '
            '<button type="button" id="show-all" class="quiet">Show all</button></p>'
        ),
    )


def _row(player: Player, terms: Mapping[str, MissedTerm], *, trained: bool) -> _Row:
    row = player.row
    of_term = terms.get(row.term)
    lines: tuple[_Line, ...] = (_Line("Model", row.hypothesis),)
    if trained:
        lines = (_Line("Base", row.before), _Line("Fine-tuned", row.hypothesis))
    return _Row(
        player=player,
        category=of_term.entity_category if of_term else "",
        cause=of_term.cause if of_term else "",
        outcome=_outcome(row.term, row.before, row.hypothesis, trained=trained),
        lines=lines,
    )


def _outcome(term: str, before: str, after: str, *, trained: bool) -> str:
    words = CLINICAL(term)
    if not words:
        return "missed"
    had, has = term_found(words, before), term_found(words, after)
    if not trained:
        return "found" if has else "missed"
    if had == has:
        return "found" if has else "both"
    return "mended" if has else "broken"


def _filters(rows: Sequence[_Row]) -> str:
    """Shown by the script alone: without it they would do nothing."""
    outcomes = [outcome for outcome in _CHOICES if any(row.outcome == outcome for row in rows)]
    if len(outcomes) < 2:
        outcomes = []
    everything = _label("outcome-all", "All", len(rows))
    choices = [f'<input type="radio" name="outcome" id="outcome-all" value="" checked>{everything}']
    for outcome in outcomes:
        count = sum(row.outcome == outcome for row in rows)
        identifier = f"outcome-{outcome}"
        choices.append(
            f'<input type="radio" name="outcome" id="{identifier}" value="{outcome}">'
            f"{_label(identifier, _CHOICES[outcome], count)}"
        )
    selects = "".join(_select(rows, name, label) for name, label in _SELECTS.items())
    return (
        '<form class="filters" role="search" aria-label="Which rows are shown" hidden>'
        f'<fieldset class="segments"{"" if outcomes else " hidden"}><legend class="hidden-text">Outcome</legend>'
        f"{''.join(choices)}</fieldset>"
        f'<div class="fields">{selects}<label class="field">Find <input id="find" type="search" autocomplete="off" '
        'spellcheck="false"></label></div>'
        '<p id="shown" class="note" role="status" aria-live="polite">'
        f"{len(rows)} of {counted(len(rows), 'row')} shown</p>"
        "</form>"
    )


_SELECTS = {"category": "Category", "noise": "Noise", "slice": "Slice", "cause": "Cause"}


def _label(identifier: str, text: str, count: int) -> str:
    return f'<label for="{identifier}">{text} <span>{count}</span></label>'


def _select(rows: Sequence[_Row], name: str, label: str) -> str:
    values = dict.fromkeys(row.facets[name] for row in rows if row.facets[name])
    if len(values) < 2:
        return ""
    options = "".join(f"<option>{escape(value)}</option>" for value in sorted(values))
    choices = f'<select data-facet="{name}"><option value="">all</option>{options}</select>'
    return f'<label class="field">{label} {choices}</label>'


def _card(number: int, row: _Row) -> str:
    it = row.player.row
    data = "".join(f' data-{name}="{escape(value)}"' for name, value in row.facets.items())
    words = " ".join((it.term, it.voice_id, it.reference, it.before, it.hypothesis)).lower()
    chips = [
        row.category,
        it.noise_level,
        SUBSETS_IN_WORDS.get(it.subset, it.subset),
        it.voice_id,
        it.ipa_source,
    ]
    tags = "".join(f"<span>{escape(chip)}</span>" for chip in chips if chip)
    cause = f'<span class="cause {row.cause}">cause: {escape(row.cause)}</span>' if row.cause else ""
    columns = align(it.reference, [line.hypothesis for line in row.lines])
    return (
        f'<li class="row" data-words="{escape(words)}"{data}>\n'
        f'<div class="about"><h3>{escape(it.term)} <span class="hidden-text">row {number}</span></h3>'
        f'<p class="outcome {row.outcome}">{_OUTCOMES[row.outcome]}</p>{_player(row.player)}</div>\n'
        f'<div class="text">{_spoken(row.lines, columns, it.reference)}{_aligned(row.lines, columns, it.term)}'
        f'<p class="chips">{tags}{cause}</p></div>\n</li>'
    )


def _player(player: Player) -> str:
    if player.audio is None:
        return f'<p class="aside">No audio: {escape(player.why_not)}.</p>'
    row = player.row
    label = escape(f"{row.term}, {row.voice_id}, {row.noise_level}")
    return f'<audio controls preload="metadata" aria-label="{label}" src="{escape(player.audio)}"></audio>'


def _aligned(lines: Sequence[_Line], columns: Sequence[Column], term: str) -> str:
    """Word above word, for those who see it."""
    start, end = _place_of(term, columns)
    # Where the words go on below, the labels stand beside them again: each column brings them, one on the other.
    who = escape("\n".join(["Said", *(line.label for line in lines)]))
    stacks = ""
    for column in columns:
        kind = "said term" if column.word and start <= column.place < end else "said"
        cells = "".join(_cell(column, cell) for cell in column.heard)
        said = f'<span class="{kind}">{escape(column.word)}</span>'
        stacks += f'<span class="column" data-who="{who}">{said}{cells}</span>'
    return f'<div class="aligned" aria-hidden="true">{stacks}</div>'


def _cell(column: Column, cell: Cell) -> str:
    shown = column.word if cell.kind == "deleted" else cell.text
    return f'<span class="word {cell.kind}">{escape(shown)}</span>'


def _place_of(term: str, columns: Sequence[Column]) -> tuple[int, int]:
    """Where the term's words stand among those of the reference; 0, 0 where they do not."""
    said, words = [column.word for column in columns if column.word], CLINICAL(term).split()
    for start in range(len(said) - len(words) + 1):
        if words and said[start : start + len(words)] == words:
            return start, start + len(words)
    return 0, 0


def _spoken(lines: Sequence[_Line], columns: Sequence[Column], reference: str) -> str:
    """The same for those who hear the page: whole sentences, with what is wrong said in words."""
    parts = [f"<p>Said: {escape(reference)}</p>"]
    for place, line in enumerate(lines):
        wrong = "; ".join(_errors(columns, place)) or "no error"
        parts.append(
            f"<p>{escape(line.label)} heard: {escape(line.hypothesis)}. Errors: {escape(wrong)}.</p>"
        )
    return f'<div class="hidden-text">{"".join(parts)}</div>'


def _errors(columns: Sequence[Column], place: int) -> Iterator[str]:
    for column in columns:
        cell = column.heard[place]
        if cell.kind == "substituted":
            yield f"{cell.text} for {column.word}"
        elif cell.kind in _WORDS:
            yield f"{column.word or cell.text} {_WORDS[cell.kind]}"
