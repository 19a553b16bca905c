"""What earlier cycles decided about terms, voices, syntheses and sentences, and later ones must keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flywheel.corpus.manifest import MEASURED_ONLY, SUBSETS
from flywheel.errors import Problems

__all__ = ["NOTHING_ASSIGNED", "Assignments", "AssignmentsError"]


_SEEN = ("seen", "unseen")
_ALLOWED: Mapping[str, Sequence[str]] = {
    "terms": _SEEN,
    "voices": (*_SEEN, *MEASURED_ONLY),
    "groups": SUBSETS,
    "sentences": ("general", "replay", "train", "development", "validation"),
}


class AssignmentsError(Problems):
    """Assignments to what is no side of a split: every one of them."""


@dataclass(frozen=True, slots=True)
class Assignments:
    """Where everything was put, so that the next, larger cycle leaves it there.

    Args:
        terms: term to ``seen`` or ``unseen``.
        voices: voice id to ``seen`` (it spoke a training row), ``unseen``, or one of `MEASURED_ONLY` (a person's
            or a second synthesiser's, which trains nothing); others are undecided.
        groups: synthesis group to its subset.
        sentences: words of a sentence to its side: ``general`` or ``replay`` of a general one; ``train``,
            ``development`` or ``validation`` of a clinical one in seen voices.

    Raises:
        AssignmentsError: all words that are none of these.
    """

    terms: Mapping[str, str]
    voices: Mapping[str, str]
    groups: Mapping[str, str]
    sentences: Mapping[str, str]

    def __post_init__(self) -> None:
        problems = []
        for name, words in _ALLOWED.items():
            table = getattr(self, name)
            problems += [
                f"{name}, {key!r}: found {word!r}; allowed: {', '.join(words)}"
                for key, word in table.items()
                if word not in words
            ]
            # In one order, so that the same decisions give the same file.
            object.__setattr__(self, name, dict(sorted(table.items())))
        if problems:
            raise AssignmentsError("assignments", problems)

    def updated(self, newer: "Assignments") -> "Assignments":
        """Both together; what an earlier cycle held and this one lacks is not forgotten."""
        return Assignments(
            {**self.terms, **newer.terms},
            {**self.voices, **newer.voices},
            {**self.groups, **newer.groups},
            {**self.sentences, **newer.sentences},
        )


NOTHING_ASSIGNED = Assignments({}, {}, {}, {})
"""Before the first cycle."""
