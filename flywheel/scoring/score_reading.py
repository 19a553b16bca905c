"""Reads what `scores.json` holds, as typed values; what a slice does not have is None, never 0."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flywheel.errors import FlywheelError
from flywheel.scoring.intervals import Estimate, wilson
from flywheel.scoring.numbers_as_text import misses

__all__ = ["DoseScores", "ScoreReader", "ScoresError", "pooled"]

_DOSE_COUNTS = ("quantities", "wrong_value", "tenfold", "wrong_unit", "missing", "invented")


class ScoresError(FlywheelError):
    """Scores that are not of the shape that scoring writes."""


@dataclass(frozen=True, slots=True)
class DoseScores:
    """The quantities of a slice: how many were said, and what became of them.

    Args:
        quantities: said.
        wrong_value, wrong_unit, missing: of those.
        tenfold: those of `wrong_value` that are off by a power of ten.
        invented: heard where nobody said one.
        rate: the share of quantities that were heard wrong.
    """

    quantities: int
    wrong_value: int
    tenfold: int
    wrong_unit: int
    missing: int
    invented: int
    rate: Estimate


@dataclass(frozen=True, slots=True)
class ScoreReader:
    """The parsed content of one `scores.json`; its shape is that of `scoring.summarise`.

    Every method raises `ScoresError` where a field that must be there is missing, or is not what it must be.
    """

    scores: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Name of the model that was evaluated."""
        return str(_field(self.scores, "model", "the file"))

    @property
    def normalizer(self) -> str:
        """Name and version of the normaliser: `flywheel_clinical 2`."""
        normalizer = _table(_field(self.scores, "normalizer", "the file"), "normalizer")
        return f"{_field(normalizer, 'name', 'normalizer')} {_field(normalizer, 'version', 'normalizer')}"

    def metric(self, slice_name: str, metric: str) -> Estimate | None:
        """`ker`, `wer`, `cer`, `ser`, ... of a slice."""
        found = self._values(slice_name, metric)
        return _estimate(found, f"{slice_name}.{metric}") if found else None

    def macro(self, slice_name: str, metric: str) -> Estimate | None:
        """The mean of the rows' own `wer` or `cer`, which has no interval."""
        found = self._values(slice_name, metric)
        if "macro" not in found:
            return None
        return _estimate({"value": found["macro"], "n": found.get("n")}, f"{slice_name}.{metric}.macro")

    def false_insertions(self, slice_name: str) -> Estimate | None:
        """The share of a slice's rows in which a seeded term was heard that nobody said."""
        found = self._values(slice_name, "false_insertions")
        where = f"{slice_name}.false_insertions"
        return _estimate({**found, "value": _field(found, "rate", where)}, where) if found else None

    def ker_by(self, slice_name: str, field: str) -> dict[str, Estimate]:
        """The KER of each level of `field`; empty where the slice or the field has none."""
        where = f"{slice_name}.by.{field}"
        levels = _table(self._values(slice_name, "by").get(field), where)
        return {
            level: _estimate(ker, f"{where}.{level}.ker")
            for level, metrics in levels.items()
            if (ker := _table(metrics, f"{where}.{level}").get("ker")) is not None
        }

    def speakers(self, slice_name: str) -> int:
        """How many voices speak in a slice; 0 where there is no such slice."""
        return len(_table(self._values(slice_name, "by").get("voice_id"), f"{slice_name}.by.voice_id"))

    def pooled_ker(self, slice_name: str, categories: Collection[str]) -> Estimate | None:
        """The KER over several entity categories together; None where any of them has no rows."""
        of_category = self.ker_by(slice_name, "entity_category")
        if not all(category in of_category for category in categories):
            return None
        return pooled([of_category[category] for category in categories])

    def doses(self, slice_name: str) -> DoseScores | None:
        """What became of a slice's quantities; None where it has none, or where an earlier version scored it."""
        found = self._values(slice_name, "doses")
        if not found:
            return None
        where = f"{slice_name}.doses"
        counts = {name: _count(found, name, where) for name in _DOSE_COUNTS}
        return DoseScores(**counts, rate=_estimate({**found, "value": _field(found, "rate", where)}, where))

    def substitutions(self, slice_name: str) -> dict[str, list[tuple[str, int]]]:
        """For each missed term what was heard instead, most frequent first, and how often."""
        where = f"{slice_name}.substitutions"
        return {
            term: [
                (str(_field(entry, "heard", where)), int(_field(entry, "count", where))) for entry in entries
            ]
            for term, entries in self._values(slice_name, "substitutions").items()
        }

    def _values(self, slice_name: str, metric: str) -> Mapping[str, Any]:
        slices = _table(_field(self.scores, "slices", "the file"), "slices")
        of_slice = _table(slices.get(slice_name), slice_name)
        return _table(of_slice.get(metric), f"{slice_name}.{metric}")


def pooled(kers: Collection[Estimate]) -> Estimate | None:
    """The KER of several groups of rows taken together, with Wilson's interval; None of no groups."""
    rows = sum(ker.n for ker in kers)
    return wilson(sum(misses(ker) for ker in kers), rows) if rows else None


def _table(values: Any, where: str) -> Mapping[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ScoresError(f"scores.json: {where}: found {values!r}, allowed: a table; score the rows again")
    return values


def _field(values: Any, name: str, where: str) -> Any:
    if not isinstance(values, Mapping) or values.get(name) is None:
        raise ScoresError(f"scores.json: {where} has no {name!r}; score the rows again")
    return values[name]


def _count(values: Mapping[str, Any], name: str, where: str) -> int:
    found = _field(values, name, where)
    if not isinstance(found, int) or isinstance(found, bool):
        raise ScoresError(
            f"scores.json: {where}.{name}: found {found!r}; allowed: a whole number; score the rows again"
        )
    return found


def _estimate(values: Any, where: str) -> Estimate:
    value, n = _field(values, "value", where), _field(values, "n", where)
    low, high = values.get("low"), values.get("high")
    try:
        return Estimate(
            value=float(value),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            n=int(n),
        )
    except (TypeError, ValueError):
        raise ScoresError(
            f"scores.json: {where}: found {dict(values)!r}; allowed: numbers; score the rows again"
        ) from None
