"""What a speech synthesiser is to the flywheel: a protocol and the values that cross it."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import FlywheelError
from flywheel.speech.prescriptions import Prescription

Samples = NDArray[np.float32]

SAMPLING_RATE: Final = 16_000
"""Hz; what every file of the corpus has, whatever rate an engine speaks at."""


class SynthesisError(FlywheelError):
    """An engine could not speak an utterance."""


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


def g2p_source(engine: str) -> str:
    """The `ipa_source` of a term whose pronunciation was left to the engine."""
    return f"{engine}_g2p"
