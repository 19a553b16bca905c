"""Who speaks: the synthesiser and its voices, chosen by configuration."""

import dagster as dg

from flywheel.corpus import Casting
from flywheel.errors import FlywheelError
from flywheel.speech.espeak import SEEN_VOICES, UNSEEN_VOICES, EspeakSynthesizer
from flywheel.speech.synthesis import Synthesizer, Voice

_ENGINES = {"espeak": (EspeakSynthesizer, SEEN_VOICES, UNSEEN_VOICES)}


class Speech(dg.ConfigurableResource):
    """The speech service.

    `engine` is `espeak`, the embedded default. `workers` is the number of synthesis processes, 0 for one a
    core. `noise_levels` are those that a sentence is spoken at besides clean; a level that stands twice is
    used twice as often.
    """

    engine: str = "espeak"
    workers: int = 0
    noise_levels: list[str] = ["snr_15db", "snr_15db", "snr_5db"]

    @property
    def synthesizer(self) -> Synthesizer:
        """The engine; an unknown name is a `FlywheelError` that lists the known ones."""
        return self._choice[0]()

    @property
    def casting(self) -> Casting:
        """The engine's default voices at the configured noise levels."""
        _engine, seen, unseen = self._choice
        return Casting(seen, unseen, noise_levels=tuple(self.noise_levels))

    @property
    def _choice(self) -> tuple[type[EspeakSynthesizer], tuple[Voice, ...], tuple[Voice, ...]]:
        if self.engine not in _ENGINES:
            raise FlywheelError(f"speech engine {self.engine!r} is unknown; allowed: {', '.join(_ENGINES)}")
        return _ENGINES[self.engine]
