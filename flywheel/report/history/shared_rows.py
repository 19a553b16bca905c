"""Rates on the rows that all cycles share, where cycles can be compared: nothing but the model differs.

A row of one id is the same audio in every cycle, and what one cycle held out is never trained on later.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from flywheel.files.cycles import EvalFolder
from flywheel.recognisers.evaluation import read_scored_rows
from flywheel.report.history.turns import Turn
from flywheel.scoring import Estimate, Pairs, RowScore, RowTable, keyword_error_rate, word_error_rate

__all__ = ["OnSharedRows", "SharedRows", "shared_rows"]

_HELD_OUT, _GENERAL = "validation", "general"


@dataclass(frozen=True, slots=True)
class OnSharedRows:
    """The rates of one model on the shared rows; None where no row is shared."""

    priority_ker: Estimate | None
    general_wer: Estimate | None


@dataclass(frozen=True, slots=True)
class SharedRows:
    """All turns on the same rows.

    Args:
        priority_categories: of the rows that the KER is over.
        before, after: of each turn, in their order; an `after` is None where nothing was trained.
        general_change: of the WER on general speech from the first turn's base to the model that the last turn keeps,
            paired by row; None where no general row is shared.
        kept: of the model that the last turn keeps.
    """

    priority_categories: tuple[str, ...]
    before: tuple[OnSharedRows, ...]
    after: tuple[OnSharedRows | None, ...]
    general_change: Estimate | None
    kept: OnSharedRows


_Rows: TypeAlias = Mapping[str, RowScore]


@dataclass(frozen=True, slots=True)
class _Eval:
    """The rows of one evaluation by id: the held-out ones of the priority categories, and general speech."""

    priority: _Rows
    general: _Rows


def shared_rows(turns: Sequence[Turn], seed: int = 42) -> SharedRows | None:
    """The rates on the rows that are held out in every turn; None for fewer than two turns.

    Args:
        turns: in their order; the priority categories are those of the last one.
        seed: of the bootstrap.

    Raises:
        FlywheelError: the rows of an evaluation are missing, or damaged.
    """
    if len(turns) < 2:
        return None
    categories = turns[-1].priority_categories
    before = [_read(turn.folder.baseline, categories) for turn in turns]
    after = [None if turn.after is None else _read(turn.folder.next, categories) for turn in turns]
    evals = [each for each in (*before, *after) if each is not None]
    priority = sorted(set.intersection(*(set(each.priority) for each in evals)))
    general = sorted(set.intersection(*(set(each.general) for each in evals)))

    def rates(of: _Eval) -> OnSharedRows:
        return OnSharedRows(
            keyword_error_rate(_of(of.priority, priority)), word_error_rate(_of(of.general, general), seed)
        )

    last = (turns[-1].decision.promote and after[-1]) or before[-1]
    return SharedRows(
        priority_categories=categories,
        before=tuple(map(rates, before)),
        after=tuple(None if each is None else rates(each) for each in after),
        general_change=_change(before[0].general, last.general, general, seed),
        kept=rates(last),
    )


def _of(rows: _Rows, ids: Sequence[str]) -> list[RowScore]:
    return [rows[each] for each in ids]


def _change(before: _Rows, after: _Rows, ids: Sequence[str], seed: int) -> Estimate | None:
    tables = RowTable(_of(before, ids)), RowTable(_of(after, ids))
    return Pairs(*tables, seed=seed).rates().wer.difference if tables[0].words[:, 3].any() else None


def _read(folder: EvalFolder, categories: Collection[str]) -> _Eval:
    rows = read_scored_rows(folder)
    return _Eval(
        priority={
            row.id: row
            for row in rows
            if row.transcript.subset == _HELD_OUT and row.transcript.entity_category in categories
        },
        general={row.id: row for row in rows if row.transcript.subset == _GENERAL},
    )
