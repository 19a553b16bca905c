"""What speech costs that is paid by the character."""

from dataclasses import dataclass

from flywheel.compute.price_table import PriceTable

__all__ = ["PRICES_VARIABLE", "CharacterPrice", "SpeechEstimate", "character_price"]

PRICES_VARIABLE = "FLYWHEEL_SPEECH_PRICES"
"""A CSV in the format of `bundled/speech_prices.csv` that is read instead of it."""
_PRICES = PriceTable(
    bundled="speech_prices.csv",
    variable=PRICES_VARIABLE,
    keys=("engine",),
    figures=("usd_per_1000_characters",),
)


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

    Raises `FlywheelError` for an engine that the table does not have.
    """
    line = _PRICES.line(engine)
    return CharacterPrice(engine, line.figures["usd_per_1000_characters"], line.dated, line.source)
