"""What earlier cycles decided about terms, voices, syntheses and sentences, and later ones must keep."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from flywheel.corpus.manifest import MEASURED_ONLY, SUBSETS
from flywheel.errors import Problems

__all__ = ["Assignments", "AssignmentsError"]


class AssignmentsError(Problems):
    """A record of assignments that cannot be read: every problem of it."""


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
    """

    terms: Mapping[str, str] = field(default_factory=dict)
    voices: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, dict[str, str]]:
        """A JSON object that `from_json` reads, keys sorted."""
        return {name: dict(sorted(table.items())) for name, table in asdict(self).items()}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The assignments of an earlier cycle; `AssignmentsError` with all problems where `value` is none."""
        seen = ("seen", "unseen")
        allowed = {
            "terms": seen,
            "voices": (*seen, *MEASURED_ONLY),
            "groups": SUBSETS,
            "sentences": ("general", "replay", "train", "development", "validation"),
        }
        tables = value if isinstance(value, Mapping) else {}
        problems = [] if tables.keys() == allowed.keys() else [f"found no tables {', '.join(allowed)}"]
        for name, words in allowed.items():
            table = tables.get(name, {})
            problems += [
                f"{name}, {key!r}: found {word!r}; allowed: {', '.join(words)}"
                for key, word in (table.items() if isinstance(table, Mapping) else [("", table)])
                if word not in words
            ]
        if problems:
            raise AssignmentsError("assignments of an earlier cycle", problems)
        return cls(**{table.name: tables[table.name] for table in fields(cls)})

    def updated(self, newer: "Assignments") -> "Assignments":
        """Both together; what an earlier cycle held and this one lacks is not forgotten."""
        return Assignments(
            {**self.terms, **newer.terms},
            {**self.voices, **newer.voices},
            {**self.groups, **newer.groups},
            {**self.sentences, **newer.sentences},
        )
