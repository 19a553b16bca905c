"""Scores: what one evaluation measured, as `scores.json` holds it. Rates are fractions.

What a slice does not have is absent, never 0, and so is an empty slice; a bound that the rows cannot give is null.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from flywheel.scoring.intervals import Estimate, wilson
from flywheel.scoring.numbers_as_text import misses

__all__ = [
    "Doses",
    "ErrorRate",
    "FalseInsertions",
    "Level",
    "NormalizerName",
    "Place",
    "Rates",
    "Rendering",
    "Scores",
    "SliceScores",
    "pooled",
]


@dataclass(frozen=True, slots=True)
class NormalizerName:
    """Which normaliser the texts went through, without which no rate means anything."""

    name: str
    version: str

    def __str__(self) -> str:
        """`flywheel_clinical 2`."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class ErrorRate(Estimate):
    """A WER or CER: errors by reference length, all rows taken together (micro average), n in rows.

    Args:
        macro: the mean of the rows' own rates.
        substitutions, deletions, insertions: what the errors are, in words or in characters.
        reference_length: words or characters of all references.
    """

    macro: float
    substitutions: int
    deletions: int
    insertions: int
    reference_length: int


@dataclass(frozen=True, slots=True)
class FalseInsertions(Estimate):
    """The share of rows in which a seeded term was heard that nobody said; `count` of such terms."""

    count: int


@dataclass(frozen=True, slots=True)
class Doses:
    """The quantities of some rows: how many were said, and what became of them.

    Args:
        quantities: said.
        wrong_value, wrong_unit, missing: of those.
        tenfold: those of `wrong_value` that are off by a power of ten.
        invented: heard where nobody said one.
        rate: the share of quantities that were not heard right; None where none was said.
    """

    quantities: int
    wrong_value: int
    tenfold: int
    wrong_unit: int
    missing: int
    invented: int
    rate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of some rows; None where they have no such thing.

    Args:
        rows: how many.
        wer, cer: with their counts.
        ser: the share of rows with any error.
        false_insertions: of seeded terms.
        ker: the share of mentions of terms that were missed; n in mentions, which are rows where a row has one term.
        missed: how many mentions that are.
        doses: None where no quantity was said or heard, or the normaliser leaves them unreadable.
    """

    rows: int
    wer: ErrorRate
    cer: ErrorRate
    ser: Estimate
    false_insertions: FalseInsertions
    ker: Estimate | None = None
    missed: int | None = None
    doses: Doses | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """The rates of the rows of one level of a field."""

    wer: Estimate
    ker: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Rendering:
    """What was heard in place of a missed term, empty where it was left out, and how often."""

    heard: str
    count: int


@dataclass(frozen=True, slots=True)
class SliceScores(Rates):
    """The rates of one slice.

    Args:
        keyword_precision: of the terms that were heard, the share that was said; n in terms heard.
        wer_term_words, wer_other_words: of rows whose reference holds their term, on its words and on the others.
        rows_without_term_in_text: rows with a term that their normalised reference does not hold.
        by: for each field, and each level of it, the rates of its rows.
        substitutions: for each missed term the most frequent renderings, most frequent first.
    """

    keyword_precision: Estimate | None = None
    wer_term_words: Estimate | None = None
    wer_other_words: Estimate | None = None
    rows_without_term_in_text: int | None = None
    by: Mapping[str, Mapping[str, Level]] = field(default_factory=dict)
    substitutions: Mapping[str, tuple[Rendering, ...]] | None = None


class Place(NamedTuple):
    """Where a rate stands: breakdown and level are empty for a slice as a whole."""

    slice: str
    breakdown: str
    level: str
    metric: str


_METRICS = (
    *(
        "ker",
        "wer",
        "cer",
        "ser",
        "keyword_precision",
        "false_insertions",
        "wer_term_words",
        "wer_other_words",
    ),
)


@dataclass(frozen=True, slots=True)
class Scores:
    """One evaluation of one model.

    Args:
        model: what pages call it.
        normalizer: what both texts went through.
        rows: all that were scored.
        rows_in_no_slice: general speech that is not the control.
        slices: by name, in the order of `scoring.slices.SLICES`; those without rows are absent.
    """

    model: str
    normalizer: NormalizerName
    rows: int
    rows_in_no_slice: int
    slices: Mapping[str, SliceScores]

    def metric(self, slice_name: str, metric: str) -> Estimate | None:
        """`ker`, `wer`, `cer`, `ser`, `keyword_precision`, ... of a slice."""
        if metric not in _METRICS:
            raise ValueError(f"scores: found the metric {metric!r}; allowed: {', '.join(_METRICS)}")
        found: Estimate | None = getattr(self.slices.get(slice_name), metric, None)
        return found

    def macro(self, slice_name: str, metric: str) -> Estimate | None:
        """The mean of the rows' own `wer` or `cer`, which has no interval."""
        found = self.metric(slice_name, metric)
        return Estimate(found.macro, None, None, found.n) if isinstance(found, ErrorRate) else None

    def false_insertions(self, slice_name: str) -> Estimate | None:
        """The share of a slice's rows in which a seeded term was heard that nobody said."""
        return self.metric(slice_name, "false_insertions")

    def ker_by(self, slice_name: str, field: str) -> dict[str, Estimate]:
        """The KER of each level of `field`; empty where the slice or the field has none."""
        levels = self._levels(slice_name, field)
        return {level: rates.ker for level, rates in levels.items() if rates.ker is not None}

    def speakers(self, slice_name: str) -> int:
        """How many voices speak in a slice; 0 where there is no such slice."""
        return len(self._levels(slice_name, "voice_id"))

    def pooled_ker(self, slice_name: str, categories: Collection[str]) -> Estimate | None:
        """The KER over several entity categories together; None where any of them has no rows."""
        of_category = self.ker_by(slice_name, "entity_category")
        if not all(category in of_category for category in categories):
            return None
        return pooled([of_category[category] for category in categories])

    def doses(self, slice_name: str) -> Doses | None:
        """What became of a slice's quantities; None where nobody said one."""
        found = self.slices.get(slice_name)
        return None if found is None or found.doses is None or found.doses.rate is None else found.doses

    def substitutions(self, slice_name: str) -> dict[str, list[tuple[str, int]]]:
        """For each missed term what was heard instead, most frequent first, and how often."""
        found = self.slices.get(slice_name)
        if found is None or found.substitutions is None:
            return {}
        return {
            term: [(each.heard, each.count) for each in renderings]
            for term, renderings in found.substitutions.items()
        }

    def estimates(self) -> Iterator[tuple[Place, Estimate]]:
        """Every rate of every slice, and of every level of its breakdowns."""
        for name, of_slice in self.slices.items():
            for metric in _METRICS:
                if (found := self.metric(name, metric)) is not None:
                    yield Place(name, "", "", metric), found
            if of_slice.doses is not None and of_slice.doses.rate is not None:
                yield Place(name, "", "", "doses"), of_slice.doses.rate
            for breakdown, levels in of_slice.by.items():
                for level, rates in levels.items():
                    if rates.ker is not None:
                        yield Place(name, breakdown, level, "ker"), rates.ker
                    yield Place(name, breakdown, level, "wer"), rates.wer

    def _levels(self, slice_name: str, field: str) -> Mapping[str, Level]:
        found = self.slices.get(slice_name)
        return {} if found is None else found.by.get(field, {})


def pooled(kers: Collection[Estimate]) -> Estimate | None:
    """The KER of several groups of rows taken together, with Wilson's interval; None of no groups."""
    rows = sum(ker.n for ker in kers)
    return wilson(sum(misses(ker) for ker in kers), rows) if rows else None
