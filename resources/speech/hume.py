"""Hume speaks: Octave voices over the network, paid by the character.

Hume takes neither a seed nor phonemes. The same request never sounds twice alike, so what was bought is kept (see
`flywheel.speech.purchasing.purchases`), and a prescribed pronunciation is written into the text in plain letters.

Octave 2 needs a voice with every request and takes voices only that are made for it; directions for the delivery are
at their best below 100 characters, speeds between 0.75 and 1.5. Hume has announced that access to this API ends on 13
November 2026; after that, a service that speaks the same protocol can be named in `FLYWHEEL_HUME_URL`.
"""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flywheel.errors import FlywheelError
from flywheel.pronunciation import plain_spelling
from flywheel.pronunciation.prescriptions import with_prescriptions
from flywheel.speech.purchasing.purchases import estimate_speech, require_speech_consent
from flywheel.speech.purchasing.wav import decoded_wav
from flywheel.speech.synthesizer import (
    Buy,
    FaultyAnswer,
    NoAnswer,
    Purchase,
    ServiceRefused,
    SynthesisError,
    Utterance,
    Voice,
    Waveform,
)
from resources.readiness import Finding

if TYPE_CHECKING:
    from hume import HumeClient
    from hume.tts import ReturnTts

__all__ = [
    "KEY_VARIABLE",
    "SEEN_VOICES",
    "UNSEEN_VOICES",
    "URL_VARIABLE",
    "HumeSynthesizer",
    "HumeVoice",
    "readiness",
]

KEY_VARIABLE = "HUME_API_KEY"
URL_VARIABLE = "FLYWHEEL_HUME_URL"
"""Where Hume is, instead of at its own address."""
_URL = "https://api.hume.ai"
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_LIBRARY = "HUME_AI"
_OCTAVE = "2"
_SETTINGS_VERSION = 1
"""Raised whenever this module would ask for the same utterance in another way."""
_SLOWEST, _FASTEST = 0.75, 1.5
_LONGEST_DESCRIPTION = 100
_REPEATS = 3
"""How often Hume's client repeats a request that is refused for the moment (408, 409, 429, 5xx), each time after the
seconds that the answer asks for."""
_REFUSES_ALL = frozenset({301, 302, 307, 308, 401, 402, 403, 404, 405, 410})
"""Statuses that are about the key, the account or the address, not about one text."""
_FOR_THE_MOMENT = frozenset({408, 409, 429})
_WITHOUT = (
    "FLYWHEEL_SPEECH=espeak speaks without Hume, which has announced the end of this API for 2026-11-13"
)
_QUICKLY = 10.0


@dataclass(frozen=True, slots=True)
class HumeVoice(Voice):
    """A voice of Hume with all that decides how it speaks; `rate` and `pitch` are of other engines.

    Args:
        provider: ``HUME_AI`` for Hume's library, ``CUSTOM_VOICE`` for voices of one's own.
        description: directions for the delivery, at most 100 characters.
        speed: 1 is the voice's own, 0.75 to 1.5 are stable.
    """

    provider: str = _LIBRARY
    description: str = ""
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not _SLOWEST <= self.speed <= _FASTEST:
            raise FlywheelError(
                f"voice {self.voice_id}, speed: found {self.speed:g}; allowed: {_SLOWEST} to {_FASTEST}"
            )
        if len(self.description) > _LONGEST_DESCRIPTION:
            raise FlywheelError(
                f"voice {self.voice_id}, description: found {len(self.description)} characters; allowed: "
                f"{_LONGEST_DESCRIPTION}"
            )


SEEN_VOICES = (
    HumeVoice("hume:Ava Song", description="a calm clinician dictating a note, even pace, every word clear"),
    HumeVoice("hume:Colton Rivers", description="a resident handing over after a long shift, matter-of-fact"),
    HumeVoice(
        "hume:Vince Douglas", description="a consultant reading a chart aloud, measured, precise", speed=0.95
    ),
    HumeVoice(
        "hume:Alice Bennett", description="a nurse giving a bedside handoff, brisk and friendly", speed=1.05
    ),
    HumeVoice(
        "hume:Imani Carter", description="a pharmacist reading back an order, slow and exact", speed=0.9
    ),
    HumeVoice(
        "hume:Male English Actor", description="a surgeon dictating between cases, low voice, few pauses"
    ),
)
"""The voices of Hume's library that a cycle speaks with by default, each in the style of somebody on a ward."""

UNSEEN_VOICES = (
    HumeVoice(
        "hume:Geraldine Wallace", description="an older physician telling a history, unhurried", speed=0.95
    ),
    HumeVoice(
        "hume:Terrence Bentley", description="a paramedic reporting on arrival, urgent but clear", speed=1.05
    ),
)
"""Voices that only evaluations hear."""


@dataclass(frozen=True, slots=True)
class HumeSynthesizer:
    """Hume's Octave 2, by its own client. The key stays in the environment; no instance holds it.

    Args:
        concurrency: calls under way at a time; Hume's plans allow few.
        requests_per_minute: that may be begun; 0 for any number.
        timeout: seconds without a word from Hume, after which a call counts as unanswered.
        consent: `YES` where the configuration agrees to the cost.
    """

    concurrency: int = 4
    requests_per_minute: float = 60.0
    timeout: float = 60.0
    consent: str = ""

    @property
    def name(self) -> str:
        return "hume"

    @property
    def version(self) -> str:
        """Of Hume's engine, of our settings and of our spelling, e.g. ``2/1.1``."""
        return f"{_OCTAVE}/{_SETTINGS_VERSION}.{plain_spelling.VERSION}"

    def text_sent(self, utterance: Utterance) -> str:
        """The text with each prescribed pronunciation in plain letters; `FlywheelError` for IPA that is none."""
        return with_prescriptions(utterance.text, utterance.prescribed, plain_spelling.plain_spelling)

    def synthesize(self, utterance: Utterance) -> Waveform:
        """Buy one utterance, at Hume's own rate, and keep it nowhere; `ConsentMissing` where nobody agreed."""
        require_speech_consent(self, estimate_speech([utterance], self))
        with self.connected(lambda: None) as buy:
            return decoded_wav(buy(utterance).wav)

    @contextmanager
    def connected(self, before_request: Callable[[], None]) -> Iterator[Buy]:
        """See `PaidSynthesizer`. `FlywheelError` where there is no key or no address."""
        key, url = _key(), _address()
        with _client(key, url, self.timeout, before_request) as client:
            yield lambda utterance: self._buy(client, key, utterance)

    def _buy(self, client: "HumeClient", key: str, utterance: Utterance) -> Purchase:
        import httpx
        from hume.core.api_error import ApiError
        from hume.tts import FormatWav
        from pydantic import ValidationError

        failure: FlywheelError
        try:
            answer = client.tts.synthesize_json(
                utterances=[_posted(utterance.voice, self.text_sent(utterance))],
                version=_OCTAVE,
                format=FormatWav(),
                num_generations=1,
                request_options={"max_retries": _REPEATS},
            )
        except ApiError as error:
            failure = _failure(error.status_code or 0, _said(error.body, key))
        except httpx.TimeoutException:
            failure = NoAnswer(f"no answer within {self.timeout:g} s")
        except httpx.HTTPError as error:
            failure = NoAnswer(f"the connection failed ({type(error).__name__})")
        except ValidationError:
            failure = FaultyAnswer("the answer is not of the form that Hume's client knows")
        else:
            return _purchase(answer)
        # Out of the handler, so that no traceback leads to the client's own error, which holds the answer's headers.
        raise failure


def readiness() -> tuple[Finding, ...]:
    """Whether Hume accepts the key and has the default voices; by one free call or two."""
    import httpx
    from hume.core.api_error import ApiError

    if not os.environ.get(KEY_VARIABLE):
        return (Finding("hume", True, f"off: no {KEY_VARIABLE}"),)
    key, url = _key(), _address()
    try:
        with _client(key, url, _QUICKLY, lambda: None) as client:
            listed = client.tts.voices.list(
                provider=_LIBRARY, page_size=100, request_options={"max_retries": 1}
            )
            models = {each.name: each.compatible_octave_models for each in listed}
    except ApiError as error:
        said = _said(error.body, key)
        return (Finding("key", False, f"{url} answered {error.status_code}{said}; check it. {_WITHOUT}"),)
    except httpx.HTTPError as error:
        return (Finding("hume", False, f"{url} does not answer ({type(error).__name__}). {_WITHOUT}"),)
    accepted = Finding("key", True, f"{KEY_VARIABLE} is accepted by {url}")
    default = [voice.name for voice in (*SEEN_VOICES, *UNSEEN_VOICES)]
    unfit = [name for name in default if _OCTAVE not in (models.get(name, ()) or (_OCTAVE,))]
    if unfit:
        detail = f"not in Hume's library, or not for Octave {_OCTAVE}: {', '.join(unfit)}"
        return (accepted, Finding("voices", False, detail))
    return (accepted, Finding("voices", True, f"all {len(default)} default voices are in Hume's library"))


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise FlywheelError(
            f"Hume speaks only with a key, and {KEY_VARIABLE} is not set. Set it, or choose the embedded engine with "
            "FLYWHEEL_SPEECH=espeak"
        )
    if not (key.isascii() and key.isprintable() and key == key.strip()):
        raise FlywheelError(
            f"{KEY_VARIABLE} is no key: it holds spaces, line ends or other characters than ASCII"
        )
    return key


def _address() -> str:
    """Where Hume is: over TLS, or on this machine; the key travels with every request."""
    url = os.environ.get(URL_VARIABLE) or _URL
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _THIS_MACHINE)
    if not (safe and parts.hostname) or "@" in parts.netloc:
        raise FlywheelError(
            f"{URL_VARIABLE} is not an address of the form https://host, or http://127.0.0.1:port on this machine"
        )
    return url.rstrip("/")


@contextmanager
def _client(key: str, url: str, timeout: float, before_request: Callable[[], None]) -> Iterator["HumeClient"]:
    """Hume's client. It follows no redirects: they would take the key to somebody else."""
    import httpx
    from hume import HumeClient

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [lambda _request: before_request()]}
    with httpx.Client(timeout=timeout, event_hooks=hooks, follow_redirects=False) as connection:
        yield HumeClient(base_url=url, api_key=key, httpx_client=connection)


def _posted(voice: Voice, text: str) -> Any:
    from hume.tts import PostedUtterance, PostedUtteranceVoiceWithName

    if not isinstance(voice, HumeVoice):
        raise SynthesisError(f"voice {voice.voice_id} is not one of Hume's")
    return PostedUtterance(
        text=text,
        voice=PostedUtteranceVoiceWithName(name=voice.name, provider=voice.provider),
        description=voice.description or None,
        speed=voice.speed,
    )


def _failure(status: int, said: str) -> FlywheelError:
    if 200 <= status < 300:
        return FaultyAnswer("the answer is not JSON")
    if status in _REFUSES_ALL:
        return ServiceRefused(
            f"Hume answered {status}{said}: check {KEY_VARIABLE} and the account. {_WITHOUT}"
        )
    if status in _FOR_THE_MOMENT or status >= 500:
        return NoAnswer(f"Hume answered {status}{said}, {_REPEATS + 1} times")
    return SynthesisError(f"Hume refuses it: {status}{said}")


def _said(body: Any, key: str) -> str:
    """What an answer says is wrong, in at most 200 characters, as the rest of a sentence; never the key."""
    detail = getattr(body, "detail", body)
    if isinstance(detail, dict):
        detail = detail.get("message") or detail.get("detail") or detail.get("error") or ""
    if isinstance(detail, list):
        detail = "; ".join(str(getattr(each, "msg", each)) for each in detail)
    said = " ".join(str(detail or "").replace(key, "(key)").split())[:200]
    return f" ({said})" if said else ""


def _purchase(answer: "ReturnTts") -> Purchase:
    """Raises `FaultyAnswer` where there is no audio."""
    if not answer.generations:
        raise FaultyAnswer("the answer holds no audio", answer.request_id)
    try:
        return Purchase(base64.b64decode(answer.generations[0].audio, validate=True), answer.request_id)
    except ValueError:
        raise FaultyAnswer("the audio is not base64", answer.request_id) from None
