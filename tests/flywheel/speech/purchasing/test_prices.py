"""What speech costs is known, dated and sourced before it is bought."""

from datetime import date
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.speech.purchasing.prices import CharacterPrice, SpeechEstimate, character_price

HEADER = "engine,usd_per_1000_characters,dated,source"


@pytest.fixture(autouse=True)
def _no_table_of_the_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYWHEEL_SPEECH_PRICES", raising=False)


def test_the_bundled_price_is_dated_and_says_what_its_source_says() -> None:
    price = character_price("hume")
    assert f"{price.usd_per_1000_characters:.2f}" in price.source
    assert date.fromisoformat(f"{price.dated}-01") <= date.today()
    assert price.cost(20_000) == pytest.approx(3.0)


def test_an_estimate_says_what_how_much_and_how_long() -> None:
    price = CharacterPrice("hume", 0.15, "2026-05", "a page")
    assert str(SpeechEstimate(price, requests=1, characters=60, requests_per_minute=0)) == (
        "hume: 1 request of 60 characters, about $0.01 at $0.15 for 1000 (price of 2026-05; a page)"
    )
    assert str(SpeechEstimate(price, requests=800, characters=60_000, requests_per_minute=60)) == (
        "hume: 800 requests of 60000 characters, about $9.00 at $0.15 for 1000 (price of 2026-05; a page), in at "
        "least 13.3 minutes at 60 a minute"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "no such file", id="no file"),
        pytest.param("engine,usd\nhume,1\n", "header", id="other columns"),
        pytest.param(f"{HEADER}\nother,1,2030-01,x\n", "no price for 'hume'", id="another engine"),
        pytest.param(
            f"{HEADER}\nhume,free,2030-01,x\n", "line 2, usd_per_1000_characters: found 'free'", id="word"
        ),
        pytest.param(
            f"{HEADER}\nhume,-1,2030-01,x\n", "found '-1'; a number from 0 on is needed", id="below 0"
        ),
        pytest.param(f"{HEADER}\nhume,inf,2030-01,x\n", "found 'inf'", id="without end"),
    ],
)
def test_a_price_that_is_not_known_is_an_error_that_names_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, said: str
) -> None:
    table = tmp_path / "prices.csv"
    if content is not None:
        table.write_text(content)
    monkeypatch.setenv("FLYWHEEL_SPEECH_PRICES", str(table))
    with pytest.raises(FlywheelError) as caught:
        character_price("hume")
    assert said in str(caught.value)
    assert str(table) in str(caught.value)


def test_a_table_of_ones_own_takes_the_place_of_the_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices.csv").write_text(f"{HEADER}\nhume,0.05,2030-01,my contract\n")
    monkeypatch.setenv("FLYWHEEL_SPEECH_PRICES", str(tmp_path / "prices.csv"))
    assert character_price("hume").usd_per_1000_characters == 0.05
