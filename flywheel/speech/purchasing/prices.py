"""What speech costs that is paid by the character."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from flywheel.errors import FlywheelError, Problems
from flywheel.files import bundled
from flywheel.files.csv_table import read_csv_table

__all__ = ["PRICES_VARIABLE", "CharacterPrice", "SpeechEstimate", "character_price"]

PRICES_VARIABLE = "FLYWHEEL_SPEECH_PRICES"
"""A CSV of one's own in the format of `bundled/speech_prices.csv`, instead of it."""
_COLUMNS = ("engine", "usd_per_1000_characters", "dated", "source")


@dataclass(frozen=True, slots=True)
class CharacterPrice:
    """What an engine costs: US dollars for a thousand characters of text; prices change, so each is `dated`."""

    engine: str
    usd_per_1000_characters: float
    dated: str
    source: str

    def cost(self, characters: int) -> float:
        """US dollars of so many characters."""
        return self.usd_per_1000_characters * characters / 1000


@dataclass(frozen=True, slots=True)
class SpeechEstimate:
    """What speech will cost where no request has to be repeated.

    Args:
        requests: one for each utterance.
        characters: of all texts that are sent.
        requests_per_minute: that may be begun; 0 for any number.
    """

    price: CharacterPrice
    requests: int
    characters: int
    requests_per_minute: float

    @property
    def usd(self) -> float:
        """US dollars."""
        return self.price.cost(self.characters)

    def __str__(self) -> str:
        price = self.price
        requests = "1 request" if self.requests == 1 else f"{self.requests} requests"
        pace = self.requests_per_minute
        slowly = f", in at least {self.requests / pace:.1f} minutes at {pace:g} a minute" if pace else ""
        return (
            f"{price.engine}: {requests} of {self.characters} characters, about ${self.usd:.2f} at "
            f"${price.usd_per_1000_characters:g} for 1000 (price of {price.dated}; {price.source}){slowly}"
        )


def character_price(engine: str) -> CharacterPrice:
    """The price of an engine, from `FLYWHEEL_SPEECH_PRICES` or the bundled table.

    Raises `FlywheelError` for an engine that the table does not have: what it costs must be known before it speaks.
    """
    given = os.environ.get(PRICES_VARIABLE)
    path = Path(given) if given else bundled.path("speech_prices.csv")
    table = read_csv_table(path, _COLUMNS)
    if table.problems:
        raise Problems(str(path), [str(problem) for problem in table.problems])
    for row in table.rows:
        if row.values["engine"] == engine:
            return CharacterPrice(
                engine,
                _usd(path, row.line, row.values["usd_per_1000_characters"]),
                row.values["dated"],
                row.values["source"],
            )
    raise FlywheelError(
        f"{path}: no price for {engine!r}. Add a line to a copy of the table and name the copy in {PRICES_VARIABLE}"
    )


def _usd(path: Path, line: int, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise FlywheelError(
            f"{path}: line {line}, usd_per_1000_characters: found {text!r}; a number from 0 on is needed"
        )
    return found
