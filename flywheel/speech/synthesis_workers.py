"""How speech is made on this machine: a process a core, each with utterances of its own."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import soundfile
import soxr

from flywheel.files.atomic import atomic_path
from flywheel.speech import noise
from flywheel.speech.quality import audio_faults
from flywheel.speech.synthesizer import (
    SAMPLING_RATE,
    Samples,
    SynthesisError,
    Synthesizer,
    Utterance,
    Waveform,
)
from flywheel.speech.take import Take

__all__ = ["Produced", "corpus_samples", "produce", "write_audio"]

_BATCH = 16
"""Utterances a worker gets at a time: small enough for lively progress, large enough to be cheap."""

Produced = tuple[Sequence[Take], bool, Sequence[str]]
"""The takes of one utterance, whether it had to be spoken, and what is wrong with its audio: if anything, the takes
have no files."""


def produce(
    groups: Sequence[Sequence[Take]], cache: Path, synthesizer: Synthesizer, workers: int | None
) -> Iterator[Sequence[Produced]]:
    """Render the takes of each utterance, in worker processes; yields what some of them came to, as it comes.

    Speech that is in the cache is not spoken again, only mixed. `workers` None is one a core.
    """
    batches = [groups[start : start + _BATCH] for start in range(0, len(groups), _BATCH)]
    if not batches:
        return
    with ProcessPoolExecutor(
        min(workers or os.cpu_count() or 1, len(batches)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
    ) as pool:
        futures = [pool.submit(_render_batch, batch, cache, synthesizer) for batch in batches]
        for future in as_completed(futures):
            yield future.result()


def corpus_samples(spoken: Waveform, utterance: Utterance) -> tuple[Samples, list[str]]:
    """`spoken` at 16 kHz, and what is wrong with it; see `audio_faults`."""
    samples = soxr.resample(spoken.samples, spoken.sampling_rate, SAMPLING_RATE)
    return samples, audio_faults(Waveform(samples, SAMPLING_RATE), words=len(utterance.text.split()))


def write_audio(path: Path, samples: Samples) -> Samples:
    """Write PCM16 and return what a reader of the file gets."""
    pcm = np.round(np.clip(samples, -1.0, 32767 / 32768) * 32768).astype(np.int16)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, pcm, SAMPLING_RATE, subtype="PCM_16")
    return np.divide(pcm, 32768, dtype=np.float32)


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed; the pool's own queue would keep it waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("a rendering worker is started by a pool, never by hand")
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _render_batch(groups: Sequence[Sequence[Take]], cache: Path, synthesizer: Synthesizer) -> list[Produced]:
    return [(group, *_render_group(group, cache, synthesizer)) for group in groups]


def _render_group(takes: Sequence[Take], cache: Path, synthesizer: Synthesizer) -> tuple[bool, list[str]]:
    """Render the takes of one utterance; returns whether it had to be spoken, and the faults found."""
    utterance = takes[0].utterance
    clean_path = Take(utterance).path(cache, synthesizer)
    cached = clean_path.exists()
    if cached:
        speech, _rate = soundfile.read(clean_path, dtype="float32")
    else:
        try:
            spoken = synthesizer.synthesize(utterance)
        except SynthesisError as error:
            return False, [str(error)]
        samples, faults = corpus_samples(spoken, utterance)
        if faults:
            return True, faults
        speech = write_audio(clean_path, samples)
    for take in takes:
        snr = noise.snr_db(take.noise_level)
        if snr is not None and take.noise_kind is not None:
            key = take.key(synthesizer)
            mixed = noise.mix(speech, SAMPLING_RATE, snr, take.noise_kind, seed=int(key[:16], 16))
            write_audio(take.path(cache, synthesizer), mixed)
    return not cached, []
