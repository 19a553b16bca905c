"""What a rented accelerator costs, and the consent without which nothing that costs money is started."""

from dataclasses import dataclass
from pathlib import Path

from flywheel.compute.job import ComputeJob, Seconds
from flywheel.compute.price_table import PriceTable
from flywheel.errors import FlywheelError

__all__ = ["CONSENT", "ConsentMissing", "Estimate", "Price", "estimate", "price_of", "require_consent"]

CONSENT = "YES"
"""The one word that is consent."""
CONSENT_VARIABLE = "FLYWHEEL_CONSENT_TO_COST"
_PRICES = PriceTable(
    bundled="gpu_prices.csv",
    variable="FLYWHEEL_GPU_PRICES",
    keys=("backend", "sku"),
    figures=("usd_per_hour", "start_seconds"),
    unread=("gpu_memory_gb",),
)


class ConsentMissing(FlywheelError):
    """A backend or service that costs money was asked for without consent. Nothing was started."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one kind of machine costs.

    Args:
        backend, sku: which, e.g. ``brev`` and ``L40S``.
        usd_per_hour: US dollars, billed by the second.
        start_seconds: about how long it takes before a job can start, which is paid for too.
        dated, source: of the price, which changes.
    """

    backend: str
    sku: str
    usd_per_hour: float
    start_seconds: Seconds
    dated: str
    source: str

    def cost(self, seconds: Seconds) -> float:
        """US dollars of so many seconds."""
        return self.usd_per_hour * seconds / 3600


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will cost, more or less; `at_most` is where its machine ends itself."""

    price: Price
    job: str
    expected: Seconds
    at_most: Seconds

    @property
    def usd(self) -> float:
        """US dollars of the start and the expected seconds."""
        return self.price.cost(self.price.start_seconds + self.expected)

    def __str__(self) -> str:
        price = self.price
        return (
            f"{price.backend} {price.sku} at ${price.usd_per_hour:.2f} an hour (price of {price.dated}; "
            f"{price.source}). Job {self.job}: about {(price.start_seconds + self.expected) / 60:.0f} minutes, "
            f"${self.usd:.2f}; it ends itself after {self.at_most / 3600:.1f} h, ${price.cost(self.at_most):.2f}. "
            f"Forgotten for a day it would cost ${price.cost(24 * 3600):.2f}"
        )


def price_of(backend: str, sku: str, prices: Path | None = None) -> Price:
    """The price of a kind of machine, from `prices`, `FLYWHEEL_GPU_PRICES` or the bundled table.

    Raises `FlywheelError` for a kind that the table does not have.
    """
    line = _PRICES.line(backend, sku, file=prices)
    return Price(
        backend, sku, line.figures["usd_per_hour"], line.figures["start_seconds"], line.dated, line.source
    )


def estimate(price: Price, job: ComputeJob, *, at_most: Seconds) -> Estimate:
    """Of the seconds the job expects to take, or its time-out where it does not say."""
    return Estimate(price, job.name, job.timeout if job.expected is None else job.expected, at_most)


def require_consent(consent: str, estimated: object, *, resource: str = "compute") -> None:
    """Raise `ConsentMissing`, with what it would cost, unless `consent` is ``YES``.

    Args:
        estimated: its text says what it would cost.
        resource: the resource whose configuration takes the consent.
    """
    if consent != CONSENT:
        raise ConsentMissing(
            f"{estimated}. Nothing was started. To consent, set consent_to_cost: {CONSENT!r} in the run's "
            f"configuration (resources: {resource}: config) or {CONSENT_VARIABLE}={CONSENT}; found {consent!r}"
        )
