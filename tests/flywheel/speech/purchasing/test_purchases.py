"""Speech that is paid for: asked for once, kept on arrival, written down, and never without consent."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from flywheel.compute.costs import ConsentMissing
from flywheel.errors import FlywheelError
from flywheel.speech.audio_cache import SpeechRefused, render
from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.noise import CLEAN
from flywheel.speech.purchasing import purchases
from flywheel.speech.purchasing.ledger import KEPT, UNANSWERED, read_ledger
from flywheel.speech.purchasing.purchases import BUYER_LOCK
from flywheel.speech.synthesizer import (
    Buy,
    FaultyAnswer,
    NoAnswer,
    PaidSynthesizer,
    Purchase,
    ServiceRefused,
    SynthesisError,
    Utterance,
    Voice,
    Waveform,
)
from flywheel.speech.take import Take, with_noise
from tests.flywheel.speech.purchasing.test_wav import wav_of

VOICE = Voice("espeak:en-us+m3")
ONE_AT_A_TIME = threading.Lock()
"""espeak is loaded once in a process, and Hume is asked from many threads."""
PRICES = "engine,usd_per_1000_characters,dated,source\nseller,2.5,2030-01,a page\n"


@dataclass(frozen=True)
class Seller:
    """An engine that is paid for: espeak behind a counter. The first word of a text says how it is answered."""

    consent: str = "YES"
    concurrency: int = 4
    requests_per_minute: float = 0
    asked: Counter[str] = field(default_factory=Counter)
    begun: list[float] = field(default_factory=list)
    delay: float = 0.0
    name: str = "seller"
    version: str = "1"

    def text_sent(self, utterance: Utterance) -> str:
        return utterance.text.upper()

    def synthesize(self, utterance: Utterance) -> Waveform:
        with ONE_AT_A_TIME:
            return EspeakSynthesizer().synthesize(utterance)

    @contextmanager
    def connected(self, before_request: Callable[[], None]) -> Iterator[Buy]:
        def buy(utterance: Utterance) -> Purchase:
            before_request()
            self.begun.append(time.monotonic())
            self.asked[utterance.text] += 1
            count = self.asked[utterance.text]
            time.sleep(self.delay)
            spoken = self.synthesize(utterance)
            samples, request = spoken.samples, f"{utterance.text} {count}"
            match utterance.text.split()[0]:
                case "invalid":
                    raise SynthesisError("the text is not allowed")
                case "closed":
                    raise ServiceRefused("the account is closed")
                case "deaf":
                    raise NoAnswer("nothing within 2 s")
                case "late" if count == 1:
                    raise NoAnswer("nothing within 2 s")
                case "broken" if count < 3:
                    raise FaultyAnswer("not base64", request)
                case "silent":
                    samples = np.zeros_like(samples)
            wav = wav_of(samples, spoken.sampling_rate)
            return Purchase(wav[:-100] if utterance.text.startswith("cut") else wav, request)

        yield buy


@pytest.fixture(autouse=True)
def _prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(PRICES)
    monkeypatch.setenv("FLYWHEEL_SPEECH_PRICES", str(path))
    monkeypatch.delenv("FLYWHEEL_CONSENT_TO_COST", raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "speech"


def takes_of(*texts: str, levels: tuple[str, ...] = (CLEAN,)) -> list[Take]:
    return [take for text in texts for take in with_noise(Utterance(text, VOICE), levels)]


def outcomes(cache: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in read_ledger(cache):
        found.setdefault(entry.text, []).append(entry.outcome)
    return found


def test_the_seller_is_one() -> None:
    assert isinstance(Seller(), PaidSynthesizer)
    assert not isinstance(EspeakSynthesizer(), PaidSynthesizer)


def test_takes_of_one_utterance_share_a_purchase(cache: Path) -> None:
    seller = Seller()
    takes = takes_of("give one", "give two", levels=(CLEAN, "snr_15db", "snr_5db"))
    progress: list[tuple[int, int]] = []
    rendering = render(
        [*takes, *takes], cache, seller, workers=1, on_progress=lambda *done: progress.append(done)
    )
    assert seller.asked == {"give one": 1, "give two": 1}
    assert (rendering.synthesised, rendering.mixed, rendering.cache_hits) == (2, 4, 0)
    assert rendering.purchases.characters == 16
    assert rendering.purchases.usd == pytest.approx(0.04)
    assert (progress[0], progress[-1], progress) == ((0, 6), (6, 6), sorted(progress))


def test_what_is_in_the_cache_is_not_asked_for_and_needs_no_consent(cache: Path) -> None:
    first = Seller()
    render(takes_of("give one", levels=(CLEAN,)), cache, first)
    poor = Seller(consent="")
    said: list[str] = []
    takes = takes_of("give one", levels=(CLEAN, "snr_5db"))
    rendering = render(takes, cache, poor, workers=1, log=said.append)
    assert (rendering.synthesised, rendering.mixed, rendering.cache_hits) == (0, 1, 1)
    assert not poor.asked
    assert said == []


@pytest.mark.parametrize("consent", ["", "yes", "no"])
def test_without_consent_nothing_is_asked_for(cache: Path, consent: str) -> None:
    seller = Seller(consent=consent, requests_per_minute=30)
    said: list[str] = []
    with pytest.raises(ConsentMissing) as caught:
        render(takes_of("give one", "give two"), cache, seller, log=said.append)
    assert not seller.asked
    estimated = (
        "seller: 2 requests of 16 characters, about $0.04 at $2.5 for 1000 (price of 2030-01; a page), in at least "
        "0.1 minutes at 30 a minute"
    )
    assert said == [f"speech that is not in the cache, to be bought from {estimated}"]
    assert str(caught.value) == (
        f"{estimated}. Nothing was started. To consent, set consent_to_cost: 'YES' in the run's configuration "
        f"(resources: voices: config) or FLYWHEEL_CONSENT_TO_COST=YES; found {consent!r}"
    )


def test_the_environment_consents_as_well(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_CONSENT_TO_COST", "YES")
    assert render(takes_of("give one"), cache, Seller(consent="")).synthesised == 1


def test_without_a_price_nothing_is_asked_for(cache: Path) -> None:
    stranger = Seller(name="stranger")
    with pytest.raises(FlywheelError, match=r"no price for 'stranger'.*FLYWHEEL_SPEECH_PRICES"):
        render(takes_of("give one"), cache, stranger)
    assert not stranger.asked


NOT_KEPT = "the audio cannot be used: it is cut off: "


def test_what_fails_for_good_is_listed_and_the_others_arrive(cache: Path) -> None:
    seller = Seller()
    good = ["give one", "late two", "broken three", "give four"]
    bad = ["invalid five", "cut six", "silent seven", "deaf eight"]
    with pytest.raises(SpeechRefused) as caught:
        render(takes_of(*bad, *good), cache, seller)
    said = [problem.split(": ", 1) for problem in caught.value.problems]
    assert [name for name, _fault in said] == [f"{text!r} in voice espeak:en-us+m3" for text in sorted(bad)]
    cut, deaf, invalid, silent = (fault for _name, fault in said)
    assert invalid == "the text is not allowed"
    assert deaf == "nothing within 2 s (3 attempts)"
    assert cut.startswith(NOT_KEPT)
    assert silent.startswith("silent: RMS")
    assert "4 of 8 rows; allowed_drops is 0" in str(caught.value)
    assert seller.asked == {
        **dict.fromkeys(("give one", "give four", "invalid five"), 1),
        **dict.fromkeys(("broken three", "cut six", "silent seven", "deaf eight"), 3),
        "late two": 2,
    }
    assert all(take.path(cache, seller).exists() for take in takes_of(*good))
    assert not any(take.path(cache, seller).exists() for take in takes_of(*bad))

    written = outcomes(cache)
    assert written["late two"] == [f"{UNANSWERED}nothing within 2 s", KEPT]
    assert written["broken three"] == ["not base64", "not base64", KEPT]
    assert all(each.startswith(NOT_KEPT) for each in written["cut six"])
    assert len(written["cut six"]) == 3
    assert "invalid five" not in written


def test_the_ledger_says_what_was_sent_and_under_which_request(cache: Path) -> None:
    seller = Seller()
    [take] = takes_of("give one")
    render([take], cache, seller)
    [entry] = read_ledger(cache)
    assert (entry.key, entry.request_id) == (take.key(seller), "give one 1")
    assert (entry.engine, entry.voice_id) == ("seller 1", VOICE.voice_id)
    assert (entry.text, entry.sent, entry.characters) == ("give one", "GIVE ONE", 8)
    assert entry.at.endswith("+00:00")


def test_a_dropped_take_takes_its_noisy_siblings_with_it(cache: Path) -> None:
    seller = Seller()
    takes = takes_of("invalid one", "give two", levels=(CLEAN, "snr_5db"))
    with pytest.raises(SpeechRefused, match="2 of 4 rows; allowed_drops is 1"):
        render(takes, cache, seller, workers=1, allowed_drops=1)
    rendering = render(takes, cache, seller, workers=1, allowed_drops=2)
    assert rendering.dropped == dict.fromkeys(takes[:2], "the text is not allowed")
    assert list(rendering.seconds) == takes[2:]
    # What is wanted noisy only is dropped alike.
    noisy = render(takes[1:], cache, seller, workers=1, allowed_drops=1)
    assert list(noisy.dropped) == takes[1:2]


def test_nothing_but_drops_is_refused(cache: Path) -> None:
    with pytest.raises(SpeechRefused, match="1 of 1 rows"):
        render(takes_of("invalid one"), cache, Seller(), allowed_drops=5)


def test_a_service_that_refuses_everything_is_asked_no_further(cache: Path) -> None:
    seller = Seller(delay=0.02)
    with pytest.raises(ServiceRefused, match="the account is closed"):
        render(takes_of(*(f"closed {n}" for n in range(40))), cache, seller)
    assert sum(seller.asked.values()) < 2 * seller.concurrency


def test_a_service_that_does_not_answer_is_given_up(cache: Path) -> None:
    seller = Seller()
    with pytest.raises(ServiceRefused, match=r"no answer to 8 utterances in a row.*nothing within 2 s"):
        render(takes_of(*(f"deaf {n}" for n in range(40))), cache, seller)
    assert 24 <= sum(seller.asked.values()) <= 24 + 3 * 2 * seller.concurrency


def test_while_it_waits_it_says_how_far_it_is(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchases, "REPORT_SECONDS", 0.1)
    said: list[str] = []
    texts = ["late one", "invalid two", *(f"give {n}" for n in range(18))]
    render(takes_of(*texts), cache, Seller(delay=0.1), log=said.append, allowed_drops=1)
    line = re.compile(
        r"speech: (\d+) of 20 bought, \d+\.\d a second, (about \d+ s left|nothing yet)(, 1 refused)?"
        r"(, requests repeated: 1)?"
    )
    reports = [line.fullmatch(each) for each in said[1:-1]]
    assert len(reports) >= 3
    assert all(reports), said
    counts = [int(report[1]) for report in reports if report]
    assert counts == sorted(counts)
    assert re.fullmatch(
        r"speech: 19 bought in \d+ s, requests repeated: 1, 1 refused; \d+ characters, about \$0\.\d\d",
        said[-1],
    )


def test_an_interrupt_waits_for_what_is_under_way(cache: Path) -> None:
    seller = Seller(delay=0.05)
    said: list[str] = []

    def interrupt(done: int, _total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    takes = takes_of(*(f"give {n}" for n in range(40)))
    with pytest.raises(KeyboardInterrupt):
        render(takes, cache, seller, on_progress=interrupt, log=said.append)
    kept = {take.utterance.text for take in takes if take.path(cache, seller).exists()}
    assert set(seller.asked) == kept
    assert 8 < len(kept) <= 8 + 2 * seller.concurrency
    assert said[-1].endswith("the calls under way are paid for and are waited for")
    render(takes, cache, seller)
    assert seller.asked == dict.fromkeys((take.utterance.text for take in takes), 1)


def test_requests_begin_at_even_distances(cache: Path) -> None:
    seller = Seller(requests_per_minute=1200)
    render(takes_of(*(f"give {n}" for n in range(8))), cache, seller)
    begun = sorted(seller.begun)
    # On a busy machine one may begin late, and seem to have the next one too close behind it.
    assert [begun[place] - begun[0] > (place - 1) * 0.05 for place in range(8)] == [True] * 8


def test_the_second_buyer_waits_and_says_for_whom(cache: Path) -> None:
    seller = Seller(delay=0.1, concurrency=1)
    takes = takes_of("give one", "give two", "give three")
    said: list[str] = []
    first = threading.Thread(target=render, args=(takes, cache, seller))
    first.start()
    while not seller.asked:
        time.sleep(0.005)
    rendering = render(takes, cache, seller, log=said.append)
    first.join()
    assert rendering.synthesised == 0
    assert set(seller.asked.values()) == {1}
    assert said[0].startswith("speech: process ")
    assert "is buying into" in said[0]
    assert (cache / BUYER_LOCK).exists()
