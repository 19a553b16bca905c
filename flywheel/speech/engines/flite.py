"""The second synthesiser: flite by its command, where it is installed.

flite speaks recorded people in pieces (`kal16`) or as statistics of them (`awb`, `rms`, `slt`): nothing that a model
can know from espeak-ng's formants. It speaks words by its own lexicon and rules; a prescribed pronunciation it cannot
take, its command reads either a text or the phones of a whole utterance.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from flywheel.speech.synthesizer import SynthesisError, Utterance, Voice, Waveform

__all__ = ["COMMAND", "VOICES", "FliteSynthesizer", "is_installed"]

COMMAND: Final = "flite"

_NATURAL_PACE: Final = {"awb": 150, "rms": 134, "slt": 150, "kal16": 166}
"""Words a minute of each voice as it is, measured over carriers of the starter seed. `kal` speaks at 8 kHz only."""

VOICES: Final = (
    Voice("flite:awb", rate=140),
    Voice("flite:rms", rate=134),
    Voice("flite:slt", rate=140),
    Voice("flite:kal16", rate=140),
)
"""A Scottish man, an American man, an American woman, and another American man, at about the pace of dictation."""

_NATURAL_PITCH: Final = 50
_SETTINGS_VERSION: Final = 1
"""Raised whenever this module would speak the same utterance differently."""
_VERSION: Final = re.compile(r"version:\s*flite-(\S+)")
_LISTED: Final = re.compile(r"Voices available:(.*)")


def is_installed() -> bool:
    """Whether there is a `flite` command."""
    return shutil.which(COMMAND) is not None


@dataclass(frozen=True)
class FliteSynthesizer:
    """flite, one process an utterance: equal utterances are equal to the last sample.

    Args:
        command: a name on the path, or a path.
        timeout: seconds that a process may take; an utterance takes about a sixth of one.
    """

    command: str = COMMAND
    timeout: float = 60.0

    @property
    def name(self) -> str:
        """As in the voices' ids."""
        return "flite"

    @cached_property
    def version(self) -> str:
        """The command's own version and that of our settings, e.g. ``2.2-current/1``."""
        said = self._run(["--version"], ends_with=1)
        found = _VERSION.search(said)
        if not found:
            raise SynthesisError(
                f"{self.command} --version: found {said.strip()!r}; allowed: flite's own answer"
            )
        return f"{found[1]}/{_SETTINGS_VERSION}"

    @cached_property
    def voices(self) -> tuple[Voice, ...]:
        """Those of `VOICES` that this build holds."""
        said = self._run(["-lv"])
        listed = _LISTED.search(said)
        if not listed:
            raise SynthesisError(f"{self.command} -lv: found {said.strip()!r}; allowed: a list of voices")
        return tuple(voice for voice in VOICES if voice.name in listed[1].split())

    def synthesize(self, utterance: Utterance) -> Waveform:
        """Speak at the voice's rate (16 kHz). Raises `SynthesisError` for a voice that this build does not hold, for
        what flite would mispronounce unasked (a prescribed pronunciation, another pitch, letters beyond ASCII),
        and where the command fails or takes too long."""
        self._refuse(utterance)
        voice = utterance.voice
        stretch = _NATURAL_PACE[voice.name] / voice.rate
        with tempfile.TemporaryDirectory(prefix="flite-") as folder:
            wav = Path(folder) / "spoken.wav"
            said = self._run(
                [
                    "-voice",
                    voice.name,
                    "--setf",
                    f"duration_stretch={stretch:.4f}",
                    "-t",
                    utterance.text,
                    "-o",
                    str(wav),
                ]
            )
            # The command ends with 0 even where it could not write.
            try:
                samples, rate = soundfile.read(wav, dtype="float32")
            except soundfile.LibsndfileError as error:
                raise SynthesisError(
                    f"{self.command} spoke nothing of {utterance.text!r}: {said.strip() or error}"
                ) from None
        return Waveform(np.asarray(samples, dtype=np.float32), int(rate))

    def _refuse(self, utterance: Utterance) -> None:
        # It speaks an unknown voice as another one, and would fetch one that is called like an address.
        known = [voice.voice_id for voice in self.voices]
        if utterance.voice.voice_id not in known:
            here = ", ".join(known) or "none"
            raise SynthesisError(
                f"flite has no voice {utterance.voice.voice_id!r}; allowed, of this build: {here}"
            )
        if utterance.prescribed:
            words = ", ".join(each.words for each in utterance.prescribed)
            raise SynthesisError(
                f"flite cannot speak prescribed pronunciations: found some for {words}; allowed: none"
            )
        if utterance.voice.pitch != _NATURAL_PITCH:
            raise SynthesisError(
                f"flite, pitch: found {utterance.voice.pitch}; allowed: {_NATURAL_PITCH}, the voice's own"
            )
        if not utterance.text.isascii():
            raise SynthesisError(
                f"flite reads ASCII only: found {utterance.text!r}; allowed: letters without accents"
            )

    def _run(self, arguments: Sequence[str], *, ends_with: int = 0) -> str:
        """What the command prints; `SynthesisError` where it does not end as it should."""
        try:
            done = subprocess.run(
                [self.command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
        except FileNotFoundError:
            raise SynthesisError(
                f"there is no command {self.command!r}; install it, e.g. `apt-get install flite`"
            ) from None
        except subprocess.TimeoutExpired:
            raise SynthesisError(f"{self.command} took longer than {self.timeout:g} s") from None
        except OSError as error:
            raise SynthesisError(f"{self.command} could not be started: {error.strerror or error}") from None
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        if done.returncode != ends_with:
            raise SynthesisError(f"{self.command} ended with {done.returncode}: {said.strip()[-300:]}")
        return said
