"""The subsets that a split gives to rows, and the slices of a score that each of them belongs to."""

from collections.abc import Mapping
from types import MappingProxyType

from flywheel.scoring.transcripts import ScoringError, Transcript

__all__ = ["HUMAN", "SLICES", "UNSEEN_ENGINE", "slices_of"]

HUMAN = "human"
"""The subset and the slice of people's own speech, dropped as recordings: held out whatever the split is."""

UNSEEN_ENGINE = "unseen_engine"
"""The subset and the slice of what a second synthesiser speaks: held out whatever the split is."""

SLICES = ("held_out", "train", "all", "unseen_term", "unseen_voice", "unseen_engine", "general", "human")
"""The slices of `scores.json`, in the order in which a page shows them."""

_CLINICAL_SLICES: Mapping[str | None, tuple[str, ...]] = MappingProxyType(
    {
        "validation": ("held_out", "all"),
        "train": ("train", "all"),
        "development": ("train", "all"),
        "unseen_term": ("unseen_term", "all"),
        "unseen_voice": ("unseen_voice", "all"),
        # Another synthesiser where it is installed, and not where it is not: it, too, stays out of `all`.
        "unseen_engine": ("unseen_engine",),
        # People's speech is a measure of its own: the others, and what is decided on them, stay comparable
        # with those of cycles that had none. `all` is the published figure, over synthetic rows.
        HUMAN: ("human",),
        None: ("all",),
    }
)
# General speech that was trained on measures neither the terms nor what was forgotten.
_GENERAL_SLICES: Mapping[str | None, tuple[str, ...]] = MappingProxyType(
    {"general": ("general",), "replay": (), "train": (), "development": (), HUMAN: ("human",), None: ()}
)


def slices_of(row: Transcript) -> tuple[str, ...]:
    """The slices that a row belongs to; none for general speech that is not the control.

    Raises:
        ScoringError: the row's subset is not one that the split gives to such a row.
    """
    table = _GENERAL_SLICES if row.term is None else _CLINICAL_SLICES
    subset = row.subset
    try:
        return table[subset]
    except KeyError:
        kind = "without a term" if row.term is None else "with a term"
        allowed = ", ".join(name for name in table if name is not None)
        problem = f"row {row.id!r} {kind}: subset is {subset!r}; allowed: {allowed}"
        raise ScoringError("subsets", [problem]) from None
