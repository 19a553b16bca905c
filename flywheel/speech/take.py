"""A take: one utterance at one noise level, and the name of its file in the content-addressed cache."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from flywheel.speech import noise
from flywheel.speech.synthesizer import Synthesizer, Utterance


@dataclass(frozen=True, slots=True)
class Take:
    """What one row of a manifest sounds like: an utterance, clean or with noise of a kind mixed in."""

    utterance: Utterance
    noise_level: str = noise.CLEAN
    noise_kind: str | None = None

    def __post_init__(self) -> None:
        clean = noise.snr_db(self.noise_level) is None
        if clean != (self.noise_kind is None):
            raise ValueError(
                f"noise level {self.noise_level!r} does not go with noise kind {self.noise_kind!r}"
            )

    def synthesis_group(self, synthesizer: Synthesizer) -> str:
        """Equal for all takes that share one synthesis, whatever was mixed in: 64 hexadecimal digits."""
        utterance = asdict(self.utterance)
        content = {
            "text": utterance["text"],
            "voice": utterance["voice"],
            "pronunciation": utterance["prescribed"] or None,
            "engine": synthesizer.name,
            "engine_version": synthesizer.version,
        }
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def key(self, synthesizer: Synthesizer) -> str:
        """SHA-256 over all that decides how the take sounds: equal keys mean equal audio."""
        group = self.synthesis_group(synthesizer)
        if self.noise_kind is None:
            return group
        mixed = [group, self.noise_level, self.noise_kind, noise.VERSION]
        return sha256(json.dumps(mixed).encode()).hexdigest()

    def path(self, cache: Path, synthesizer: Synthesizer) -> Path:
        """Where the take's audio lies in the cache folder."""
        return cache / f"{self.key(synthesizer)}.wav"


def with_noise(utterance: Utterance, levels: Sequence[str]) -> tuple[Take, ...]:
    """The takes of one utterance, one a level; the kind of noise is drawn from the text and the voice."""
    digest = sha256(f"{utterance.text}|{utterance.voice.voice_id}".encode()).digest()
    return tuple(
        Take(utterance)
        if noise.snr_db(level) is None
        else Take(utterance, level, noise.NOISE_KINDS[(digest[0] + place) % len(noise.NOISE_KINDS)])
        for place, level in enumerate(levels)
    )
