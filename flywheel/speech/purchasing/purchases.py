"""How speech is bought: side by side, at a bounded pace, each utterance once, kept and written down on arrival."""

import json
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flywheel.compute.costs import CONSENT_VARIABLE, require_consent
from flywheel.files.locks import try_lock
from flywheel.speech.purchasing.ledger import KEPT, UNANSWERED, LedgerEntry, append_to_ledger, now
from flywheel.speech.purchasing.prices import CharacterPrice, SpeechEstimate, character_price
from flywheel.speech.purchasing.wav import BrokenWav, decoded_wav
from flywheel.speech.synthesis_workers import corpus_samples, write_audio
from flywheel.speech.synthesizer import (
    Buy,
    FaultyAnswer,
    NoAnswer,
    PaidSynthesizer,
    Purchase,
    ServiceRefused,
    SynthesisError,
    Utterance,
)

__all__ = ["BUYER_LOCK", "Log", "Purchases", "buy_speech", "estimate_speech", "require_speech_consent"]

Log = Callable[[str], None]

BUYER_LOCK = "buyer.lock"
"""Held in the folder of the cache by the one process that buys into it; says which that is."""
_ATTEMPTS = 3
"""How often an utterance is asked for whose answer is faulty or does not come. The service's client repeats what the
service refuses for the moment by itself."""
_KEEPING = 2
"""Threads beside those that call, so that the line is not idle while answers are resampled, checked and written."""
_DEAF_AFTER = 8
"""Utterances in a row without an answer, after which there is no sense in asking on."""
REPORT_SECONDS = 5.0
"""Between two lines on how far the buying is."""
_WAIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Purchases:
    """What `buy_speech` came to.

    Args:
        kept: utterances whose audio was bought and is in the cache.
        refused: by key, why there is none.
        characters: of the texts of all answers, faulty ones included, which are paid for as well.
        usd: US dollars that these cost, by the price that the estimate took.
        seconds: that the buying took.
    """

    kept: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    characters: int = 0
    usd: float = 0.0
    seconds: float = 0.0


class _Stopped(Exception):
    """No further request is to be begun."""


def buy_speech(
    wanted: Mapping[str, Utterance],
    cache: Path,
    synthesizer: PaidSynthesizer,
    *,
    log: Log,
    on_kept: Callable[[str], None],
) -> Purchases:
    """Have every utterance of `wanted` in `cache`, as 16 kHz speech without noise, buying those that are not.

    However it ends, nothing is lost that was paid for: an interrupt, SIGTERM or an error lets the calls that are under
    way arrive before it is raised; a kill loses at most those.

    Args:
        wanted: by the key that the audio file is named by.
        log: told the estimate before the first call, then the progress every five seconds, and a summary.
        on_kept: called in the calling thread with each key whose audio is in the cache.

    Raises:
        ConsentMissing: something would have to be bought, and nobody agreed to the cost; nothing was asked for.
        ServiceRefused: the service refuses everything, or does not answer at all.
        FlywheelError: the service cannot be reached for want of a key, an address or a price.
    """
    with _sole_buyer(cache, log):
        missing = {key: utterance for key, utterance in wanted.items() if not (cache / f"{key}.wav").exists()}
        for key in wanted.keys() - missing.keys():
            on_kept(key)
        if not missing:
            return Purchases()
        pace = _Pace(synthesizer.requests_per_minute)
        estimated = estimate_speech(missing.values(), synthesizer)
        log(f"speech that is not in the cache, to be bought from {estimated}")
        with _sigterm_as_exception(), synthesizer.connected(pace.wait) as buy:
            require_speech_consent(synthesizer, estimated)
            calls = threading.Semaphore(synthesizer.concurrency)
            return _Buyer(cache, synthesizer, estimated.price, buy, pace, log, calls).all_of(missing, on_kept)


def estimate_speech(utterances: Collection[Utterance], synthesizer: PaidSynthesizer) -> SpeechEstimate:
    """What `utterances` will cost; `FlywheelError` where no price of the engine is known."""
    return SpeechEstimate(
        character_price(synthesizer.name),
        requests=len(utterances),
        characters=sum(len(synthesizer.text_sent(utterance)) for utterance in utterances),
        requests_per_minute=synthesizer.requests_per_minute,
    )


def require_speech_consent(synthesizer: PaidSynthesizer, estimated: SpeechEstimate) -> None:
    """Raise `ConsentMissing` unless the cost was agreed to, in the configuration or in the environment."""
    consent = synthesizer.consent or os.environ.get(CONSENT_VARIABLE, "")
    require_consent(consent, estimated, resource="voices")


class _Pace:
    """Lets requests begin at even distances; after `stop` none begins any more."""

    def __init__(self, per_minute: float) -> None:
        self._seconds = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._of_thread = threading.local()
        self.repeated = 0

    def next_utterance(self) -> None:
        """The next request of this thread is the first one for its utterance."""
        self._of_thread.asked = False

    def wait(self) -> None:
        """Return when a request may begin; `_Stopped` where none may."""
        with self._lock:
            begin = max(self._next, time.monotonic())
            self._next = begin + self._seconds
        if self._stopped.wait(max(0.0, begin - time.monotonic())):
            raise _Stopped
        with self._lock:
            self.repeated += self._of_thread.asked
        self._of_thread.asked = True

    def stop(self) -> None:
        self._stopped.set()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of one utterance: why it is not in the cache, or an empty `fault`."""

    key: str
    fault: str = ""
    answered: bool = True


@dataclass
class _Buyer:
    """One round of purchases. Its threads ask, keep and write down; the calling thread follows and reports."""

    cache: Path
    synthesizer: PaidSynthesizer
    price: CharacterPrice
    buy: Buy
    pace: _Pace
    log: Log
    calls: threading.Semaphore
    characters: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def all_of(self, missing: Mapping[str, Utterance], on_kept: Callable[[str], None]) -> Purchases:
        ended: queue.SimpleQueue[Future[_Outcome]] = queue.SimpleQueue()
        begun = reported = time.monotonic()
        refused: dict[str, str] = {}
        kept = deaf = 0
        with ThreadPoolExecutor(self.synthesizer.concurrency + _KEEPING) as threads:
            try:
                for key, utterance in missing.items():
                    threads.submit(self._one, key, utterance).add_done_callback(ended.put)
                while kept + len(refused) < len(missing):
                    with suppress(queue.Empty, _Stopped):
                        outcome = ended.get(timeout=REPORT_SECONDS).result()
                        if outcome.fault:
                            refused[outcome.key] = outcome.fault
                        else:
                            kept += 1
                            on_kept(outcome.key)
                        deaf = 0 if outcome.answered else deaf + 1
                        self._give_up_after(deaf, outcome)
                    if time.monotonic() - reported >= REPORT_SECONDS:
                        reported = time.monotonic()
                        self.log(self._progress(kept, len(refused), len(missing), reported - begun))
            except BaseException:
                self.pace.stop()
                threads.shutdown(wait=False, cancel_futures=True)
                self.log("speech: no more is bought; the calls under way are paid for and are waited for")
                raise
        seconds, usd = time.monotonic() - begun, self.price.cost(self.characters)
        self.log(
            f"speech: {kept} bought in {seconds:.0f} s{self._repeated()}, {len(refused)} refused; "
            f"{self.characters} characters, about ${usd:.2f}"
        )
        return Purchases(kept, refused, self.characters, usd, seconds)

    def _give_up_after(self, deaf: int, outcome: _Outcome) -> None:
        if deaf >= _DEAF_AFTER:
            raise ServiceRefused(
                f"{self.synthesizer.name} gave no answer to {deaf} utterances in a row, to the last one: "
                f"{outcome.fault}. What was bought is kept: run again when the service is back"
            )

    def _progress(self, kept: int, refused: int, total: int, seconds: float) -> str:
        done = kept + refused
        left = f"about {seconds / done * (total - done):.0f} s left" if done else "nothing yet"
        lost = f", {refused} refused" if refused else ""
        return (
            f"speech: {kept} of {total} bought, {kept / seconds:.1f} a second, {left}{lost}{self._repeated()}"
        )

    def _repeated(self) -> str:
        return f", requests repeated: {self.pace.repeated}" if self.pace.repeated else ""

    def _one(self, key: str, utterance: Utterance) -> _Outcome:
        fault, answered = "", True
        self.pace.next_utterance()
        for _ in range(_ATTEMPTS):
            try:
                with self.calls:
                    bought = self.buy(utterance)
                fault, answered = self._keep(key, utterance, bought), True
                if not fault:
                    return _Outcome(key)
            except NoAnswer as error:
                fault, answered = str(error), False
                self._write_down(key, utterance, None, UNANSWERED + fault)
            except FaultyAnswer as error:
                fault, answered = str(error), True
                self._write_down(key, utterance, error.request_id, fault)
            except SynthesisError as error:
                return _Outcome(key, str(error))
            except ServiceRefused:
                self.pace.stop()
                raise
        return _Outcome(key, f"{fault} ({_ATTEMPTS} attempts)", answered)

    def _keep(self, key: str, utterance: Utterance, bought: Purchase) -> str:
        """Write the audio to the cache, or return what is wrong with it; either way it is in the ledger."""
        try:
            samples, faults = corpus_samples(decoded_wav(bought.wav), utterance)
        except BrokenWav as error:
            faults = [f"the audio cannot be used: {error}"]
        self._write_down(key, utterance, bought.request_id, "; ".join(faults) or KEPT)
        if not faults:
            write_audio(self.cache / f"{key}.wav", samples)
        return "; ".join(faults)

    def _write_down(self, key: str, utterance: Utterance, request_id: str | None, outcome: str) -> None:
        sent = self.synthesizer.text_sent(utterance)
        entry = LedgerEntry(
            key=key,
            request_id=request_id,
            engine=f"{self.synthesizer.name} {self.synthesizer.version}",
            voice_id=utterance.voice.voice_id,
            text=utterance.text,
            sent=sent,
            characters=len(sent),
            prescribed=tuple(each.ipa for each in utterance.prescribed),
            outcome=outcome,
            at=now(),
        )
        append_to_ledger(self.cache, entry)
        if not outcome.startswith(UNANSWERED):
            with self._lock:
                self.characters += len(sent)


@contextmanager
def _sole_buyer(cache: Path, log: Log) -> Iterator[None]:
    """Wait until no other process buys into `cache`, and be the only one that does."""
    path = cache / BUYER_LOCK
    said = False
    while (descriptor := try_lock(path)) is None:
        if not said:
            log(f"speech: {_buyer_in(path)} is buying into {cache}; waiting until it has ended")
            said = True
        time.sleep(_WAIT_SECONDS)
    try:
        os.ftruncate(descriptor, 0)
        buyer = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
        os.write(descriptor, json.dumps(buyer).encode())
        yield
    finally:
        os.close(descriptor)


def _buyer_in(path: Path) -> str:
    try:
        buyer = json.loads(path.read_text(encoding="utf-8"))
        return f"process {buyer['pid']} on {buyer['host']}, since {buyer['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has the lock and has not written its name yet


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit` where it would end the process on the spot, and lose what is under way."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # whoever handles it already raises, or knows better
        return

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
