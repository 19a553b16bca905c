"""How boosting is tried, and what the job is asked for."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from flywheel.errors import Problems
from flywheel.scoring.numbers_as_text import listed

__all__ = ["ALPHAS", "BoostingPlan", "BoostingSettings", "BoostingSettingsError", "Search"]

Search: TypeAlias = Literal["beam", "greedy"]

ALPHAS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
"""The strengths that are tried, with NeMo's own weights of a term's tokens. From 1.25 on the bundled base hears general
speech worse (+0.6 points, n = 200); a base that is surer of itself bears more."""


class BoostingSettingsError(Problems):
    """Settings of boosting that are out of range, all of them."""


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """How boosting is tried.

    Args:
        alphas: the strengths to try, each above 0 and above the one before.
        general_wer_cap: by how much the WER on general speech may rise on the trial rows, absolute. Half of what a
            fine-tuned model may lose, for it is held against the bare rate of few rows; what is chosen is then measured
            on other rows, with its interval.
        search: `beam` keeps several hypotheses, which is what lets a boosted term win: with the bundled base it mends
            about half as many misses again as `greedy` (468 and 321 of 998), for a tenth to a fifth more time.
        beam_size: how many hypotheses `beam` keeps.
        clinical_rows, general_rows: how many rows of each kind are tried on, at most.
        seed: of the choice of these rows.

    Raises:
        BoostingSettingsError: all settings that are out of range.
    """

    alphas: tuple[float, ...] = ALPHAS
    general_wer_cap: float = 0.005
    search: Search = "beam"
    beam_size: int = 4
    clinical_rows: int = 150
    general_rows: int = 200
    seed: int = 42

    def __post_init__(self) -> None:
        problems = []
        rising = all(
            low < high for low, high in zip((0.0, *self.alphas), (*self.alphas, math.inf), strict=True)
        )
        if not self.alphas or not rising:
            problems.append(
                f"alphas: found {list(self.alphas)}; allowed: one or more above 0, each above the one before"
            )
        if not 0 <= self.general_wer_cap <= 1:
            problems.append(f"general_wer_cap: found {self.general_wer_cap}; allowed: a fraction from 0 to 1")
        if self.search not in get_args(Search):
            problems.append(f"search: found {self.search!r}; allowed: {listed(get_args(Search), 'or')}")
        problems += [
            f"{name}: found {value}; allowed: a whole number from {least}"
            for name, least in (("beam_size", 2), ("clinical_rows", 1), ("general_rows", 1))
            if (value := getattr(self, name)) < least
        ]
        if problems:
            raise BoostingSettingsError("boosting settings", problems)


@dataclass(frozen=True)
class BoostingPlan:
    """What the job is asked for, beside model and rows.

    Args:
        terms: the terms to boost, as the seed has them.
        alphas, general_wer_cap, search, beam_size: as in `BoostingSettings`.
    """

    terms: tuple[str, ...]
    alphas: tuple[float, ...]
    general_wer_cap: float
    search: Search
    beam_size: int

    @property
    def decoding(self) -> str:
        """`beam of 4` or `greedy`."""
        return f"beam of {self.beam_size}" if self.search == "beam" else self.search
