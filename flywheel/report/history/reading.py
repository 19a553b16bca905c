"""The results of the cycles up to one, from their folders and the registry."""

from dataclasses import dataclass

from flywheel.files.cycles import CycleFolder, cycle_number
from flywheel.recognisers.registry import Entry, Registry
from flywheel.report.history.shared_rows import SharedRows, shared_rows
from flywheel.report.history.turns import LeftOut, Turn, read_turns

__all__ = ["History", "read_history"]


@dataclass(frozen=True, slots=True)
class History:
    """The cycles up to `number`.

    Args:
        number: of the newest cycle that is looked at, finished or not.
        turns: the finished cycles, in their order, all scored with the same normaliser.
        left_out: the others, each with the reason.
        shared: the turns on the rows that all of them hold out; None for fewer than two turns.
        entries: what the registry says of models of these cycles, promotions and rollbacks, oldest first.
    """

    number: int
    turns: tuple[Turn, ...]
    left_out: tuple[LeftOut, ...]
    shared: SharedRows | None
    entries: tuple[Entry, ...]

    @property
    def stop(self) -> Turn | None:
        """The newest trained turn, where its decision was to stop tuning: two cycles running gained next to nothing."""
        trained = [turn for turn in self.turns if turn.after is not None]
        return trained[-1] if trained and trained[-1].decision.stop_tuning else None

    def is_registered(self, turn: Turn) -> bool:
        """Whether the turn's model was promoted; a rollback may have withdrawn it since."""
        return any(entry.event == "promoted" and entry.cycle == turn.folder.cycle for entry in self.entries)


def read_history(folder: CycleFolder) -> History:
    """The history of the cycles up to that of `folder`.

    Raises:
        FlywheelError: the registry or a table of results is broken. A cycle whose other files are missing or broken
            is left out, and named.
    """
    turns, left_out = read_turns(folder)
    entries = Registry(folder.data / "models").entries()
    of_these = [entry for entry in entries if not entry.cycle or cycle_number(entry.cycle) <= folder.number]
    return History(folder.number, turns, left_out, shared_rows(turns), tuple(of_these))
