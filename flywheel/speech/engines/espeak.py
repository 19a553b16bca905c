"""The embedded synthesiser: espeak-ng through its C API, from the `espeakng-loader` wheel.

espeak-ng is a formant synthesiser: not beautiful, but real, free of keys and hundreds of times faster
than real time. It is licensed under GPL-3.0-or-later and loaded at run time as a separate library.
C API: espeak-ng's ``speak_lib.h``.
"""

import _ctypes
import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np

from flywheel.pronunciation.prescriptions import with_prescriptions
from flywheel.speech.engines.espeak_phonemes import SEPARATOR, mnemonics, words_reported
from flywheel.speech.synthesizer import Samples, SynthesisError, Utterance, Voice, Waveform

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_POSITION_CHARACTER = 1
_PARAMETER_RATE, _PARAMETER_VOLUME, _PARAMETER_PITCH = 1, 2, 3
_VOLUME = 75
"""Percent of the library's default, at which its louder voices clip."""
_OK = 0
_PHONEMES = 0x100
_IPA, _SEPARATOR_BITS = 2, 8
_LONGEST_WITH_PHONEMES = 700
"""Bytes. The library reads clauses of 800; where it broke one within phonemes, it would read these as text."""
_DOUBLED_BRACKET = re.compile(r"\[(?=\[)|\](?=\])")
_SEED = 1
_SETTINGS_VERSION = 1
"""Raised whenever this module would speak the same utterance differently."""
_ACCENT_FILES = {"en-gb": "gmw/en"}
"""Accents whose language code is not a voice name of the library."""

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

SEEN_VOICES = (
    Voice("espeak:en-us+m3", rate=130, pitch=45),
    Voice("espeak:en-us+f1", rate=135, pitch=55),
    Voice("espeak:en-gb+m1", rate=128, pitch=50),
    Voice("espeak:en-gb+f2", rate=135, pitch=52),
    Voice("espeak:en-gb-x-rp+m7", rate=130, pitch=42),
    Voice("espeak:en-gb-x-rp+f4", rate=128, pitch=50),
    Voice("espeak:en-gb-scotland+m2", rate=130, pitch=48),
    Voice("espeak:en-us-nyc+f3", rate=138, pitch=50),
)
"""The voices a cycle speaks with by default, at the pace of dictation."""

UNSEEN_VOICES = (
    Voice("espeak:en-gb-x-gbclan+m4", rate=130, pitch=50),
    Voice("espeak:en-us+f5", rate=135, pitch=47),
)
"""Voices that no training row, of a cycle or of the bundled base, has: accent and variant both unused there,
or, for the second, a known accent in an unknown variant."""


class EspeakSynthesizer:
    """espeak-ng, loaded afresh for each utterance.

    The library keeps oscillator phases in static variables that no call of its API resets, so what it
    speaks depends on what it spoke before. A fresh load costs about 10 ms and, with its random sources
    seeded, makes equal utterances equal to the last sample, whatever the order, the time and the process.
    """

    name = "espeak"

    @cached_property
    def version(self) -> str:
        """The library's own version and that of our settings, e.g. ``1.52.0/1``."""
        with _loaded_library() as (library, _rate):
            return f"{library.espeak_Info(None).decode().split()[0]}/{_SETTINGS_VERSION}"

    def synthesize(self, utterance: Utterance) -> Waveform:
        """Speak at the library's rate (22 050 Hz), prescribed words as they are prescribed. Raises `SynthesisError`
        for an unknown voice, for a pronunciation that the voice cannot speak and for any status but success."""
        return _spoken(utterance)[0]

    def reported_phonemes(self, utterance: Utterance) -> tuple[str, ...]:
        """The words that the library says it speaks as it speaks `utterance`, each in the project's IPA.

        Written as `espeak_phonemes` describes; raises what `synthesize` raises.
        """
        return words_reported(_spoken(utterance)[1], utterance.voice)

    def spoken_ipa(self, text: str, voice: Voice) -> str:
        """How the library's own rules pronounce `text`, in the project's IPA."""
        return " ".join(self.reported_phonemes(Utterance(text, voice)))


@contextmanager
def reader(voice: Voice) -> Iterator[Callable[[str], str]]:
    """A function that tells how the library's own rules pronounce a text, in the project's IPA, and speaks nothing.

    What it tells is what `EspeakSynthesizer.spoken_ipa` does, and raises what that raises; with one load for all texts
    it takes microseconds where speaking takes milliseconds. A text without words has an empty pronunciation. Until the
    block ends nothing else may use the library.
    """
    with _loaded_library() as (library, _rate):
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
        _choose(library, voice)

        def read(text: str) -> str:
            buffer = ctypes.create_string_buffer(
                text.encode()
            )  # held here: the library keeps only its address
            rest = ctypes.c_void_p(ctypes.addressof(buffer))
            clauses: list[str] = []
            while rest.value:
                mode = _IPA | ord(SEPARATOR) << _SEPARATOR_BITS
                clause = library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, mode)
                clauses.append(clause.decode())
            return " ".join(words_reported("\n".join(clauses), voice))

        yield read


def _spoken(utterance: Utterance) -> tuple[Waveform, str]:
    """The audio of an utterance, and the phonemes that the library traced as it made it, a line a clause."""
    chunks: list[Samples] = []

    def collect(wave: Any, count: int, _events: Any) -> int:
        if wave and count > 0:
            chunks.append(np.ctypeslib.as_array(wave, shape=(count,)).astype(np.float32) / 32768.0)
        return 0

    text, flags = _input(utterance)
    with _loaded_library() as (library, rate):
        callback = _SynthCallback(collect)  # held here: the library keeps only its address
        library.espeak_SetSynthCallback(callback)
        _choose(library, utterance.voice)
        with _phonemes_traced(library) as traced:
            status = library.espeak_Synth(text, len(text) + 1, 0, _POSITION_CHARACTER, 0, flags, None, None)
        if status != _OK:
            raise SynthesisError(f"espeak-ng failed on {utterance.text!r} with status {status}")
    samples = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)
    return Waveform(samples, rate), "".join(traced)


def _input(utterance: Utterance) -> tuple[bytes, int]:
    """The text as the library gets it, and the flags that it gets with it."""
    flags = _CHARS_UTF8 | _END_PAUSE
    if not utterance.prescribed:
        return utterance.text.encode(), flags
    # Brackets of the text's own must not begin phonemes; what touches phonemes would be swallowed by them.
    plain = _DOUBLED_BRACKET.sub(r"\g<0> ", utterance.text)
    text = with_prescriptions(
        plain, utterance.prescribed, lambda ipa: f" [[{mnemonics(ipa, utterance.voice)}]] "
    ).encode()
    if len(text) > _LONGEST_WITH_PHONEMES:
        raise SynthesisError(
            f"{utterance.text!r} is too long for espeak-ng to speak with prescribed pronunciations: {len(text)} bytes "
            f"with them, allowed are {_LONGEST_WITH_PHONEMES}; make it two sentences"
        )
    return text, flags | _PHONEMES


@contextmanager
def _phonemes_traced(library: ctypes.CDLL) -> Iterator[list[str]]:
    """A list that holds, once the block has ended, the phonemes of what was spoken in it."""
    c_library = ctypes.CDLL(None)
    c_library.open_memstream.restype = ctypes.c_void_p
    c_library.fclose.argtypes = c_library.free.argtypes = [ctypes.c_void_p]
    library.espeak_SetPhonemeTrace.argtypes = [ctypes.c_int, ctypes.c_void_p]
    content, size = ctypes.c_void_p(), ctypes.c_size_t()
    stream = c_library.open_memstream(ctypes.byref(content), ctypes.byref(size))
    if not stream:
        raise SynthesisError("espeak-ng's phonemes cannot be traced: no memory for a stream")
    traced: list[str] = []
    try:
        library.espeak_SetPhonemeTrace(_IPA | ord(SEPARATOR) << _SEPARATOR_BITS, stream)
        yield traced
        library.espeak_SetPhonemeTrace(0, None)
    finally:
        c_library.fclose(stream)  # which writes the content and its size
        traced.append(ctypes.string_at(content, size.value).decode())
        c_library.free(content)


@contextmanager
def _loaded_library() -> Iterator[tuple[ctypes.CDLL, int]]:
    """A freshly loaded library and its sampling rate in Hz; unloaded when the block ends."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        library.espeak_Info.restype = ctypes.c_char_p
        library.espeak_Info.argtypes = [ctypes.POINTER(ctypes.c_char_p)]
        library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        data = espeakng_loader.get_data_path()
        rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), 0)
        if rate <= 0:
            raise SynthesisError(f"espeak-ng could not start with the data in {data} (status {rate})")
        # For breath it draws from a source that it seeds from the clock as it starts, and from the C library's
        # rand, which goes on from one utterance to the next.
        library.espeak_ng_SetRandSeed(_SEED)
        ctypes.CDLL(None).srand(_SEED)
        yield library, int(rate)
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)


@cache
def _shipped_names() -> tuple[frozenset[str], frozenset[str]]:
    """The accents, in lower case, and the variants that the library's data holds."""
    data = Path(espeakng_loader.get_data_path())
    accents = {path.name.lower() for path in (data / "lang").rglob("*") if path.is_file()}
    variants = {path.name for path in (data / "voices" / "!v").iterdir()}
    return frozenset(accents | _ACCENT_FILES.keys()), frozenset(variants)


def _choose(library: ctypes.CDLL, voice: Voice) -> None:
    accent, plus, variant = voice.name.partition("+")
    accents, variants = _shipped_names()
    # The library crashes on a variant without an accent, speaks the plain accent for an unknown variant and
    # knows a voice by several names; so it only ever gets the names looked up here.
    known = voice.engine == "espeak" and accent in accents and (not plus or variant in variants)
    name = f"{_ACCENT_FILES.get(accent, accent)}{plus}{variant}"
    if not known or library.espeak_SetVoiceByName(name.encode()) != _OK:
        raise SynthesisError(
            f"espeak-ng has no voice {voice.voice_id!r}: allowed is espeak:<accent>+<variant>, "
            "e.g. espeak:en-us+m3, with an accent and a variant that espeak-ng ships"
        )
    library.espeak_SetParameter(_PARAMETER_VOLUME, _VOLUME, 0)
    library.espeak_SetParameter(_PARAMETER_RATE, voice.rate, 0)
    library.espeak_SetParameter(_PARAMETER_PITCH, voice.pitch, 0)
