"""What a speech synthesiser is to the flywheel: a protocol and the values that cross it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import FlywheelError
from flywheel.pronunciation.prescriptions import Prescription

Samples = NDArray[np.float32]

SAMPLING_RATE: Final = 16_000
"""Hz; what every file of the corpus has, whatever rate an engine speaks at."""


class SynthesisError(FlywheelError):
    """An engine could not speak an utterance."""


class FaultyAnswer(SynthesisError):
    """A paid service answered with something that cannot be used, e.g. audio that was cut off. Asking again may help;
    this answer is paid for all the same. `request_id` is the service's own, where it gave one."""

    def __init__(self, said: str, request_id: str | None = None) -> None:
        super().__init__(said)
        self.request_id = request_id


class NoAnswer(SynthesisError):
    """A paid service did not answer, e.g. in time. It may have spoken, and may ask to be paid, all the same."""


class ServiceRefused(FlywheelError):
    """A paid service refuses whatever it is asked, e.g. for its key: there is no sense in asking for the next row."""


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker.

    Args:
        voice_id: engine-qualified name, e.g. ``espeak:en-us+m3``.
        rate: words a minute.
        pitch: the engine's own scale; for espeak 0 to 99 with 50 as the voice's natural pitch.
    """

    voice_id: str
    rate: int = 165
    pitch: int = 50

    @property
    def engine(self) -> str:
        return self.voice_id.partition(":")[0]

    @property
    def name(self) -> str:
        """The voice's name as the engine knows it."""
        return self.voice_id.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence in one voice: what a synthesiser is asked to speak.

    `prescribed` are the pronunciations of words of `text`, in the order in which they stand there; the others are
    left to the engine.
    """

    text: str
    voice: Voice
    prescribed: tuple[Prescription, ...] = ()


@dataclass(frozen=True, slots=True)
class Waveform:
    """Mono audio: `samples` of shape [n] in -1 to 1, `sampling_rate` in Hz."""

    samples: Samples
    sampling_rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sampling_rate


class Synthesizer(Protocol):
    """An engine that speaks. One instance is used from one thread at a time."""

    @property
    def name(self) -> str:
        """Engine name as it stands before the colon of its voices' ids."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the engine would speak the same utterance differently."""
        ...

    def synthesize(self, utterance: Utterance) -> Waveform:
        """Speak one utterance, at the engine's own sampling rate; `SynthesisError` where it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a paid service answered: a WAV file at its own sampling rate, and its own name for the request."""

    wav: bytes
    request_id: str | None


Buy = Callable[[Utterance], Purchase]
"""Has one utterance spoken. Called from several threads at a time; raises `SynthesisError` where the service will not
speak this utterance, or one of the errors above."""


@runtime_checkable
class PaidSynthesizer(Synthesizer, Protocol):
    """An engine that is reached over the network, is paid by the character, and never speaks twice alike."""

    @property
    def concurrency(self) -> int:
        """How many calls may be under way at a time."""
        ...

    @property
    def requests_per_minute(self) -> float:
        """How many requests may be begun in a minute; 0 for any number."""
        ...

    @property
    def consent(self) -> str:
        """`YES` where the user agreed to the cost in the configuration; empty leaves it to the environment."""
        ...

    def text_sent(self, utterance: Utterance) -> str:
        """The text that is sent, and paid for by the character, with what is prescribed written into it."""
        ...

    def connected(self, before_request: Callable[[], None]) -> AbstractContextManager[Buy]:
        """A connection. `before_request` is called before every request, repeated ones included, and may wait or
        raise. `FlywheelError` where the engine cannot be reached for want of a key or an address."""
        ...
