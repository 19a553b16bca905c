"""The rows to listen to: what became of each, and word above word what was said and what each model heard."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flywheel.report.leaderboard.alignment import Column, align
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.leaderboard.players import Player
from flywheel.report.leaderboard.slices import SUBSETS_IN_WORDS
from flywheel.scoring.normalizers import CLINICAL
from flywheel.scoring.term_matching import term_found
from flywheel.verdict.misses import RowToHear

__all__ = ["HeardRow", "heard_rows"]

_WORDS = {"deleted": "left out", "inserted": "added"}


@dataclass(frozen=True, slots=True)
class HeardRow:
    """A row as the page shows and filters it.

    Args:
        heard: the row.
        player: its audio.
        outcome: what became of its term: `both` missed it, `mended`, `broken`, `found`; of one model `missed`, `found`.
        category: the term's `entity_category`; empty where nobody looked for causes.
        cause: why the term is missed; likewise.
        hypotheses: what each model heard, by how the page calls it.
        columns: the alignment of reference and hypotheses.
    """

    heard: RowToHear
    player: Player
    outcome: str
    category: str
    cause: str
    hypotheses: Mapping[str, str]
    columns: tuple[Column, ...]

    @property
    def facets(self) -> Mapping[str, str]:
        """What the filters ask for."""
        return {
            "outcome": self.outcome,
            "category": self.category,
            "noise": self.heard.noise_level,
            "slice": SUBSETS_IN_WORDS.get(self.heard.subset, self.heard.subset),
            "cause": self.cause,
        }

    @property
    def words(self) -> str:
        """What is searched for."""
        row = self.heard
        return " ".join((row.term, row.voice_id, row.reference, row.before, row.hypothesis)).lower()

    @property
    def term_places(self) -> range:
        """Where the term's words stand among those of the reference; empty where they do not."""
        said = [column.word for column in self.columns if column.word]
        words = CLINICAL(self.heard.term).split()
        for start in range(len(said) - len(words) + 1):
            if words and said[start : start + len(words)] == words:
                return range(start, start + len(words))
        return range(0)

    def errors(self, model: int) -> Iterator[str]:
        """What the model of this index heard wrong, in words: `sefa zolin for cefazolin`, `the left out`."""
        for column in self.columns:
            cell = column.heard[model]
            if cell.kind == "substituted":
                yield f"{cell.text} for {column.word}"
            elif cell.kind in _WORDS:
                yield f"{column.word or cell.text} {_WORDS[cell.kind]}"


def heard_rows(inputs: LeaderboardInputs, players: Sequence[Player]) -> list[HeardRow]:
    """The rows of the players, in their order."""
    terms = {} if inputs.misses is None else {each.term: each for each in inputs.misses.terms}
    trained = inputs.stage == "trained"
    rows = []
    for player in players:
        row = player.row
        of_term = terms.get(row.term)
        hypotheses = (
            {"Base": row.before, "Fine-tuned": row.hypothesis} if trained else {"Model": row.hypothesis}
        )
        rows.append(
            HeardRow(
                heard=row,
                player=player,
                outcome=_outcome(row, trained=trained),
                category=of_term.entity_category if of_term else "",
                cause=of_term.cause if of_term else "",
                hypotheses=hypotheses,
                columns=align(row.reference, [*hypotheses.values()]),
            )
        )
    return rows


def _outcome(row: RowToHear, *, trained: bool) -> str:
    words = CLINICAL(row.term)
    if not words:
        return "missed"
    had, has = term_found(words, row.before), term_found(words, row.hypothesis)
    if not trained:
        return "found" if has else "missed"
    if had == has:
        return "found" if has else "both"
    return "mended" if has else "broken"
