"""What a machine costs is known, and agreed to, before it is started."""

import re
from datetime import date
from pathlib import Path

import pytest

from flywheel.compute.costs import (
    CONSENT,
    ConsentMissing,
    Estimate,
    Price,
    estimate,
    price_of,
    require_consent,
)
from flywheel.compute.job import ComputeJob
from flywheel.errors import FlywheelError
from flywheel.files import bundled
from flywheel.files.csv_table import read_csv_table

HEADER = "backend,sku,gpu_memory_gb,usd_per_hour,start_seconds,dated,source"
L40S = Price("brev", "L40S", usd_per_hour=1.5, start_seconds=600, dated="2026-01", source="a page")


def job(*, timeout: float = 3600.0, expected: float | None = None) -> ComputeJob:
    return ComputeJob(name="finetune", argv=("true",), timeout=timeout, expected=expected)


@pytest.fixture(autouse=True)
def _no_table_of_the_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYWHEEL_GPU_PRICES", raising=False)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of one's own, named in the environment."""
    path = tmp_path / "prices.csv"
    monkeypatch.setenv("FLYWHEEL_GPU_PRICES", str(path))
    path.write_text(
        f"{HEADER}\nbrev,L40S,48,9.25,60,2030-02,my contract\nbrev,H200,141,3,60,2030-02,my own\n"
    )
    return path


# --- prices -------------------------------------------------------------------------------------------


def rows() -> list[dict[str, str]]:
    table = read_csv_table(bundled.path("gpu_prices.csv"), HEADER.split(","))
    assert not table.problems
    return [dict(row.values) for row in table.rows]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['backend']} {row['sku']}")
def test_the_bundled_prices_are_dated_sourced_and_say_what_their_source_says(row: dict[str, str]) -> None:
    price = price_of(row["backend"], row["sku"])
    assert 0 < price.usd_per_hour < 20
    assert 0 < price.start_seconds < 3600
    assert date.fromisoformat(f"{price.dated}-01") <= date.today()
    (said,) = re.findall(r"\d+\.\d+", price.source)
    hourly = float(said) * (3600 if "a second" in price.source else 1)
    last_digit = 10 ** -len(row["usd_per_hour"].partition(".")[2])
    assert abs(hourly - price.usd_per_hour) <= 0.5 * last_digit + 1e-9


def test_no_price_stands_twice() -> None:
    names = [(row["backend"], row["sku"]) for row in rows()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("backend", ["brev", "modal"])
def test_the_default_accelerator_of_a_paid_backend_has_a_price(backend: str) -> None:
    assert price_of(backend, "L40S").usd_per_hour >= 1


def test_a_table_of_ones_own_takes_the_place_of_the_bundled_one(table: Path, tmp_path: Path) -> None:
    assert price_of("brev", "L40S").usd_per_hour == 9.25
    with pytest.raises(FlywheelError, match="no price for modal 'L40S'; known are none"):
        price_of("modal", "L40S")
    named = tmp_path / "named.csv"
    named.write_text(f"{HEADER}\nbrev,L40S,48,7,60,2030-02,named\n")
    assert price_of("brev", "L40S", named).usd_per_hour == 7


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "no such file", id="no file"),
        pytest.param("backend,sku\nbrev,L40S\n", "header", id="other columns"),
        pytest.param(
            f"{HEADER}\nbrev,A,48,1,60,2030-02,x\n", "no price for brev 'L40S'; known are A", id="sku"
        ),
        pytest.param(
            f"{HEADER}\nbrev,L40S,48,free,60,2030-02,x\n", "line 2, usd_per_hour: found 'free'", id="a word"
        ),
        pytest.param(
            f"{HEADER}\nbrev,L40S,48,nan,60,2030-02,x\n", "usd_per_hour: found 'nan'", id="not a number"
        ),
        pytest.param(f"{HEADER}\nbrev,L40S,48,-1,60,2030-02,x\n", "usd_per_hour: found '-1'", id="below 0"),
        pytest.param(
            f"{HEADER}\nbrev,L40S,48,1,inf,2030-02,x\n", "start_seconds: found 'inf'", id="for ever"
        ),
    ],
)
def test_a_price_that_is_not_known_is_an_error_that_names_the_table(
    table: Path, content: str | None, said: str
) -> None:
    table.unlink() if content is None else table.write_text(content)
    with pytest.raises(FlywheelError) as caught:
        price_of("brev", "L40S")
    assert said in str(caught.value)
    assert str(table) in str(caught.value)


def test_the_error_says_how_to_add_a_price() -> None:
    with pytest.raises(FlywheelError, match="copy of the table and name the copy in FLYWHEEL_GPU_PRICES"):
        price_of("brev", "no such GPU")


# --- estimates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected", "usd"),
    [
        pytest.param(job(expected=1800), 1800, 1.0, id="start and what the job expects"),
        pytest.param(job(timeout=6600), 6600, 3.0, id="its time-out where it does not say"),
        pytest.param(job(expected=0), 0, 0.25, id="the start alone"),
    ],
)
def test_an_estimate_is_of_the_start_and_the_command(given: ComputeJob, expected: float, usd: float) -> None:
    estimated = estimate(L40S, given, at_most=7200)
    assert estimated.expected == expected
    assert estimated.usd == pytest.approx(usd)


def test_an_estimate_says_what_where_how_long_and_what_forgetting_it_costs() -> None:
    assert str(estimate(L40S, job(expected=1800), at_most=9000)) == (
        "brev L40S at $1.50 an hour (price of 2026-01; a page). Job finetune: about 40 minutes, $1.00; it ends "
        "itself after 2.5 h, $3.75. Forgotten for a day it would cost $36.00"
    )


# --- consent ------------------------------------------------------------------------------------------


@pytest.fixture
def estimated() -> Estimate:
    return estimate(L40S, job(expected=1800), at_most=9000)


def test_the_one_word_is_consent(estimated: Estimate) -> None:
    assert CONSENT == "YES"
    require_consent("YES", estimated)


@pytest.mark.parametrize("word", ["", "yes", "Y", "true", "1", " YES", "YES!"])
def test_nothing_else_is(estimated: Estimate, word: str) -> None:
    with pytest.raises(ConsentMissing) as caught:
        require_consent(word, estimated)
    said = str(caught.value)
    assert str(estimated) in said
    assert "Nothing was started" in said
    assert "consent_to_cost: 'YES'" in said
    assert "FLYWHEEL_CONSENT_TO_COST=YES" in said
    assert f"found {word!r}" in said
